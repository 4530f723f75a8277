//! [`FederationStore`] in SQL, written once for both databases. A bundle is one JSON document: it is read and written
//! whole, and nobody asks the database what is in it.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_spiffe::TrustDomain;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use sqlx::{Encode, Executor, FromRow, IntoArguments, Transaction, Type};

use super::wait::Waiter;
use super::{Backend, Database, Store};
use crate::foundation::clock::Timestamp;
use crate::identity::bundle::{Bundle, JwtAuthority, X509Authority};
use crate::identity::federation::{
    EndpointProfile, Federated, FederationFuture, FederationStore, FederationStoreError, FederationWrite, Relationship,
};

const SEQUENCE: &str = "SELECT sequence FROM federation_sequences WHERE trust_domain = $1";

const MOVE_SEQUENCE: &str = "
    INSERT INTO federation_sequences (trust_domain, sequence)
    VALUES ($1, 1)
    ON CONFLICT (trust_domain) DO UPDATE SET sequence = federation_sequences.sequence + 1
    RETURNING sequence";

const BUNDLES: &str = "SELECT foreign_domain, bundle FROM federated_bundles WHERE trust_domain = $1";

const PUT_BUNDLE: &str = "
    INSERT INTO federated_bundles (trust_domain, foreign_domain, bundle)
    VALUES ($1, $2, $3)
    ON CONFLICT (trust_domain, foreign_domain) DO UPDATE SET bundle = excluded.bundle";

const DELETE_BUNDLE: &str = "DELETE FROM federated_bundles WHERE trust_domain = $1 AND foreign_domain = $2";

const RELATIONSHIPS: &str = "
    SELECT foreign_domain, endpoint_url, endpoint_spiffe_id FROM federation_relationships WHERE trust_domain = $1";

const PUT_RELATIONSHIP: &str = "
    INSERT INTO federation_relationships (trust_domain, foreign_domain, endpoint_url, endpoint_spiffe_id)
    VALUES ($1, $2, $3, $4)
    ON CONFLICT (trust_domain, foreign_domain)
    DO UPDATE SET endpoint_url = excluded.endpoint_url, endpoint_spiffe_id = excluded.endpoint_spiffe_id";

const DELETE_RELATIONSHIP: &str =
    "DELETE FROM federation_relationships WHERE trust_domain = $1 AND foreign_domain = $2";

/// The channel that the trigger of migration 4 notifies.
const CHANNEL: &str = "federation_changed";

/// The federation of one trust domain in a store.
#[derive(Debug)]
pub struct FederationTables {
    store: Arc<Store>,
    trust_domain: TrustDomain,
    waiter: Waiter,
}

/// What [`FederationTables`] needs of a database of either kind.
trait Tables: Send + Sync {
    fn load<'a>(&'a self, trust_domain: &'a TrustDomain) -> FederationFuture<'a, Federated>;
    fn sequence<'a>(&'a self, trust_domain: &'a TrustDomain) -> FederationFuture<'a, u64>;
    fn apply<'a>(
        &'a self,
        trust_domain: &'a TrustDomain,
        expected: u64,
        writes: &'a [FederationWrite],
    ) -> FederationFuture<'a, u64>;
}

type RelationshipRow = (String, String, Option<String>);

/// A bundle as its column has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredBundle {
    x509: Vec<StoredX509>,
    jwt: Vec<StoredJwt>,
    /// Seconds.
    refresh_hint: Option<u64>,
    sequence: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredX509 {
    /// DER, base64.
    certificate: String,
    tainted: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredJwt {
    key_id: String,
    /// DER, base64.
    public_key: String,
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    expires_at: Option<u64>,
    tainted: bool,
}

impl Store {
    /// The federation of `trust_domain`.
    pub fn federation(self: &Arc<Self>, trust_domain: TrustDomain) -> FederationTables {
        FederationTables { store: Arc::clone(self), trust_domain, waiter: Waiter::new(CHANNEL) }
    }
}

impl FederationTables {
    fn tables(&self) -> &dyn Tables {
        match &self.store.0 {
            Backend::Sqlite(database) => database,
            Backend::Postgres(database) => database,
        }
    }
}

impl FederationStore for FederationTables {
    fn load(&self) -> FederationFuture<'_, Federated> {
        self.tables().load(&self.trust_domain)
    }

    fn sequence(&self) -> FederationFuture<'_, u64> {
        self.tables().sequence(&self.trust_domain)
    }

    fn apply<'a>(&'a self, expected: u64, writes: &'a [FederationWrite]) -> FederationFuture<'a, u64> {
        self.tables().apply(&self.trust_domain, expected, writes)
    }

    fn wait(&self) -> FederationFuture<'_, ()> {
        Box::pin(async { self.waiter.wait(&self.store.0).await.map_err(failed) })
    }
}

impl<DB: sqlx::Database> Tables for Database<DB>
where
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> String: Encode<'q, DB> + Type<DB>,
    for<'q> Option<String>: Encode<'q, DB> + Type<DB>,
    for<'r> (i64,): FromRow<'r, DB::Row>,
    for<'r> (String, String): FromRow<'r, DB::Row>,
    for<'r> RelationshipRow: FromRow<'r, DB::Row>,
{
    fn load<'a>(&'a self, trust_domain: &'a TrustDomain) -> FederationFuture<'a, Federated> {
        Box::pin(async move {
            // The sequence first: what is read after it may be newer, and then the next look reads it again.
            let sequence = self.sequence(trust_domain).await?;
            let mut connection = self.pool.acquire().await.map_err(failed)?;
            let bundles = sqlx::query_as::<DB, (String, String)>(BUNDLES).bind(trust_domain.to_string());
            let bundles = bundles.fetch_all(&mut *connection).await.map_err(failed)?;
            let relationships = sqlx::query_as::<DB, RelationshipRow>(RELATIONSHIPS).bind(trust_domain.to_string());
            let relationships = relationships.fetch_all(&mut *connection).await.map_err(failed)?;
            Ok(Federated {
                bundles: bundles.into_iter().map(bundle).collect::<Result<_, _>>()?,
                relationships: relationships.into_iter().map(relationship).collect::<Result<_, _>>()?,
                sequence,
            })
        })
    }

    fn sequence<'a>(&'a self, trust_domain: &'a TrustDomain) -> FederationFuture<'a, u64> {
        Box::pin(async move {
            let mut connection = self.pool.acquire().await.map_err(failed)?;
            let query = sqlx::query_as(SEQUENCE).bind(trust_domain.to_string());
            let sequence: Option<(i64,)> = query.fetch_optional(&mut *connection).await.map_err(failed)?;
            sequence.map_or(Ok(0), |(sequence,)| u64::try_from(sequence).map_err(failed))
        })
    }

    fn apply<'a>(
        &'a self,
        trust_domain: &'a TrustDomain,
        expected: u64,
        writes: &'a [FederationWrite],
    ) -> FederationFuture<'a, u64> {
        Box::pin(async move {
            let mut transaction = self.pool.begin_with(self.begin).await.map_err(failed)?;
            // First of all, so that whoever changes it at the same time waits here.
            let query = sqlx::query_as(MOVE_SEQUENCE).bind(trust_domain.to_string());
            let (sequence,): (i64,) = query.fetch_one(&mut *transaction).await.map_err(failed)?;
            let sequence = u64::try_from(sequence).map_err(failed)?;
            if sequence != expected + 1 {
                return Err(FederationStoreError::Raced);
            }
            for write in writes {
                execute(&mut transaction, trust_domain, write).await?;
            }
            transaction.commit().await.map_err(failed)?;
            Ok(sequence)
        })
    }
}

async fn execute<DB: sqlx::Database>(
    transaction: &mut Transaction<'_, DB>,
    trust_domain: &TrustDomain,
    write: &FederationWrite,
) -> Result<(), FederationStoreError>
where
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> String: Encode<'q, DB> + Type<DB>,
    for<'q> Option<String>: Encode<'q, DB> + Type<DB>,
{
    let ours = trust_domain.to_string();
    let query = match write {
        FederationWrite::PutBundle(bundle) => {
            sqlx::query(PUT_BUNDLE).bind(ours).bind(bundle.trust_domain.to_string()).bind(document(bundle)?)
        }
        FederationWrite::DeleteBundle(foreign) => sqlx::query(DELETE_BUNDLE).bind(ours).bind(foreign.to_string()),
        FederationWrite::PutRelationship(relationship) => sqlx::query(PUT_RELATIONSHIP)
            .bind(ours)
            .bind(relationship.trust_domain.to_string())
            .bind(relationship.endpoint.to_string())
            .bind(match &relationship.profile {
                EndpointProfile::Web => None,
                EndpointProfile::Spiffe(id) => Some(id.to_string()),
            }),
        FederationWrite::DeleteRelationship(foreign) => {
            sqlx::query(DELETE_RELATIONSHIP).bind(ours).bind(foreign.to_string())
        }
    };
    query.execute(&mut **transaction).await.map_err(failed)?;
    Ok(())
}

/// What [`PUT_BUNDLE`] keeps.
fn document(bundle: &Bundle) -> Result<String, FederationStoreError> {
    let x509 = bundle.x509_authorities.iter().map(|authority| StoredX509 {
        certificate: STANDARD.encode(&authority.certificate),
        tainted: authority.tainted,
    });
    let jwt = bundle.jwt_authorities.iter().map(|authority| StoredJwt {
        key_id: authority.key_id.clone(),
        public_key: STANDARD.encode(&authority.public_key),
        expires_at: authority.expires_at.map(Timestamp::unix_nanos),
        tainted: authority.tainted,
    });
    let stored = StoredBundle {
        x509: x509.collect(),
        jwt: jwt.collect(),
        refresh_hint: bundle.refresh_hint.map(|hint| hint.as_secs()),
        sequence: bundle.sequence,
    };
    serde_json::to_string(&stored).map_err(failed)
}

fn bundle((trust_domain, document): (String, String)) -> Result<Bundle, FederationStoreError> {
    let stored: StoredBundle = serde_json::from_str(&document).map_err(failed)?;
    let x509_authorities = stored.x509.into_iter().map(|authority| {
        let certificate = CertificateDer::from(STANDARD.decode(authority.certificate).map_err(failed)?);
        Ok(X509Authority { certificate, tainted: authority.tainted })
    });
    let jwt_authorities = stored.jwt.into_iter().map(|authority| {
        Ok(JwtAuthority {
            key_id: authority.key_id,
            public_key: STANDARD.decode(authority.public_key).map_err(failed)?,
            expires_at: authority.expires_at.map(Timestamp::from_unix_nanos),
            tainted: authority.tainted,
        })
    });
    Ok(Bundle {
        trust_domain: trust_domain.parse().map_err(failed)?,
        x509_authorities: x509_authorities.collect::<Result<_, _>>()?,
        jwt_authorities: jwt_authorities.collect::<Result<_, _>>()?,
        revocations: Vec::new(),
        refresh_hint: stored.refresh_hint.map(Duration::from_secs),
        sequence: stored.sequence,
    })
}

fn relationship((trust_domain, url, spiffe_id): RelationshipRow) -> Result<Relationship, FederationStoreError> {
    let profile = match spiffe_id {
        None => EndpointProfile::Web,
        Some(id) => EndpointProfile::Spiffe(id.parse().map_err(failed)?),
    };
    Ok(Relationship {
        trust_domain: trust_domain.parse().map_err(failed)?,
        endpoint: url.parse().map_err(failed)?,
        profile,
    })
}

fn failed(error: impl Error + Send + Sync + 'static) -> FederationStoreError {
    FederationStoreError::Failed(Box::new(error))
}
