//! The body of an `add-checkpoint` request.

use std::fmt;

use crate::checkpoint::{SignedCheckpoint, SignedCheckpointError};
use crate::decimal;
use crate::hash::Hash;
use crate::note;
use crate::proof::{LinesError, lines};

/// The longest request that is read, in bytes.
pub const MAX_LENGTH: usize = note::MAX_LENGTH + 4096;

const OLD: &str = "old ";

/// "Here is my new checkpoint, and a proof that it continues the one that you know". Text form: the body of the request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddCheckpoint {
    /// The size of the tree that the witness has cosigned last.
    pub old_size: u64,
    /// The consistency proof from that size. Empty from size 0.
    pub proof: Vec<Hash>,
    /// The new checkpoint, signed by its log.
    pub checkpoint: SignedCheckpoint,
}

/// Why bytes are not such a body. The answer to it is 400.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Too long.
    #[error("the request has {0} bytes, more than {MAX_LENGTH}")]
    TooLong(usize),
    /// There is no old size, or not in its one spelling.
    #[error("the first line is not `old` and a decimal number without leading zeros")]
    OldSize,
    /// The proof is not one.
    #[error(transparent)]
    Lines(#[from] LinesError),
    /// The checkpoint is not one.
    #[error(transparent)]
    Checkpoint(#[from] SignedCheckpointError),
}

impl AddCheckpoint {
    /// Reads the body of a request.
    pub fn parse(body: &[u8]) -> Result<Self, RequestError> {
        if body.len() > MAX_LENGTH {
            return Err(RequestError::TooLong(body.len()));
        }
        let text = str::from_utf8(body).map_err(|_encoding| RequestError::OldSize)?;
        let (old, rest) = text.split_once('\n').ok_or(RequestError::OldSize)?;
        let old_size = old.strip_prefix(OLD).and_then(decimal::parse).ok_or(RequestError::OldSize)?;
        let (proof, checkpoint) = lines::parse(rest)?;
        Ok(Self { old_size, proof, checkpoint: SignedCheckpoint::parse(checkpoint.as_bytes())? })
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{OLD}{}", self.old_size)?;
        lines::write(f, &self.proof)?;
        self.checkpoint.fmt(f)
    }
}
