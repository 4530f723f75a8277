//! [`UseStore`] in SQL, written once for both databases.

use std::error::Error;
use std::sync::Arc;

use portcullis_spiffe::TrustDomain;
use sqlx::{Encode, Executor, FromRow, IntoArguments, Type};

use super::{Backend, Database, Store};
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::identity::token::{UseStore, UsesError, UsesFuture};

const FORGET: &str = "DELETE FROM used_tokens WHERE ends_at <= $1";

/// One statement, so one of several that try at once finds the token unused.
const TAKE: &str = "
    INSERT INTO used_tokens (trust_domain, digest, ends_at)
    VALUES ($1, $2, $3)
    ON CONFLICT (trust_domain, digest) DO NOTHING
    RETURNING ends_at";

/// The tokens for one use that were used in one trust domain, in a store.
#[derive(Debug)]
pub struct UseTable {
    store: Arc<Store>,
    trust_domain: TrustDomain,
}

/// What [`UseTable`] needs of a database of either kind.
trait Table: Send + Sync {
    fn take<'a>(
        &'a self,
        trust_domain: &'a TrustDomain,
        name: Digest,
        end: Timestamp,
        now: Timestamp,
    ) -> UsesFuture<'a, bool>;
}

impl Store {
    /// What was used in `trust_domain` of tokens that are good for one use.
    pub fn uses(self: &Arc<Self>, trust_domain: TrustDomain) -> UseTable {
        UseTable { store: Arc::clone(self), trust_domain }
    }
}

impl UseStore for UseTable {
    fn take(&self, name: Digest, end: Timestamp, now: Timestamp) -> UsesFuture<'_, bool> {
        match &self.store.0 {
            Backend::Sqlite(database) => Table::take(database, &self.trust_domain, name, end, now),
            Backend::Postgres(database) => Table::take(database, &self.trust_domain, name, end, now),
        }
    }
}

impl<DB: sqlx::Database> Table for Database<DB>
where
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'q> String: Encode<'q, DB> + Type<DB>,
    for<'q> Vec<u8>: Encode<'q, DB> + Type<DB>,
    for<'r> (i64,): FromRow<'r, DB::Row>,
{
    fn take<'a>(
        &'a self,
        trust_domain: &'a TrustDomain,
        name: Digest,
        end: Timestamp,
        now: Timestamp,
    ) -> UsesFuture<'a, bool> {
        Box::pin(async move {
            let take =
                sqlx::query_as(TAKE).bind(trust_domain.to_string()).bind(name.as_bytes().to_vec()).bind(stored(end)?);
            let forget = sqlx::query(FORGET).bind(stored(now)?);
            let mut connection = self.pool.acquire().await.map_err(failed)?;
            // Each by itself: two that forget the same and take each other's would else wait for one another.
            forget.execute(&mut *connection).await.map_err(failed)?;
            let taken: Option<(i64,)> = take.fetch_optional(&mut *connection).await.map_err(failed)?;
            Ok(taken.is_some())
        })
    }
}

/// A time as a column has it, which ends in the year 2262.
fn stored(time: Timestamp) -> Result<i64, UsesError> {
    i64::try_from(time.unix_nanos()).map_err(failed)
}

fn failed(error: impl Error + Send + Sync + 'static) -> UsesError {
    UsesError(Box::new(error))
}
