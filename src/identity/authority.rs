//! Our own certificate authority: it makes its keys, keeps them sealed, replaces itself in time and signs leaves.
//!
//! An authority comes to be in an order that a crash may cut anywhere: its key is sealed on the disk, then the journal
//! takes it, then the bundle shows it, then it signs. Before the journal's transaction there is at worst a key that no
//! one knows; after it there is always a key for what the journal names. A start never makes a new authority because
//! an old one can't be read: it refuses, and says what to restore.

mod keys;
mod lint;
mod rotation;
mod seal;
mod template;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::error::Unspecified;
use portcullis_spiffe::{SpiffeId, TrustDomain};
use prometheus_client::metrics::gauge::Gauge;
use rcgen::PublicKeyData as _;
use rustls_pki_types::CertificateDer;

pub use self::lint::LintError;
pub use self::seal::SealError;

use self::keys::SigningKey;
use self::lint::ExpectedLeaf;
use self::rotation::{Plan, Term, plan};
use self::seal::Vault;
use self::template::{Serial, Validity};
use super::bundle::{Bundle, Bundles};
use super::journal::{AuthorityEntry, AuthorityJournal, JournalError, Journaled};
use crate::foundation::clock::Timestamp;
use crate::foundation::entropy::{Entropy, EntropyError};
use crate::foundation::files::{PrivateFileError, private_directory, write_private};
use crate::foundation::lock::{FileLock, LockError};
use crate::foundation::secret::Secret;
use crate::foundation::telemetry::Registry;
use crate::foundation::watched::Watched;

/// The authority, checked.
#[derive(Clone, Debug)]
pub struct AuthorityConfig {
    /// Whose identities it signs.
    pub trust_domain: TrustDomain,
    /// How long one of its certificates lives. Leaves never live longer.
    pub ttl: Duration,
    /// The directory of the lock and of `keys/`: ours alone, mode 0700.
    pub data_dir: PathBuf,
    /// The file of the 32 raw bytes that seal the keys, mode 0600, made at the first start. By default `seal.key` in
    /// the data directory.
    pub seal_key_file: PathBuf,
}

/// Why there is no authority, or why it did not sign.
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
    /// A key can't be sealed or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
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
    /// Certificates count whole seconds, and this is none.
    #[error("a certificate can't live for {0:?} only")]
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
    sequence: Gauge<u64, AtomicU64>,
}

impl Metrics {
    /// The metrics, registered.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "portcullis_authority_expiry_seconds",
            "When the authority that signs now expires, in seconds since 1970",
            metrics.expiry.clone(),
        );
        registry.register(
            "portcullis_bundle_sequence",
            "The sequence of our trust domain's bundle",
            metrics.sequence.clone(),
        );
        metrics
    }
}

/// The certificate authority of one trust domain.
#[derive(Debug)]
pub struct Authority {
    config: AuthorityConfig,
    journal: Arc<dyn AuthorityJournal>,
    entropy: Arc<dyn Entropy>,
    vault: Vault,
    /// Those in the bundle, oldest first. Replaced only after the bundle was.
    signers: ArcSwap<Vec<Arc<Signer>>>,
    bundles: Arc<Watched<Bundles>>,
    metrics: Metrics,
}

/// One authority with its key.
#[derive(Debug)]
struct Signer {
    id: Arc<str>,
    term: Term,
    certificate: CertificateDer<'static>,
    issuer: rcgen::Issuer<'static, SigningKey>,
}

/// What a leaf is to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeafRequest<'a> {
    pub(super) spiffe_id: &'a SpiffeId,
    pub(super) dns_names: &'a [String],
    pub(super) ttl: Duration,
}

/// A leaf, signed and checked, with its key.
#[derive(Clone, Debug)]
pub(super) struct SignedLeaf {
    pub(super) certificate: CertificateDer<'static>,
    /// PKCS#8 DER.
    pub(super) key: Secret<Vec<u8>>,
    /// Hexadecimal.
    pub(super) serial: String,
    /// Who signed: see [`AuthorityEntry::id`].
    pub(super) authority: Arc<str>,
    /// The certificate of who signed.
    pub(super) authority_certificate: CertificateDer<'static>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Authority {
    /// Loads the authorities of the trust domain, or makes the first one. When this returns, the bundle is published
    /// and one of them can sign.
    ///
    /// # Errors
    /// [`AuthorityError`]. Nothing is made in place of what can't be read.
    pub async fn open(
        config: AuthorityConfig,
        journal: Arc<dyn AuthorityJournal>,
        entropy: Arc<dyn Entropy>,
        metrics: Metrics,
        now: Timestamp,
    ) -> Result<Self, AuthorityError> {
        private_directory(&config.data_dir)?;
        let _one_process = FileLock::acquire(&config.data_dir.join("lock")).await?;
        let known = journal.read(&config.trust_domain).await?;
        let in_use = !known.authorities.is_empty();
        let mark = config.data_dir.join(format!("{}.established", config.trust_domain));
        if known.sequence == 0 && mark.exists() {
            return Err(AuthorityError::JournalLost { trust_domain: config.trust_domain.clone(), mark });
        }
        let vault = Vault::open(config.data_dir.join("keys"), &config.seal_key_file, in_use, &*entropy)?;
        for orphan in vault.ids()?.iter().filter(|id| known.authorities.iter().all(|entry| entry.id != **id)) {
            tracing::warn!(key = %orphan, "a sealed key belongs to no authority in the journal; it is ignored");
        }
        let bundles = Arc::new(Watched::new(Bundles::default()));
        let signers = ArcSwap::default();
        let authority = Self { config, journal, entropy, vault, signers, bundles, metrics };
        authority.advance(now).await?;
        // From here on an empty journal is a lost one. A crash before this is the same as one before the journal's entry.
        if !mark.exists() {
            write_private(&mark, b"")?;
        }
        Ok(authority)
    }

    /// Does what is due at `now`: prepares the next authority, takes expired ones out of the bundle, takes over what
    /// another process on the same data directory did. Returns when to call again at the latest.
    ///
    /// # Errors
    /// [`AuthorityError`]; what is in place stays, and calling again later is right.
    pub async fn maintain(&self, now: Timestamp) -> Result<Timestamp, AuthorityError> {
        let _one_process = FileLock::acquire(&self.config.data_dir.join("lock")).await?;
        self.advance(now).await
    }

    /// The bundles, of which this authority keeps its own trust domain's.
    pub fn bundles(&self) -> &Arc<Watched<Bundles>> {
        &self.bundles
    }

    /// Whose identities it signs.
    pub const fn trust_domain(&self) -> &TrustDomain {
        &self.config.trust_domain
    }

    /// Signs a leaf for a new key.
    pub(super) fn sign(&self, request: &LeafRequest<'_>, now: Timestamp) -> Result<SignedLeaf, AuthorityError> {
        if request.spiffe_id.trust_domain() != self.trust_domain() {
            return Err(AuthorityError::ForeignTrustDomain(request.spiffe_id.clone()));
        }
        let signers = self.signers.load();
        let signer = current(&signers, now).ok_or(AuthorityError::NoSigner(now))?;
        let validity = Validity::new(now, request.ttl).within(signer.term.validity);
        if validity.not_after <= now {
            return Err(AuthorityError::TooShort(request.ttl));
        }
        let serial = Serial::new(&*self.entropy)?;
        let key = SigningKey::generate()?;
        let params = template::leaf(request.spiffe_id, request.dns_names, &serial, validity)?;
        let certificate = params.signed_by(&key, &signer.issuer)?;
        lint::check_leaf(
            certificate.der(),
            &ExpectedLeaf {
                uri: request.spiffe_id.as_str(),
                dns_names: request.dns_names,
                serial: &serial,
                validity,
                public_key: &key.subject_public_key_info(),
                authority: &signer.certificate,
            },
        )?;
        Ok(SignedLeaf {
            certificate: certificate.into(),
            key: key.to_pkcs8()?,
            serial: hex::encode(serial.as_bytes()),
            authority: signer.id.clone(),
            authority_certificate: signer.certificate.clone(),
            not_before: validity.not_before,
            not_after: validity.not_after,
        })
    }

    /// The body of [`Self::maintain`], under the lock.
    async fn advance(&self, now: Timestamp) -> Result<Timestamp, AuthorityError> {
        self.retire_expired(now).await?;
        let mut journaled = self.journal.read(self.trust_domain()).await?;
        let mut signers = self.load(&journaled)?;
        if plan_of(&signers, now).prepare {
            refuse_if_clock_is_behind(&signers, now)?;
            let made = self.make(now).await?;
            journaled = self.journal.read(self.trust_domain()).await?;
            signers = self.load(&journaled)?;
            tracing::info!(authority = %made, signs = signers.len() == 1, "made an authority");
        }
        self.publish(signers, journaled.sequence, now);
        Ok(plan_of(&self.signers.load(), now).next)
    }

    /// A new authority, durable: first its key, then its entry.
    async fn make(&self, now: Timestamp) -> Result<String, AuthorityError> {
        let serial = Serial::new(&*self.entropy)?;
        let key = SigningKey::generate()?;
        let id = hex::encode(key.id());
        let params = template::authority(self.trust_domain(), &serial, Validity::new(now, self.config.ttl))?;
        let certificate = params.self_signed(&key)?;
        lint::check_authority(certificate.der(), &self.trust_domain().id_string(), &key.subject_public_key_info())?;
        self.vault.seal(&id, &key, &*self.entropy)?;
        let entry = AuthorityEntry { id, certificate: certificate.der().to_vec(), created_at: now };
        self.journal.add_authority(self.trust_domain(), &entry).await?;
        Ok(entry.id)
    }

    /// The journal's authorities with their keys; those that are in memory already are not opened again.
    fn load(&self, journaled: &Journaled) -> Result<Vec<Arc<Signer>>, AuthorityError> {
        let loaded = self.signers.load();
        let known = |entry: &AuthorityEntry| loaded.iter().find(|signer| *signer.id == entry.id).cloned();
        journaled.authorities.iter().map(|entry| known(entry).map_or_else(|| self.load_one(entry), Ok)).collect()
    }

    fn load_one(&self, entry: &AuthorityEntry) -> Result<Arc<Signer>, AuthorityError> {
        let key = self.vault.unseal(&entry.id)?;
        let uri = self.trust_domain().id_string();
        let validity = lint::check_authority(&entry.certificate, &uri, &key.subject_public_key_info())
            .and_then(|()| lint::validity_of(&entry.certificate))
            .map_err(|source| AuthorityError::Foreign { id: entry.id.clone(), source })?;
        let certificate = CertificateDer::from(entry.certificate.clone());
        let issuer = rcgen::Issuer::from_ca_cert_der(&certificate, key)?;
        let term = Term { created_at: entry.created_at, validity };
        Ok(Arc::new(Signer { id: entry.id.as_str().into(), term, certificate, issuer }))
    }

    /// Takes expired authorities out of the journal, then removes their keys, which no one needs any more.
    async fn retire_expired(&self, now: Timestamp) -> Result<(), AuthorityError> {
        for entry in self.journal.read(self.trust_domain()).await?.authorities {
            // What does not parse is for `load` to report.
            if lint::validity_of(&entry.certificate).is_ok_and(|validity| validity.not_after <= now) {
                self.journal.retire_authority(self.trust_domain(), &entry.id, now).await?;
                tracing::info!(authority = %entry.id, "an authority has expired and left the bundle");
                if let Err(error) = self.vault.destroy(&entry.id) {
                    tracing::warn!(authority = %entry.id, %error, "the key of an expired authority can't be removed");
                }
            }
        }
        Ok(())
    }

    /// Shows the authorities in the bundle, and only then lets them sign.
    fn publish(&self, signers: Vec<Arc<Signer>>, sequence: u64, now: Timestamp) {
        let certificates = signers.iter().map(|signer| signer.certificate.clone());
        let bundle = Bundle::of_x509(self.trust_domain().clone(), certificates, sequence);
        self.bundles.update(|bundles| bundles.with(bundle));
        self.metrics.sequence.set(sequence);
        if let Some(signer) = current(&signers, now) {
            self.metrics.expiry.set(signer.term.validity.not_after.unix_seconds());
        }
        self.signers.store(Arc::new(signers));
    }
}

fn plan_of(signers: &[Arc<Signer>], now: Timestamp) -> Plan {
    plan(&signers.iter().map(|signer| signer.term).collect::<Vec<_>>(), now)
}

fn current(signers: &[Arc<Signer>], now: Timestamp) -> Option<&Arc<Signer>> {
    plan_of(signers, now).signer.and_then(|index| signers.get(index))
}

/// A clock that was reset must not lead to a new authority beside one that will be valid again once it is right.
fn refuse_if_clock_is_behind(signers: &[Arc<Signer>], now: Timestamp) -> Result<(), AuthorityError> {
    let behind = |signer: &&Arc<Signer>| now < signer.term.validity.not_before;
    match (current(signers, now), signers.iter().find(behind)) {
        (None, Some(future)) => {
            Err(AuthorityError::ClockBehind { id: future.id.clone(), not_before: future.term.validity.not_before, now })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
