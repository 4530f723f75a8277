//! Whether a leaf that was accepted once was vouched for by this authority at that time: asked by an auditor who has both
//! certificates from a receipt, perhaps years later, and nothing else.

use portcullis_spiffe::SpiffeId;
use portcullis_spiffe::x509::{Authority, Leaf, ProfileError};
use rustls_pki_types::CertificateDer;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::foundation::clock::Timestamp;

/// Why the two do not belong together.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ChainError {
    /// One of them is not what the SPIFFE profile wants.
    #[error("a certificate of the chain is not an X509-SVID's: {0}")]
    Profile(#[from] ProfileError),
    /// One was not valid at the time.
    #[error("the certificate of the {0} was not valid at {1}")]
    NotValid(&'static str, Timestamp),
    /// The leaf is of another trust domain than the authority.
    #[error("the authority is not of the trust domain of `{0}`")]
    OtherDomain(SpiffeId),
    /// The authority did not sign the leaf.
    #[error("the authority does not vouch for the certificate of `{id}`: {reason}")]
    Untrusted {
        /// Whom it names.
        id: SpiffeId,
        /// What path validation said.
        #[source]
        reason: webpki::Error,
    },
}

/// Whom `leaf` proved at the time `at`, if `authority` (both in DER) was trusted then. Revocation is not looked at: that the
/// leaf was not revoked is what the record of the decision says.
///
/// # Errors
/// [`ChainError`].
pub fn verify_chain(leaf: &[u8], authority: &[u8], at: Timestamp) -> Result<SpiffeId, ChainError> {
    let (leaf, authority) = (CertificateDer::from(leaf), CertificateDer::from(authority));
    let parsed = Leaf::parse(&leaf)?;
    parsed.check_client()?;
    let issuer = Authority::parse(&authority)?;
    for (what, from, until) in
        [("leaf", parsed.not_before, parsed.not_after), ("authority", issuer.not_before, issuer.not_after)]
    {
        if !(Timestamp::from_unix_seconds(from)..=Timestamp::from_unix_seconds(until)).contains(&at) {
            return Err(ChainError::NotValid(what, at));
        }
    }
    issuer.check_domain(parsed.id.trust_domain()).map_err(|_other| ChainError::OtherDomain(parsed.id.clone()))?;
    let untrusted = |reason| ChainError::Untrusted { id: parsed.id.clone(), reason };
    let anchors = [anchor_from_trusted_cert(&authority).map_err(untrusted)?];
    let certificate = EndEntityCert::try_from(&leaf).map_err(untrusted)?;
    let usage = KeyUsage::client_auth();
    let path = certificate.verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, &[], at.into(), usage, None, None);
    path.map(drop).map_err(untrusted)?;
    Ok(parsed.id)
}
