use serde_json::json;

use super::super::fixture::{mapping, policies};
use super::*;
use crate::decision::query::Entity;

fn asked(method: &str, properties: Json, context: Json) -> Query<'static> {
    let object = |json: Json| -> Properties<'static> { serde_json::from_value(json).unwrap() };
    let mut properties = properties;
    properties["service"] = "todos".into();
    Query {
        subject: Entity::named("Workload", "spiffe://example.org/web"),
        action: Action::named(method.to_owned()),
        resource: Entity { properties: object(properties), ..Entity::named("route", "/whatever/{it}/says") },
        context: object(context),
        extra: Vec::new(),
    }
}

fn becomes(asked: &Query<'_>) -> Result<(String, Json), Reason> {
    let mapping = mapping(&[
        "{name: read, match: {host: api.example.com, path: '/todos/{id}', method: GET}, \
         resource: {type: Todo, id: '{path.id}'}, action: {name: can_read_todo}, \
         context: {tenant: '{header.x-tenant}', note: '{query.note}'}}",
        "{name: any, match: {path: '/{rest=**}', method: [GET, POST]}}",
    ]);
    let mut name = None;
    let mapped = query(asked, &mapping, &policies(), |found| name = found.name().map(ToString::to_string));
    let mapped = mapped.map_err(|refusal| refusal.reason())?;
    assert!(policies().question(&mapped).is_ok(), "{:?}", policies().question(&mapped).err());
    let told = json!({
        "action": mapped.action.name,
        "resource": mapped.resource.to_string(),
        "context": Json::from(mapped.context),
        "domain": mapped.subject.parents.first().map(|parent| parent.id.to_string()),
    });
    Ok((name.unwrap(), told))
}

#[test]
fn a_gateways_question_becomes_what_the_request_becomes() {
    let properties = json!({"uri": "https://api.example.com/todos/7?note=x", "scheme": "https",
        "hostname": "api.example.com", "path": "/todos/7", "query": "note=x", "params": {"it": "9"}});
    let question =
        asked("GET", properties, json!({"headers": {"x-tenant": "blue", "accept": ["a", "b"]}, "urgent": true}));
    let (route, told) = becomes(&question).unwrap();
    assert_eq!(route, "read");
    assert_eq!(
        told,
        json!({"action": "can_read_todo", "resource": "Todo::\"7\"", "domain": "example.org",
            "context": {"note": "x", "path": "/todos/7", "tenant": "blue", "urgent": true}})
    );
    let elsewhere = asked("POST", json!({"hostname": "other.example.com", "path": "/todos/7"}), json!({}));
    assert_eq!(becomes(&elsewhere).unwrap().0, "any");
}

/// What the route says of the context, a caller can't say otherwise, nor fill in where the request lacks it: behind an Envoy
/// nobody could.
#[test]
fn a_caller_adds_to_the_context_and_replaces_nothing() {
    let properties = json!({"hostname": "api.example.com", "path": "/todos/7"});
    let mut context = json!({"headers": {"x-tenant": "blue"}, "tenant": "red", "path": "/todos/8", "note": "mine",
        "query": "note=mine", "scheme": "https", "upgrade": "websocket", "urgent": true});
    let (_, told) = becomes(&asked("GET", properties.clone(), context.clone())).unwrap();
    assert_eq!(told["context"], json!({"path": "/todos/7", "tenant": "blue", "urgent": true}));
    context["headers"] = json!({});
    let (_, told) = becomes(&asked("GET", properties, context)).unwrap();
    assert_eq!(told["context"], json!({"path": "/todos/7", "urgent": true}));
}

#[test]
fn a_request_that_can_be_read_in_two_ways_is_refused() {
    let api = |path: &str| json!({"hostname": "api.example.com", "path": path});
    for (properties, context, reason) in [
        (json!({}), json!({}), Reason::BadPath),
        (api("/todos/7?note=x"), json!({}), Reason::BadPath),
        (api("/todos/../7"), json!({}), Reason::BadPath),
        (api("/todos/%2f"), json!({}), Reason::BadPath),
        (json!({"hostname": "a b", "path": "/todos/7"}), json!({}), Reason::BadHost),
        (json!({"hostname": 7, "path": "/todos/7"}), json!({}), Reason::SchemaMismatch),
        (api("/todos/7"), json!({"headers": {"x-tenant": ["a", "b"]}}), Reason::BadHeader),
        (api("/todos/7"), json!({"headers": {"X-Tenant": "a"}}), Reason::BadHeader),
        (api("/todos/7"), json!({"headers": {"x-tenant": "a\r\nb"}}), Reason::BadHeader),
        (api("/todos/7"), json!({"headers": {"x-tenant": 7}}), Reason::BadHeader),
        (api("/todos/7"), json!({"headers": "x"}), Reason::BadHeader),
    ] {
        assert_eq!(becomes(&asked("GET", properties.clone(), context.clone())), Err(reason), "{properties} {context}");
    }
    assert_eq!(becomes(&asked("DELETE", api("/todos/7"), json!({}))), Err(Reason::NoRoute));
    let mut nobody = asked("GET", api("/todos/7"), json!({}));
    nobody.subject.id = "alice".into();
    assert_eq!(becomes(&nobody), Err(Reason::BadPrincipal));
}
