//! Proofs as lines of text, as tlog-proof and tlog-witness have them.

use std::fmt;

use super::MAX_HASHES;
use crate::hash::Hash;

/// Why text is not a proof and what follows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LinesError {
    /// A line is not a hash.
    #[error("line {0} of the proof is not a hash")]
    Hash(usize),
    /// No tree that there can be needs so many.
    #[error("the proof has more than {MAX_HASHES} hashes")]
    TooMany,
    /// The empty line after the proof is not there.
    #[error("there is no empty line after the proof")]
    Endless,
}

/// Reads hashes, a line each, up to an empty line. Returns them and what is after that line.
pub(crate) fn parse(text: &str) -> Result<(Vec<Hash>, &str), LinesError> {
    let mut hashes = Vec::new();
    let mut rest = text;
    loop {
        let (line, after) = rest.split_once('\n').ok_or(LinesError::Endless)?;
        if line.is_empty() {
            return Ok((hashes, after));
        }
        if hashes.len() == MAX_HASHES {
            return Err(LinesError::TooMany);
        }
        hashes.push(line.parse().map_err(|_malformed| LinesError::Hash(hashes.len() + 1))?);
        rest = after;
    }
}

/// Writes hashes, a line each, and an empty line.
pub(crate) fn write(f: &mut fmt::Formatter<'_>, hashes: &[Hash]) -> fmt::Result {
    hashes.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
    writeln!(f)
}
