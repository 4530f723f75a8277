//! Our own certificate authority: it makes its keys, keeps them sealed, replaces itself in time and signs leaves.
//!
//! An authority comes to be in an order that a crash may cut anywhere: its key is sealed on the disk, then the journal
//! takes it, then the bundle shows it, then it signs. Before the journal's transaction there is at worst a key that no
//! one knows; after it there is always a key for what the journal names. A start never makes a new authority because
//! an old one can't be read: it refuses, and says what to restore.

mod custody;
mod delegated;
mod jwt;
mod keys;
mod lifecycle;
mod lint;
mod revocation;
mod rotation;
mod seal;
mod signers;
mod statement;
mod template;
mod x509;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::error::Unspecified;
use portcullis_spiffe::{SpiffeId, TrustDomain};
use prometheus_client::metrics::gauge::Gauge;

pub use self::custody::{CustodyError, KeyCustody, TokenConfig};
pub use self::delegated::{DelegatedKind, DelegatedToken};
pub use self::keys::{Hash, KeyType};
pub use self::lifecycle::{AuthoritySlots, AuthorityState, LifecycleError};
pub use self::lint::LintError;
pub use self::revocation::{MAX_REVOKED, RevocationError};
pub use self::seal::SealError;
pub use self::statement::Statement;
pub use super::journal::AuthorityStage;
pub use crate::evidence::AuthorityKind;

pub(super) use self::jwt::{SignedToken, TokenRequest};
pub(super) use self::x509::{CertifiedLeaf, LeafRequest};

use self::custody::Custody;
use self::rotation::Term;
use self::signers::Signers;
use super::bundle::Bundles;
use super::journal::{AuthorityJournal, JournalError, Journaled};
use crate::evidence::{AppendError, Audit};
use crate::foundation::clock::Timestamp;
use crate::foundation::entropy::{Entropy, EntropyError};
use crate::foundation::files::{PrivateFileError, private_directory, write_private};
use crate::foundation::lock::{FileLock, LockError};
use crate::foundation::telemetry::Registry;
use crate::foundation::watched::Watched;

/// An authority lives this many times as long as what it signs, so that what it signs last before it hands over, at 5/6
/// of its life, need not be cut short.
pub const AUTHORITY_LEAVES: u32 = 6;

/// The authority, checked.
#[derive(Clone, Debug)]
pub struct AuthorityConfig {
    /// Whose identities it signs.
    pub trust_domain: TrustDomain,
    /// How long an authority lives, of either kind. What it signs never lives longer.
    pub ttl: Duration,
    /// What keys sign JWT-SVIDs.
    pub jwt_key_type: KeyType,
    /// With which kind of key new authorities sign certificates.
    pub key_type: KeyType,
    /// What an RSA key signs JWT-SVIDs with: RS256, RS384 or RS512.
    pub jwt_rsa_hash: Hash,
    /// The directory of the lock and of `keys/`: ours alone, mode 0700.
    pub data_dir: PathBuf,
    /// Who keeps the private keys.
    pub custody: KeyCustody,
}

/// What the authority works with.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Where its state is kept.
    pub journal: Arc<dyn AuthorityJournal>,
    /// Where every change is recorded before it happens.
    pub audit: Arc<dyn Audit>,
    /// For serial numbers and nonces.
    pub entropy: Arc<dyn Entropy>,
}

/// Why there is no authority, why it did not sign or did not change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The data directory can't be used.
    #[error("the data directory can't be used: {0}")]
    DataDir(#[from] PrivateFileError),
    /// Another process of ours holds the data directory.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The change was not recorded, so it was not made.
    #[error("the change of an authority can't be recorded: {0}")]
    Record(#[from] AppendError),
    /// The authority is not one that this can be done with.
    #[error(transparent)]
    Lifecycle(#[from] LifecycleError),
    /// The leaf can't be revoked.
    #[error(transparent)]
    Revocation(#[from] RevocationError),
    /// The journal knows nothing of the trust domain, although this data directory once had an authority of it.
    #[error(
        "the store knows no authority of `{trust_domain}`, but `{mark}` says that there was one: restore the store, or \
         name the right one in `store.url`; removing the file begins anew and cuts off all that trust the old authority"
    )]
    JournalLost {
        /// Whose authority is missing.
        trust_domain: TrustDomain,
        /// What says so.
        mark: PathBuf,
    },
    /// A key can't be had or kept.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// The journal has a certificate that is not what we made.
    #[error("the journal's certificate of authority {id} is not one that we made: {source}")]
    Foreign {
        /// The authority.
        id: String,
        /// What is wrong with it.
        source: LintError,
    },
    /// What was signed is not what was meant, so it was thrown away.
    #[error("a certificate failed the check after signing: {0}")]
    Lint(#[from] LintError),
    /// The certificate could not be built.
    #[error("the certificate could not be encoded: {0}")]
    Encode(#[from] rcgen::Error),
    /// The token could not be built.
    #[error("the token could not be encoded: {0}")]
    EncodeToken(#[from] serde_json::Error),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The cryptography library failed, which it does only when out of memory.
    #[error("the cryptography library failed")]
    Crypto,
    /// The machine's clock stands before the authorities were made.
    #[error("the clock says {now}, but authority {id} is valid from {not_before} on only: set the clock")]
    ClockBehind {
        /// The authority.
        id: Arc<str>,
        /// From when it is valid.
        not_before: Timestamp,
        /// What the clock says.
        now: Timestamp,
    },
    /// None of the authorities is valid now; the next maintenance makes one.
    #[error("no authority is valid at {0}")]
    NoSigner(Timestamp),
    /// Certificates and tokens count whole seconds, and this is none.
    #[error("an SVID can't live for {0:?} only")]
    TooShort(Duration),
    /// Only the authority of its own trust domain may sign an identity.
    #[error("`{0}` is not of our trust domain")]
    ForeignTrustDomain(SpiffeId),
}

impl From<Unspecified> for AuthorityError {
    fn from(Unspecified: Unspecified) -> Self {
        Self::Crypto
    }
}

/// What the authority tells of itself.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    expiry: Gauge<u64, AtomicU64>,
    jwt_expiry: Gauge<u64, AtomicU64>,
    sequence: Gauge<u64, AtomicU64>,
}

impl Metrics {
    /// The metrics, registered.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "portcullis_authority_expiry_seconds",
            "When the authority that signs X.509-SVIDs now expires, in seconds since 1970",
            metrics.expiry.clone(),
        );
        registry.register(
            "portcullis_jwt_authority_expiry_seconds",
            "When the authority that signs JWT-SVIDs now expires, in seconds since 1970",
            metrics.jwt_expiry.clone(),
        );
        registry.register(
            "portcullis_bundle_sequence",
            "The sequence of our trust domain's bundle",
            metrics.sequence.clone(),
        );
        metrics
    }
}

/// The authorities of one trust domain.
#[derive(Debug)]
pub struct Authority {
    config: AuthorityConfig,
    ports: Ports,
    custody: Custody,
    /// Those in the bundle. Replaced only after the bundle was.
    signers: ArcSwap<Signers>,
    bundles: Arc<Watched<Bundles>>,
    metrics: Metrics,
}

impl Authority {
    /// Loads the authorities of the trust domain, or makes the first ones. When this returns, the bundle is published
    /// and one of each kind can sign.
    ///
    /// # Errors
    /// [`AuthorityError`]. Nothing is made in place of what can't be read.
    pub async fn open(
        config: AuthorityConfig,
        ports: Ports,
        metrics: Metrics,
        now: Timestamp,
    ) -> Result<Self, AuthorityError> {
        private_directory(&config.data_dir)?;
        let _one_process = FileLock::acquire(&config.data_dir.join("lock")).await?;
        let known = ports.journal.read(&config.trust_domain).await?;
        let in_use = !known.authorities.is_empty();
        let mark = config.data_dir.join(format!("{}.established", config.trust_domain));
        if known.sequence == 0 && mark.exists() {
            return Err(AuthorityError::JournalLost { trust_domain: config.trust_domain.clone(), mark });
        }
        let custody = Custody::open(&config.custody, &config.data_dir, in_use, &*ports.entropy)?;
        let bundles = Arc::new(Watched::new(Bundles::default()));
        let authority = Self { config, ports, custody, signers: ArcSwap::default(), bundles, metrics };
        authority.disown(&known, now).await?;
        authority.clear_out(&known).await?;
        authority.settle(now).await?;
        // From here on an empty journal is a lost one. A crash before this is the same as one before the journal's entry.
        if !mark.exists() {
            write_private(&mark, b"")?;
        }
        Ok(authority)
    }

    /// Does what is due at `now`: prepares the next authorities, lets them sign, takes expired ones out of the bundle,
    /// takes over what another process on the same data directory did. Returns when to call again at the latest.
    ///
    /// # Errors
    /// [`AuthorityError`]; what is in place stays, and calling again later is right.
    pub async fn maintain(&self, now: Timestamp) -> Result<Timestamp, AuthorityError> {
        let _one_process = self.lock().await?;
        self.settle(now).await
    }

    /// The bundles, of which this authority keeps its own trust domain's.
    pub fn bundles(&self) -> &Arc<Watched<Bundles>> {
        &self.bundles
    }

    /// Whose identities it signs.
    pub const fn trust_domain(&self) -> &TrustDomain {
        &self.config.trust_domain
    }

    /// How long an SVID may live at most without ever being cut short by the end of who signed it.
    pub fn longest_svid(&self) -> Duration {
        self.config.ttl / AUTHORITY_LEAVES
    }

    /// Destroys the keys of authorities that have left the bundle, where a crash came before that.
    async fn clear_out(&self, known: &Journaled) -> Result<(), AuthorityError> {
        for orphan in self.custody.ids()?.iter().filter(|id| known.authorities.iter().all(|entry| entry.id != **id)) {
            if self.ports.journal.has_left(self.trust_domain(), orphan).await? {
                self.destroy_key(orphan);
            } else {
                tracing::warn!(key = %orphan, "a sealed key belongs to no authority in the journal; it is ignored");
            }
        }
        Ok(())
    }

    /// The lock of the data directory, under which alone the journal and the keys are written.
    async fn lock(&self) -> Result<FileLock, AuthorityError> {
        Ok(FileLock::acquire(&self.config.data_dir.join("lock")).await?)
    }

    fn check_ours(&self, id: &SpiffeId) -> Result<(), AuthorityError> {
        let is_ours = id.trust_domain() == self.trust_domain();
        if is_ours { Ok(()) } else { Err(AuthorityError::ForeignTrustDomain(id.clone())) }
    }
}

#[cfg(test)]
mod tests;
