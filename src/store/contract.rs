//! What every store must do, run over both kinds.

mod federation;
mod postgres_fixture;

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use postgres_fixture::PostgresServer;

fn domain(name: &str) -> TrustDomain {
    name.parse().unwrap()
}

fn authority(id: &str, created_at: u64) -> AuthorityEntry {
    AuthorityEntry {
        id: id.to_owned(),
        certificate: vec![0, 0xff, b'\'', 1],
        created_at: Timestamp::from_unix_nanos(created_at),
    }
}

/// Runs every case, each on a fresh store whose URL is `url(case)`.
async fn keeps_the_contract(url: impl AsyncFn(&str) -> String) {
    nothing_is_there_at_first(&url("empty").await).await;
    authorities_come_back_oldest_first_with_their_sequence(&url("order").await).await;
    adding_twice_changes_nothing(&url("twice").await).await;
    a_retired_authority_leaves_the_bundle_for_good(&url("retired").await).await;
    trust_domains_do_not_see_each_other(&url("domains").await).await;
    what_was_added_survives_reopening(&url("reopened").await).await;
    two_openers_never_share_a_sequence(&url("racing").await).await;
    hostile_text_is_only_text(&url("hostile").await).await;
    a_time_beyond_what_a_column_holds_is_an_error(&url("times").await).await;
    federation::keeps_the_contract(&url).await;
}

async fn nothing_is_there_at_first(url: &str) {
    let store = open(url).await.unwrap();
    assert_eq!(store.read(&domain("example.org")).await.unwrap(), Journaled::default());
}

async fn authorities_come_back_oldest_first_with_their_sequence(url: &str) {
    let (store, ours) = (open(url).await.unwrap(), domain("example.org"));
    assert_eq!(store.add_authority(&ours, &authority("newer", 2_000_000_001)).await.unwrap(), 1);
    assert_eq!(store.add_authority(&ours, &authority("older", 2_000_000_000)).await.unwrap(), 2);
    let authorities = vec![authority("older", 2_000_000_000), authority("newer", 2_000_000_001)];
    assert_eq!(store.read(&ours).await.unwrap(), Journaled { authorities, sequence: 2 });
}

async fn adding_twice_changes_nothing(url: &str) {
    let (store, ours) = (open(url).await.unwrap(), domain("example.org"));
    store.add_authority(&ours, &authority("a", 1)).await.unwrap();
    let changed = AuthorityEntry { certificate: b"another".to_vec(), ..authority("a", 9) };
    assert_eq!(store.add_authority(&ours, &changed).await.unwrap(), 1);
    assert_eq!(store.read(&ours).await.unwrap(), Journaled { authorities: vec![authority("a", 1)], sequence: 1 });
}

async fn a_retired_authority_leaves_the_bundle_for_good(url: &str) {
    let (store, ours) = (open(url).await.unwrap(), domain("example.org"));
    let now = Timestamp::from_unix_nanos(5);
    store.add_authority(&ours, &authority("a", 1)).await.unwrap();
    store.add_authority(&ours, &authority("b", 2)).await.unwrap();
    assert_eq!(store.retire_authority(&ours, "a", now).await.unwrap(), 3);
    assert_eq!(store.retire_authority(&ours, "a", now).await.unwrap(), 3);
    assert_eq!(store.retire_authority(&ours, "unknown", now).await.unwrap(), 3);
    assert_eq!(store.add_authority(&ours, &authority("a", 1)).await.unwrap(), 3);
    assert_eq!(store.read(&ours).await.unwrap(), Journaled { authorities: vec![authority("b", 2)], sequence: 3 });
    assert_eq!(store.retire_authority(&ours, "b", now).await.unwrap(), 4);
    assert_eq!(store.read(&ours).await.unwrap(), Journaled { authorities: vec![], sequence: 4 });
}

async fn trust_domains_do_not_see_each_other(url: &str) {
    let (store, ours, theirs) = (open(url).await.unwrap(), domain("example.org"), domain("example.com"));
    store.add_authority(&ours, &authority("a", 1)).await.unwrap();
    assert_eq!(store.read(&theirs).await.unwrap(), Journaled::default());
    assert_eq!(store.retire_authority(&theirs, "a", Timestamp::from_unix_nanos(5)).await.unwrap(), 0);
    assert_eq!(store.read(&ours).await.unwrap().authorities.len(), 1);
}

async fn what_was_added_survives_reopening(url: &str) {
    let ours = domain("example.org");
    let store = open(url).await.unwrap();
    store.add_authority(&ours, &authority("a", 1)).await.unwrap();
    // Not closed: a process that was killed does not close either.
    drop(store);
    let store = open(url).await.unwrap();
    assert_eq!(store.read(&ours).await.unwrap(), Journaled { authorities: vec![authority("a", 1)], sequence: 1 });
    store.close().await;
    assert_eq!(open(url).await.unwrap().add_authority(&ours, &authority("b", 2)).await.unwrap(), 2);
}

async fn two_openers_never_share_a_sequence(url: &str) {
    const EACH: usize = 20;
    let ours = domain("example.org");
    let opener = async |name: &str| {
        let store = open(url).await.unwrap();
        let mut sequences = Vec::new();
        for number in 0..EACH {
            sequences.push(store.add_authority(&ours, &authority(&format!("{name}{number}"), 1)).await.unwrap());
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

async fn hostile_text_is_only_text(url: &str) {
    let (store, ours) = (open(url).await.unwrap(), domain("example.org"));
    let hostile = authority("'; DROP TABLE authorities; --", 1);
    store.add_authority(&ours, &hostile).await.unwrap();
    assert_eq!(store.read(&ours).await.unwrap().authorities, [hostile]);
}

async fn a_time_beyond_what_a_column_holds_is_an_error(url: &str) {
    let (store, ours) = (open(url).await.unwrap(), domain("example.org"));
    store.add_authority(&ours, &authority("a", u64::MAX)).await.unwrap_err();
    assert_eq!(store.read(&ours).await.unwrap(), Journaled::default());
}

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    keeps_the_contract(async |case| format!("sqlite:{}/{case}/portcullis.db", directory.path().display())).await;
}

#[tokio::test]
async fn postgres_keeps_the_contract() {
    let server = PostgresServer::start();
    keeps_the_contract(async |case| server.new_database(case).await).await;
}

#[tokio::test]
async fn sqlite_files_are_closed_to_others() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data/portcullis.db");
    let store = open(&format!("sqlite:{}", path.display())).await.unwrap();
    store.add_authority(&domain("example.org"), &authority("a", 1)).await.unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for file in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        let file = file.unwrap().path();
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn sqlite_in_an_open_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let error = open(&format!("sqlite:{}/portcullis.db", directory.path().display())).await.unwrap_err();
    assert!(matches!(error, StoreError::File(PrivateFileError::TooOpen { mode: 0o755, .. })), "{error}");
}

#[tokio::test]
async fn a_database_of_a_later_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/data/portcullis.db", directory.path().display());
    let store = open(&url).await.unwrap();
    let Backend::Sqlite(database) = &store.0 else { panic!("not SQLite") };
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (9999, 'later', TRUE, x'00', 0)";
    sqlx::query(later).execute(&database.pool).await.unwrap();
    store.close().await;
    assert!(matches!(open(&url).await, Err(StoreError::Migrate(MigrateError::VersionMissing(9999)))));
}

#[tokio::test]
async fn a_password_in_the_url_is_not_in_the_error() {
    for url in ["postgres://user:hunter2@localhost:notaport/db", "postgres://user:hunter2@/run/nowhere/db"] {
        let Err(error) = open(url).await else { panic!("opened") };
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

#[test]
fn only_files_and_postgres_are_stores() {
    assert_eq!(locate("sqlite:data/a.db").unwrap(), Location::Sqlite("data/a.db".into()));
    assert_eq!(locate("postgresql:///x").unwrap(), Location::Postgres("postgresql:///x"));
    for url in
        ["", "sqlite:", "sqlite:/", "sqlite:data/", "sqlite::memory:", "sqlite://a.db", "sqlite:///a", "mysql://x"]
    {
        assert!(matches!(locate(url), Err(StoreError::Url)), "{url}");
    }
}
