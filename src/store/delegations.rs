//! [`RevocationStore`] in SQL, written once for both databases.

use std::error::Error;
use std::sync::Arc;

use portcullis_spiffe::TrustDomain;
use sqlx::{Encode, Executor, FromRow, IntoArguments, Transaction, Type};

use super::wait::Waiter;
use super::{Backend, Database, Store};
use crate::foundation::clock::Timestamp;
use crate::identity::delegation::{
    KeptRevocations, Revocation, RevocationFuture, RevocationStore, RevocationStoreError, Revoked, RevokedKind,
};

const SEQUENCE: &str = "SELECT sequence FROM delegation_sequences WHERE trust_domain = $1";

const MOVE_SEQUENCE: &str = "
    INSERT INTO delegation_sequences (trust_domain, sequence)
    VALUES ($1, 1)
    ON CONFLICT (trust_domain) DO UPDATE SET sequence = delegation_sequences.sequence + 1
    RETURNING sequence";

const LOAD: &str = "
    SELECT kind, name, issuer, revoked_at, ends_at FROM delegation_revocations WHERE trust_domain = $1";

const FORGET: &str = "DELETE FROM delegation_revocations WHERE trust_domain = $1 AND ends_at <= $2";

const PUT: &str = "
    INSERT INTO delegation_revocations (trust_domain, kind, name, issuer, revoked_at, ends_at)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (trust_domain, kind, name, issuer)
    DO UPDATE SET revoked_at = excluded.revoked_at, ends_at = excluded.ends_at";

const DELETE: &str = "
    DELETE FROM delegation_revocations WHERE trust_domain = $1 AND kind = $2 AND name = $3 AND issuer = $4";

/// The channel that the trigger of migration 6 notifies.
const CHANNEL: &str = "delegation_changed";

/// The revocations of delegations of one trust domain in a store.
#[derive(Debug)]
pub struct DelegationTables {
    store: Arc<Store>,
    trust_domain: TrustDomain,
    waiter: Waiter,
}

/// What [`DelegationTables`] needs of a database of either kind.
trait Tables: Send + Sync {
    fn load<'a>(&'a self, trust_domain: &'a TrustDomain) -> RevocationFuture<'a, KeptRevocations>;
    fn sequence<'a>(&'a self, trust_domain: &'a TrustDomain) -> RevocationFuture<'a, u64>;
    fn put<'a>(
        &'a self,
        trust_domain: &'a TrustDomain,
        revocation: &'a Revocation,
        now: Timestamp,
    ) -> RevocationFuture<'a, u64>;
    fn delete<'a>(&'a self, trust_domain: &'a TrustDomain, revoked: &'a Revoked) -> RevocationFuture<'a, u64>;
}

type Row = (String, String, String, i64, Option<i64>);

impl Store {
    /// What is revoked of delegations in `trust_domain`.
    pub fn delegations(self: &Arc<Self>, trust_domain: TrustDomain) -> DelegationTables {
        DelegationTables { store: Arc::clone(self), trust_domain, waiter: Waiter::new(CHANNEL) }
    }
}

impl DelegationTables {
    fn tables(&self) -> &dyn Tables {
        match &self.store.0 {
            Backend::Sqlite(database) => database,
            Backend::Postgres(database) => database,
        }
    }
}

impl RevocationStore for DelegationTables {
    fn load(&self) -> RevocationFuture<'_, KeptRevocations> {
        self.tables().load(&self.trust_domain)
    }

    fn sequence(&self) -> RevocationFuture<'_, u64> {
        self.tables().sequence(&self.trust_domain)
    }

    fn put<'a>(&'a self, revocation: &'a Revocation, now: Timestamp) -> RevocationFuture<'a, u64> {
        self.tables().put(&self.trust_domain, revocation, now)
    }

    fn delete<'a>(&'a self, revoked: &'a Revoked) -> RevocationFuture<'a, u64> {
        self.tables().delete(&self.trust_domain, revoked)
    }

    fn wait(&self) -> RevocationFuture<'_, ()> {
        Box::pin(async { self.waiter.wait(&self.store.0).await.map_err(failed) })
    }
}

impl<DB: sqlx::Database> Tables for Database<DB>
where
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'q> Option<i64>: Encode<'q, DB> + Type<DB>,
    for<'q> String: Encode<'q, DB> + Type<DB>,
    for<'r> (i64,): FromRow<'r, DB::Row>,
    for<'r> Row: FromRow<'r, DB::Row>,
{
    fn load<'a>(&'a self, trust_domain: &'a TrustDomain) -> RevocationFuture<'a, KeptRevocations> {
        Box::pin(async move {
            // The sequence first: what is read after it may be newer, and then the next look reads it again.
            let sequence = self.sequence(trust_domain).await?;
            let mut connection = self.pool.acquire().await.map_err(failed)?;
            let query = sqlx::query_as::<DB, Row>(LOAD).bind(trust_domain.to_string());
            let rows = query.fetch_all(&mut *connection).await.map_err(failed)?;
            Ok(KeptRevocations { revocations: rows.into_iter().map(read).collect::<Result<_, _>>()?, sequence })
        })
    }

    fn sequence<'a>(&'a self, trust_domain: &'a TrustDomain) -> RevocationFuture<'a, u64> {
        Box::pin(async move {
            let mut connection = self.pool.acquire().await.map_err(failed)?;
            let query = sqlx::query_as(SEQUENCE).bind(trust_domain.to_string());
            let sequence: Option<(i64,)> = query.fetch_optional(&mut *connection).await.map_err(failed)?;
            sequence.map_or(Ok(0), |(sequence,)| u64::try_from(sequence).map_err(failed))
        })
    }

    fn put<'a>(
        &'a self,
        trust_domain: &'a TrustDomain,
        Revocation { revoked, revoked_at, until }: &'a Revocation,
        now: Timestamp,
    ) -> RevocationFuture<'a, u64> {
        Box::pin(async move {
            let ours = trust_domain.to_string();
            let forget = sqlx::query(FORGET).bind(ours.clone()).bind(stored(now)?);
            let put = sqlx::query(PUT)
                .bind(ours)
                .bind(revoked.kind().name().to_owned())
                .bind(revoked.name().to_owned())
                .bind(revoked.issuer().unwrap_or_default().to_owned())
                .bind(stored(*revoked_at)?)
                .bind(until.map(stored).transpose()?);
            let mut transaction = self.pool.begin_with(self.begin).await.map_err(failed)?;
            let sequence = moved(&mut transaction, trust_domain).await?;
            forget.execute(&mut *transaction).await.map_err(failed)?;
            put.execute(&mut *transaction).await.map_err(failed)?;
            transaction.commit().await.map_err(failed)?;
            Ok(sequence)
        })
    }

    fn delete<'a>(&'a self, trust_domain: &'a TrustDomain, revoked: &'a Revoked) -> RevocationFuture<'a, u64> {
        Box::pin(async move {
            let delete = sqlx::query(DELETE)
                .bind(trust_domain.to_string())
                .bind(revoked.kind().name().to_owned())
                .bind(revoked.name().to_owned())
                .bind(revoked.issuer().unwrap_or_default().to_owned());
            let mut transaction = self.pool.begin_with(self.begin).await.map_err(failed)?;
            let sequence = moved(&mut transaction, trust_domain).await?;
            delete.execute(&mut *transaction).await.map_err(failed)?;
            transaction.commit().await.map_err(failed)?;
            Ok(sequence)
        })
    }
}

/// The number of this change. First of all, so that whoever makes another at the same time waits here.
async fn moved<DB: sqlx::Database>(
    transaction: &mut Transaction<'_, DB>,
    trust_domain: &TrustDomain,
) -> Result<u64, RevocationStoreError>
where
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> String: Encode<'q, DB> + Type<DB>,
    for<'r> (i64,): FromRow<'r, DB::Row>,
{
    let query = sqlx::query_as(MOVE_SEQUENCE).bind(trust_domain.to_string());
    let (sequence,): (i64,) = query.fetch_one(&mut **transaction).await.map_err(failed)?;
    u64::try_from(sequence).map_err(failed)
}

fn read((kind, name, issuer, revoked_at, ends_at): Row) -> Result<Revocation, RevocationStoreError> {
    let known = RevokedKind::ALL.into_iter().find(|known| known.name() == kind);
    let kind = known.ok_or_else(|| RevocationStoreError(format!("there is no revocation of a `{kind}`").into()))?;
    let revoked = Revoked::new(kind, &name, Some(&*issuer).filter(|issuer| !issuer.is_empty())).map_err(failed)?;
    let time = |nanos: i64| u64::try_from(nanos).map(Timestamp::from_unix_nanos).map_err(failed);
    Ok(Revocation { revoked, revoked_at: time(revoked_at)?, until: ends_at.map(time).transpose()? })
}

/// A time as a column has it, which ends in the year 2262.
fn stored(time: Timestamp) -> Result<i64, RevocationStoreError> {
    i64::try_from(time.unix_nanos()).map_err(failed)
}

fn failed(error: impl Error + Send + Sync + 'static) -> RevocationStoreError {
    RevocationStoreError(Box::new(error))
}
