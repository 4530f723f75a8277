//! What a witness decides. Asking for the latest head, deciding and writing down the new one must be one step for each
//! log: between them no other request may pass.

use super::{AddCheckpoint, SIZE_CONTENT_TYPE};
use crate::checkpoint::Checkpoint;
use crate::note::{VerifierKey, VerifyError};
use crate::proof::{ProofError, verify_consistency};
use crate::tree::TreeHead;

/// A log that a witness watches.
#[derive(Clone, Copy, Debug)]
pub struct KnownLog<'a> {
    /// Its name.
    pub origin: &'a str,
    /// Its keys. One of them must have signed.
    pub keys: &'a [VerifierKey],
    /// What the witness has cosigned last: [`TreeHead::empty`] if nothing.
    pub latest: TreeHead,
}

/// Why a witness does not cosign.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It does not watch that log.
    #[error("the log is not known")]
    UnknownLog,
    /// The log has not signed the checkpoint, or a signature in its name is wrong.
    #[error(transparent)]
    Signature(#[from] VerifyError),
    /// The log says that its tree has shrunk.
    #[error("the old size {old} is more than the size {new} of the checkpoint")]
    OldSize {
        /// The old size in the request.
        old: u64,
        /// The size of the checkpoint.
        new: u64,
    },
    /// The request begins at another size than the witness has.
    #[error("the latest size that was cosigned is {latest}")]
    Conflict {
        /// The size that the witness has.
        latest: u64,
    },
    /// The tree is not the continuation of the one that the witness has: evidence against the log, if it has signed it.
    #[error(transparent)]
    Inconsistent(#[from] ProofError),
}

impl Refusal {
    /// The status of the answer.
    pub const fn status(&self) -> u16 {
        match self {
            Self::OldSize { .. } => 400,
            Self::Signature(_) => 403,
            Self::UnknownLog => 404,
            Self::Conflict { .. } => 409,
            Self::Inconsistent(_) => 422,
        }
    }

    /// The content type and the body of the answer.
    pub fn body(&self) -> (&'static str, String) {
        match self {
            Self::Conflict { latest } => (SIZE_CONTENT_TYPE, format!("{latest}\n")),
            other => ("text/plain; charset=utf-8", format!("{other}\n")),
        }
    }
}

/// The checkpoint that may be cosigned, once its head has been written down as the latest. `log` is the one that
/// watches go by the name in the request, if there is one.
pub fn decide<'a>(request: &'a AddCheckpoint, log: Option<&KnownLog<'_>>) -> Result<&'a Checkpoint, Refusal> {
    let checkpoint = request.checkpoint.unverified();
    let log = log.filter(|log| log.origin == checkpoint.origin()).ok_or(Refusal::UnknownLog)?;
    request.checkpoint.verify(log.keys)?;
    let (old, new) = (request.old_size, checkpoint.head().size);
    if old > new {
        return Err(Refusal::OldSize { old, new });
    }
    if old != log.latest.size {
        return Err(Refusal::Conflict { latest: log.latest.size });
    }
    verify_consistency(&log.latest, checkpoint.head(), &request.proof)?;
    Ok(checkpoint)
}
