//! [`AuthorityJournal`] in SQL, written once for both databases.

use std::error::Error;

use portcullis_spiffe::TrustDomain;
use sqlx::{Encode, Executor, FromRow, IntoArguments, Transaction, Type};

use super::Database;
use crate::foundation::clock::Timestamp;
use crate::identity::journal::{AuthorityEntry, AuthorityJournal, JournalError, JournalFuture, Journaled};

/// One statement, so one moment: the sequence belongs to these authorities.
const READ: &str = "
    SELECT s.sequence, a.id, a.certificate, a.created_at
    FROM bundle_sequences s
    LEFT JOIN authorities a ON a.trust_domain = s.trust_domain AND a.retired_at IS NULL
    WHERE s.trust_domain = $1
    ORDER BY a.created_at, a.id";

const ADD: &str = "
    INSERT INTO authorities (id, trust_domain, certificate, created_at)
    VALUES ($1, $2, $3, $4)
    ON CONFLICT (id) DO NOTHING
    RETURNING id";

const RETIRE: &str = "
    UPDATE authorities SET retired_at = $1
    WHERE trust_domain = $2 AND id = $3 AND retired_at IS NULL
    RETURNING id";

const MOVE_SEQUENCE: &str = "
    INSERT INTO bundle_sequences (trust_domain, sequence)
    VALUES ($1, 1)
    ON CONFLICT (trust_domain) DO UPDATE SET sequence = bundle_sequences.sequence + 1
    RETURNING sequence";

const SEQUENCE: &str = "SELECT sequence FROM bundle_sequences WHERE trust_domain = $1";

/// A row of [`READ`]. A trust domain whose authorities are all retired has one row without an authority.
type ReadRow = (i64, Option<String>, Option<Vec<u8>>, Option<i64>);

impl<DB: sqlx::Database> AuthorityJournal for Database<DB>
where
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'q> String: Encode<'q, DB> + Type<DB>,
    for<'q> Vec<u8>: Encode<'q, DB> + Type<DB>,
    for<'r> ReadRow: FromRow<'r, DB::Row>,
    for<'r> (i64,): FromRow<'r, DB::Row>,
    for<'r> (String,): FromRow<'r, DB::Row>,
{
    fn read<'a>(&'a self, trust_domain: &'a TrustDomain) -> JournalFuture<'a, Journaled> {
        Box::pin(async move {
            let mut connection = self.pool.acquire().await.map_err(failed)?;
            let query = sqlx::query_as::<DB, ReadRow>(READ).bind(trust_domain.to_string());
            let rows = query.fetch_all(&mut *connection).await.map_err(failed)?;
            let sequence = rows.first().map_or(Ok(0), |row| u64::try_from(row.0)).map_err(failed)?;
            let authorities = rows.into_iter().filter_map(authority).collect::<Result<_, _>>()?;
            Ok(Journaled { authorities, sequence })
        })
    }

    fn add_authority<'a>(
        &'a self,
        trust_domain: &'a TrustDomain,
        authority: &'a AuthorityEntry,
    ) -> JournalFuture<'a, u64> {
        Box::pin(async move {
            let insert = sqlx::query_as(ADD)
                .bind(authority.id.clone())
                .bind(trust_domain.to_string())
                .bind(authority.certificate.clone())
                .bind(stored(authority.created_at)?);
            let mut transaction = self.pool.begin_with(self.begin).await.map_err(failed)?;
            let added: Option<(String,)> = insert.fetch_optional(&mut *transaction).await.map_err(failed)?;
            commit(transaction, trust_domain, added.is_some()).await
        })
    }

    fn retire_authority<'a>(
        &'a self,
        trust_domain: &'a TrustDomain,
        id: &'a str,
        now: Timestamp,
    ) -> JournalFuture<'a, u64> {
        Box::pin(async move {
            let retire = sqlx::query_as(RETIRE).bind(stored(now)?).bind(trust_domain.to_string()).bind(id.to_owned());
            let mut transaction = self.pool.begin_with(self.begin).await.map_err(failed)?;
            let retired: Option<(String,)> = retire.fetch_optional(&mut *transaction).await.map_err(failed)?;
            commit(transaction, trust_domain, retired.is_some()).await
        })
    }
}

/// Ends a transaction that may have `changed` the bundle; says which sequence belongs to its contents now.
async fn commit<DB: sqlx::Database>(
    mut transaction: Transaction<'_, DB>,
    trust_domain: &TrustDomain,
    changed: bool,
) -> Result<u64, JournalError>
where
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> String: Encode<'q, DB> + Type<DB>,
    for<'r> (i64,): FromRow<'r, DB::Row>,
{
    let query = sqlx::query_as(if changed { MOVE_SEQUENCE } else { SEQUENCE }).bind(trust_domain.to_string());
    let sequence: Option<(i64,)> = query.fetch_optional(&mut *transaction).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    sequence.map_or(Ok(0), |(sequence,)| u64::try_from(sequence).map_err(failed))
}

fn authority(row: ReadRow) -> Option<Result<AuthorityEntry, JournalError>> {
    let (_, Some(id), Some(certificate), Some(created_at)) = row else { return None };
    let created_at = u64::try_from(created_at).map(Timestamp::from_unix_nanos).map_err(failed);
    Some(created_at.map(|created_at| AuthorityEntry { id, certificate, created_at }))
}

/// A time as a column has it, which ends in the year 2262.
fn stored(time: Timestamp) -> Result<i64, JournalError> {
    i64::try_from(time.unix_nanos()).map_err(failed)
}

fn failed(error: impl Error + Send + Sync + 'static) -> JournalError {
    JournalError(Box::new(error))
}
