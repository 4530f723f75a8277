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
    let by = Asker { caller, request_id: Some("r-1"), traceparent: None };
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

#[test]
fn a_search_is_asked_about_first_too() {
    let plane = plane();
    let search = Search {
        sought: Sought::Resources {
            subject: Entity::named("user", "alice"),
            action: crate::decision::query::Action::named("read"),
            kind: "record".into(),
            properties: crate::decision::query::Properties::default(),
        },
        context: crate::decision::query::Properties::default(),
        after: None,
        limit: 10,
    };
    let (gateway, backend) = (gateway(), workload(&plane, BACKEND));
    let found = |caller| plane.authorizer.search(&search, Asker { caller, ..Asker::default() }).result;
    assert_eq!(found(Some(&gateway)).unwrap().names, ["record-1", "record-2"]);
    assert_eq!(found(Some(&backend)), Err(SearchError::CallerNotPermitted));
    assert_eq!(found(None), Err(SearchError::CallerNotPermitted));
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
