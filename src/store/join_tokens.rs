//! [`JoinTokenStore`] in SQL, written once for both databases.

use std::error::Error;

use portcullis_spiffe::TrustDomain;
use sqlx::{Encode, Executor, FromRow, IntoArguments, Type};

use super::Database;
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::identity::join_token::{JoinTokenFuture, JoinTokenStore, JoinTokenStoreError};

const FORGET: &str = "DELETE FROM join_tokens WHERE expires_at <= $1";

const ADD: &str = "
    INSERT INTO join_tokens (trust_domain, digest, expires_at)
    VALUES ($1, $2, $3)
    ON CONFLICT (trust_domain, digest) DO NOTHING
    RETURNING expires_at";

/// One statement, so one of several that try at once finds the token unused.
const REDEEM: &str = "
    UPDATE join_tokens SET used_at = $1
    WHERE trust_domain = $2 AND digest = $3 AND used_at IS NULL AND expires_at > $1
    RETURNING expires_at";

impl<DB: sqlx::Database> JoinTokenStore for Database<DB>
where
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'q> String: Encode<'q, DB> + Type<DB>,
    for<'q> Vec<u8>: Encode<'q, DB> + Type<DB>,
    for<'r> (i64,): FromRow<'r, DB::Row>,
{
    fn add<'a>(
        &'a self,
        trust_domain: &'a TrustDomain,
        digest: Digest,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> JoinTokenFuture<'a, bool> {
        Box::pin(async move {
            let forget = sqlx::query(FORGET).bind(stored(now)?);
            let add = sqlx::query_as(ADD)
                .bind(trust_domain.to_string())
                .bind(digest.as_bytes().to_vec())
                .bind(stored(expires_at)?);
            let mut transaction = self.pool.begin_with(self.begin).await.map_err(failed)?;
            forget.execute(&mut *transaction).await.map_err(failed)?;
            let added: Option<(i64,)> = add.fetch_optional(&mut *transaction).await.map_err(failed)?;
            transaction.commit().await.map_err(failed)?;
            Ok(added.is_some())
        })
    }

    fn redeem<'a>(
        &'a self,
        trust_domain: &'a TrustDomain,
        digest: Digest,
        now: Timestamp,
    ) -> JoinTokenFuture<'a, bool> {
        Box::pin(async move {
            let redeem = sqlx::query_as(REDEEM)
                .bind(stored(now)?)
                .bind(trust_domain.to_string())
                .bind(digest.as_bytes().to_vec());
            let mut connection = self.pool.acquire().await.map_err(failed)?;
            let redeemed: Option<(i64,)> = redeem.fetch_optional(&mut *connection).await.map_err(failed)?;
            Ok(redeemed.is_some())
        })
    }
}

/// A time as a column has it, which ends in the year 2262.
fn stored(time: Timestamp) -> Result<i64, JoinTokenStoreError> {
    i64::try_from(time.unix_nanos()).map_err(failed)
}

fn failed(error: impl Error + Send + Sync + 'static) -> JoinTokenStoreError {
    JoinTokenStoreError(Box::new(error))
}
