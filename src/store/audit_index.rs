//! The index of an audit log: a SQLite file beside it that can be thrown away and made again. Each text is there once, so a
//! search for a part of one looks at few.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use portcullis_tlog::Hash;
use portcullis_tlog::tree::TreeHead;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, QueryBuilder, Sqlite, SqliteConnection, SqlitePool};

use super::StoreError;
use crate::evidence::search::{IndexError, IndexFuture, Place, SearchIndex, Terms, Wanted};
use crate::foundation::files::PrivateFileError;

/// The tables. `entry` and `policy` name texts by number.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS place (
        one INTEGER PRIMARY KEY CHECK (one = 1), origin TEXT NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL
    );
    CREATE TABLE IF NOT EXISTS text (number INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
    CREATE TABLE IF NOT EXISTS entry (
        number INTEGER PRIMARY KEY, time TEXT NOT NULL, principal INTEGER NOT NULL, action INTEGER NOT NULL,
        resource INTEGER NOT NULL, decision INTEGER NOT NULL
    );
    CREATE INDEX IF NOT EXISTS entry_time ON entry (time);
    CREATE INDEX IF NOT EXISTS entry_principal ON entry (principal);
    CREATE INDEX IF NOT EXISTS entry_action ON entry (action);
    CREATE INDEX IF NOT EXISTS entry_resource ON entry (resource);
    CREATE INDEX IF NOT EXISTS entry_decision ON entry (decision);
    CREATE TABLE IF NOT EXISTS policy (
        policy INTEGER NOT NULL, entry INTEGER NOT NULL, PRIMARY KEY (policy, entry)
    ) WITHOUT ROWID";

const CLEAR: &str = "DELETE FROM place; DELETE FROM policy; DELETE FROM entry; DELETE FROM text";

/// How long to wait for another process.
const PATIENCE: Duration = Duration::from_secs(10);

/// An index in a file.
#[derive(Debug)]
pub struct AuditIndex(SqlitePool);

impl AuditIndex {
    /// Opens the file, and makes it if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| PrivateFileError::Io { path: path.to_owned(), source };
        // It tells as much as the log.
        let _made = OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(failed)?;
        // It can be made again, so it need not survive what the log survives.
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(PATIENCE);
        let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(PATIENCE).connect_with(options).await?;
        sqlx::raw_sql(TABLES).execute(&pool).await?;
        Ok(Self(pool))
    }

    /// Waits until all of it is in the file and nothing of ours has it open.
    pub async fn close(&self) {
        self.0.close().await;
    }

    async fn read_place(&self) -> Result<Option<Place>, IndexError> {
        let row: Option<(String, i64, Vec<u8>)> =
            sqlx::query_as("SELECT origin, size, root FROM place").fetch_optional(&self.0).await.map_err(failed)?;
        let place = |(origin, size, root): (String, i64, Vec<u8>)| {
            let root = <[u8; 32]>::try_from(root).ok()?;
            Some(Place { origin, head: TreeHead { size: u64::try_from(size).ok()?, root: Hash::from(root) } })
        };
        Ok(row.and_then(place))
    }

    async fn insert(&self, first: u64, entries: Vec<Terms>) -> Result<(), sqlx::Error> {
        let mut connection = self.0.acquire().await?;
        let mut transaction = connection.begin().await?;
        for (number, terms) in (first..).zip(entries) {
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            let mut named = Vec::with_capacity(4);
            for text in [&terms.principal, &terms.action, &terms.resource, terms.decision] {
                named.push(text_number(&mut transaction, text).await?);
            }
            let mut statement = sqlx::query("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?, ?)");
            statement = statement.bind(number).bind(&terms.time);
            for text in named {
                statement = statement.bind(text);
            }
            statement.execute(&mut *transaction).await?;
            for policy in &terms.policies {
                let policy = text_number(&mut transaction, policy).await?;
                let statement = sqlx::query("INSERT OR IGNORE INTO policy VALUES (?, ?)");
                statement.bind(policy).bind(number).execute(&mut *transaction).await?;
            }
        }
        transaction.commit().await
    }

    async fn set_place(&self, place: Place) -> Result<(), sqlx::Error> {
        let statement = sqlx::query("INSERT OR REPLACE INTO place VALUES (1, ?, ?, ?)").bind(place.origin);
        let statement = statement.bind(i64::try_from(place.head.size).unwrap_or(i64::MAX));
        statement.bind(place.head.root.as_bytes().to_vec()).execute(&self.0).await.map(drop)
    }

    async fn select(&self, wanted: &Wanted, from: u64, limit: u32) -> Result<Vec<u64>, IndexError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT number FROM entry WHERE number >= ");
        query.push_bind(i64::try_from(from).unwrap_or(i64::MAX));
        for (column, text) in [("principal", &wanted.principal), ("resource", &wanted.resource)] {
            if let Some(text) = text {
                query.push(format!(" AND {column} IN (SELECT number FROM text WHERE instr(text, "));
                query.push_bind(text).push("))");
            }
        }
        for (column, text) in [("action", &wanted.action), ("decision", &wanted.decision)] {
            if let Some(text) = text {
                query.push(format!(" AND {column} = (SELECT number FROM text WHERE text = "));
                query.push_bind(text).push(")");
            }
        }
        if let Some(policy) = &wanted.policy {
            query.push(" AND number IN (SELECT entry FROM policy JOIN text ON text.number = policy WHERE text = ");
            query.push_bind(policy).push(")");
        }
        if let Some(from) = &wanted.from {
            query.push(" AND time >= ").push_bind(from);
        }
        if let Some(until) = &wanted.until {
            query.push(" AND time < ").push_bind(until);
        }
        query.push(" ORDER BY number LIMIT ").push_bind(limit);
        let numbers: Vec<i64> = query.build_query_scalar().fetch_all(&self.0).await.map_err(failed)?;
        Ok(numbers.into_iter().filter_map(|number| u64::try_from(number).ok()).collect())
    }
}

impl SearchIndex for AuditIndex {
    fn place(&self) -> IndexFuture<'_, Option<Place>> {
        Box::pin(self.read_place())
    }

    fn clear(&self) -> IndexFuture<'_, ()> {
        Box::pin(async { sqlx::raw_sql(CLEAR).execute(&self.0).await.map(drop).map_err(failed) })
    }

    fn add(&self, first: u64, entries: Vec<Terms>) -> IndexFuture<'_, ()> {
        Box::pin(async move { self.insert(first, entries).await.map_err(failed) })
    }

    fn reach(&self, place: Place) -> IndexFuture<'_, ()> {
        Box::pin(async move { self.set_place(place).await.map_err(failed) })
    }

    fn find<'a>(&'a self, wanted: &'a Wanted, from: u64, limit: u32) -> IndexFuture<'a, Vec<u64>> {
        Box::pin(self.select(wanted, from, limit))
    }
}

/// The number of a text, which is given one if it has none.
async fn text_number(connection: &mut SqliteConnection, text: &str) -> Result<i64, sqlx::Error> {
    let known = sqlx::query_scalar("SELECT number FROM text WHERE text = ?").bind(text);
    if let Some(number) = known.fetch_optional(&mut *connection).await? {
        return Ok(number);
    }
    sqlx::query_scalar("INSERT INTO text (text) VALUES (?) RETURNING number").bind(text).fetch_one(connection).await
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn failed(error: sqlx::Error) -> IndexError {
    IndexError::Store(error.to_string())
}
