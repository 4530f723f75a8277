//! SQLite: one file beside the keys, durable at every commit.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{SqlSafeStr as _, Sqlite};

use super::{Database, StoreError};
use crate::foundation::files::{PrivateFileError, private_directory};
use crate::foundation::lock::FileLock;

/// Takes the write lock at once. A transaction that reads first and writes later fails at once if another wrote in
/// between, whatever the busy timeout.
const BEGIN: &str = "BEGIN IMMEDIATE";

/// How long to wait for the write lock of another process.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens the database in the file `path`, alone among the processes that may be starting at this moment.
pub(super) async fn open(path: &Path) -> Result<Database<Sqlite>, StoreError> {
    let failed = |source| PrivateFileError::Io { path: path.to_owned(), source };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    private_directory(directory)?;
    // SQLite gives the files beside it, of the write-ahead log, the mode of this one.
    let _made = OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(failed)?;
    let _migrating = FileLock::acquire(&path.with_added_extension("lock")).await?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(PATIENCE);
    // One connection, so that writers queue here and not at the file's lock.
    let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(PATIENCE).connect_with(options).await?;
    migrator().run(&pool).await?;
    Ok(Database { pool, begin: BEGIN })
}

pub(super) fn migrator() -> Migrator {
    let migration = |version, name: &'static str, statements: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, statements.into_sql_str(), false)
    };
    Migrator::with_migrations(vec![
        migration(1, "authorities", include_str!("../../migrations/sqlite/0001_authorities.sql")),
        migration(2, "authority places", include_str!("../../migrations/sqlite/0002_authority_places.sql")),
        migration(3, "entries", include_str!("../../migrations/sqlite/0003_entries.sql")),
        migration(4, "federation", include_str!("../../migrations/sqlite/0004_federation.sql")),
        migration(5, "revoked leaves", include_str!("../../migrations/sqlite/0005_revoked_leaves.sql")),
        migration(6, "delegation revocations", include_str!("../../migrations/sqlite/0006_delegation_revocations.sql")),
        migration(7, "used tokens", include_str!("../../migrations/sqlite/0007_used_tokens.sql")),
    ])
}
