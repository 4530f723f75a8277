//! SQL behind the ports of other rooms. SQLite for one process and its data directory, PostgreSQL for those who run one
//! anyway; the same statements serve both, and `contract` holds both to the same behaviour.

mod audit_index;
mod authorities;
mod delegations;
mod entities;
mod entries;
mod federation;
mod join_tokens;
mod postgres;
mod revocations;
mod sqlite;
mod uses;
mod wait;

use std::path::{Path, PathBuf};

use portcullis_spiffe::TrustDomain;
use sqlx::migrate::MigrateError;
use sqlx::{Pool, Postgres, Sqlite};

pub use self::audit_index::AuditIndex;
pub use self::delegations::DelegationTables;
pub use self::entities::EntityTable;
pub use self::entries::EntryStore;
pub use self::federation::FederationTables;
pub use self::uses::UseTable;

use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::foundation::files::PrivateFileError;
use crate::foundation::lock::LockError;
use crate::identity::join_token::{JoinTokenFuture, JoinTokenStore};
use crate::identity::journal::{AuthorityJournal, JournalFuture, JournalStep, Journaled};

/// An open database, migrated to what this version needs.
#[derive(Debug)]
pub struct Store(Backend);

#[derive(Debug)]
enum Backend {
    Sqlite(Database<Sqlite>),
    Postgres(Database<Postgres>),
}

/// One kind of database, which is all that the statements behind the ports are written for.
#[derive(Debug)]
struct Database<DB: sqlx::Database> {
    pool: Pool<DB>,
    /// The statement that begins a transaction that will write.
    begin: &'static str,
}

/// Why a database can't be opened. Never shows the URL: it may hold a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The URL is of neither kind.
    #[error("a store is `sqlite:PATH`, with the path of a file, or `postgres://…`")]
    Url,
    /// The file, or the directory it is in, can't be used.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// Another process of ours holds the database.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The database can't be reached or used.
    #[error("the database can't be opened: {0}")]
    Database(#[from] sqlx::Error),
    /// It is of a later version of this program, or was changed by hand.
    #[error("the database can't be migrated: {0}")]
    Migrate(#[from] MigrateError),
}

/// Where a store is.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Location<'a> {
    Sqlite(PathBuf),
    Postgres(&'a str),
}

/// Opens the store at `url` and brings its tables up to date: `sqlite:PATH`, whose directory is made with mode 0700 if
/// it is missing and must be ours alone, or a PostgreSQL connection URL.
///
/// # Errors
/// [`StoreError`].
pub async fn open(url: &str) -> Result<Store, StoreError> {
    Ok(Store(match locate(url)? {
        Location::Sqlite(path) => Backend::Sqlite(sqlite::open(&path).await?),
        Location::Postgres(url) => Backend::Postgres(postgres::open(url).await?),
    }))
}

/// What `url` names. A path that begins with two slashes is a `sqlite://` URL with a host, which is a mistake.
fn locate(url: &str) -> Result<Location<'_>, StoreError> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(Location::Postgres(url));
    }
    let path = url.strip_prefix("sqlite:").filter(|path| !path.starts_with("//")).ok_or(StoreError::Url)?;
    let is_file = Path::new(path).file_name().is_some() && !path.ends_with('/') && path != ":memory:";
    if is_file { Ok(Location::Sqlite(path.into())) } else { Err(StoreError::Url) }
}

impl Store {
    /// Waits until what is under way is done, then closes all connections.
    pub async fn close(&self) {
        match &self.0 {
            Backend::Sqlite(database) => database.pool.close().await,
            Backend::Postgres(database) => database.pool.close().await,
        }
    }

    fn journal(&self) -> &dyn AuthorityJournal {
        match &self.0 {
            Backend::Sqlite(database) => database,
            Backend::Postgres(database) => database,
        }
    }

    fn join_tokens(&self) -> &dyn JoinTokenStore {
        match &self.0 {
            Backend::Sqlite(database) => database,
            Backend::Postgres(database) => database,
        }
    }
}

impl AuthorityJournal for Store {
    fn read<'a>(&'a self, trust_domain: &'a TrustDomain) -> JournalFuture<'a, Journaled> {
        self.journal().read(trust_domain)
    }

    fn has_left<'a>(&'a self, trust_domain: &'a TrustDomain, id: &'a str) -> JournalFuture<'a, bool> {
        self.journal().has_left(trust_domain, id)
    }

    fn apply<'a>(
        &'a self,
        trust_domain: &'a TrustDomain,
        steps: &'a [JournalStep<'a>],
        now: Timestamp,
    ) -> JournalFuture<'a, u64> {
        self.journal().apply(trust_domain, steps, now)
    }
}

impl JoinTokenStore for Store {
    fn add<'a>(
        &'a self,
        trust_domain: &'a TrustDomain,
        digest: Digest,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> JoinTokenFuture<'a, bool> {
        self.join_tokens().add(trust_domain, digest, expires_at, now)
    }

    fn redeem<'a>(
        &'a self,
        trust_domain: &'a TrustDomain,
        digest: Digest,
        now: Timestamp,
    ) -> JoinTokenFuture<'a, bool> {
        self.join_tokens().redeem(trust_domain, digest, now)
    }
}

#[cfg(test)]
mod contract;
