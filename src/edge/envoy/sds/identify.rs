//! What this service needs of the identity plane, narrow enough to stand in for in a test.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::identity::attest::unix::UnixAttestor;
use crate::identity::issue::{Identities, Issuer};
use crate::server::UnixPeer;

/// Ends at a change.
pub(super) type Change = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Says who a caller is.
pub(super) trait Identify: fmt::Debug + Send + Sync {
    /// What `peer` is entitled to now. Blocks on files.
    fn identify(&self, peer: &UnixPeer) -> Result<Identities, IdentifyError>;

    /// Ends when what a caller is entitled to may have changed since this call.
    fn change(&self) -> Change;
}

/// Why nothing can be handed out. The causes are for the log alone.
#[derive(Debug, thiserror::Error)]
pub(super) enum IdentifyError {
    /// It can't be said who the caller is.
    #[error("the caller could not be attested: {0}")]
    NotAttested(#[source] Cause),
    /// It can be said, but nothing could be issued.
    #[error("nothing could be issued: {0}")]
    NotIssued(#[source] Cause),
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The identity plane itself.
#[derive(Debug)]
pub(super) struct IdentityPlane {
    pub(super) issuer: Arc<Issuer>,
    pub(super) attestor: Arc<UnixAttestor>,
}

impl Identify for IdentityPlane {
    fn identify(&self, peer: &UnixPeer) -> Result<Identities, IdentifyError> {
        let attested = self.attestor.attest(peer, self.issuer.wants_sha256());
        let attested = attested.map_err(|error| IdentifyError::NotAttested(error.into()))?;
        self.issuer.identities(&attested).map_err(|error| IdentifyError::NotIssued(error.into()))
    }

    fn change(&self) -> Change {
        let mut changes = self.issuer.changes();
        Box::pin(async move { changes.changed().await })
    }
}
