//! Verification of the leaf that a client showed to the proxy, on every question that the proxy asks; and, in [`jwt`], of
//! tokens.
//!
//! The proxy has verified it too, but once a connection and by looser rules: a connection outlives its leaf and its
//! bundle, and Envoy takes leaves with two URIs, with ungrammatical IDs or for servers only.

mod chain;
pub mod jwt;
mod presented;
pub mod server;

use std::fmt;
use std::sync::Arc;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use portcullis_spiffe::x509::{Leaf, ProfileError};
use portcullis_spiffe::{SpiffeId, TrustDomain};
use rustls_pki_types::{CertificateDer, Der, TrustAnchor};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage};

pub use self::chain::{ChainError, verify_chain};
use super::bundle::{Anchor, Bundles, Trusted};
use super::foreign::ForeignIdentities;
use crate::evidence::log::CertificateKeeper;
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::foundation::watched::{Epoch, Snapshot, Watched};

/// The longest text that is looked at, in bytes. A leaf takes one to three thousand.
const MAX_PRESENTED: usize = 64 * 1024;

/// The longest that is remembered, in bytes: several times what a leaf takes, and little enough times all that are kept.
const MAX_REMEMBERED: usize = 8 * 1024;

/// Whom a leaf proves, and until when.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifiedLeaf {
    /// The identity.
    pub id: SpiffeId,
    /// From when on: the later of the leaf's and its authority's.
    pub not_before: Timestamp,
    /// Until when, that moment included: the earlier of the leaf's and its authority's. Nothing that rests on this
    /// leaf may be kept for longer.
    pub not_after: Timestamp,
    /// SHA-256 of the certificate (DER).
    pub digest: Digest,
    /// Which state of the bundles it was verified against.
    pub bundle_epoch: Epoch,
    /// The `spiffe_sequence` of the bundle that its authority stands in.
    pub bundle_sequence: u64,
    /// SHA-256 of the certificate (DER) of the authority that vouches for it.
    pub authority: Digest,
}

/// Why a leaf proves nobody.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LeafError {
    /// There is none.
    #[error("the client showed no certificate")]
    Missing,
    /// The text is longer than any leaf.
    #[error("the certificate's text has {0} bytes, more than 65536")]
    TooLong(usize),
    /// An escape that is not `%` and two hexadecimal digits.
    #[error("the certificate is not percent-encoded")]
    PercentEncoding,
    /// Not one block of PEM and nothing else.
    #[error("the certificate is not PEM")]
    Pem,
    /// More than one block of PEM.
    #[error("there is more than one certificate")]
    SeveralBlocks,
    /// Not an X509-SVID, or not a client's.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Path validation can't even read it.
    #[error("the certificate can't be read: {0}")]
    Unreadable(#[source] webpki::Error),
    /// It is not valid yet.
    #[error("the certificate of `{id}` is not valid before {not_before}")]
    NotYetValid {
        /// Whom it names.
        id: SpiffeId,
        /// From when on it is valid.
        not_before: Timestamp,
    },
    /// It is valid no longer.
    #[error("the certificate of `{id}` was valid until {not_after}")]
    Expired {
        /// Whom it names.
        id: SpiffeId,
        /// Until when it was valid.
        not_after: Timestamp,
    },
    /// There is no bundle of the trust domain, or none of its authorities is valid now.
    #[error("there is no valid authority of the trust domain `{0}`")]
    NoAuthority(TrustDomain),
    /// Its authority revoked it.
    #[error("the certificate of `{0}` is revoked")]
    Revoked(SpiffeId),
    /// It is of another trust domain, which vouches for it, and not one of those that are let in.
    #[error("`{0}` is of another trust domain, and not one of its identities that are let in")]
    NotAdmitted(SpiffeId),
    /// No authority of its own trust domain vouches for it; what others sign does not count.
    #[error("no authority of its trust domain vouches for the certificate of `{id}`: {reason}")]
    Untrusted {
        /// Whom it names.
        id: SpiffeId,
        /// What path validation said.
        #[source]
        reason: webpki::Error,
    },
}

/// The kinds of [`LeafError`] that someone who is refused can do something about.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum LeafFault {
    /// There is no certificate.
    Missing,
    /// It can't be read or is not an X509-SVID for a client.
    Bad,
    /// It is not valid yet or no longer.
    OutOfTime,
    /// It was revoked.
    Revoked,
    /// No authority in the current bundle of its trust domain vouches for it.
    Untrusted,
    /// It is good, and of another trust domain, of which it is not let in.
    Foreign,
}

impl LeafError {
    /// Which kind it is.
    pub const fn fault(&self) -> LeafFault {
        match self {
            Self::Missing => LeafFault::Missing,
            Self::TooLong(_)
            | Self::PercentEncoding
            | Self::Pem
            | Self::SeveralBlocks
            | Self::Profile(_)
            | Self::Unreadable(_) => LeafFault::Bad,
            Self::NotYetValid { .. } | Self::Expired { .. } => LeafFault::OutOfTime,
            Self::Revoked(_) => LeafFault::Revoked,
            Self::NotAdmitted(_) => LeafFault::Foreign,
            Self::NoAuthority(_) | Self::Untrusted { .. } => LeafFault::Untrusted,
        }
    }
}

/// Verifies leaves against the current bundles, and remembers those that passed.
pub struct LeafVerifier {
    bundles: Arc<Watched<Bundles>>,
    /// By what was presented, whole: comparing that costs less than a digest of it would.
    verified: Cache<Box<[u8]>, Arc<VerifiedLeaf>, foldhash::fast::RandomState>,
    keeper: Option<Arc<CertificateKeeper>>,
}

impl LeafVerifier {
    /// A verifier that remembers up to `capacity` leaves.
    pub fn new(bundles: Arc<Watched<Bundles>>, capacity: u64) -> Self {
        // Least recently used, for an admission by frequency would let the leaves of yesterday, asked for a million times and
        // now never again, keep those of today out.
        let builder = Cache::builder().max_capacity(capacity).eviction_policy(EvictionPolicy::lru());
        let verified = builder.build_with_hasher(foldhash::fast::RandomState::default());
        Self { bundles, verified, keeper: None }
    }

    /// The same, but what proved each leaf is kept, so that it can be proved again when it has long expired.
    #[must_use]
    pub fn with_keeper(self, keeper: Arc<CertificateKeeper>) -> Self {
        Self { keeper: Some(keeper), ..self }
    }

    /// Whom the leaf in `presented` proves at `now`. `presented` is percent-encoded PEM, as Envoy gives it, and empty
    /// if the client showed none.
    ///
    /// Takes microseconds for a leaf that passed before under the same bundles, and one signature check else.
    ///
    /// # Errors
    /// [`LeafError`]; errors are never remembered.
    pub fn verify(&self, presented: &str, now: Timestamp) -> Result<Arc<VerifiedLeaf>, LeafError> {
        if presented.is_empty() {
            return Err(LeafError::Missing);
        }
        if presented.len() > MAX_PRESENTED {
            return Err(LeafError::TooLong(presented.len()));
        }
        self.verify_as(presented.as_bytes(), now, |bundles| {
            verify(&presented::der_of(presented)?.into(), bundles, now, self.keeper.as_deref())
        })
    }

    /// The same for a leaf as it was shown in a TLS handshake, whose key the peer has proved to have.
    ///
    /// # Errors
    /// [`LeafError`]; errors are never remembered.
    pub fn verify_der(&self, leaf: &CertificateDer<'_>, now: Timestamp) -> Result<Arc<VerifiedLeaf>, LeafError> {
        if leaf.len() > MAX_PRESENTED {
            return Err(LeafError::TooLong(leaf.len()));
        }
        self.verify_as(leaf, now, |bundles| verify(leaf, bundles, now, self.keeper.as_deref()))
    }

    /// Whether `id` may be somebody now, whoever names it: [`Bundles::vouches_for`].
    pub fn vouches_for(&self, id: &SpiffeId) -> bool {
        self.bundles.load().vouches_for(id)
    }

    /// What the identities of other trust domains may be now.
    pub fn foreign(&self) -> Arc<ForeignIdentities> {
        Arc::clone(self.bundles.load().foreign())
    }

    /// What is remembered of what was `presented`, if it still holds; else what `verify` says of it.
    fn verify_as(
        &self,
        presented: &[u8],
        now: Timestamp,
        verify: impl FnOnce(&Snapshot<Bundles>) -> Result<VerifiedLeaf, LeafError>,
    ) -> Result<Arc<VerifiedLeaf>, LeafError> {
        let bundles = self.bundles.load();
        let is_good = |leaf: &Arc<VerifiedLeaf>| {
            leaf.bundle_epoch == bundles.epoch() && (leaf.not_before..=leaf.not_after).contains(&now)
        };
        if let Some(leaf) = self.verified.get(presented).filter(is_good) {
            return Ok(leaf);
        }
        let leaf = Arc::new(verify(&bundles)?);
        if presented.len() <= MAX_REMEMBERED {
            self.verified.insert(presented.into(), Arc::clone(&leaf));
        }
        Ok(leaf)
    }
}

impl fmt::Debug for LeafVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeafVerifier").field("verified", &self.verified.entry_count()).finish_non_exhaustive()
    }
}

fn verify(
    der: &CertificateDer<'_>,
    bundles: &Snapshot<Bundles>,
    now: Timestamp,
    keeper: Option<&CertificateKeeper>,
) -> Result<VerifiedLeaf, LeafError> {
    let leaf = Leaf::parse(der)?;
    leaf.check_client()?;
    let (not_before, not_after) = in_time(&leaf, now)?;
    let no_authority = || LeafError::NoAuthority(leaf.id.trust_domain().clone());
    let trusted = bundles.trusted(leaf.id.trust_domain()).ok_or_else(no_authority)?;
    let certificate = EndEntityCert::try_from(der).map_err(LeafError::Unreadable)?;
    // There are no intermediates to go by: the proxy hands us the leaf only.
    let shown = Shown { certificate: &certificate, intermediates: &[], usage: KeyUsage::client_auth };
    let anchor = find_anchor(&shown, trusted, now).map_err(|refusal| refused(refusal, &leaf.id))?;
    // Only now: who is not whom they say they are is not told who is let in.
    if !bundles.foreign().admits(&leaf.id) {
        return Err(LeafError::NotAdmitted(leaf.id));
    }
    if let Some(keeper) = keeper {
        keeper.keep([der, &anchor.certificate]);
    }
    Ok(VerifiedLeaf {
        id: leaf.id,
        not_before: not_before.max(anchor.not_before),
        not_after: not_after.min(anchor.not_after),
        digest: Digest::of(der),
        bundle_epoch: bundles.epoch(),
        bundle_sequence: trusted.bundle.sequence,
        authority: anchor.digest,
    })
}

/// From when and until when `leaf` is valid, if that is so now.
fn in_time(leaf: &Leaf, now: Timestamp) -> Result<(Timestamp, Timestamp), LeafError> {
    let not_before = Timestamp::from_unix_seconds(leaf.not_before);
    let not_after = Timestamp::from_unix_seconds(leaf.not_after);
    if now < not_before {
        return Err(LeafError::NotYetValid { id: leaf.id.clone(), not_before });
    }
    if now > not_after {
        return Err(LeafError::Expired { id: leaf.id.clone(), not_after });
    }
    Ok((not_before, not_after))
}

/// What `refusal` of all anchors of its trust domain says of the leaf of `id`.
fn refused(refusal: Option<webpki::Error>, id: &SpiffeId) -> LeafError {
    match refusal {
        Some(webpki::Error::CertRevoked) => LeafError::Revoked(id.clone()),
        Some(reason) => LeafError::Untrusted { id: id.clone(), reason },
        None => LeafError::NoAuthority(id.trust_domain().clone()),
    }
}

/// A leaf, with what came beside it, and what it is to be used for.
struct Shown<'a> {
    certificate: &'a EndEntityCert<'a>,
    intermediates: &'a [CertificateDer<'a>],
    usage: fn() -> KeyUsage,
}

/// The one of the anchors of the leaf's own trust domain that vouches for it (RFC 5280 section 6); else what the nearest
/// had against it, or nothing if none is valid now.
///
/// All are tried in one go, so that they share one budget of signatures: a domain that has hundreds of authorities of one
/// name costs no more than one that has a few.
fn find_anchor<'a>(
    shown: &Shown<'_>,
    trusted: &'a Trusted,
    now: Timestamp,
) -> Result<&'a Anchor, Option<webpki::Error>> {
    let Shown { certificate, intermediates, usage } = shown;
    // Path validation does not look at the time of a trust anchor, so an expired one has to be kept from it.
    let valid = |anchor: &&Anchor| (anchor.not_before..=anchor.not_after).contains(&now);
    let anchors: Vec<&Anchor> = trusted.anchors.iter().filter(valid).collect();
    if anchors.is_empty() {
        return Err(None);
    }
    let roots: Vec<TrustAnchor<'_>> = anchors.iter().map(|anchor| lent(&anchor.root)).collect();
    let found = trusted.lists.consulted_by(|lists| {
        let (algorithms, now) = (ALL_VERIFICATION_ALGS, now.into());
        let path = certificate.verify_for_usage(algorithms, &roots, intermediates, now, usage(), lists, None)?;
        Ok(roots.iter().position(|root| std::ptr::eq(root, path.anchor())))
    });
    let place = found.map_err(Some)?;
    place.and_then(|place| anchors.get(place).copied()).ok_or(Some(webpki::Error::UnknownIssuer))
}

/// The same anchor, owning nothing.
fn lent<'a>(root: &'a TrustAnchor<'_>) -> TrustAnchor<'a> {
    TrustAnchor {
        subject: Der::from_slice(&root.subject),
        subject_public_key_info: Der::from_slice(&root.subject_public_key_info),
        name_constraints: root.name_constraints.as_deref().map(Der::from_slice),
    }
}

#[cfg(test)]
pub(super) mod tests;
