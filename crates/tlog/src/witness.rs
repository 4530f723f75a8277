//! What a log and a witness say to each other, and what a witness decides (tlog-witness, "add-checkpoint").

mod decide;
mod request;

pub use decide::{KnownLog, Refusal, decide};
pub use request::{AddCheckpoint, MAX_LENGTH, RequestError};

use crate::decimal;
use crate::tree::MAX_SIZE;

/// The content type of a size, which is what a witness answers to a request that is not from the size that it has.
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

/// Reads the body of an answer with [`SIZE_CONTENT_TYPE`]: the size of the tree that the witness has cosigned last.
pub fn parse_size(body: &[u8]) -> Option<u64> {
    let size = decimal::parse(str::from_utf8(body).ok()?.strip_suffix('\n')?)?;
    (size <= MAX_SIZE).then_some(size)
}

#[cfg(test)]
mod tests;
