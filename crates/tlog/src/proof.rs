//! Proofs that an entry is in a tree and that a tree is the beginning of another (RFC 6962 section 2.1).

pub(crate) mod lines;
mod prove;
mod verify;

pub use lines::LinesError;
pub use prove::{consistency, inclusion};
pub use verify::{ProofError, verify_consistency, verify_inclusion};

/// The longest proof that is read, in hashes: what tlog-witness allows, and what trees of up to 2^62 entries do with.
pub const MAX_HASHES: usize = 63;

#[cfg(test)]
mod tests;
