use serde_json::json;

use super::super::fixture::{self, Asked, mapping, policies};
use super::*;
use crate::decision::policy::fixture::Directory;

fn of(asked: &Asked, mapping: &Mapping) -> serde_json::Value {
    asked.by(mapping).unwrap_or_else(|refusal| panic!("{asked:?}: {refusal}"))
}

#[test]
fn by_default_the_resource_is_the_template_and_what_is_concrete_a_property() {
    let mapping = mapping(&["{match: {path: '/todos/{todoId}', method: GET}}"]);
    assert_eq!(
        of(&Asked::new("GET", "/todos/7?full=1"), &mapping),
        json!({
            "route": "GET /todos/{todoId}",
            "action": "GET",
            "resource": "route::\"/todos/{todoId}\"",
            "properties": {"hostname": "api.example.com", "method": "GET", "params": {"todoId": "7"},
                "path": "/todos/7", "query": "full=1"},
            "parents": [],
            "context": {"headers": {}, "host": "api.example.com", "path": "/todos/7"},
        })
    );
}

/// What a schema calls `path` may be anything, unless it is that of a route.
#[test]
fn an_entity_of_another_type_has_no_properties_but_those_given() {
    let schema = fixture::SCHEMA.replace("entity Todo in [Service] {", "entity Todo in [Service] { path?: String,");
    let files = [("s.cedarschema", &*schema), ("p.cedar", "permit (principal, action, resource);")];
    let policies = Directory::new(&files).load().unwrap();
    let mapping =
        mapping(&["{match: {path: '/a', method: GET}, resource: {type: Todo, id: a}, action: {name: can_read_todo}}"]);
    let properties =
        Asked::new("GET", "/a").with(&mapping, &policies, |mapped| mapped.query.resource.properties.is_empty());
    assert_eq!(properties, Ok(true));
}

#[test]
fn a_route_says_what_a_request_becomes() {
    let mapping = mapping(&[
        "{name: read, match: {path: '/todos/{id}', method: GET}, resource: {type: Todo, id: '{path.id}', properties: \
         {list: 'l-{query.list}', owner: {type: User, id: '{header.x-user}'}, priority: 3, place: {city: '{route.city}', \
         floor: '{query.floor}'}}}, action: {name: can_read_todo}, context: {tenant: '{header.x-tenant}', amount: \
         '{query.max}', urgent: true, by: {type: User, id: '{host}'}, ip: '{header.x-ip}', note: '{{{method}}} {path}'}}",
    ]);
    let asked = Asked::new("GET", "/todos/7?list=a%20b&floor=3&max=-12")
        .header("X-User", "alice")
        .header("x-tenant", "blue")
        .header("x-ip", "10.0.0.1")
        .extension("city", "Bern");
    assert_eq!(
        of(&asked, &mapping),
        json!({
            "route": "read", "action": "can_read_todo", "resource": "Todo::\"7\"",
            "properties": {"list": "l-a b", "owner": {"id": "alice", "type": "User"}, "priority": 3,
                "place": {"city": "Bern", "floor": 3}},
            "parents": ["Service::\"todos\""],
            "context": {"path": "/todos/7", "tenant": "blue", "amount": -12, "urgent": true, "ip": "10.0.0.1",
                "by": {"type": "User", "id": "api.example.com"}, "note": "{GET} /todos/7"},
        })
    );
}

#[test]
fn what_a_request_lacks_is_left_out_of_properties_and_context_and_refused_in_an_id() {
    let routes = mapping(&[
        "{match: {path: '/a', method: GET}, resource: {type: Todo, id: x, properties: {list: 'l-{query.list}'}}, \
         action: {name: can_read_todo}, context: {tenant: '{header.x-tenant}'}}",
        "{match: {path: '/b', method: GET}, resource: {type: Todo, id: '{header.x-id}'}, action: {name: can_read_todo}}",
    ]);
    let lacking = of(&Asked::new("GET", "/a"), &routes);
    assert_eq!((&lacking["properties"], &lacking["context"]), (&json!({}), &json!({"path": "/a"})));
    let (reason, why) = Asked::new("GET", "/b").refused(&routes);
    assert_eq!(reason, Reason::MissingInput);
    assert!(why.contains("`{header.x-id}`"), "{why}");
    assert_eq!(of(&Asked::new("GET", "/b").header("x-id", "7"), &routes)["resource"], "Todo::\"7\"");
}

#[test]
fn no_route_is_a_refusal_that_says_so() {
    let routes = mapping(&["{match: {host: api.example.com, path: '/a', method: GET}}"]);
    for asked in [
        Asked::new("GET", "/b"),
        Asked::new("POST", "/a"),
        Asked::new("GET", "/a/"),
        Asked::new("GET", "/a").host("example.com"),
        Asked::new("GET", "/a").header("connection", "upgrade").header("upgrade", "websocket"),
    ] {
        let (reason, why) = asked.refused(&routes);
        assert_eq!(reason, Reason::NoRoute, "{asked:?}");
        assert!(why.contains(&asked.path) && why.contains(&asked.method), "{why}");
    }
}

/// Whoever may read must not get a WebSocket by it.
#[test]
fn a_request_that_wants_to_leave_http_takes_only_a_route_that_says_so() {
    let routes = mapping(&["{match: {path: '/chat', method: GET}}", "{match: {path: '/chat', upgrade: websocket}}"]);
    let wish = Asked::new("GET", "/chat").header("connection", "upgrade").header("upgrade", "WebSocket");
    assert_eq!(of(&wish, &routes)["action"], "upgrade");
    assert_eq!(of(&Asked::new("GET", "/chat"), &routes)["action"], "GET");
    let other = Asked::new("GET", "/chat").header("connection", "upgrade").header("upgrade", "h2c");
    assert_eq!(other.refused(&routes).0, Reason::NoRoute);
}

#[test]
fn a_grpc_route_is_a_path_and_its_action_the_method() {
    let routes = mapping(&[
        "{match: {grpc: {service: orders.v1.Orders, method: Get}}}",
        "{match: {grpc: {service: orders.v1.Lists}}, resource: {type: Todo, id: '{grpc.service}/{grpc.method}'}, action: {name: can_read_todo}}",
    ]);
    let get = of(&Asked::new("POST", "/orders.v1.Orders/Get"), &routes);
    assert_eq!((&get["action"], &get["resource"]), (&json!("Get"), &json!("route::\"/orders.v1.Orders/Get\"")));
    let any = of(&Asked::new("POST", "/orders.v1.Lists/Watch"), &routes);
    assert_eq!(any["resource"], "Todo::\"orders.v1.Lists/Watch\"");
    assert_eq!(Asked::new("GET", "/orders.v1.Orders/Get").refused(&routes).0, Reason::NoRoute);
}

#[test]
fn a_path_stays_within_the_paths_that_enclose_it() {
    let routes = mapping(&["{match: {path: '/{rest=**}', method: GET}, resource: {type: Path}}"]);
    let policies = policies();
    let chain = Asked::new("GET", "/a/b").with(&routes, &policies, |mapped| {
        let Query { resource, extra, .. } = mapped.query;
        [&resource].into_iter().chain(&extra).map(|one| format!("{one} in {}", one.parents[0])).collect::<Vec<_>>()
    });
    let expected =
        ["Path::\"/a/b\" in Path::\"/a\"", "Path::\"/a\" in Path::\"/\"", "Path::\"/\" in Service::\"todos\""];
    assert_eq!(chain.unwrap(), expected);
}

#[test]
fn a_resource_that_can_be_within_a_service_needs_one() {
    let routes =
        mapping(&["{match: {path: '/a', method: GET}, resource: {type: Todo, id: a}, action: {name: can_read_todo}}"]);
    let asked = Asked { extensions: Vec::new(), ..Asked::new("GET", "/a") };
    assert_eq!(of(&asked, &routes)["parents"], json!(["Service::\"spiffe://example.org/orders\""]));
    let bad = Asked { extensions: vec![("service".into(), String::new())], ..asked };
    assert_eq!(bad.refused(&routes).0, Reason::NoService);
}

#[test]
fn a_tunnel_takes_no_route() {
    let routes = mapping(&["{match: {path: '/{rest=**}', method: GET}}"]);
    let tunnel = of(&Asked { path: String::new(), ..Asked::new("CONNECT", "").host("db.example:5432") }, &routes);
    assert_eq!((&tunnel["route"], &tunnel["resource"]), (&json!(null), &json!("Authority::\"db.example:5432\"")));
}

#[test]
fn text_becomes_a_number_or_a_boolean_only_in_its_plain_spelling() {
    let routes =
        mapping(&["{match: {path: '/a', method: GET}, resource: {type: Todo, id: a}, action: {name: can_read_todo}, \
         context: {amount: '{query.n}', urgent: '{query.b}'}}"]);
    let policies = policies();
    for (query, context) in [
        ("n=0&b=true", json!({"path": "/a", "amount": 0, "urgent": true})),
        ("n=-9223372036854775808", json!({"path": "/a", "amount": i64::MIN})),
    ] {
        assert_eq!(of(&Asked::new("GET", &format!("/a?{query}")), &routes)["context"], context);
    }
    for query in ["n=01", "n=%2B1", "n=1.0", "n=", "n=9223372036854775808", "n=-0", "b=True", "b=1"] {
        let fits = Asked::new("GET", &format!("/a?{query}"))
            .with(&routes, &policies, |mapped| policies.question(&mapped.query).map(|_| ()).is_ok());
        assert_eq!(fits, Ok(false), "{query}");
    }
}

/// `a-b` in list `c` and `b-c` in list `a` are two todos, and must not be one to policies.
#[test]
fn no_two_requests_make_one_id_of_different_values() {
    let routes = mapping(&[
        "{match: {path: '/l/{list}/t/{todo}', method: GET}, resource: {type: Todo, id: '{path.list}-{path.todo}'}, action: {name: can_read_todo}}",
        "{match: {path: '/s/{list}/t/{todo}', method: GET}, resource: {type: Todo, id: '{path.list}/{path.todo}'}, action: {name: can_read_todo}}",
        "{match: {path: '/e/{todo}', method: GET}, resource: {type: Todo, id: '{path.todo}-{route.stage}-x'}, action: {name: can_read_todo}}",
        "{match: {path: '/h/{rest=**}', method: GET}, resource: {type: Todo, id: '{query.q}.{header.x-tenant}.{host}{path}'}, action: {name: can_read_todo}}",
    ]);
    let id = |path: &str| of(&Asked::new("GET", path).header("x-tenant", "blue"), &routes)["resource"].clone();
    assert_eq!(id("/l/a/t/b-c"), "Todo::\"a-b-c\"");
    assert_eq!(Asked::new("GET", "/l/a-b/t/c").refused(&routes).0, Reason::BadPath);
    assert_eq!(Asked::new("GET", "/l/a-/t/c").refused(&routes).0, Reason::BadPath);
    assert_eq!((id("/s/a-b/t/c"), id("/s/a/t/b-c")), (json!("Todo::\"a-b/c\""), json!("Todo::\"a/b-c\"")));
    let staged = Asked::new("GET", "/e/a-b").extension("stage", "dev");
    assert_eq!(of(&staged, &routes)["resource"], "Todo::\"a-b-dev-x\"", "of these a client chooses one");
    assert_eq!(id("/h/a.b?q=x"), "Todo::\"x.blue.api.example.com/h/a.b\"");
    assert_eq!(Asked::new("GET", "/h/a?q=x.y").header("x-tenant", "blue").refused(&routes).0, Reason::BadQuery);
    assert_eq!(Asked::new("GET", "/h/a?q=x").header("x-tenant", "b.c").refused(&routes).0, Reason::BadHeader);
}
