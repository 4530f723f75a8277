//! [`RegistryStore`] in SQL, written once for both databases.
//!
//! A change is numbered under the lock of one row, which is taken first: numbers are committed in their order and without
//! holes, so that whoever has read up to one has missed nothing.

mod row;

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_spiffe::TrustDomain;
use sqlx::{Encode, Executor, FromRow, IntoArguments, QueryBuilder, Transaction, Type};

use self::row::{Columns, ReadRow, Row};
use super::wait::Waiter;
use super::{Backend, Database, Store};
use crate::identity::registry::{Changed, Entry, Registered, RegistryStore, StoreError, StoreFuture, Write};

/// One statement, so one moment: the sequence belongs to these entries. A trust domain without entries has one row
/// without one.
const LOAD: &str = "
    SELECT s.sequence, e.id, e.terms, e.revision, e.created_at, e.source, e.rank
    FROM entry_sequences s
    LEFT JOIN entries e ON e.trust_domain = s.trust_domain
    WHERE s.trust_domain = $1";

const LOOK: &str = "SELECT sequence, pruned FROM entry_sequences WHERE trust_domain = $1";

/// One statement here too.
const CHANGES: &str = "
    SELECT s.sequence, c.id, e.terms, e.revision, e.created_at, e.source, e.rank
    FROM entry_sequences s
    JOIN (SELECT DISTINCT id FROM entry_changes WHERE trust_domain = $1 AND sequence > $2) c ON TRUE
    LEFT JOIN entries e ON e.trust_domain = s.trust_domain AND e.id = c.id
    WHERE s.trust_domain = $1 AND s.pruned <= $2";

/// Takes the lock that orders all writers. Gives no row if the sequence is not what the writer expects.
const MOVE_SEQUENCE: &str = "
    INSERT INTO entry_sequences (trust_domain, sequence)
    VALUES ($1, $2)
    ON CONFLICT (trust_domain) DO UPDATE SET sequence = entry_sequences.sequence + $2
    WHERE entry_sequences.sequence = $3
    RETURNING sequence, pruned";

const PRUNE: &str = "DELETE FROM entry_changes WHERE trust_domain = $1 AND sequence <= $2";

const MARK_PRUNED: &str = "UPDATE entry_sequences SET pruned = $2 WHERE trust_domain = $1";

/// The channel that the trigger of migration 3 notifies.
const CHANNEL: &str = "entries_changed";

/// How many rows one statement writes: both databases limit its parameters.
const ROWS: usize = 500;

/// How many changes the log keeps, at least, and drops at a time. Who lags further behind loads everything.
const KEPT_CHANGES: u64 = 10_000;

/// The entries of one trust domain in a store.
#[derive(Debug)]
pub struct EntryStore {
    pub(super) store: Arc<Store>,
    trust_domain: TrustDomain,
    waiter: Waiter,
}

/// What [`EntryStore`] needs of a database of either kind.
trait EntryTables: Send + Sync {
    fn load<'a>(&'a self, trust_domain: &'a TrustDomain) -> StoreFuture<'a, Registered>;
    fn apply<'a>(&'a self, trust_domain: &'a TrustDomain, expected: u64, writes: Vec<Write>) -> StoreFuture<'a, u64>;
    fn changes_since<'a>(&'a self, trust_domain: &'a TrustDomain, sequence: u64) -> StoreFuture<'a, Option<Changed>>;
}

impl Store {
    /// The entries of `trust_domain`.
    pub fn entries(self: &Arc<Self>, trust_domain: TrustDomain) -> EntryStore {
        EntryStore { store: Arc::clone(self), trust_domain, waiter: Waiter::new(CHANNEL) }
    }
}

impl EntryStore {
    fn tables(&self) -> &dyn EntryTables {
        match &self.store.0 {
            Backend::Sqlite(database) => database,
            Backend::Postgres(database) => database,
        }
    }
}

impl RegistryStore for EntryStore {
    fn load(&self) -> StoreFuture<'_, Registered> {
        self.tables().load(&self.trust_domain)
    }

    fn apply(&self, expected: u64, writes: Vec<Write>) -> StoreFuture<'_, u64> {
        self.tables().apply(&self.trust_domain, expected, writes)
    }

    fn changes_since(&self, sequence: u64) -> StoreFuture<'_, Option<Changed>> {
        self.tables().changes_since(&self.trust_domain, sequence)
    }

    fn wait(&self) -> StoreFuture<'_, ()> {
        Box::pin(async { self.waiter.wait(&self.store.0).await.map_err(failed) })
    }
}

impl<DB: sqlx::Database> EntryTables for Database<DB>
where
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'q> &'q str: Encode<'q, DB> + Type<DB>,
    for<'q> String: Encode<'q, DB> + Type<DB>,
    for<'r> ReadRow: FromRow<'r, DB::Row>,
    for<'r> (i64, i64): FromRow<'r, DB::Row>,
{
    fn load<'a>(&'a self, trust_domain: &'a TrustDomain) -> StoreFuture<'a, Registered> {
        Box::pin(async move {
            let query = sqlx::query_as::<DB, ReadRow>(LOAD).bind(trust_domain.to_string());
            let mut registered = Registered::default();
            for row in read(query.fetch_all(&mut *self.pool.acquire().await.map_err(failed)?).await)? {
                registered.sequence = row.sequence;
                registered.entries.extend(row.entry);
            }
            Ok(registered)
        })
    }

    fn apply<'a>(&'a self, trust_domain: &'a TrustDomain, expected: u64, writes: Vec<Write>) -> StoreFuture<'a, u64> {
        Box::pin(async move {
            let domain = trust_domain.to_string();
            let last = expected.saturating_add(u64::try_from(writes.len()).map_err(failed)?);
            let mut transaction = self.pool.begin_with(self.begin).await.map_err(failed)?;
            let pruned = move_sequence(&mut transaction, &domain, expected, last).await?;
            log(&mut transaction, &domain, expected, &writes).await?;
            replace(&mut transaction, &domain, &writes).await?;
            if last.saturating_sub(pruned) > 2 * KEPT_CHANGES {
                prune(&mut transaction, &domain, last.saturating_sub(KEPT_CHANGES)).await?;
            }
            transaction.commit().await.map_err(failed)?;
            Ok(last)
        })
    }

    fn changes_since<'a>(&'a self, trust_domain: &'a TrustDomain, sequence: u64) -> StoreFuture<'a, Option<Changed>> {
        Box::pin(async move {
            let mut connection = self.pool.acquire().await.map_err(failed)?;
            let look = sqlx::query_as::<DB, (i64, i64)>(LOOK).bind(trust_domain.to_string());
            let (last, pruned) = look.fetch_optional(&mut *connection).await.map_err(failed)?.unwrap_or_default();
            let known = column(sequence)?;
            if last == known {
                return Ok(Some(Changed { sequence, ..Changed::default() }));
            }
            // A sequence that went back is that of a backup.
            if last < known || known < pruned {
                return Ok(None);
            }
            let query = sqlx::query_as::<DB, ReadRow>(CHANGES).bind(trust_domain.to_string()).bind(known);
            let mut changed = Changed::default();
            for row in read(query.fetch_all(&mut *connection).await)? {
                changed.sequence = row.sequence;
                match row.entry {
                    Some(entry) => changed.put.push(entry),
                    None => changed.deleted.extend(row.id),
                }
            }
            // No row: the log was cut off between the two statements.
            Ok((changed.sequence > 0).then_some(changed))
        })
    }
}

/// Moves the sequence from `expected` to `last`; says up to where the log was pruned.
async fn move_sequence<DB: sqlx::Database>(
    transaction: &mut Transaction<'_, DB>,
    trust_domain: &str,
    expected: u64,
    last: u64,
) -> Result<u64, StoreError>
where
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'q> &'q str: Encode<'q, DB> + Type<DB>,
    for<'r> (i64, i64): FromRow<'r, DB::Row>,
{
    let query = sqlx::query_as::<DB, (i64, i64)>(MOVE_SEQUENCE)
        .bind(trust_domain)
        .bind(column(last.saturating_sub(expected))?)
        .bind(column(expected)?);
    match query.fetch_optional(&mut **transaction).await.map_err(failed)? {
        Some((moved, pruned)) if moved == column(last)? => u64::try_from(pruned).map_err(failed),
        // Or the first of all changes, though there was one before: the database is another than it was.
        Some(_) | None => Err(StoreError::Raced),
    }
}

/// Writes down which entry each of `writes` concerns.
async fn log<DB: sqlx::Database>(
    transaction: &mut Transaction<'_, DB>,
    trust_domain: &str,
    expected: u64,
    writes: &[Write],
) -> Result<(), StoreError>
where
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'q> &'q str: Encode<'q, DB> + Type<DB>,
{
    let mut sequence = column(expected)?;
    for writes in writes.chunks(ROWS) {
        let mut insert = QueryBuilder::<DB>::new("INSERT INTO entry_changes (trust_domain, sequence, id) ");
        insert.push_values(writes, |mut row, write| {
            sequence += 1;
            row.push_bind(trust_domain).push_bind(sequence).push_bind(write.id());
        });
        insert.build().execute(&mut **transaction).await.map_err(failed)?;
    }
    Ok(())
}

/// Puts the last state of each entry in place of what there was. All old rows go before new ones come, so that entries can
/// exchange what they grant.
async fn replace<DB: sqlx::Database>(
    transaction: &mut Transaction<'_, DB>,
    trust_domain: &str,
    writes: &[Write],
) -> Result<(), StoreError>
where
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'q> &'q str: Encode<'q, DB> + Type<DB>,
    for<'q> String: Encode<'q, DB> + Type<DB>,
{
    let latest: BTreeMap<&str, Option<&Entry>> = writes.iter().map(|write| (write.id(), write.entry())).collect();
    let ids: Vec<&str> = latest.keys().copied().collect();
    for ids in ids.chunks(ROWS) {
        let mut delete = QueryBuilder::<DB>::new("DELETE FROM entries WHERE trust_domain = ");
        delete.push_bind(trust_domain).push(" AND id IN (");
        let mut list = delete.separated(", ");
        for id in ids {
            list.push_bind(*id);
        }
        delete.push(")");
        delete.build().execute(&mut **transaction).await.map_err(failed)?;
    }
    let rows: Vec<(&str, Columns)> = latest
        .into_iter()
        .filter_map(|(id, entry)| Some((id, entry?)))
        .map(|(id, entry)| Ok((id, Columns::of(entry).map_err(StoreError::Failed)?)))
        .collect::<Result<_, StoreError>>()?;
    for rows in rows.chunks(ROWS) {
        let mut insert = QueryBuilder::<DB>::new(
            "INSERT INTO entries (trust_domain, id, grants, terms, revision, created_at, source, rank) ",
        );
        insert.push_values(rows, |mut row, (id, columns)| {
            row.push_bind(trust_domain).push_bind(*id).push_bind(&*columns.grants).push_bind(&*columns.terms);
            row.push_bind(columns.revision).push_bind(columns.created_at);
            row.push_bind(columns.source).push_bind(columns.rank);
        });
        insert.build().execute(&mut **transaction).await.map_err(failed)?;
    }
    Ok(())
}

/// Drops changes up to `until` from the log.
async fn prune<DB: sqlx::Database>(
    transaction: &mut Transaction<'_, DB>,
    trust_domain: &str,
    until: u64,
) -> Result<(), StoreError>
where
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'q> &'q str: Encode<'q, DB> + Type<DB>,
{
    for statement in [PRUNE, MARK_PRUNED] {
        let query = sqlx::query::<DB>(statement).bind(trust_domain).bind(column(until)?);
        query.execute(&mut **transaction).await.map_err(failed)?;
    }
    Ok(())
}

fn read(rows: Result<Vec<ReadRow>, sqlx::Error>) -> Result<Vec<Row>, StoreError> {
    rows.map_err(failed)?.into_iter().map(Row::read).collect::<Result<_, _>>().map_err(StoreError::Failed)
}

/// A number as a column has it.
fn column(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(failed)
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Failed(Box::new(error))
}
