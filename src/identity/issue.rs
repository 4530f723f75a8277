//! The use case of the identity plane: attested → entitled → signed → recorded → handed out.

use std::sync::Arc;

use portcullis_spiffe::SpiffeId;
use rustls_pki_types::CertificateDer;

use super::attest::Attested;
use super::bundle::Bundle;
use crate::foundation::clock::Timestamp;
use crate::foundation::secret::Secret;

/// An X.509-SVID with its key.
#[derive(Clone, Debug)]
pub struct Svid {
    /// The identity.
    pub id: SpiffeId,
    /// By which entry.
    pub entry_id: Arc<str>,
    /// The entry's hint.
    pub hint: String,
    /// The leaf, then intermediates up to but without the authority in the bundle.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's private key, PKCS#8 DER.
    pub key: Secret<Vec<u8>>,
    /// Until when the leaf is valid.
    pub not_after: Timestamp,
    /// From when on a new one is made: half of its life, ± 10 %.
    pub renew_at: Timestamp,
}

/// All that a workload is entitled to now.
#[derive(Clone, Debug, Default)]
pub struct Identities {
    /// Its SVIDs, in the registry's order; the first is the default. Empty if no entry matches.
    pub svids: Vec<Arc<Svid>>,
    /// Our own bundle, then those of the domains that its entries federate with, sorted by name.
    pub bundles: Vec<Arc<Bundle>>,
}

/// Why nothing could be issued although there may be an entry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// A placeholder until the authority is there.
    #[error("not available")]
    Unavailable,
}

/// Hands out identities: the one place where an SVID comes to be.
#[derive(Debug)]
pub struct Issuer {}

impl Issuer {
    /// What the workload is entitled to at this moment. An SVID that is not yet due for renewal is handed out again;
    /// a new one is recorded before it leaves. Does not block but on the CPU.
    ///
    /// # Errors
    /// [`IssueError`]; having no entry is no error.
    pub fn identities(&self, attested: &Attested) -> Result<Identities, IssueError> {
        let _ = attested;
        Err(IssueError::Unavailable)
    }

    /// Whether any entry asks for the digest of the executable.
    pub fn wants_sha256(&self) -> bool {
        false
    }

    /// Ends after the registry or the bundles changed since `changes` was made.
    pub fn changes(&self) -> Changes {
        Changes {}
    }
}

/// Wakes its holder when what a workload is entitled to may have changed.
#[derive(Debug)]
pub struct Changes {}

impl Changes {
    /// Ends at the next change.
    pub async fn changed(&mut self) {
        std::future::pending().await
    }
}
