//! Entities in tables of somebody else's database, which are only read. `examples/entities/` has the tables and the
//! triggers that number and write down each change; docs/entities.md says more.
//!
//! What was read belongs to the number that was read in the same transaction, and numbers become visible in their order,
//! so whoever reads from a number on has missed nothing.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Encode, Executor, FromRow, IntoArguments, Transaction, Type};

use super::wait::Waiter;
use super::{Backend, Database, Location, StoreError, locate};
use crate::decision::entity::intake::{Intake, Row};
use crate::decision::entity::source::{EntitySource, Extent, SourceError, SourceFuture};

/// The table, as it is named in messages.
const TABLE: &str = "portcullis_entities";

/// The channel that the triggers notify.
const CHANNEL: &str = "portcullis_entities";

const SEQUENCE: &str = "SELECT sequence FROM portcullis_entity_sequence";

const COUNT: &str = "SELECT count(*) FROM portcullis_entities";

/// In an order, so that it is always the same records that are refused.
const ALL: &str = "
    SELECT type, id, CAST(attrs AS TEXT), CAST(tags AS TEXT), CAST(parents AS TEXT)
    FROM portcullis_entities
    ORDER BY type, id";

/// How many changes since a number the log has.
const LOGGED: &str = "SELECT count(DISTINCT sequence) FROM portcullis_entity_changes WHERE sequence > $1";

const CHANGES: &str = "
    SELECT c.type, c.id, CAST(e.attrs AS TEXT), CAST(e.tags AS TEXT), CAST(e.parents AS TEXT)
    FROM (SELECT DISTINCT type, id FROM portcullis_entity_changes WHERE sequence > $1) c
    LEFT JOIN portcullis_entities e ON e.type = c.type AND e.id = c.id
    ORDER BY c.type, c.id";

/// How long to wait for a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// A row of [`ALL`] or [`CHANGES`]: type, id, attributes, tags, parents. What is not there any more has only the first two.
type Columns = (String, String, Option<String>, Option<String>, Option<String>);

/// The entities of a database.
#[derive(Debug)]
pub struct EntityTable {
    database: Backend,
    waiter: Waiter,
    table: Arc<str>,
    /// The number of the last change that was read.
    mark: Option<i64>,
}

impl EntityTable {
    /// Those in the database at `url`: `sqlite:PATH`, a file that must exist, or a PostgreSQL connection URL. Connects only
    /// once something is read.
    ///
    /// # Errors
    /// [`StoreError`]: the URL is none.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        let database = match locate(url)? {
            Location::Sqlite(path) => {
                let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(PATIENCE);
                let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(PATIENCE);
                Backend::Sqlite(Database { pool: pool.connect_lazy_with(options), begin: "BEGIN" })
            }
            Location::Postgres(url) => {
                let options: PgConnectOptions = url.parse()?;
                let options = options.application_name("portcullis-entities");
                let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(PATIENCE);
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                Backend::Postgres(Database { pool: pool.connect_lazy_with(options), begin })
            }
        };
        Ok(Self { database, waiter: Waiter::new(CHANNEL), table: TABLE.into(), mark: None })
    }

    async fn take(&mut self, whole: bool, intake: &mut Intake) -> Result<Extent, SourceError> {
        let mark = self.mark.filter(|_| !whole);
        let read = match &self.database {
            Backend::Sqlite(database) => database.read(&self.table, mark, intake).await,
            Backend::Postgres(database) => database.read(&self.table, mark, intake).await,
        };
        let (sequence, extent) = read.map_err(|error| self.failed(&error))?;
        self.mark = Some(sequence);
        Ok(extent)
    }

    fn failed(&self, error: &sqlx::Error) -> SourceError {
        SourceError::Unavailable(format!("the table `{}`: {error}", self.table))
    }
}

impl EntitySource for EntityTable {
    fn read<'a>(&'a mut self, whole: bool, intake: &'a mut Intake) -> SourceFuture<'a, Extent> {
        Box::pin(self.take(whole, intake))
    }

    fn wait(&mut self) -> SourceFuture<'_, ()> {
        Box::pin(async { self.waiter.wait(&self.database).await.map_err(|error| self.failed(&error)) })
    }
}

impl<DB: sqlx::Database> Database<DB>
where
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'r> Columns: FromRow<'r, DB::Row>,
    for<'r> (i64,): FromRow<'r, DB::Row>,
{
    /// Reads what changed since `mark`, or everything; says up to which change.
    async fn read(
        &self,
        table: &Arc<str>,
        mark: Option<i64>,
        intake: &mut Intake,
    ) -> Result<(i64, Extent), sqlx::Error> {
        let mut transaction = self.pool.begin_with(self.begin).await?;
        let (sequence,): (i64,) = sqlx::query_as::<DB, _>(SEQUENCE).fetch_one(&mut *transaction).await?;
        let since = match mark {
            Some(mark) if mark == sequence => return Ok((sequence, Extent::Nothing)),
            Some(mark) if continues(&mut transaction, mark, sequence).await? => Some(mark),
            _ => None,
        };
        let query = if let Some(mark) = since {
            sqlx::query_as::<DB, Columns>(CHANGES).bind(mark)
        } else {
            let (count,): (i64,) = sqlx::query_as::<DB, _>(COUNT).fetch_one(&mut *transaction).await?;
            intake.expect(u64::try_from(count).unwrap_or(0));
            sqlx::query_as::<DB, Columns>(ALL)
        };
        let mut rows = query.fetch(&mut *transaction);
        while let Some((kind, id, attributes, tags, parents)) = rows.try_next().await? {
            let (kind, id) = (&*kind, &*id);
            if let (Some(attributes), Some(tags), Some(parents)) = (&attributes, &tags, &parents) {
                intake.row(table, Row { kind, id, attributes, tags, parents });
            } else {
                intake.delete(kind, id);
            }
        }
        drop(rows);
        Ok((sequence, if since.is_some() { Extent::Changes } else { Extent::Whole }))
    }
}

/// Whether the log leads from `mark` to `sequence`. It does not if it was cut off, if the table was truncated, or if the
/// database is a backup of an earlier one.
async fn continues<DB: sqlx::Database>(
    transaction: &mut Transaction<'_, DB>,
    mark: i64,
    sequence: i64,
) -> Result<bool, sqlx::Error>
where
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'r> (i64,): FromRow<'r, DB::Row>,
{
    if sequence < mark {
        return Ok(false);
    }
    // One that is not logged stands for everything.
    let (logged,): (i64,) = sqlx::query_as::<DB, _>(LOGGED).bind(mark).fetch_one(&mut **transaction).await?;
    Ok(logged == sequence - mark)
}
