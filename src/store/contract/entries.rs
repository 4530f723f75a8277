//! What every store of entries must do, run over both kinds of database.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use sqlx::AssertSqlSafe;
use tokio::time::timeout;

use super::*;
use crate::foundation::clock::{Clock as _, SystemClock};
use crate::foundation::entropy::SystemEntropy;
use crate::identity::registry::{
    AdditionalAttributes, Change, Changed, ConfiguredEntry, Entry, EntryProblem, EntrySource, EntryTerms, Registered,
    Registry, RegistryStore, StoreError as Error, Write,
};
use crate::identity::selector::Selector;

const PATIENCE: Duration = Duration::from_secs(20);

fn entry(id: &str, uid: u32) -> Entry {
    let agent = "spiffe://example.org/spire/agent/portcullis".parse().unwrap();
    let selectors = [Selector::new("unix", format!("uid:{uid}"))].into();
    let terms = EntryTerms::new("spiffe://example.org/web".parse().unwrap(), agent, selectors);
    let created_at = Timestamp::from_unix_nanos(1_800_000_000_000_000_001);
    Entry { id: id.into(), terms, revision: 0, created_at, source: EntrySource::Api, rank: 1 << 32 }
}

/// Every field differs from its default, and every text is hostile.
fn full(id: &str) -> Entry {
    let hostile = "'; DROP TABLE entries; --\0\u{202e}\"\\ü";
    let plain = entry(id, 7);
    let terms = EntryTerms {
        selectors: [Selector::new("k8s", hostile), Selector::new("docker", "label:a:b")].into(),
        x509_svid_ttl: Some(Duration::from_nanos(1)),
        jwt_svid_ttl: Some(Duration::from_mins(5)),
        federates_with: [domain("example.com"), domain("example.net")].into(),
        admin: true,
        downstream: true,
        expires_at: Some(Timestamp::from_unix_nanos(2_000_000_000_000_000_001)),
        dns_names: vec![hostile.to_owned(), "a".to_owned()],
        store_svid: true,
        hint: hostile.to_owned(),
        additional: Some(AdditionalAttributes { disable_x509_svid_prefetch: true, jwt_svid_include_jti: true }),
        ..plain.terms
    };
    Entry { terms, revision: 9, source: EntrySource::Config, rank: 3, ..plain }
}

fn put(entry: &Entry) -> Write {
    Write::Put(Arc::new(entry.clone()))
}

async fn opened(url: &str) -> EntryStore {
    Arc::new(open(url).await.unwrap()).entries(domain("example.org"))
}

async fn sorted(store: &EntryStore) -> Registered {
    let mut registered = store.load().await.unwrap();
    registered.entries.sort_by(|a, b| a.id.cmp(&b.id));
    registered
}

/// Runs every case, each on a fresh store whose URL is `url(case)`.
async fn keeps_the_contract(url: impl AsyncFn(&str) -> String) {
    no_entry_is_there_at_first(&url("e-empty").await).await;
    an_entry_comes_back_whole(&url("e-whole").await).await;
    entries_of_other_trust_domains_are_not_seen(&url("e-domains").await).await;
    who_expects_another_sequence_changes_nothing(&url("e-raced").await).await;
    no_two_entries_grant_the_same(&url("e-similar").await).await;
    changes_are_told_as_the_last_state_of_each_entry(&url("e-changes").await).await;
    who_lags_behind_the_log_loads_all(&url("e-pruned").await).await;
    what_a_column_can_not_hold_is_an_error(&url("e-numbers").await).await;
    a_row_that_says_more_than_we_know_is_an_error_that_names_it(&url("e-unknown").await).await;
    a_wait_ends_when_another_process_writes(&url("e-wait").await).await;
    two_registries_lose_nothing_and_agree(&url("e-agree").await).await;
    two_starts_at_once_agree_on_the_configuration(&url("e-starts").await).await;
    a_change_reaches_another_registry_that_follows(&url("e-follow").await).await;
}

async fn no_entry_is_there_at_first(url: &str) {
    let store = opened(url).await;
    assert_eq!(store.load().await.unwrap(), Registered::default());
    assert_eq!(store.changes_since(0).await.unwrap(), Some(Changed::default()));
}

async fn an_entry_comes_back_whole(url: &str) {
    let store = opened(url).await;
    assert_eq!(store.apply(0, vec![put(&full("a")), put(&entry("b", 1))]).await.unwrap(), 2);
    let expected = Registered { entries: vec![full("a"), entry("b", 1)], sequence: 2 };
    assert_eq!(sorted(&store).await, expected);
    drop(store);
    assert_eq!(sorted(&opened(url).await).await, expected, "after reopening");
}

async fn entries_of_other_trust_domains_are_not_seen(url: &str) {
    let ours = opened(url).await;
    let theirs = ours.store.entries(domain("example.com"));
    ours.apply(0, vec![put(&entry("a", 1))]).await.unwrap();
    assert_eq!(theirs.load().await.unwrap(), Registered::default());
    assert_eq!(theirs.apply(0, vec![put(&entry("a", 1)), Write::Delete("a".into())]).await.unwrap(), 2);
    assert_eq!(sorted(&ours).await, Registered { entries: vec![entry("a", 1)], sequence: 1 });
}

async fn who_expects_another_sequence_changes_nothing(url: &str) {
    let store = opened(url).await;
    assert!(matches!(store.apply(3, vec![put(&entry("a", 1))]).await, Err(Error::Raced)), "an empty store");
    assert_eq!(store.load().await.unwrap(), Registered::default());
    assert_eq!(store.apply(0, vec![put(&entry("a", 1))]).await.unwrap(), 1);
    for expected in [0, 2] {
        assert!(matches!(store.apply(expected, vec![put(&entry("b", 2))]).await, Err(Error::Raced)));
    }
    assert_eq!(sorted(&store).await, Registered { entries: vec![entry("a", 1)], sequence: 1 });
}

/// The registry sees to it; the database does so too.
async fn no_two_entries_grant_the_same(url: &str) {
    let store = opened(url).await;
    store.apply(0, vec![put(&entry("a", 1)), put(&entry("b", 2))]).await.unwrap();
    let error = store.apply(2, vec![put(&entry("d", 4)), put(&entry("c", 1))]).await.unwrap_err();
    assert!(matches!(error, Error::Failed(_)), "{error}");
    assert_eq!(sorted(&store).await, Registered { entries: vec![entry("a", 1), entry("b", 2)], sequence: 2 });
    // Yet two may exchange what they grant, in one batch.
    assert_eq!(store.apply(2, vec![put(&entry("a", 2)), put(&entry("b", 1))]).await.unwrap(), 4);
    assert_eq!(sorted(&store).await.entries, [entry("a", 2), entry("b", 1)]);
}

async fn changes_are_told_as_the_last_state_of_each_entry(url: &str) {
    let store = opened(url).await;
    store.apply(0, vec![put(&entry("a", 1)), put(&entry("b", 2))]).await.unwrap();
    store.apply(2, vec![put(&entry("a", 3)), Write::Delete("b".into()), put(&entry("a", 4))]).await.unwrap();
    store.apply(5, vec![put(&entry("c", 5)), Write::Delete("c".into()), Write::Delete("never".into())]).await.unwrap();
    let mut changed = store.changes_since(2).await.unwrap().unwrap();
    changed.deleted.sort();
    let deleted = vec!["b".into(), "c".into(), "never".into()];
    assert_eq!(changed, Changed { put: vec![entry("a", 4)], deleted, sequence: 8 });
    assert_eq!(store.changes_since(8).await.unwrap(), Some(Changed { sequence: 8, ..Changed::default() }));
    assert_eq!(store.changes_since(9).await.unwrap(), None, "a store that is older than what is known");
}

async fn who_lags_behind_the_log_loads_all(url: &str) {
    let store = opened(url).await;
    store.apply(0, vec![put(&entry("a", 1))]).await.unwrap();
    let churn = vec![Write::Delete("b".into()); 30_000];
    assert_eq!(store.apply(1, churn).await.unwrap(), 30_001);
    assert_eq!(store.changes_since(1).await.unwrap(), None);
    assert_eq!(store.changes_since(20_000).await.unwrap(), None);
    let still = Changed { deleted: vec!["b".into()], sequence: 30_001, put: vec![] };
    assert_eq!(store.changes_since(20_001).await.unwrap(), Some(still));
    assert_eq!(sorted(&store).await, Registered { entries: vec![entry("a", 1)], sequence: 30_001 });
}

async fn what_a_column_can_not_hold_is_an_error(url: &str) {
    let store = opened(url).await;
    let late = Entry { created_at: Timestamp::MAX, ..entry("a", 1) };
    store.apply(0, vec![put(&late)]).await.unwrap_err();
    store.apply(0, vec![put(&Entry { rank: u64::MAX, ..entry("a", 1) })]).await.unwrap_err();
    store.apply(u64::MAX, vec![put(&entry("a", 1))]).await.unwrap_err();
    assert_eq!(store.load().await.unwrap(), Registered::default());
}

async fn a_row_that_says_more_than_we_know_is_an_error_that_names_it(url: &str) {
    let store = opened(url).await;
    store.apply(0, vec![put(&entry("a", 1))]).await.unwrap();
    execute(&store, "UPDATE entries SET terms = replace(terms, '\"admin\"', '\"only_on_sundays\":true,\"admin\"')")
        .await;
    let error = store.load().await.unwrap_err().to_string();
    assert!(error.contains("the entry `a` can't be read: unknown field `only_on_sundays`"), "{error}");
}

async fn a_wait_ends_when_another_process_writes(url: &str) {
    let (store, other) = (opened(url).await, opened(url).await);
    store.wait().await.unwrap();
    for sequence in 0..3 {
        let (waited, ()) = tokio::join!(timeout(PATIENCE, store.wait()), async {
            other.apply(sequence, vec![Write::Delete("a".into())]).await.unwrap();
        });
        waited.expect("no wait ends").unwrap();
    }
}

async fn registry(url: &str) -> Registry {
    let (store, entropy) = (Arc::new(opened(url).await), Arc::new(SystemEntropy::new()));
    Registry::open(domain("example.org"), store, entropy).await.unwrap()
}

/// spire#5021, spire#5151: numbers that are committed out of order, and a reader that skips one for good.
async fn two_registries_lose_nothing_and_agree(url: &str) {
    const EACH: u32 = 30;
    let (one, other, reader) = (registry(url).await, registry(url).await, registry(url).await);
    let create = async |registry: &Registry, name: &str, first: u32| {
        for uid in first..first + EACH {
            let change = Change::Create { id: Some(format!("{name}-{uid}")), terms: entry("", uid).terms };
            let made = registry.apply(EntrySource::Api, vec![change], Timestamp::default()).await.unwrap();
            assert!(made[0].is_ok(), "{made:?}");
        }
    };
    let read = async {
        let mut seen = 0;
        while seen < 2 * EACH as usize {
            reader.refresh().await.unwrap();
            assert!(reader.load().len() >= seen, "an entry vanished");
            seen = reader.load().len();
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(create(&one, "one", 0), create(&other, "other", EACH), timeout(PATIENCE, read).map(Result::unwrap));
    // The same grant at the same time: one of the two gets it, the other is told which entry has it.
    let change = || vec![Change::Create { id: None, terms: entry("", 1000).terms }];
    let (a, b) = tokio::join!(
        one.apply(EntrySource::Api, change(), Timestamp::default()),
        other.apply(EntrySource::Api, change(), Timestamp::default()),
    );
    let (a, b) = (a.unwrap().remove(0), b.unwrap().remove(0));
    let similar = [&a, &b].iter().filter(|made| matches!(made, Err(EntryProblem::Similar(_)))).count();
    assert_eq!((similar, a.is_ok() != b.is_ok()), (1, true), "{a:?} {b:?}");
    for registry in [&one, &other] {
        registry.refresh().await.unwrap();
        assert_eq!(registry.load().len(), 2 * EACH as usize + 1);
        let ranks: Vec<_> = registry.load().iter().map(|entry| entry.rank).collect();
        assert!(ranks.is_sorted_by(|a, b| a < b), "{ranks:?}");
    }
    assert!(one.load().iter().eq(other.load().iter()));
}

async fn two_starts_at_once_agree_on_the_configuration(url: &str) {
    let wanted = || (0..40).map(|uid| ConfiguredEntry { id: format!("c{uid}").into(), terms: entry("", uid).terms });
    let start = async || {
        let registry = registry(url).await;
        registry.reconcile(wanted().collect(), Timestamp::default()).await.unwrap();
        registry
    };
    let (one, other) = tokio::join!(start(), start());
    assert_eq!((one.load().len(), other.load().len()), (40, 40));
    assert_eq!(sorted(&opened(url).await).await.sequence, 40, "the second start found nothing to do");
}

async fn a_change_reaches_another_registry_that_follows(url: &str) {
    let (writer, reader) = (registry(url).await, registry(url).await);
    let mut changes = reader.subscribe();
    let clock = SystemClock::new();
    let shutdown = crate::foundation::shutdown::Shutdown::default();
    let work = async {
        for uid in 0..3 {
            let change = Change::Create { id: None, terms: entry("", uid).terms };
            writer.apply(EntrySource::Api, vec![change], clock.now()).await.unwrap()[0].as_ref().unwrap();
            while reader.load().len() <= uid as usize {
                timeout(PATIENCE, changes.changed()).await.expect("no change arrives").unwrap();
            }
        }
        shutdown.advance(crate::foundation::shutdown::Phase::Draining);
    };
    tokio::join!(reader.follow(&clock, shutdown.signal()), work);
}

async fn execute(store: &EntryStore, sql: &'static str) {
    match &store.store.0 {
        Backend::Sqlite(database) => drop(sqlx::query(sql).execute(&database.pool).await.unwrap()),
        Backend::Postgres(database) => drop(sqlx::query(sql).execute(&database.pool).await.unwrap()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_contract_of_entries() {
    let directory = tempfile::tempdir().unwrap();
    keeps_the_contract(async |case| format!("sqlite:{}/{case}/portcullis.db", directory.path().display())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_contract_of_entries() {
    let server = PostgresServer::start();
    keeps_the_contract(async |case| server.new_database(case).await).await;
}

/// H2: connections that break, as they do when a database fails over, are made again, by readers, writers and listeners.
#[tokio::test]
async fn postgres_comes_back_after_its_connections_broke() {
    let server = PostgresServer::start();
    let url = server.new_database("failover").await;
    let (store, other) = (opened(&url).await, opened(&url).await);
    store.wait().await.unwrap();
    let cut =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'failover' AND pid <> pg_backend_pid()";
    execute(&other, cut).await;
    // Who follows has to know: a new primary may not have all that the old one had.
    timeout(PATIENCE, store.wait()).await.unwrap().unwrap_err();
    // The one after that listens again.
    let heard = async {
        loop {
            if store.wait().await.is_ok()
                && store.changes_since(0).await.is_ok_and(|changed| changed.unwrap().sequence == 1)
            {
                return;
            }
        }
    };
    let (heard, ()) = tokio::join!(timeout(PATIENCE, heard), async {
        other.apply(0, vec![put(&entry("a", 1))]).await.unwrap();
    });
    heard.expect("nothing is heard after the connections broke");
}

async fn sqlite(directory: &tempfile::TempDir) -> EntryStore {
    opened(&format!("sqlite:{}/data/portcullis.db", directory.path().display())).await
}

#[tokio::test]
async fn a_read_only_database_says_so_and_keeps_what_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let store = sqlite(&directory).await;
    store.apply(0, vec![put(&entry("a", 1))]).await.unwrap();
    execute(&store, "PRAGMA query_only = ON").await;
    let error = store.apply(1, vec![put(&entry("b", 2))]).await.unwrap_err().to_string();
    assert!(error.contains("readonly"), "{error}");
    assert_eq!(sorted(&store).await, Registered { entries: vec![entry("a", 1)], sequence: 1 });
    execute(&store, "PRAGMA query_only = OFF").await;
    assert_eq!(store.apply(1, vec![put(&entry("b", 2))]).await.unwrap(), 2);
}

#[tokio::test]
async fn a_full_disk_says_so_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = sqlite(&directory).await;
    let (pages,): (i64,) = match &store.store.0 {
        Backend::Sqlite(database) => sqlx::query_as("PRAGMA page_count").fetch_one(&database.pool).await.unwrap(),
        Backend::Postgres(_) => panic!("not SQLite"),
    };
    let limit = |pages: i64| AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
    let Backend::Sqlite(database) = &store.store.0 else { panic!("not SQLite") };
    sqlx::query(limit(pages + 4)).execute(&database.pool).await.unwrap();
    let (mut sequence, mut uid) = (0, 0);
    let error = loop {
        let batch: Vec<_> = (uid..uid + 10).map(|uid| put(&entry(&format!("e{uid}"), uid))).collect();
        match store.apply(sequence, batch).await {
            Ok(last) => (sequence, uid) = (last, uid + 10),
            Err(error) => break error.to_string(),
        }
        assert!(uid < 10_000, "the disk is never full");
    };
    assert!(error.contains("full"), "{error}");
    assert_eq!((store.load().await.unwrap().entries.len() as u64, sequence), (u64::from(uid), u64::from(uid)));
    sqlx::query(limit(1_000_000)).execute(&database.pool).await.unwrap();
    assert_eq!(store.apply(sequence, vec![put(&entry("later", uid))]).await.unwrap(), sequence + 1);
}
