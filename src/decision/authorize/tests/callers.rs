//! Who may ask: a question of its own, before the one that is asked.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::decision::search::{Search, SearchError, Sought};

const BACKEND: &str = "spiffe://example.org/backend";

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/authzen-callers")
}

/// The policies of the example decide, on callers too.
fn plane() -> Plane {
    let plane = Plane::new();
    plane.policies.replace(PolicySet::load(&example()).unwrap().with_callers(&example()).unwrap());
    plane
}

fn gateway() -> Caller {
    Caller::named(Arc::from("gateway"))
}

fn workload(plane: &Plane, id: &str) -> Caller {
    Caller::workload(plane.authorizer.ports.leaves.verify(leaf(&plane.authority, id), NOW).unwrap())
}

fn asked(plane: &Plane, caller: Option<&Caller>, question: Value) -> (Outcome, Reason, Vec<String>) {
    let by = Asker { caller, request_id: Some("r-1"), ..Asker::default() };
    let verdict = plane.authorizer.evaluate(serde_json::from_value(question).unwrap(), by);
    (verdict.outcome, verdict.reason, verdict.policies.iter().map(ToString::to_string).collect())
}

fn reads(record: &str) -> Value {
    json!({"subject": {"type": "user", "id": "bob"}, "action": {"name": "read"},
           "resource": {"type": "record", "id": record}})
}

fn policies(ids: &[&str]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

#[test]
fn a_caller_that_may_ask_gets_the_answer_and_stands_in_its_record() {
    let plane = plane();
    for caller in [gateway(), workload(&plane, BACKEND)] {
        let permitted = (Outcome::Allow, Reason::Permitted, policies(&["members-read"]));
        assert_eq!(asked(&plane, Some(&caller), reads("record-1")), permitted);
        let record = plane.last();
        assert_eq!(record.caller.as_deref(), Some(caller.name()));
        let leaf = caller.leaf().map(|leaf| (leaf.digest, leaf.authority, leaf.bundle_sequence));
        let proof = record.leaf.zip(record.authority).zip(record.bundle_sequence);
        assert_eq!(proof.map(|((leaf, authority), sequence)| (leaf, authority, sequence)), leaf, "what proved it");
        assert_eq!((&*record.principal, &*record.action), ("user::\"bob\"", "read"), "what was asked is on record");
    }
    assert_eq!(plane.log.records.lock().unwrap().len(), 2, "one record for one question");
}

#[test]
fn a_caller_that_may_not_ask_learns_nothing_and_the_record_says_which_policy_kept_it() {
    let plane = plane();
    let backend = workload(&plane, BACKEND);
    let mut writes = reads("record-1");
    writes["action"]["name"] = json!("write");
    let mut unknown = reads("record-1");
    unknown["resource"]["type"] = json!("unheard-of");
    for (caller, question, reason, ids) in [
        (Some(&backend), writes, Reason::CallerNotPermitted, policies(&[])),
        (Some(&backend), reads("record-2"), Reason::CallerNotPermitted, policies(&["archive-is-for-the-gateway"])),
        (Some(&backend), unknown, Reason::CallerNotPermitted, policies(&[])),
        (Some(&workload(&plane, WEB)), reads("record-1"), Reason::CallerNotPermitted, policies(&[])),
        (None, reads("record-1"), Reason::CallerNotPermitted, policies(&[])),
    ] {
        assert_eq!(asked(&plane, caller, question), (Outcome::Deny, reason, ids));
        let record = plane.last();
        assert_eq!((&*record.reason, record.request_id.as_deref()), ("caller_not_permitted", Some("r-1")));
        assert_eq!(&*record.principal, "user::\"bob\"");
    }
}

/// The example's policies, and these.
fn plane_with(more: &str) -> Plane {
    let home = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(example()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), home.path().join(file.file_name())).unwrap();
    }
    std::fs::write(home.path().join("more.cedar"), more).unwrap();
    let plane = Plane::new();
    plane.policies.replace(PolicySet::load(home.path()).unwrap().with_callers(home.path()).unwrap());
    plane
}

#[test]
fn a_permit_to_ask_that_demands_something_is_none() {
    let demands = r#"@id("demands") @obligation("{\"id\": \"m\", \"type\": \"notification\", \"properties\": {}}")
        permit (principal, action == Portcullis::Action::"evaluate", resource);"#;
    let refused = (Outcome::Deny, Reason::CallerNotPermitted, policies(&["demands", "gateway-asks"]));
    assert_eq!(asked(&plane_with(demands), Some(&gateway()), reads("record-1")), refused);
}

#[test]
fn what_goes_wrong_when_a_caller_is_asked_about_is_on_record() {
    let broken = r#"@id("broken") permit (principal, action == Portcullis::Action::"evaluate", resource)
        when { 9223372036854775807 + 1 > 0 };"#;
    let plane = plane_with(broken);
    assert_eq!(asked(&plane, Some(&gateway()), reads("record-1")).1, Reason::Permitted);
    let errors = plane.last().policy_errors;
    assert!(errors.len() == 1 && errors[0].starts_with("broken: "), "{errors:?}");
}

/// Whoever may ask about a route by the name that they give it may not for that ask about anything.
#[test]
fn what_a_gateways_request_becomes_is_asked_about_too() {
    let schema = r"entity TrustDomain; entity Workload in [TrustDomain]; entity route; entity Todo;
        action read appliesTo { principal: Workload, resource: Todo, context: {} };
        namespace Portcullis { entity Caller;
          action evaluate, search appliesTo { principal: Caller, resource: [route, Todo], context: {} }; }";
    let rules = r#"@id("all-read") permit (principal, action == Action::"read", resource);
        @id("routes") permit (principal, action == Portcullis::Action::"evaluate", resource is route);
        @id("one") permit (principal, action == Portcullis::Action::"evaluate", resource == Todo::"1");"#;
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("s.cedarschema"), schema).unwrap();
    std::fs::write(home.path().join("p.cedar"), rules).unwrap();
    let mut plane = Plane::new();
    plane.policies.replace(PolicySet::load(home.path()).unwrap().with_callers(home.path()).unwrap());
    let routes = "version: 1\nroutes:\n  - {match: {path: '/todos/{id}', method: GET}, \
                  resource: {type: Todo, id: '{path.id}'}, action: {name: read}}\n";
    let mapping = Mapping::compile(&crate::decision::mapping::MappingFiles::of(&[("m.yaml", routes)])).unwrap();
    let mapping = Some(Arc::new(Watched::new(mapping)));
    plane.authorizer = plane.authorizer.with_mapping(mapping).with_questions_mapped(true);
    for (id, reason) in [("1", Reason::Permitted), ("2", Reason::CallerNotPermitted)] {
        let question = json!({"subject": {"type": "Workload", "id": WEB}, "action": {"name": "GET"},
            "resource": {"type": "route", "id": "harmless", "properties": {
                "service": "todos", "hostname": "todos", "path": format!("/todos/{id}")}}});
        assert_eq!(asked(&plane, Some(&gateway()), question).1, reason, "{id}");
        assert_eq!(plane.last().resource, format!("Todo::{id:?}"));
    }
}

#[test]
fn a_second_opinion_is_asked_of_decisions_alone() {
    let mut plane = plane();
    let metrics = crate::decision::shadow::ShadowMetrics::new(&mut Registry::default());
    let shadow = Shadow::start(std::num::NonZeroU64::MIN, metrics).unwrap();
    plane.authorizer = plane.authorizer.with_shadow(Some(shadow));
    assert_eq!(asked(&plane, Some(&gateway()), reads("record-1")).1, Reason::Permitted);
    assert_eq!(plane.authorizer.shadow.as_ref().unwrap().offered(), 1);
}

#[test]
fn the_callers_own_words_do_not_help_it() {
    let plane = plane();
    let mut question = reads("record-2");
    question["subject"]["properties"] = json!({"type": "user"});
    question["resource"]["properties"] = json!({"status": "active"});
    question["context"] = json!({"subject": {"type": "user", "id": "x"}, "action": {"name": "read"}});
    let refused = asked(&plane, Some(&workload(&plane, BACKEND)), question);
    assert_eq!(refused.1, Reason::CallerNotPermitted);
}

#[test]
fn what_is_decided_of_a_caller_is_cached_and_ends_with_what_proves_it() {
    let plane = plane();
    let backend = workload(&plane, BACKEND);
    for _ in 0..3 {
        assert_eq!(asked(&plane, Some(&backend), reads("record-1")).1, Reason::Permitted);
    }
    plane
        .policies
        .replace(PolicySet::load(&example()).unwrap().with_entities(crate::decision::entity::Entities::default()));
    assert_eq!(
        asked(&plane, None, reads("record-1")).1,
        Reason::NoPermit,
        "without a word on callers everybody may ask, and nobody is anything"
    );
}

fn records_of_alice() -> Search<'static> {
    Search {
        sought: Sought::Resources {
            subject: Entity::named("user", "alice"),
            action: crate::decision::query::Action::named("read"),
            kind: "record".into(),
            properties: crate::decision::query::Properties::default(),
            overlay: crate::decision::query::Overlay::default(),
        },
        context: crate::decision::query::Properties::default(),
        after: None,
        limit: 10,
    }
}

#[test]
fn a_search_is_asked_about_first_too() {
    let (plane, search) = (plane(), records_of_alice());
    let (gateway, backend) = (gateway(), workload(&plane, BACKEND));
    let found = |caller| plane.authorizer.search(&search, Asker { caller, ..Asker::default() }).result;
    assert_eq!(found(Some(&gateway)).unwrap().names, ["record-1", "record-2"]);
    assert_eq!(found(Some(&backend)), Err(SearchError::CallerNotPermitted));
    assert_eq!(found(None), Err(SearchError::CallerNotPermitted));
}

/// Counts how often it is asked.
#[derive(Debug, Default)]
struct Counted(std::sync::atomic::AtomicUsize);

impl Entropy for Counted {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), crate::foundation::entropy::EntropyError> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        SystemEntropy::new().fill(bytes)
    }
}

#[test]
fn a_search_and_the_question_whether_it_may_be_are_one() {
    let mut plane = plane();
    let drawn = Arc::new(Counted::default());
    plane.authorizer.ports.entropy = drawn.clone();
    plane
        .authorizer
        .search(&records_of_alice(), Asker { caller: Some(&gateway()), ..Asker::default() })
        .result
        .unwrap();
    assert_eq!(drawn.0.load(std::sync::atomic::Ordering::SeqCst), 1, "one name, that of the record");
}

#[test]
fn a_schema_that_can_not_say_who_may_ask_is_refused() {
    let plain = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/authzen-certification");
    let refused = PolicySet::load(&plain).unwrap().with_callers(&plain).unwrap_err().to_string();
    assert!(refused.contains("no action `Portcullis::Action::\"evaluate\"`"), "{refused}");
    assert!(refused.contains("no action `Portcullis::Action::\"search\"`"), "{refused}");

    let home = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(example()).unwrap() {
        let file = file.unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        let text = text.replace("action: { name: String },", "action: { name: Long }, ip: String,");
        let text = text.replace("&& context.action.name == \"read\"", "");
        std::fs::write(home.path().join(file.file_name()), text).unwrap();
    }
    let refused = PolicySet::load(home.path()).unwrap().with_callers(home.path()).unwrap_err().to_string();
    assert!(refused.contains("`context.action` of a caller's question is a record `{name: String}`"), "{refused}");
    assert!(refused.contains("requires `context.ip`"), "{refused}");
}

#[test]
fn where_it_is_nobodys_to_decide_no_policy_is_asked_whether_one_may_ask() {
    let plane = plane();
    let by = Asker { exempt: true, ..Asker::default() };
    let question = || serde_json::from_value(reads("record-1")).unwrap();
    assert_eq!(plane.authorizer.evaluate(question(), by).reason, Reason::Permitted);
    assert!(plane.authorizer.search(&records_of_alice(), by).result.is_ok());
    assert_eq!(plane.authorizer.evaluate(question(), Asker::default()).reason, Reason::CallerNotPermitted);
}

#[test]
fn policies_on_callers_see_for_which_tenant_they_ask() {
    let home = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(example()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), home.path().join(file.file_name())).unwrap();
    }
    let schema = home.path().join("records.cedarschema");
    let text = std::fs::read_to_string(&schema).unwrap();
    let named = |kind: &str| text.replace("action: { name: String },", &format!("action: {{ name: String }}, {kind},"));
    std::fs::write(
        home.path().join("tenants.cedar"),
        r#"@id("tenant1-alone") forbid (principal, action in [Portcullis::Action::"evaluate", Portcullis::Action::"search"],
        resource) unless { context has tenant && context.tenant == "tenant1" };"#,
    )
    .unwrap();
    std::fs::write(&schema, named("tenant: String")).unwrap();
    let refused = PolicySet::load(home.path()).unwrap().with_callers(home.path()).unwrap_err().to_string();
    assert!(refused.contains("`context.tenant` of a caller's question is an optional `String`"), "{refused}");

    std::fs::write(&schema, named("tenant?: String")).unwrap();
    let plane = Plane::new();
    plane.policies.replace(PolicySet::load(home.path()).unwrap().with_callers(home.path()).unwrap());
    let gateway = gateway();
    let mut says = reads("record-1");
    says["context"] = json!({"tenant": "tenant1"});
    for (tenant, reason) in [
        (Some("tenant1"), Reason::Permitted),
        (Some("tenant2"), Reason::CallerNotPermitted),
        (None, Reason::CallerNotPermitted),
    ] {
        let by = Asker { caller: Some(&gateway), tenant, ..Asker::default() };
        let verdict = plane.authorizer.evaluate(serde_json::from_value(says.clone()).unwrap(), by);
        assert_eq!(verdict.reason, reason, "{tenant:?}, whatever the question itself says");
        assert_eq!(plane.authorizer.search(&records_of_alice(), by).result.is_ok(), reason == Reason::Permitted);
    }
}

#[test]
fn what_is_overlaid_decides_and_is_kept_apart_from_what_is_not() {
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(home.path().join(name), text).unwrap();
    write(
        "s.cedarschema",
        "entity group; entity user in [group] = { clearance: Long, role?: String }; entity record;
        action read appliesTo { principal: user, resource: record };",
    );
    write(
        "p.cedar",
        r#"@id("cleared") permit (principal in group::"staff", action, resource) when { principal.clearance > 3 };"#,
    );
    write(
        "e.json",
        r#"[{"uid": {"type": "user", "id": "bob"}, "attrs": {"clearance": 1}, "parents": [{"type": "group", "id": "staff"}]},
            {"uid": {"type": "group", "id": "staff"}, "attrs": {}, "parents": []}]"#,
    );
    let plane = Plane::new();
    plane.policies.replace(PolicySet::load(home.path()).unwrap());
    let decided = |overlay: &[&str], clearance: i64, user: &str| {
        let mut question = reads("record-1");
        question["subject"] = json!({"type": "user", "id": user, "properties": {"clearance": clearance}});
        let mut query: Query<'_> = serde_json::from_value(question).unwrap();
        query.subject.overlay = crate::decision::query::Overlay::of(overlay.iter().map(ToString::to_string).collect());
        plane.authorizer.evaluate(query, Asker::default()).reason
    };
    for _cached in 0..2 {
        assert_eq!(decided(&[], 5, "bob"), Reason::NoPermit, "what is stored comes first");
        assert_eq!(decided(&["clearance"], 5, "bob"), Reason::Permitted);
        assert_eq!(decided(&["clearance"], 2, "bob"), Reason::NoPermit);
        assert_eq!(decided(&["role"], 5, "bob"), Reason::NoPermit);
        assert_eq!(decided(&["clearance"], 5, "eve"), Reason::NoPermit, "nobody is in a group by saying anything");
    }
}
