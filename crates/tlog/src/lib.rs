//! Transparency logs in the formats of C2SP: Merkle trees, tiles, entry bundles, proofs, signed notes, checkpoints,
//! cosignatures and what a witness decides.
//!
//! Pure: no I/O, no clock, no source of randomness. A tree's nodes come from a [`tile::TileSource`] of the caller, and
//! what is read from one is worth nothing until a root hash in a verified [`checkpoint`] vouches for it.
//!
//! Sizes stay below 2^63, as in Go's implementation: [`tree::MAX_SIZE`].

pub mod bundle;
pub mod checkpoint;
pub mod cosignature;
mod decimal;
pub mod hash;
pub mod log_proof;
pub mod note;
mod path;
pub mod policy;
pub mod proof;
#[cfg(test)]
mod testing;
pub mod tile;
pub mod tree;
pub mod walk;
pub mod witness;

pub use bundle::Bundle;
pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use hash::{Hash, empty_root, leaf_hash, node_hash};
pub use log_proof::LogProof;
pub use path::{PathError, Resource};
pub use policy::Policy;
pub use tile::{Tile, TileSource};
pub use tree::{Frontier, TreeHead};
