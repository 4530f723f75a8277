//! [`AuthorityJournal`] in SQL, written once for both databases.

use std::error::Error;

use portcullis_spiffe::TrustDomain;
use sqlx::{Encode, Executor, FromRow, IntoArguments, Transaction, Type};

use super::{Database, revocations};
use crate::foundation::clock::Timestamp;
use crate::identity::journal::{
    AuthorityEntry, AuthorityJournal, AuthorityPublic, JournalError, JournalFuture, JournalStep, Journaled, StaleStep,
};
use crate::identity::revocation::RevokedLeaf;

/// One statement, so one moment: the sequence belongs to these authorities and to what they revoked, which comes as rows of
/// the kind [`revocations::KIND`] with the serial number in place of the public key.
const READ: &str = "
    SELECT s.sequence, a.id, a.kind, a.public, a.expires_at, a.created_at, a.activated_at, a.superseded_at, a.tainted_at
    FROM bundle_sequences s
    LEFT JOIN authorities a ON a.trust_domain = s.trust_domain AND a.retired_at IS NULL
    WHERE s.trust_domain = $1
    UNION ALL
    SELECT s.sequence, r.authority, 'revoked', r.serial, NULL, r.revoked_at, NULL, NULL, NULL
    FROM bundle_sequences s
    JOIN revoked_leaves r ON r.trust_domain = s.trust_domain
    WHERE s.trust_domain = $1
    ORDER BY created_at, id, public";

const HAS_LEFT: &str = "SELECT id FROM authorities WHERE trust_domain = $1 AND id = $2 AND retired_at IS NOT NULL";

const ADD: &str = "
    INSERT INTO authorities
        (trust_domain, id, kind, public, expires_at, created_at, activated_at, superseded_at, tainted_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT DO NOTHING
    RETURNING id";

const ACTIVATE: &str = "
    UPDATE authorities SET activated_at = $3
    WHERE trust_domain = $1 AND id = $2 AND retired_at IS NULL AND activated_at IS NULL
    RETURNING id";

const SUPERSEDE: &str = "
    UPDATE authorities SET superseded_at = $3
    WHERE trust_domain = $1 AND id = $2
        AND retired_at IS NULL AND activated_at IS NOT NULL AND superseded_at IS NULL
    RETURNING id";

const TAINT: &str = "
    UPDATE authorities SET tainted_at = $3
    WHERE trust_domain = $1 AND id = $2 AND retired_at IS NULL AND tainted_at IS NULL
    RETURNING id";

const REMOVE: &str = "
    UPDATE authorities SET retired_at = $3
    WHERE trust_domain = $1 AND id = $2 AND retired_at IS NULL
    RETURNING id";

const MOVE_SEQUENCE: &str = "
    INSERT INTO bundle_sequences (trust_domain, sequence)
    VALUES ($1, 1)
    ON CONFLICT (trust_domain) DO UPDATE SET sequence = bundle_sequences.sequence + 1
    RETURNING sequence";

const SEQUENCE: &str = "SELECT sequence FROM bundle_sequences WHERE trust_domain = $1";

/// A row of [`READ`]. A trust domain whose authorities have all left has one row without an authority.
type ReadRow = (
    i64,
    Option<String>,
    Option<String>,
    Option<Vec<u8>>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
);

impl<DB: sqlx::Database> AuthorityJournal for Database<DB>
where
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'q> Option<i64>: Encode<'q, DB> + Type<DB>,
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
            let mut journaled = Journaled { sequence, ..Journaled::default() };
            for row in rows {
                match item(row)? {
                    Some(Item::Authority(entry)) => journaled.authorities.push(entry),
                    Some(Item::Revoked(leaf)) => journaled.revoked.push(leaf),
                    None => {}
                }
            }
            Ok(journaled)
        })
    }

    fn has_left<'a>(&'a self, trust_domain: &'a TrustDomain, id: &'a str) -> JournalFuture<'a, bool> {
        Box::pin(async move {
            let mut connection = self.pool.acquire().await.map_err(failed)?;
            let query = sqlx::query_as(HAS_LEFT).bind(trust_domain.to_string()).bind(id.to_owned());
            let found: Option<(String,)> = query.fetch_optional(&mut *connection).await.map_err(failed)?;
            Ok(found.is_some())
        })
    }

    fn apply<'a>(
        &'a self,
        trust_domain: &'a TrustDomain,
        steps: &'a [JournalStep<'a>],
        now: Timestamp,
    ) -> JournalFuture<'a, u64> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with(self.begin).await.map_err(failed)?;
            for step in steps {
                let (id, statement) = match step {
                    JournalStep::Add(entry) => (&*entry.id, ADD),
                    JournalStep::Activate(id) => (*id, ACTIVATE),
                    JournalStep::Supersede(id) => (*id, SUPERSEDE),
                    JournalStep::Taint(id) => (*id, TAINT),
                    JournalStep::Remove(id) => (*id, REMOVE),
                    JournalStep::Revoke(leaf) => (&*leaf.authority, revocations::ADD),
                };
                let query = sqlx::query_as(statement).bind(trust_domain.to_string()).bind(id.to_owned());
                let query = match step {
                    JournalStep::Add(entry) => {
                        let (public, expires_at) = columns(&entry.public)?;
                        query
                            .bind(entry.kind().name().to_owned())
                            .bind(public)
                            .bind(expires_at)
                            .bind(stored(entry.created_at)?)
                            .bind(entry.activated_at.map(stored).transpose()?)
                            .bind(entry.superseded_at.map(stored).transpose()?)
                            .bind(entry.tainted_at.map(stored).transpose()?)
                    }
                    JournalStep::Revoke(leaf) => {
                        query.bind(leaf.serial.as_bytes().to_vec()).bind(stored(leaf.revoked_at)?)
                    }
                    _ => query.bind(stored(now)?),
                };
                // What is not committed is rolled back when it is dropped.
                let changed: Option<(String,)> = query.fetch_optional(&mut *transaction).await.map_err(failed)?;
                changed.ok_or_else(|| failed(StaleStep(id.to_owned())))?;
                if let JournalStep::Remove(id) = step {
                    let forgotten =
                        sqlx::query(revocations::FORGET).bind(trust_domain.to_string()).bind(id.to_string());
                    forgotten.execute(&mut *transaction).await.map_err(failed)?;
                }
            }
            commit(transaction, trust_domain, steps.iter().any(JournalStep::is_public)).await
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

/// What `public` and `expires_at` hold.
fn columns(public: &AuthorityPublic) -> Result<(Vec<u8>, Option<i64>), JournalError> {
    Ok(match public {
        AuthorityPublic::X509 { certificate } => (certificate.clone(), None),
        AuthorityPublic::Jwt { public_key, expires_at } => (public_key.clone(), Some(stored(*expires_at)?)),
    })
}

/// What a row is of.
enum Item {
    Authority(AuthorityEntry),
    Revoked(RevokedLeaf),
}

fn item(row: ReadRow) -> Result<Option<Item>, JournalError> {
    let (_, id, kind, public, expires_at, created_at, activated_at, superseded_at, tainted_at) = row;
    let (Some(id), Some(kind), Some(public), Some(created_at)) = (id, kind, public, created_at) else {
        return Ok(None);
    };
    let public = match (&*kind, expires_at) {
        (revocations::KIND, _) => {
            return revocations::read(id, &public, read(created_at)?).map(Item::Revoked).map(Some);
        }
        ("x509", _) => AuthorityPublic::X509 { certificate: public },
        ("jwt", Some(expires_at)) => AuthorityPublic::Jwt { public_key: public, expires_at: read(expires_at)? },
        _ => return Err(failed(UnknownKind { id, kind })),
    };
    Ok(Some(Item::Authority(AuthorityEntry {
        id,
        public,
        created_at: read(created_at)?,
        activated_at: activated_at.map(read).transpose()?,
        superseded_at: superseded_at.map(read).transpose()?,
        tainted_at: tainted_at.map(read).transpose()?,
    })))
}

/// A row that this version did not write.
#[derive(Debug, thiserror::Error)]
#[error("authority {id} is of the kind `{kind}`, which this version of portcullis does not know, or lacks its expiry")]
struct UnknownKind {
    id: String,
    kind: String,
}

/// A time as a column has it, which ends in the year 2262.
fn stored(time: Timestamp) -> Result<i64, JournalError> {
    i64::try_from(time.unix_nanos()).map_err(failed)
}

/// The same, from a column.
fn read(nanos: i64) -> Result<Timestamp, JournalError> {
    u64::try_from(nanos).map(Timestamp::from_unix_nanos).map_err(failed)
}

pub(super) fn failed(error: impl Error + Send + Sync + 'static) -> JournalError {
    JournalError(Box::new(error))
}
