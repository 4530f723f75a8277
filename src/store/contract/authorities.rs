//! What every store must do as the journal of the authorities.

use sqlx::migrate::Migrator;
use sqlx::{PgPool, SqlitePool};

use super::*;
use crate::identity::journal::{AuthorityEntry, AuthorityPublic, AuthorityStage, JournalError, StaleStep};

fn at(nanos: u64) -> Timestamp {
    Timestamp::from_unix_nanos(nanos)
}

/// One that is old: of these there may be any number.
pub(super) fn authority(id: &str, created_at: u64) -> AuthorityEntry {
    let public = AuthorityPublic::X509 { certificate: vec![0, 0xff, b'\'', 1] };
    let mut entry = AuthorityEntry::new(id.to_owned(), public, at(created_at));
    (entry.activated_at, entry.superseded_at) = (Some(at(created_at)), Some(at(created_at + 1)));
    entry
}

fn jwt(id: &str, created_at: u64) -> AuthorityEntry {
    let public = AuthorityPublic::Jwt { public_key: vec![0x30, 0], expires_at: at(created_at + 100) };
    AuthorityEntry { public, ..authority(id, created_at) }
}

fn prepared(entry: AuthorityEntry) -> AuthorityEntry {
    AuthorityEntry { activated_at: None, superseded_at: None, ..entry }
}

fn active(entry: AuthorityEntry) -> AuthorityEntry {
    AuthorityEntry { superseded_at: None, ..entry }
}

/// Runs every case, each on a fresh store whose URL is `url(case)`.
pub(super) async fn keep_the_contract(url: impl AsyncFn(&str) -> String) {
    nothing_is_there_at_first(&url("empty").await).await;
    authorities_come_back_oldest_first_with_their_sequence(&url("order").await).await;
    every_field_comes_back(&url("fields").await).await;
    an_authority_goes_from_place_to_place(&url("places").await).await;
    of_each_kind_one_is_prepared_and_one_active(&url("places_are_single").await).await;
    steps_are_taken_all_or_none(&url("atomic").await).await;
    what_left_the_bundle_never_comes_back(&url("removed").await).await;
    trust_domains_do_not_see_each_other(&url("domains").await).await;
    what_was_added_survives_reopening(&url("reopened").await).await;
    two_openers_never_share_a_sequence(&url("racing").await).await;
    of_two_who_do_the_same_one_fails(&url("racing_places").await).await;
    hostile_text_is_only_text(&url("hostile").await).await;
    a_time_beyond_what_a_column_holds_is_an_error(&url("times").await).await;
    version_one_is_carried_over(&url("version_one").await).await;
}

async fn add(store: &Store, domain: &TrustDomain, entry: &AuthorityEntry) -> Result<u64, JournalError> {
    store.apply(domain, &[JournalStep::Add(entry)], at(9)).await
}

fn is_stale<T: std::fmt::Debug>(result: Result<T, JournalError>) -> bool {
    result.unwrap_err().0.is::<StaleStep>()
}

async fn nothing_is_there_at_first(url: &str) {
    let (store, ours) = (open(url).await.unwrap(), domain("example.org"));
    assert_eq!(store.read(&ours).await.unwrap(), Journaled::default());
    assert_eq!(store.apply(&ours, &[], at(1)).await.unwrap(), 0);
    assert!(!store.has_left(&ours, "a").await.unwrap());
}

async fn authorities_come_back_oldest_first_with_their_sequence(url: &str) {
    let (store, ours) = (open(url).await.unwrap(), domain("example.org"));
    assert_eq!(add(&store, &ours, &authority("newer", 2_000_000_001)).await.unwrap(), 1);
    assert_eq!(add(&store, &ours, &authority("older", 2_000_000_000)).await.unwrap(), 2);
    let authorities = vec![authority("older", 2_000_000_000), authority("newer", 2_000_000_001)];
    assert_eq!(store.read(&ours).await.unwrap(), Journaled { authorities, sequence: 2, ..Journaled::default() });
}

async fn every_field_comes_back(url: &str) {
    let (store, ours) = (open(url).await.unwrap(), domain("example.org"));
    let tainted = AuthorityEntry { tainted_at: Some(at(5)), ..jwt("d", 4) };
    let entries = [prepared(authority("a", 1)), active(jwt("b", 2)), authority("c", 3), tainted];
    let steps = entries.each_ref().map(JournalStep::Add);
    assert_eq!(store.apply(&ours, &steps, at(9)).await.unwrap(), 1);
    assert_eq!(store.read(&ours).await.unwrap().authorities, entries);
}

async fn an_authority_goes_from_place_to_place(url: &str) {
    let (store, ours) = (open(url).await.unwrap(), domain("example.org"));
    let (first, second) = (active(authority("a", 1)), prepared(authority("b", 2)));
    let sequence = store.apply(&ours, &[JournalStep::Add(&first), JournalStep::Add(&second)], at(2)).await.unwrap();
    let hand_over = [JournalStep::Supersede("a"), JournalStep::Activate("b")];
    assert_eq!(store.apply(&ours, &hand_over, at(3)).await.unwrap(), sequence, "the bundle is the same");
    assert_eq!(store.apply(&ours, &[JournalStep::Taint("a")], at(4)).await.unwrap(), sequence + 1);
    let first = AuthorityEntry { superseded_at: Some(at(3)), tainted_at: Some(at(4)), ..first };
    let second = AuthorityEntry { activated_at: Some(at(3)), ..second };
    assert_eq!(store.read(&ours).await.unwrap().authorities, [first, second.clone()]);
    assert_eq!(store.apply(&ours, &[JournalStep::Remove("a")], at(5)).await.unwrap(), sequence + 2);
    assert_eq!(
        store.read(&ours).await.unwrap(),
        Journaled { authorities: vec![second], sequence: sequence + 2, ..Journaled::default() }
    );

    let impossible = [
        JournalStep::Activate("a"),
        JournalStep::Activate("b"),
        JournalStep::Supersede("a"),
        JournalStep::Taint("a"),
        JournalStep::Remove("a"),
        JournalStep::Remove("unknown"),
    ];
    for step in impossible {
        assert!(is_stale(store.apply(&ours, &[step], at(6)).await), "{step:?}");
    }
}

async fn of_each_kind_one_is_prepared_and_one_active(url: &str) {
    let (store, ours) = (open(url).await.unwrap(), domain("example.org"));
    for make in [authority, jwt] {
        let name = |stage: &str| format!("{stage} {:?}", make("", 0).kind());
        add(&store, &ours, &active(make(&name("active"), 1))).await.unwrap();
        add(&store, &ours, &prepared(make(&name("prepared"), 2))).await.unwrap();
        assert!(is_stale(add(&store, &ours, &active(make("another", 3))).await));
        assert!(is_stale(add(&store, &ours, &prepared(make("another", 3))).await));
        store.apply(&ours, &[JournalStep::Activate(&name("prepared"))], at(4)).await.unwrap_err();
    }
    assert_eq!(store.read(&ours).await.unwrap().authorities.len(), 4);
}

async fn steps_are_taken_all_or_none(url: &str) {
    let (store, ours) = (open(url).await.unwrap(), domain("example.org"));
    let first = active(authority("a", 1));
    add(&store, &ours, &first).await.unwrap();
    let second = prepared(authority("b", 2));
    let steps = [JournalStep::Add(&second), JournalStep::Supersede("a"), JournalStep::Activate("unknown")];
    assert!(is_stale(store.apply(&ours, &steps, at(3)).await));
    assert_eq!(
        store.read(&ours).await.unwrap(),
        Journaled { authorities: vec![first], sequence: 1, ..Journaled::default() }
    );
}

async fn what_left_the_bundle_never_comes_back(url: &str) {
    let (store, ours) = (open(url).await.unwrap(), domain("example.org"));
    add(&store, &ours, &authority("a", 1)).await.unwrap();
    add(&store, &ours, &authority("b", 2)).await.unwrap();
    assert!(!store.has_left(&ours, "a").await.unwrap());
    assert_eq!(store.apply(&ours, &[JournalStep::Remove("a")], at(5)).await.unwrap(), 3);
    assert!(store.has_left(&ours, "a").await.unwrap());
    assert!(!store.has_left(&domain("example.com"), "a").await.unwrap());
    assert!(is_stale(store.apply(&ours, &[JournalStep::Remove("a")], at(5)).await));
    assert!(is_stale(add(&store, &ours, &authority("a", 1)).await));
    assert_eq!(
        store.read(&ours).await.unwrap(),
        Journaled { authorities: vec![authority("b", 2)], sequence: 3, ..Journaled::default() }
    );
    assert_eq!(store.apply(&ours, &[JournalStep::Remove("b")], at(5)).await.unwrap(), 4);
    assert_eq!(
        store.read(&ours).await.unwrap(),
        Journaled { authorities: vec![], sequence: 4, ..Journaled::default() }
    );
}

async fn trust_domains_do_not_see_each_other(url: &str) {
    let (store, ours, theirs) = (open(url).await.unwrap(), domain("example.org"), domain("example.com"));
    add(&store, &ours, &active(authority("a", 1))).await.unwrap();
    assert_eq!(store.read(&theirs).await.unwrap(), Journaled::default());
    assert!(is_stale(store.apply(&theirs, &[JournalStep::Remove("a")], at(5)).await));
    add(&store, &theirs, &active(authority("b", 1))).await.unwrap();
    assert_eq!(store.read(&ours).await.unwrap().authorities.len(), 1);
}

async fn what_was_added_survives_reopening(url: &str) {
    let ours = domain("example.org");
    let store = open(url).await.unwrap();
    add(&store, &ours, &authority("a", 1)).await.unwrap();
    // Not closed: a process that was killed does not close either.
    drop(store);
    let store = open(url).await.unwrap();
    assert_eq!(
        store.read(&ours).await.unwrap(),
        Journaled { authorities: vec![authority("a", 1)], sequence: 1, ..Journaled::default() }
    );
    store.close().await;
    assert_eq!(add(&open(url).await.unwrap(), &ours, &authority("b", 2)).await.unwrap(), 2);
}

async fn two_openers_never_share_a_sequence(url: &str) {
    const EACH: usize = 20;
    let ours = domain("example.org");
    let opener = async |name: &str| {
        let store = open(url).await.unwrap();
        let mut sequences = Vec::new();
        for number in 0..EACH {
            sequences.push(add(&store, &ours, &authority(&format!("{name}{number}"), 1)).await.unwrap());
        }
        assert!(sequences.is_sorted_by(|a, b| a < b), "{sequences:?}");
        sequences
    };
    let (mut all, others) = tokio::join!(opener("a"), opener("b"));
    all.extend(others);
    all.sort_unstable();
    assert_eq!(all, (1..=2 * EACH as u64).collect::<Vec<_>>());
    let journaled = open(url).await.unwrap().read(&ours).await.unwrap();
    assert_eq!((journaled.authorities.len(), journaled.sequence), (2 * EACH, 2 * EACH as u64));
}

async fn of_two_who_do_the_same_one_fails(url: &str) {
    let ours = domain("example.org");
    let (one, other) = (open(url).await.unwrap(), open(url).await.unwrap());
    let (first, second) = (active(authority("a", 1)), active(authority("b", 1)));
    let (a, b) = tokio::join!(add(&one, &ours, &first), add(&other, &ours, &second));
    assert_ne!(a.is_ok(), b.is_ok());
    let winner = if a.is_ok() { "a" } else { "b" };
    let taint = [JournalStep::Taint(winner)];
    let (a, b) = tokio::join!(one.apply(&ours, &taint, at(2)), other.apply(&ours, &taint, at(3)));
    assert_ne!(a.is_ok(), b.is_ok());
    assert_eq!(one.read(&ours).await.unwrap().sequence, 2);
}

async fn hostile_text_is_only_text(url: &str) {
    let (store, ours) = (open(url).await.unwrap(), domain("example.org"));
    let hostile = authority("'; DROP TABLE authorities; --", 1);
    add(&store, &ours, &hostile).await.unwrap();
    assert_eq!(store.read(&ours).await.unwrap().authorities, [hostile]);
}

async fn a_time_beyond_what_a_column_holds_is_an_error(url: &str) {
    let (store, ours) = (open(url).await.unwrap(), domain("example.org"));
    add(&store, &ours, &prepared(AuthorityEntry { created_at: Timestamp::MAX, ..authority("a", 1) }))
        .await
        .unwrap_err();
    assert_eq!(store.read(&ours).await.unwrap(), Journaled::default());
}

/// Who signed followed from the dates: the places that the migration finds must lead to the same.
async fn version_one_is_carried_over(url: &str) {
    const SEED: &str = "
        INSERT INTO authorities (id, trust_domain, certificate, created_at, retired_at) VALUES
            ('gone', 'example.org', '00', 1, 50), ('first', 'example.org', '01', 10, NULL),
            ('second', 'example.org', '02', 20, NULL), ('third', 'example.org', '03', 30, NULL),
            ('older', 'example.net', '04', 10, NULL), ('newer', 'example.net', '05', 20, NULL),
            ('only', 'example.com', '06', 10, NULL)";
    const SEQUENCES: &str =
        "INSERT INTO bundle_sequences VALUES ('example.org', 5), ('example.net', 2), ('example.com', 1)";
    let first_of = |all: Migrator| {
        Migrator::with_migrations(all.migrations.iter().filter(|one| one.version == 1).cloned().collect())
    };
    match locate(url).unwrap() {
        Location::Sqlite(path) => {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::set_permissions(path.parent().unwrap(), std::fs::Permissions::from_mode(0o700)).unwrap();
            let pool = SqlitePool::connect(&format!("sqlite:{}?mode=rwc", path.display())).await.unwrap();
            first_of(sqlite::migrator()).run(&pool).await.unwrap();
            // SQLite keeps texts and bytes apart.
            sqlx::raw_sql(sqlx::AssertSqlSafe(SEED.replace("', '0", "', x'0"))).execute(&pool).await.unwrap();
            sqlx::raw_sql(SEQUENCES).execute(&pool).await.unwrap();
            pool.close().await;
        }
        Location::Postgres(url) => {
            let pool = PgPool::connect(url).await.unwrap();
            first_of(postgres::migrator()).run(&pool).await.unwrap();
            sqlx::raw_sql(SEED).execute(&pool).await.unwrap();
            sqlx::raw_sql(SEQUENCES).execute(&pool).await.unwrap();
            pool.close().await;
        }
    }
    let store = open(url).await.unwrap();
    let places = async |name: &str| {
        let journaled = store.read(&domain(name)).await.unwrap();
        assert!(journaled.authorities.iter().all(|entry| entry.kind().name() == "x509"));
        let places: Vec<_> = journaled.authorities.iter().map(|entry| (entry.id.clone(), entry.stage())).collect();
        (places, journaled.sequence)
    };
    let place = |id: &str, stage| (id.to_owned(), stage);
    let three = vec![
        place("first", AuthorityStage::Old),
        place("second", AuthorityStage::Active),
        place("third", AuthorityStage::Prepared),
    ];
    assert_eq!(places("example.org").await, (three, 5));
    let two = vec![place("older", AuthorityStage::Active), place("newer", AuthorityStage::Prepared)];
    assert_eq!(places("example.net").await, (two, 2));
    assert_eq!(places("example.com").await, (vec![place("only", AuthorityStage::Active)], 1));
    assert!(store.has_left(&domain("example.org"), "gone").await.unwrap());
}
