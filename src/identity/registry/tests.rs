use std::collections::BTreeSet;

use super::memory::MemoryRegistry;
use super::*;
use crate::foundation::entropy::SystemEntropy;
use crate::identity::selector::Selector;

const NOW: Timestamp = Timestamp::from_unix_nanos(1_800_000_000_000_000_000);

fn terms(name: &str, spiffe_id: &str) -> EntryTerms {
    let agent = "spiffe://example.org/spire/agent/portcullis".parse().unwrap();
    EntryTerms::new(spiffe_id.parse().unwrap(), agent, [Selector::new("unix", format!("path:/{name}"))].into())
}

fn web() -> EntryTerms {
    terms("web", "spiffe://example.org/web")
}

async fn registry() -> Registry {
    let store = Arc::new(MemoryRegistry::default());
    Registry::open("example.org".parse().unwrap(), store, Arc::new(SystemEntropy::new())).await.unwrap()
}

async fn reconciled(wanted: impl IntoIterator<Item = (&'static str, EntryTerms)>) -> Result<Registry, ReconcileError> {
    let registry = registry().await;
    let wanted = wanted.into_iter().map(|(id, terms)| ConfiguredEntry { id: id.into(), terms }).collect();
    registry.reconcile(wanted, NOW).await.map(|()| registry)
}

async fn problem(wanted: impl IntoIterator<Item = (&'static str, EntryTerms)>) -> EntryProblem {
    match reconciled(wanted).await.unwrap_err() {
        ReconcileError::Entry { problem, .. } => problem,
        ReconcileError::Registry(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn good_entries_keep_their_order() {
    let entries =
        [("web", web()), ("a", terms("a", "spiffe://example.org/a")), ("b", terms("b", "spiffe://example.org/web"))];
    let registry = reconciled(entries).await.unwrap();
    assert_eq!(registry.load().iter().map(|entry| &*entry.id).collect::<Vec<_>>(), ["web", "a", "b"]);
}

#[tokio::test]
async fn entries_that_can_not_stand_together_are_named() {
    let other = terms("other", "spiffe://example.org/other");
    assert_eq!(problem([("web", web()), ("web", other)]).await, EntryProblem::DuplicateId);
    let same = EntryTerms { dns_names: vec!["other".into()], ..web() };
    assert!(
        matches!(problem([("web", web()), ("b", same.clone())]).await, EntryProblem::Similar(web) if &*web.id == "web")
    );
    let by_another_parent = EntryTerms { parent_id: "spiffe://example.org/node".parse().unwrap(), ..same };
    reconciled([("web", web()), ("b", by_another_parent)]).await.unwrap();
}

#[tokio::test]
async fn an_entry_without_selectors_or_name_is_refused() {
    let anyone = EntryTerms { selectors: BTreeSet::new(), ..web() };
    assert_eq!(problem([("web", anyone)]).await, EntryProblem::NoSelectors);
    assert_eq!(problem([("", web())]).await, EntryProblem::Id(String::new()));
}

#[tokio::test]
async fn only_identities_of_our_domain_are_granted_and_none_under_spire() {
    for (spiffe_id, parent_id) in [
        ("spiffe://example.com/web", None),
        ("spiffe://example.org.evil/web", None),
        ("spiffe://example.org/web", Some("spiffe://example.com/node")),
    ] {
        let mut terms = terms("web", spiffe_id);
        terms.parent_id = parent_id.map_or(terms.parent_id, |id: &str| id.parse().unwrap());
        let found = problem([("web", terms)]).await;
        assert!(matches!(found, EntryProblem::ForeignTrustDomain { .. }), "{found}");
    }
    for path in ["/spire", "/spire/server", "/spire/agent/x"] {
        let found = problem([("web", terms("web", &format!("spiffe://example.org{path}")))]).await;
        assert!(matches!(found, EntryProblem::Reserved(_)), "{found}");
    }
    reconciled([("web", terms("web", "spiffe://example.org/spirea"))]).await.unwrap();
}

#[tokio::test]
async fn dns_names_are_host_names_once_each() {
    let with =
        |names: &[&str]| ("web", EntryTerms { dns_names: names.iter().map(|&name| name.into()).collect(), ..web() });
    reconciled([with(&["web", "web.default.svc.cluster.local", "4.example", "X-1"])]).await.unwrap();
    let long = vec!["a".repeat(63); 4].join(".");
    for name in ["", ".", "*.example", "a..b", "-a", "a-", "a_b", "a b", "ä", "a.", "a\0b", "http://a", &long] {
        assert_eq!(problem([with(&[name])]).await, EntryProblem::DnsName(printable(name, MAX_SHOWN)));
    }
    assert_eq!(problem([with(&["web", "WEB"])]).await, EntryProblem::DuplicateDnsName("WEB".into()));
    assert_eq!(
        problem([("web", EntryTerms { hint: "x".repeat(1025), ..web() })]).await,
        EntryProblem::HintTooLong(1025)
    );
}

#[tokio::test]
async fn what_an_error_repeats_is_fit_for_a_log() {
    let error = reconciled([("a\nb", web())]).await.unwrap_err();
    assert!(error.to_string().starts_with("entry `a\\u{a}b`: `a\\u{a}b`: an id has"), "{error}");
}

#[tokio::test]
async fn a_workload_needs_every_selector_of_an_entry() {
    let mut both = web();
    both.selectors.insert(Selector::new("unix", "uid:1000"));
    let registry = reconciled([("web", both), ("a", terms("a", "spiffe://example.org/a"))]).await.unwrap();
    let has = |selectors: &[&str]| {
        let selectors = selectors.iter().map(|selector| selector.parse().unwrap()).collect();
        registry.load().entitled(&selectors, NOW).iter().map(|entry| entry.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(has(&["unix:path:/web"]), [""; 0]);
    assert_eq!(has(&["unix:path:/web", "unix:uid:1000", "unix:gid:1"]), ["web"]);
    assert_eq!(has(&["unix:path:/a", "unix:path:/web", "unix:uid:1000"]), ["web", "a"]);
    assert_eq!(has(&[]), [""; 0]);
}
