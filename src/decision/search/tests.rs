use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::decision::cache::DecisionCache;
use crate::decision::policy::PolicySet;
use crate::decision::{DecisionMetrics, Ports};
use crate::evidence::{AppendError, Audit};
use crate::foundation::clock::{ManualClock, Timestamp};
use crate::foundation::entropy::SystemEntropy;
use crate::foundation::telemetry::Registry;
use crate::foundation::watched::Watched;
use crate::identity::bundle::Bundles;
use crate::identity::svid::LeafVerifier;

#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Vec<serde_json::Value>>,
    full: bool,
}

impl Audit for Log {
    fn append(&self, record: Record<'_>) -> Result<Taken, AppendError> {
        if self.full {
            return Err(AppendError::Full);
        }
        self.lines.lock().unwrap().push(serde_json::to_value(&record).unwrap());
        Ok(Taken::NOW)
    }
}

fn authorizer(log: &Arc<Log>) -> Authorizer {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/quickstart");
    let ports = Ports {
        policies: Arc::new(Watched::new(PolicySet::load(&policies).unwrap())),
        leaves: LeafVerifier::new(Arc::new(Watched::new(Bundles::new([]))), 1),
        cache: DecisionCache::new(0, Duration::ZERO, Arc::default()),
        audit: log.clone(),
        clock: Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000))),
        entropy: Arc::new(SystemEntropy::new()),
    };
    Authorizer::new(ports, DecisionMetrics::new(&mut Registry::default()))
}

fn actions(path: &str) -> Search<'static> {
    let context =
        serde_json::json!({"host": "h", "path": path, "scheme": "http", "protocol": "HTTP/1.1", "headers": {}});
    let (subject, resource) =
        (Entity::named("Workload", "spiffe://example.org/web"), Entity::named("Path", path.to_owned()));
    let resource = Entity { properties: serde_json::from_str(r#"{"service": "orders"}"#).unwrap(), ..resource };
    let context = serde_json::from_value(context).unwrap();
    Search { sought: Sought::Actions { subject, resource }, context, after: Some("A".to_owned()), limit: 2 }
}

#[test]
fn a_page_has_one_record_that_says_what_was_sought_and_how_much_was_found() {
    let log = Arc::new(Log::default());
    let authorizer = authorizer(&log);
    let search = actions("/orders/17");
    let found = authorizer.search(&search, Asker { request_id: Some("r-1"), ..Asker::default() });
    let page = found.result.unwrap();
    assert_eq!((&page.names[..], page.more), (&["GET".to_owned(), "HEAD".to_owned()][..], true));
    let lines = log.lines.lock().unwrap();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    for (field, value) in [
        ("record", "search".into()),
        ("decision_id", found.id.to_string().into()),
        ("sought", "action".into()),
        ("principal", "Workload::\"spiffe://example.org/web\"".into()),
        ("action", "".into()),
        ("resource", "Path::\"/orders/17\"".into()),
        ("context_digest", search.digest().to_string().into()),
        ("after", "A".into()),
        ("limit", 2.into()),
        ("found", 2.into()),
        ("more", true.into()),
        ("error", serde_json::Value::Null),
        ("policy_digest", authorizer.ports.policies.load().policy_digest().to_string().into()),
        ("request_id", "r-1".into()),
    ] {
        assert_eq!(line[field], value, "{field}");
    }
}

#[test]
fn what_is_not_recorded_is_not_found() {
    let log = Arc::new(Log { full: true, ..Log::default() });
    assert_eq!(authorizer(&log).search(&actions("/orders/17"), Asker::default()).result, Err(SearchError::Unrecorded));
}

#[test]
fn what_is_refused_of_an_evaluation_is_not_found_by_a_search() {
    let log = Arc::new(Log::default());
    let authorizer = authorizer(&log);
    for path in ["/orders//17", "/orders/../17", "/%6frders/17"] {
        assert_eq!(authorizer.search(&actions(path), Asker::default()).result, Ok(Page::default()), "{path}");
    }
}

#[test]
fn searches_that_differ_in_anything_have_different_digests() {
    let kinds = |kind: &'static str, properties: &str, overlay: &[&str]| {
        let properties: Properties<'static> = serde_json::from_str(properties).unwrap();
        let (action, resource) = (Action::named("read"), Entity::named("Document", "d"));
        let search = |sought| Search { sought, context: Properties::default(), after: None, limit: 1 };
        let overlay = Overlay::of(overlay.iter().map(ToString::to_string).collect());
        search(Sought::Subjects { kind: kind.into(), properties, overlay, action, resource })
    };
    let digests = [
        kinds("User", "{}", &[]),
        kinds("Robot", "{}", &[]),
        kinds("User", r#"{"a": 1}"#, &[]),
        kinds("User", r#"{"a": "1"}"#, &[]),
        kinds("User", r#"{"a": 1}"#, &["a"]),
        kinds("User", r#"{"a": 1, "b": 2}"#, &["a"]),
        kinds("User", r#"{"a": 1, "b": 2}"#, &["a", "b"]),
    ];
    let digests: std::collections::BTreeSet<_> = digests.iter().map(Search::digest).collect();
    assert_eq!(digests.len(), 7);
    let unsaid = kinds("User", "{}", &["a"]);
    assert_eq!(unsaid.digest(), kinds("User", "{}", &[]).digest(), "what is not said overlays nothing");
    let page = Search { after: Some("x".to_owned()), limit: 7, ..kinds("User", "{}", &[]) };
    assert!(digests.contains(&page.digest()), "a page is no part of it");
}
