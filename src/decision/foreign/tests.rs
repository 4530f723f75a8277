use serde_json::{Value, json};

use super::*;
use crate::decision::policy::PolicySet;
use crate::decision::query::Property;
use crate::identity::foreign::ForeignDomain;

const RUNNER: &str = "spiffe://partner.example/ci/runner";

fn schema(foreign: &str) -> PolicySet {
    let home = tempfile::tempdir().unwrap();
    let schema = format!(
        "entity TrustDomain; entity Workload in [TrustDomain] {{ path: String{foreign} }}; entity Thing; \
         action see appliesTo {{ principal: Workload, resource: Thing, context: {{ peer?: Workload }} }};"
    );
    std::fs::write(home.path().join("s.cedarschema"), schema).unwrap();
    std::fs::write(home.path().join("p.cedar"), "permit (principal, action, resource);").unwrap();
    PolicySet::load(home.path()).unwrap()
}

fn foreign() -> ForeignIdentities {
    let Value::Object(attributes) = json!({"tier": 3, "regions": ["eu", "us"], "audited": true}) else {
        panic!("no object")
    };
    let (paths, local_name) = (vec!["/ci".parse().unwrap()], Some("acme".to_owned()));
    let listed = [("partner.example".parse().unwrap(), ForeignDomain { paths, local_name, attributes })].into();
    ForeignIdentities::new(&"example.org".parse().unwrap(), listed, false)
}

/// What is known of `id` after somebody else has said `claimed` of it.
fn known(id: &str, claimed: &Value, schema: &PolicySet) -> Result<Option<Value>, Reason> {
    let query = json!({
        "subject": {"type": "Workload", "id": id, "properties": {"foreign": claimed, "path": "/kept"}},
        "action": {"name": "see"},
        "resource": {"type": "Thing", "id": "1"},
    });
    let mut query: Query<'_> = serde_json::from_value(query).unwrap();
    describe(&mut query, &foreign(), schema.types()).map_err(|refusal| refusal.reason())?;
    assert_eq!(query.subject.properties.get("path").and_then(Property::as_str), Some("/kept"));
    Ok(query.subject.properties.get(FOREIGN).cloned().map(Value::from))
}

#[test]
fn a_foreign_workload_has_what_the_schema_declares_and_no_more() {
    for (declared, expected) in [
        ("", None),
        (", foreign?: {}", Some(json!({}))),
        (", foreign?: { local_name?: String, unheard_of?: Long }", Some(json!({"local_name": "acme"}))),
        (", foreign: { tier: Long, regions: Set<String> }", Some(json!({"tier": 3, "regions": ["eu", "us"]}))),
        // It means something else by that name.
        (", foreign?: Bool", None),
    ] {
        assert_eq!(known(RUNNER, &json!("claimed"), &schema(declared)), Ok(expected), "{declared}");
    }
}

#[test]
fn nothing_is_said_of_our_own_and_nothing_is_taken_from_who_asks() {
    let schema = schema(", foreign?: { local_name?: String }");
    for claimed in [json!({}), json!({"local_name": "acme"}), json!(true), Value::Null] {
        assert_eq!(known("spiffe://example.org/web", &claimed, &schema), Ok(None));
        assert_eq!(known("spiffe://other.example/web", &claimed, &schema), Ok(Some(json!({}))));
        assert_eq!(known("spiffe://partner.example/web", &claimed, &schema), Err(Reason::ForeignIdentity));
        assert_eq!(known("spiffe://example.org.evil/web", &claimed, &schema), Ok(Some(json!({}))));
        assert_eq!(known("web", &claimed, &schema), Err(Reason::BadPrincipal));
    }
}

#[test]
fn whoever_else_comes_along_is_described_too() {
    let mut query: Query<'_> = serde_json::from_value(json!({
        "subject": {"type": "Thing", "id": "1"}, "action": {"name": "see"}, "resource": {"type": "Thing", "id": "1"},
    }))
    .unwrap();
    query.extra = vec![Entity::named("Thing", "2"), Entity::named(WORKLOAD, RUNNER)];
    let schema = schema(", foreign?: { local_name?: String }");
    describe(&mut query, &foreign(), schema.types()).unwrap();
    let known = |entity: &Entity<'_>| entity.properties.get(FOREIGN).cloned().map(Value::from);
    assert_eq!(query.extra.iter().map(known).collect::<Vec<_>>(), [None, Some(json!({"local_name": "acme"}))]);
    query.extra.push(Entity::named(WORKLOAD, "spiffe://partner.example/dev"));
    assert_eq!(describe(&mut query, &foreign(), schema.types()).unwrap_err().reason(), Reason::ForeignIdentity);
}
