//! Verification of the leaf that a server showed us (X509-SVID section 5), where we are the client.

use portcullis_spiffe::SpiffeId;
use portcullis_spiffe::x509::Leaf;
use rustls_pki_types::CertificateDer;
use webpki::{EndEntityCert, KeyUsage};

use super::{LeafError, Shown, find_anchor, in_time, refused};
use crate::foundation::clock::Timestamp;
use crate::identity::bundle::Bundles;

/// Why a server is not whom it should be.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerLeafError {
    /// Its leaf proves nobody.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// Its leaf proves somebody else.
    #[error("the server is `{found}` and not `{expected}`")]
    SomebodyElse {
        /// Who it is.
        found: SpiffeId,
        /// Who it should be.
        expected: SpiffeId,
    },
}

/// Checks that `leaf`, with the `intermediates` that came along, proves at `now` that the server is `expected`, by the
/// bundle of that trust domain and no other.
///
/// # Errors
/// [`ServerLeafError`].
pub fn verify_server(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    expected: &SpiffeId,
    bundles: &Bundles,
    now: Timestamp,
) -> Result<(), ServerLeafError> {
    let parsed = Leaf::parse(leaf).map_err(LeafError::from)?;
    if parsed.id != *expected {
        return Err(ServerLeafError::SomebodyElse { found: parsed.id, expected: expected.clone() });
    }
    in_time(&parsed, now)?;
    let domain = expected.trust_domain();
    let trusted = bundles.trusted(domain).ok_or_else(|| LeafError::NoAuthority(domain.clone()))?;
    let certificate = EndEntityCert::try_from(leaf).map_err(LeafError::Unreadable)?;
    let shown = Shown { certificate: &certificate, intermediates, usage: KeyUsage::server_auth };
    find_anchor(&shown, trusted, now).map_err(|refusal| refused(refusal, expected))?;
    Ok(())
}
