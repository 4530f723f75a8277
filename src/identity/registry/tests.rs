use std::collections::BTreeSet;

use portcullis_spiffe::SpiffeId;

use super::memory::MemoryRegistry;
use super::*;
use crate::foundation::entropy::SystemEntropy;
use crate::identity::selector::Selector;

mod index;

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
    for selector in [("", "a"), ("a", ""), ("a:b", "c")].map(|(kind, value)| Selector::new(kind, value)) {
        let with = EntryTerms { selectors: [selector.clone()].into(), ..web() };
        assert_eq!(problem([("web", with)]).await, EntryProblem::Selector(selector.to_string()));
    }
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
    for name in
        ["1.2.3.4", "a.1", "", ".", "*.example", "a..b", "-a", "a-", "a_b", "a b", "ä", "a.", "a\0b", "http://a", &long]
    {
        assert_eq!(problem([with(&[name])]).await, EntryProblem::DnsName(printable(name, MAX_SHOWN)));
    }
    assert_eq!(problem([with(&["web", "WEB"])]).await, EntryProblem::DuplicateDnsName("WEB".into()));
    assert_eq!(
        problem([("web", EntryTerms { hint: "x".repeat(1025), ..web() })]).await,
        EntryProblem::HintTooLong(1025)
    );
    assert_eq!(problem([("web", EntryTerms { hint: "a\nb".into(), ..web() })]).await, EntryProblem::HintNotPrintable);
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

fn create(id: &str, terms: EntryTerms) -> Change {
    Change::Create { id: Some(id.to_owned()), terms }
}

async fn made(registry: &Registry, change: Change) -> Result<Arc<Entry>, EntryProblem> {
    registry.apply(EntrySource::Api, vec![change], NOW).await.unwrap().remove(0)
}

fn ids(registry: &Registry) -> Vec<String> {
    registry.load().iter().map(|entry| entry.id.to_string()).collect()
}

/// An entry of the API must never keep the process from starting with its configuration.
#[tokio::test]
async fn an_entry_of_the_api_makes_way_for_one_of_the_configuration() {
    let registry = registry().await;
    made(&registry, create("same-grant", web())).await.unwrap();
    made(&registry, create("same-id", terms("x", "spiffe://example.org/x"))).await.unwrap();
    made(&registry, create("other", terms("y", "spiffe://example.org/y"))).await.unwrap();
    let wanted = [("config", web()), ("same-id", terms("z", "spiffe://example.org/z"))]
        .map(|(id, terms)| ConfiguredEntry { id: id.into(), terms });
    registry.reconcile(wanted.to_vec(), NOW).await.unwrap();
    assert_eq!(ids(&registry), ["config", "same-id", "other"]);
    assert_eq!(registry.load().get("same-id").unwrap().source, EntrySource::Config);
    // From now on the API is told whose it is.
    let refused = made(&registry, create("again", web())).await.unwrap_err();
    assert!(matches!(&refused, EntryProblem::Similar(entry) if &*entry.id == "config"), "{refused}");
    let refused = made(&registry, Change::Delete { id: "config".into() }).await.unwrap_err();
    assert_eq!(refused, EntryProblem::KeptByConfig);
}

#[tokio::test]
async fn what_stays_the_same_in_the_configuration_is_not_written_again() {
    let (a, b) = (terms("a", "spiffe://example.org/a"), terms("b", "spiffe://example.org/b"));
    let registry = reconciled([("a", a.clone()), ("b", b.clone())]).await.unwrap();
    let before = registry.load();
    registry
        .reconcile(
            vec![
                ConfiguredEntry { id: "a".into(), terms: a.clone() },
                ConfiguredEntry { id: "b".into(), terms: b.clone() },
            ],
            NOW,
        )
        .await
        .unwrap();
    assert_eq!(registry.load().epoch(), before.epoch());
    // Two may exchange what they grant; each is then another revision of itself.
    registry
        .reconcile(
            vec![ConfiguredEntry { id: "a".into(), terms: b }, ConfiguredEntry { id: "b".into(), terms: a }],
            NOW,
        )
        .await
        .unwrap();
    assert!(registry.load().iter().all(|entry| entry.revision == 1 && entry.created_at == NOW));
}

#[tokio::test]
async fn an_entry_of_the_configuration_that_has_expired_is_not_made() {
    let dead = EntryTerms { expires_at: Some(NOW), ..web() };
    let registry = reconciled([("dead", dead.clone()), ("a", terms("a", "spiffe://example.org/a"))]).await.unwrap();
    assert_eq!(ids(&registry), ["a"]);
    made(&registry, create("dead", dead)).await.unwrap();
    registry.delete_expired(NOW).await.unwrap();
    assert_eq!(ids(&registry), ["a"]);
}

#[tokio::test]
async fn an_alias_is_never_handed_out_and_leads_to_the_agents_that_have_its_selectors() {
    let store = Arc::new(MemoryRegistry::default());
    let registry = Registry::open("example.org".parse().unwrap(), store, Arc::new(SystemEntropy::new())).await.unwrap();
    let node: SpiffeId = "spiffe://example.org/spire/agent/x".parse().unwrap();
    let registry = registry.handing_out_for(Parents::these([node.clone()]));
    let server = "spiffe://example.org/spire/server";
    let under = |parent: &str, name: &str, selector: &str| {
        let spiffe_id = format!("spiffe://example.org/{name}").parse().unwrap();
        EntryTerms::new(spiffe_id, parent.parse().unwrap(), [selector.parse().unwrap()].into())
    };
    for (id, terms) in [
        ("ours", under(node.as_str(), "ours", "unix:uid:1")),
        ("theirs", under("spiffe://example.org/spire/agent/y", "theirs", "unix:uid:1")),
        ("alias", under(server, "cluster", &format!("spiffe_id:{node}"))),
        ("by-alias", under("spiffe://example.org/cluster", "by-alias", "unix:uid:1")),
        ("other-alias", under(server, "elsewhere", "k8s_psat:cluster:x")),
        ("by-other-alias", under("spiffe://example.org/elsewhere", "by-other-alias", "unix:uid:1")),
        ("below", under("spiffe://example.org/by-alias", "below", "unix:uid:1")),
        ("round", under("spiffe://example.org/about", "round", "unix:uid:1")),
        ("about", under("spiffe://example.org/round", "about", "unix:uid:1")),
    ] {
        made(&registry, create(id, terms)).await.unwrap();
    }
    let selectors = ["unix:uid:1".parse().unwrap(), format!("spiffe_id:{node}").parse().unwrap()].into();
    let entitled = registry.load().entitled(&selectors, NOW);
    assert_eq!(entitled.iter().map(|entry| &*entry.id).collect::<Vec<_>>(), ["ours", "by-alias", "below"]);
}

/// Subscribers are told when an entry expires, though nobody changed anything; then it is deleted.
#[tokio::test]
async fn what_expires_is_told_and_deleted() {
    use crate::foundation::clock::{Clock as _, SystemClock};
    use crate::foundation::shutdown::{Phase, Shutdown};
    let (registry, clock, shutdown) = (registry().await, SystemClock::new(), Shutdown::default());
    let soon = clock.now().after(Duration::from_millis(100));
    made(&registry, create("web", EntryTerms { expires_at: Some(soon), ..web() })).await.unwrap();
    let mut changes = registry.subscribe();
    let watch = async {
        changes.changed().await.unwrap();
        assert!(clock.now() >= soon);
        assert_eq!(registry.load().entitled(&web().selectors, clock.now()), []);
        while !registry.load().is_empty() {
            changes.changed().await.unwrap();
        }
        shutdown.advance(Phase::Draining);
    };
    tokio::join!(registry.follow(&clock, shutdown.signal()), watch);
}

/// A store that can be made to fail.
#[derive(Debug, Default)]
struct Flaky {
    inner: MemoryRegistry,
    broken: std::sync::atomic::AtomicBool,
}

impl Flaky {
    fn checked<'a, T: 'a>(&'a self, inner: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        let broken = self.broken.load(std::sync::atomic::Ordering::SeqCst);
        if broken { Box::pin(async { Err(StoreError::Failed("no database".into())) }) } else { inner }
    }
}

impl RegistryStore for Flaky {
    fn load(&self) -> StoreFuture<'_, Registered> {
        self.checked(self.inner.load())
    }
    fn apply(&self, expected: u64, writes: Vec<Write>) -> StoreFuture<'_, u64> {
        self.checked(self.inner.apply(expected, writes))
    }
    fn changes_since(&self, sequence: u64) -> StoreFuture<'_, Option<Changed>> {
        self.checked(self.inner.changes_since(sequence))
    }
    fn wait(&self) -> StoreFuture<'_, ()> {
        self.checked(Box::pin(async {
            sleep(Duration::from_millis(10)).await;
            Ok(())
        }))
    }
}

/// H3: while the database is away, what is known is served; what expires ends on time; what others did comes afterwards.
#[tokio::test(start_paused = true)]
async fn an_outage_of_the_store_takes_nothing_away_and_is_made_up_for() {
    use crate::foundation::clock::ManualClock;
    use crate::foundation::shutdown::{Phase, Shutdown};
    use std::sync::atomic::Ordering;
    let store = Arc::new(Flaky::default());
    let open = async || {
        let entropy = Arc::new(SystemEntropy::new());
        Registry::open("example.org".parse().unwrap(), store.clone(), entropy).await.unwrap()
    };
    let (reader, writer, clock, shutdown) = (open().await, open().await, ManualClock::new(NOW), Shutdown::default());
    let short = EntryTerms { expires_at: Some(NOW.after(Duration::from_secs(1))), ..web() };
    made(&writer, create("short", short)).await.unwrap();
    made(&writer, create("a", terms("a", "spiffe://example.org/a"))).await.unwrap();
    reader.refresh().await.unwrap();
    let mut changes = reader.subscribe();
    let scene = async {
        store.broken.store(true, Ordering::SeqCst);
        let error = reader
            .apply(EntrySource::Api, vec![create("b", terms("b", "spiffe://example.org/b"))], NOW)
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "the store failed: no database");
        clock.advance(Duration::from_secs(1));
        changes.changed().await.unwrap();
        assert_eq!(ids(&reader), ["short", "a"], "what can't be deleted stays, and is dead");
        assert_eq!(reader.load().entitled(&web().selectors, NOW.after(Duration::from_secs(1))), []);
        // Of the two numbered changes before, a failover may have lost one.
        store.inner.forget("a");
        store.broken.store(false, Ordering::SeqCst);
        made(&writer, create("c", terms("c", "spiffe://example.org/c"))).await.unwrap();
        while ids(&reader) != ["c"] {
            changes.changed().await.unwrap();
        }
        shutdown.advance(Phase::Draining);
    };
    tokio::join!(reader.follow(&clock, shutdown.signal()), scene);
}
