//! Who may show a token: the workload that acts, or whoever holds the certificate that the token is bound to. So a token that
//! was stolen is of no use without a key that never left its workload.

use super::Delegation;
use crate::identity::svid::VerifiedLeaf;

/// Why whoever shows a token may not.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HolderError {
    /// Nobody is known to show it.
    #[error("a token that was made for one workload was shown without a certificate")]
    NoCertificate,
    /// The token names another certificate (RFC 8705 section 3).
    #[error("the token is bound to another certificate than the one that was shown")]
    OtherCertificate,
    /// The token names another as who acts.
    #[error("the token was made for another than `{0}`, who shows it")]
    OtherActor(String),
}

impl Delegation {
    /// Whether the workload of `leaf`, which was verified, may show the token: it is who acts, by name; or, if the token is
    /// bound to a certificate, this is the certificate.
    ///
    /// # Errors
    /// [`HolderError`]: then the token must not count.
    pub fn check_holder(&self, leaf: Option<&VerifiedLeaf>) -> Result<(), HolderError> {
        let leaf = leaf.ok_or(HolderError::NoCertificate)?;
        match self.confirmation {
            Some(bound) if bound == *leaf.digest.as_bytes() => Ok(()),
            Some(_) => Err(HolderError::OtherCertificate),
            None if self.current().subject == leaf.id.as_str() => Ok(()),
            None => Err(HolderError::OtherActor(leaf.id.to_string())),
        }
    }
}
