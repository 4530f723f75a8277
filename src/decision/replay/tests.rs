use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::decision::cache::DecisionCache;
use crate::decision::policy::Effect;
use crate::decision::policy::fixture::{Directory, SCHEMA};
use crate::decision::recording::{Chosen, Part};
use crate::decision::{Asker, Authorizer, DecisionMetrics, Ports, Recording};
use crate::evidence::{AppendError, Audit, Record, Taken};
use crate::foundation::clock::SystemClock;
use crate::foundation::entropy::SystemEntropy;
use crate::foundation::telemetry::Registry;
use crate::foundation::watched::Watched;
use crate::identity::bundle::Bundles;
use crate::identity::svid::LeafVerifier;

const POLICIES: &str = r#"
@id("near")
permit(principal, action == Action::"read", resource) when { context has n && context.n > 3 };
@id("staff")
permit(principal in Team::"staff", action == Action::"read", resource);
"#;
const ENTITIES: &str = r#"[
    {"uid": {"type": "User", "id": "alice"}, "attrs": {}, "parents": [{"type": "Team", "id": "staff"}]},
    {"uid": {"type": "User", "id": "bob"}, "attrs": {"level": 1}, "parents": []}
]"#;

#[derive(Debug, Default)]
struct Last(Mutex<Option<DecisionRecord<'static>>>);

impl Audit for Last {
    fn append(&self, record: Record<'_>) -> Result<Taken, AppendError> {
        let Record::Decision(record) = record else { panic!("{record:?}") };
        *self.0.lock().unwrap() = Some(record.clone().into_owned());
        Ok(Taken::NOW)
    }
}

/// A decision plane, and what is kept of it.
struct Plane {
    authorizer: Authorizer,
    last: Arc<Last>,
    archive: Archive,
    home: tempfile::TempDir,
}

impl Plane {
    fn keeping(chosen: Vec<Chosen>, whole: bool, key: Option<DisclosureKey>) -> Self {
        let (home, last) = (tempfile::tempdir().unwrap(), Arc::new(Last::default()));
        let directory = Directory::new(&[("s.cedarschema", SCHEMA), ("p.cedar", POLICIES), ("e.json", ENTITIES)]);
        let sources = Sources::read(directory.path()).unwrap();
        let archive = Archive::new(home.path());
        let set = PolicySet::compile(&sources).unwrap();
        assert_eq!(archive.keep(Shelf::Policies, &sources.policy_archive()).unwrap(), set.policy_digest());
        assert_eq!(archive.keep(Shelf::Entities, &sources.entity_archive()).unwrap(), set.entity_digest());
        let ports = Ports {
            policies: Arc::new(Watched::new(set)),
            leaves: LeafVerifier::new(Arc::new(Watched::new(Bundles::new([]))), 1),
            cache: DecisionCache::new(10, Duration::from_mins(1), Arc::default()),
            audit: last.clone(),
            clock: Arc::new(SystemClock::new()),
            entropy: Arc::new(SystemEntropy::new()),
        };
        let authorizer = Authorizer::new(ports, DecisionMetrics::new(&mut Registry::default()));
        let recording = (whole || !chosen.is_empty()).then(|| Recording::new(chosen, whole, key));
        Self { authorizer: authorizer.with_recording(recording), last, archive, home }
    }

    fn ask(&self, who: &str, context: &Value) -> DecisionRecord<'static> {
        let query = json!({
            "subject": {"type": "User", "id": who},
            "action": {"name": "read"},
            "resource": {"type": "Document", "id": "plan \"9\""},
            "context": context,
        });
        self.authorizer.evaluate(serde_json::from_value(query).unwrap(), Asker::default());
        self.last.0.lock().unwrap().take().unwrap()
    }

    fn replay(&self, record: &DecisionRecord<'_>, key: Option<&DisclosureKey>) -> Replay {
        replay(record, &self.archive, key).unwrap()
    }
}

fn n(redact: bool) -> Vec<Chosen> {
    vec![Chosen { part: Part::Context(vec!["n".to_owned()]), redact }]
}

fn key() -> DisclosureKey {
    DisclosureKey::of_seed([3; 32])
}

#[test]
fn a_question_that_is_recorded_as_a_whole_is_answered_again_exactly() {
    let plane = Plane::keeping(Vec::new(), true, None);
    for (who, context, effect) in [
        ("alice", json!({}), Effect::Permit),
        ("bob", json!({"n": 2, "ip": "10.0.0.1"}), Effect::NoPermit),
        ("bob", json!({"n": 4}), Effect::Permit),
        ("bob", json!({"n": 4}), Effect::Permit),
    ] {
        let record = plane.ask(who, &context);
        let replay = plane.replay(&record, None);
        assert_eq!((replay.request, replay.entities, replay.agrees), (Request::Recorded, Entities::Recorded, true));
        assert_eq!(replay.explanation.unwrap().evaluation.effect, effect, "{who} {context}");
    }
}

#[test]
fn a_question_of_which_all_parts_are_recorded_is_put_together_and_one_that_lacks_some_is_told_so() {
    let plane = Plane::keeping(n(false), false, None);
    let record = plane.ask("bob", &json!({"n": 4}));
    let replay = plane.replay(&record, None);
    assert_eq!((replay.request, replay.entities, replay.agrees), (Request::Rebuilt, Entities::Directory, true));

    let record = plane.ask("bob", &json!({"n": 4, "at": "2026-01-01"}));
    let replay = plane.replay(&record, None);
    assert_eq!((replay.request, replay.agrees), (Request::Incomplete, true));

    let plane = Plane::keeping(Vec::new(), false, None);
    assert_eq!(plane.replay(&plane.ask("alice", &json!({})), None).request, Request::Rebuilt);
    let replay = plane.replay(&plane.ask("bob", &json!({"n": 4})), None);
    assert_eq!((replay.request, replay.agrees), (Request::Incomplete, false));
}

/// What they permit on conditions is permitted by policies, whatever became of the conditions.
#[test]
fn a_permit_whose_conditions_were_not_met_is_explained_and_what_was_decided_of_the_caller_is_told() {
    let plane = Plane::keeping(Vec::new(), true, None);
    let mut record = plane.ask("alice", &json!({}));
    record.reason = Reason::UnmetObligation.name().into();
    let replay = plane.replay(&record, None);
    assert!(replay.agrees);
    assert_eq!(replay.explanation.unwrap().evaluation.effect, Effect::Permit);
    record.reason = Reason::CallerNotPermitted.name().into();
    let told = super::replay(&record, &plane.archive, None).unwrap_err().to_string();
    assert!(told.contains("whoever asked") && !told.contains("no policy was asked"), "{told}");
}

#[test]
fn what_is_redacted_is_replayed_with_the_key_and_without_it_is_missing() {
    let plane = Plane::keeping(n(true), true, Some(key()));
    let record = plane.ask("bob", &json!({"n": 4}));
    let replay = plane.replay(&record, Some(&key()));
    assert_eq!((replay.request, replay.entities, replay.agrees), (Request::Recorded, Entities::Recorded, true));
    let replay = plane.replay(&record, None);
    assert_eq!((replay.request, replay.agrees), (Request::Incomplete, false));
    let other = DisclosureKey::of_seed([4; 32]);
    assert!(matches!(super::replay(&record, &plane.archive, Some(&other)), Err(ReplayError::Sealed(_))));
}

#[test]
fn policies_that_are_gone_or_were_changed_and_questions_that_no_policy_was_asked_are_told_apart() {
    let plane = Plane::keeping(Vec::new(), true, None);
    let record = plane.ask("alice", &json!({}));
    let digest = record.policy_digest.unwrap();
    let path = plane.home.path().join("policies").join(digest.to_string());
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let changed = replay(&record, &plane.archive, None);
    assert!(matches!(changed, Err(ReplayError::Log(LogError::Altered(_)))), "{changed:?}");
    std::fs::remove_file(&path).unwrap();
    let gone = replay(&record, &plane.archive, None);
    assert!(matches!(gone, Err(ReplayError::NoPolicies(found)) if found == digest), "{gone:?}");

    let refused = DecisionRecord { reason: "bad_path".into(), ..record };
    assert!(matches!(replay(&refused, &plane.archive, None), Err(ReplayError::NotAsked(_))));
}

#[test]
fn a_question_that_is_not_the_one_of_the_digest_is_refused() {
    let plane = Plane::keeping(Vec::new(), true, None);
    let (mut one, other) = (plane.ask("alice", &json!({})), plane.ask("bob", &json!({})));
    one.fields = other.fields;
    assert!(matches!(replay(&one, &plane.archive, None), Err(ReplayError::OtherQuestion)));
}

#[test]
fn a_question_that_does_not_fit_the_schema_is_replayed_as_that() {
    let plane = Plane::keeping(Vec::new(), true, None);
    let replay = plane.replay(&plane.ask("alice", &json!({"n": "four"})), None);
    assert!(replay.agrees && matches!(replay.explanation, Err(EvaluateError::Schema(_))), "{replay:?}");
}
