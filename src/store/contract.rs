//! What every store must do, run over both kinds.

mod authorities;
mod delegations;
mod entities;
mod entries;
mod federation;
mod postgres_fixture;
mod revocations;
mod uses;

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use postgres_fixture::PostgresServer;

fn domain(name: &str) -> TrustDomain {
    name.parse().unwrap()
}

/// Runs every case, each on a fresh store whose URL is `url(case)`.
async fn keeps_the_contract(url: impl AsyncFn(&str) -> String) {
    authorities::keep_the_contract(&url).await;
    revocations::keep_the_contract(&url).await;
    federation::keeps_the_contract(&url).await;
    delegations::keep_the_contract(&url).await;
    uses::keep_the_contract(&url).await;
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
    let entry = authorities::authority("a", 1);
    store.apply(&domain("example.org"), &[JournalStep::Add(&entry)], entry.created_at).await.unwrap();
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
