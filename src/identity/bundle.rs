//! Trust bundles: per trust domain, the authorities whose signatures we accept (SPIFFE Trust Domain and Bundle, 4).

mod lists;
mod map;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use portcullis_spiffe::x509::{Authority, ProfileError};
use portcullis_spiffe::{SpiffeId, TrustDomain};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor};
use webpki::anchor_from_trusted_cert;

pub use self::lists::ListError;
use self::lists::RevocationLists;
pub use self::map::bundle_map;
use super::foreign::ForeignIdentities;
use super::revocation::SerialNumber;
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::foundation::telemetry::printable;

/// The authorities of one trust domain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bundle {
    /// Whose they are.
    pub trust_domain: TrustDomain,
    /// Those that sign X.509-SVIDs, oldest first. Empty means that every X.509-SVID of the domain is untrusted.
    pub x509_authorities: Vec<X509Authority>,
    /// Those that sign JWT-SVIDs, oldest first. Empty means that every JWT-SVID of the domain is untrusted.
    pub jwt_authorities: Vec<JwtAuthority>,
    /// Which X.509-SVIDs are no longer trusted although they have not expired: nothing, or a list of each authority,
    /// since who checks lists at all wants one of every authority (`X509_V_FLAG_CRL_CHECK_ALL`). RFC 5280 section 5.
    pub revocations: Vec<CertificateRevocationListDer<'static>>,
    /// How often those who trust it should look for a newer one, if the domain says so.
    pub refresh_hint: Option<Duration>,
    /// `spiffe_sequence`: grows whenever the contents change, also across restarts.
    pub sequence: u64,
}

/// One that signs X.509-SVIDs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct X509Authority {
    /// Its certificate.
    pub certificate: CertificateDer<'static>,
    /// Whether its key is no longer trusted to be ours alone. What it signed still verifies, so that nothing breaks,
    /// but is to be replaced at once; then it is revoked.
    pub tainted: bool,
}

/// One that signs JWT-SVIDs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JwtAuthority {
    /// Its `kid`: never empty, unique within the bundle.
    pub key_id: String,
    /// Its public key: a `SubjectPublicKeyInfo`, DER.
    pub public_key: Vec<u8>,
    /// Until when it may be used, if that is known.
    pub expires_at: Option<Timestamp>,
    /// See [`X509Authority::tainted`].
    pub tainted: bool,
}

impl From<CertificateDer<'static>> for X509Authority {
    fn from(certificate: CertificateDer<'static>) -> Self {
        Self { certificate, tainted: false }
    }
}

/// A certificate that can't be an authority of the trust domain.
#[derive(Debug, thiserror::Error)]
#[error("certificate {position} of the bundle of `{trust_domain}` can't be an authority: {reason}")]
pub struct BundleError {
    /// Whose bundle it is.
    pub trust_domain: TrustDomain,
    /// Which of its certificates, counted from 1.
    pub position: usize,
    /// What is wrong with it.
    #[source]
    pub reason: AuthorityError,
}

/// Why a certificate can't be an authority.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// It does not have the form of one.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Path validation can't use it.
    #[error("{0}")]
    Anchor(#[from] webpki::Error),
}

impl Bundle {
    /// A bundle of X.509 authorities only.
    pub fn of_x509(
        trust_domain: TrustDomain,
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
        sequence: u64,
    ) -> Self {
        Self {
            trust_domain,
            x509_authorities: certificates.into_iter().map(X509Authority::from).collect(),
            jwt_authorities: Vec::new(),
            revocations: Vec::new(),
            refresh_hint: None,
            sequence,
        }
    }

    /// The certificates of its X.509 authorities.
    pub fn certificates(&self) -> impl Iterator<Item = &CertificateDer<'static>> + Clone {
        self.x509_authorities.iter().map(|authority| &authority.certificate)
    }

    /// The same with no authority left, so that it vouches for nobody.
    #[must_use]
    pub fn emptied(self) -> Self {
        Self { x509_authorities: Vec::new(), jwt_authorities: Vec::new(), revocations: Vec::new(), ..self }
    }

    /// A bundle of these DER certificates, each of which must be fit to be an authority of `trust_domain`: for a
    /// bundle that someone configured and wants to hear about.
    ///
    /// # Errors
    /// [`BundleError`] names the first that is not.
    pub fn from_der(
        trust_domain: TrustDomain,
        certificates: impl IntoIterator<Item = Vec<u8>>,
        sequence: u64,
    ) -> Result<Self, BundleError> {
        let bundle = Self::of_x509(trust_domain, certificates.into_iter().map(CertificateDer::from), sequence);
        for (index, certificate) in bundle.certificates().enumerate() {
            Anchor::new(&bundle.trust_domain, certificate).map_err(|reason| BundleError {
                trust_domain: bundle.trust_domain.clone(),
                position: index + 1,
                reason,
            })?;
        }
        Ok(bundle)
    }
}

/// The bundles of our own trust domain and of those we federate with, and what of the others' identities is let in. Held
/// in a [`Watched`](crate::foundation::watched::Watched), so that everything derived from it can be told to be stale.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Bundles {
    by_domain: BTreeMap<TrustDomain, Trusted>,
    foreign: Arc<ForeignIdentities>,
}

/// A bundle, and what path validation needs of it, which follows from the bundle.
#[derive(Clone, Debug)]
pub(super) struct Trusted {
    pub(super) bundle: Arc<Bundle>,
    pub(super) anchors: Vec<Anchor>,
    pub(super) lists: Arc<RevocationLists>,
}

impl PartialEq for Trusted {
    fn eq(&self, other: &Self) -> bool {
        self.bundle == other.bundle
    }
}

impl Eq for Trusted {}

impl Bundles {
    /// These bundles; a later one of the same trust domain replaces an earlier.
    ///
    /// A certificate that can't be an authority of its domain is left out and logged. It could never verify anything,
    /// and a single one makes Envoy and go-spiffe refuse the good ones beside it.
    pub fn new(bundles: impl IntoIterator<Item = Bundle>) -> Self {
        let by_domain = bundles.into_iter().map(|bundle| (bundle.trust_domain.clone(), Trusted::new(bundle))).collect();
        Self { by_domain, foreign: Arc::default() }
    }

    /// These, of whose identities only those count that `foreign` lets in.
    #[must_use]
    pub fn with_foreign(self, foreign: Arc<ForeignIdentities>) -> Self {
        Self { foreign, ..self }
    }

    /// What the identities of other trust domains may be.
    pub const fn foreign(&self) -> &Arc<ForeignIdentities> {
        &self.foreign
    }

    /// Whether `id` may be somebody now: of ours, or let in and of a trust domain that anybody is believed of.
    pub fn vouches_for(&self, id: &SpiffeId) -> bool {
        let has_authorities =
            |bundle: &Arc<Bundle>| !bundle.x509_authorities.is_empty() || !bundle.jwt_authorities.is_empty();
        self.foreign.is_ours(id.as_str())
            || (self.foreign.admits(id) && self.get(id.trust_domain()).is_some_and(has_authorities))
    }

    /// These with `bundle` in place of that of its trust domain; `None` if it is there already.
    pub fn with(&self, bundle: Bundle) -> Option<Self> {
        let trusted = Trusted::new(bundle);
        let trust_domain = trusted.bundle.trust_domain.clone();
        if self.by_domain.get(&trust_domain).is_some_and(|known| known.bundle == trusted.bundle) {
            return None;
        }
        let mut all = self.clone();
        all.by_domain.insert(trust_domain, trusted);
        Some(all)
    }

    /// These without the bundle of `trust_domain`; `None` if there is none.
    pub fn without(&self, trust_domain: &TrustDomain) -> Option<Self> {
        let mut all = self.clone();
        all.by_domain.remove(trust_domain).map(|_gone| all)
    }

    /// The bundle of `trust_domain`, which alone may vouch for its identities.
    pub fn get(&self, trust_domain: &TrustDomain) -> Option<&Arc<Bundle>> {
        self.by_domain.get(trust_domain).map(|trusted| &trusted.bundle)
    }

    /// All of them, sorted by trust domain.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Bundle>> {
        self.by_domain.values().map(|trusted| &trusted.bundle)
    }

    /// Whether the bundle of `trust_domain` says that `authority`, one of its own, revoked the leaf `serial`.
    pub fn has_revoked(
        &self,
        trust_domain: &TrustDomain,
        authority: &CertificateDer<'_>,
        serial: &SerialNumber,
    ) -> bool {
        self.by_domain.get(trust_domain).is_some_and(|trusted| {
            let anchors = trusted.bundle.certificates().zip(&trusted.anchors);
            let mut signers = anchors.filter(|(certificate, _)| *certificate == authority);
            signers.any(|(_, anchor)| trusted.lists.has(&anchor.root.subject, &serial.to_der_content()))
        })
    }

    /// The bundle of `trust_domain` with its authorities ready for path validation.
    pub(super) fn trusted(&self, trust_domain: &TrustDomain) -> Option<&Trusted> {
        self.by_domain.get(trust_domain)
    }
}

impl Trusted {
    fn new(mut bundle: Bundle) -> Self {
        let trust_domain = &bundle.trust_domain;
        let lists = RevocationLists::new(&bundle.revocations).unwrap_or_else(|error| {
            // Whom it revoked can't be known, so it vouches for nobody.
            tracing::error!(%trust_domain, %error, "a trust bundle is left without authorities that sign X.509-SVIDs");
            bundle.x509_authorities.clear();
            bundle.revocations.clear();
            RevocationLists::default()
        });
        let mut anchors = Vec::with_capacity(bundle.x509_authorities.len());
        bundle.x509_authorities.retain(|authority| match Anchor::new(trust_domain, &authority.certificate) {
            Ok(anchor) => {
                anchors.push(anchor);
                true
            }
            Err(error) => {
                let reason = printable(&error.to_string(), 300);
                tracing::warn!(%trust_domain, reason, "left an unfit authority out of a trust bundle");
                false
            }
        });
        Self { bundle: Arc::new(bundle), anchors, lists: Arc::new(lists) }
    }
}

/// One authority, parsed once for the many leaves that it has signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Anchor {
    pub(super) root: TrustAnchor<'static>,
    pub(super) certificate: CertificateDer<'static>,
    /// SHA-256 of it.
    pub(super) digest: Digest,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Anchor {
    fn new(trust_domain: &TrustDomain, certificate: &CertificateDer<'_>) -> Result<Self, AuthorityError> {
        let authority = Authority::parse(certificate)?;
        authority.check_domain(trust_domain)?;
        Ok(Self {
            root: anchor_from_trusted_cert(certificate)?.to_owned(),
            certificate: certificate.clone().into_owned(),
            digest: Digest::of(certificate),
            not_before: Timestamp::from_unix_seconds(authority.not_before),
            not_after: Timestamp::from_unix_seconds(authority.not_after),
        })
    }
}

#[cfg(test)]
mod tests;
