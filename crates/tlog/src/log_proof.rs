//! Proofs in a file: an entry is in a log, by a signed checkpoint, for whoever has the log's key and no network
//! (tlog-proof).

use std::fmt;

use base64::Engine as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{SignedCheckpoint, SignedCheckpointError};
use crate::decimal;
use crate::hash::Hash;
use crate::note;
use crate::policy::{Policy, UntrustedError, VerifiedCheckpoint};
use crate::proof::{self, LinesError, ProofError, lines};

/// The longest proof that is read, in bytes.
pub const MAX_LENGTH: usize = 2 * note::MAX_LENGTH;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
const EXTRA: &str = "extra ";
const INDEX: &str = "index ";

/// An inclusion proof with the checkpoint that it leads to. Text form: that of a `.tlog-proof` file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogProof {
    /// Anything that may help to make the entry's hash. Nothing vouches for it.
    pub extra: Option<Vec<u8>>,
    /// The number of the entry in the log, from 0.
    pub index: u64,
    /// The inclusion proof, the sibling of the leaf first.
    pub hashes: Vec<Hash>,
    /// What the log and its witnesses have signed.
    pub checkpoint: SignedCheckpoint,
}

/// Why bytes are not such a proof.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LogProofError {
    /// Too long.
    #[error("the proof has {0} bytes, more than {MAX_LENGTH}")]
    TooLong(usize),
    /// Another format, another version, or not text at all.
    #[error("a proof begins with the line `{FIRST_LINE}`")]
    FirstLine,
    /// The extra data are empty or not in base64.
    #[error("the extra data are not in base64, or there are none")]
    Extra,
    /// There is no index, or not in its one spelling.
    #[error("the index is not `index` and a decimal number without leading zeros")]
    Index,
    /// The proof itself.
    #[error(transparent)]
    Lines(#[from] LinesError),
    /// The checkpoint is not one.
    #[error(transparent)]
    Checkpoint(#[from] SignedCheckpointError),
}

/// Why a proof does not prove that the entry is in the log.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UnprovenError {
    /// The checkpoint is not to be believed.
    #[error(transparent)]
    Checkpoint(#[from] UntrustedError),
    /// The entry is not in that tree, at that place.
    #[error(transparent)]
    Inclusion(#[from] ProofError),
}

impl LogProof {
    /// Reads a proof.
    pub fn parse(bytes: &[u8]) -> Result<Self, LogProofError> {
        if bytes.len() > MAX_LENGTH {
            return Err(LogProofError::TooLong(bytes.len()));
        }
        let text = str::from_utf8(bytes).map_err(|_encoding| LogProofError::FirstLine)?;
        let (first, rest) = text.split_once('\n').ok_or(LogProofError::FirstLine)?;
        if first != FIRST_LINE {
            return Err(LogProofError::FirstLine);
        }
        let (extra, rest) = parse_extra(rest)?;
        let (index, rest) = rest.split_once('\n').ok_or(LogProofError::Index)?;
        let index = index.strip_prefix(INDEX).and_then(decimal::parse).ok_or(LogProofError::Index)?;
        let (hashes, checkpoint) = lines::parse(rest)?;
        Ok(Self { extra, index, hashes, checkpoint: SignedCheckpoint::parse(checkpoint.as_bytes())? })
    }

    /// Checks that the entry with the hash `leaf` is in the log of this policy, and returns the checkpoint that says
    /// so.
    pub fn verify<'a>(&'a self, policy: &'a Policy, leaf: &Hash) -> Result<VerifiedCheckpoint<'a>, UnprovenError> {
        let verified = policy.verify(&self.checkpoint)?;
        proof::verify_inclusion(verified.checkpoint.head(), self.index, leaf, &self.hashes)?;
        Ok(verified)
    }
}

/// The extra data, if there are any, and the lines after them.
fn parse_extra(text: &str) -> Result<(Option<Vec<u8>>, &str), LogProofError> {
    let Some(rest) = text.strip_prefix(EXTRA) else { return Ok((None, text)) };
    let (encoded, rest) = rest.split_once('\n').ok_or(LogProofError::Extra)?;
    let extra = STANDARD.decode(encoded).map_err(|_base64| LogProofError::Extra)?;
    if extra.is_empty() { Err(LogProofError::Extra) } else { Ok((Some(extra), rest)) }
}

impl fmt::Display for LogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(extra) = self.extra.as_deref().filter(|extra| !extra.is_empty()) {
            writeln!(f, "{EXTRA}{}", Base64Display::new(extra, &STANDARD))?;
        }
        writeln!(f, "{INDEX}{}", self.index)?;
        lines::write(f, &self.hashes)?;
        self.checkpoint.fmt(f)
    }
}

#[cfg(test)]
mod tests;
