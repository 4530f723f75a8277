//! Proofs that an entry is in a tree and that a tree is the beginning of another (RFC 6962 section 2.1).

pub(crate) mod lines;
mod prove;
mod verify;

pub use lines::LinesError;
pub use prove::{consistency, inclusion};
pub use verify::{ProofError, verify_consistency, verify_inclusion};

/// The longest proof that a tree of fewer than 2^63 entries can need, in hashes.
pub const MAX_HASHES: usize = 63;

#[cfg(test)]
mod tests;
