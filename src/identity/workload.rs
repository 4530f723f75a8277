//! The use case that every workload-facing edge shares: who is calling, and what is it entitled to now.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::attest::Attested;
use super::attest::unix::{AttestError, UnixAttestor};
use super::issue::{Changes, Identities, IssueError, Issuer};
use crate::server::UnixPeer;

/// How many callers are identified at once, so that a change that concerns every stream does not take every thread.
const MAX_IDENTIFYING: usize = 16;

/// Attests callers and hands out their identities.
#[derive(Debug)]
pub struct Workloads {
    issuer: Arc<Issuer>,
    attestor: Arc<UnixAttestor>,
    turns: Semaphore,
}

/// Why nothing can be handed out. The causes are for the log alone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentifyError {
    /// It can't be said who the caller is.
    #[error("the caller could not be attested: {0}")]
    NotAttested(#[from] AttestError),
    /// It can be said, but nothing could be issued.
    #[error("nothing could be issued: {0}")]
    NotIssued(#[from] IssueError),
    /// The work was given up, as happens when the process ends.
    #[error("the process is stopping")]
    Stopping,
}

impl Workloads {
    /// Hands out what `issuer` issues to callers whom `attestor` attests.
    pub fn new(issuer: Arc<Issuer>, attestor: Arc<UnixAttestor>) -> Self {
        Self { issuer, attestor, turns: Semaphore::new(MAX_IDENTIFYING) }
    }

    /// What is true of `peer` now.
    ///
    /// # Errors
    /// [`IdentifyError::NotAttested`], [`IdentifyError::Stopping`].
    pub async fn attest(&self, peer: &UnixPeer) -> Result<Attested, IdentifyError> {
        let _turn = self.turns.acquire().await.map_err(|_closed| IdentifyError::Stopping)?;
        let (attestor, peer, with_sha256) = (Arc::clone(&self.attestor), peer.clone(), self.issuer.wants_sha256());
        let attested = tokio::task::spawn_blocking(move || attestor.attest(&peer, with_sha256)).await;
        Ok(attested.map_err(|_cancelled| IdentifyError::Stopping)??)
    }

    /// What `peer` is entitled to now; nothing, if no entry fits it.
    ///
    /// # Errors
    /// [`IdentifyError`].
    pub async fn identities(&self, peer: &UnixPeer) -> Result<Identities, IdentifyError> {
        self.identify(peer).await.map(|(_attested, identities)| identities)
    }

    /// What is true of `peer` now, and what it is entitled to for that.
    ///
    /// # Errors
    /// [`IdentifyError`].
    pub async fn identify(&self, peer: &UnixPeer) -> Result<(Attested, Identities), IdentifyError> {
        let attested = self.attest(peer).await?;
        let issuer = Arc::clone(&self.issuer);
        let both = tokio::task::spawn_blocking(move || issuer.identities(&attested).map(|found| (attested, found)));
        Ok(both.await.map_err(|_cancelled| IdentifyError::Stopping)??)
    }

    /// Wakes when what callers are entitled to may have changed.
    pub fn changes(&self) -> Changes {
        self.issuer.changes()
    }
}
