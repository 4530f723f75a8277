//! The Merkle tree over a log's entries (RFC 6962 section 2.1): its right edge, which grows, and a reader of its nodes.

mod reader;

pub use reader::{ReadError, TreeReader};

use std::fmt;

use crate::hash::{Hash, empty_root, node_hash};
use crate::tile::{HEIGHT, TileHash};

/// The largest tree: more entries than any log will have, and a number that every implementation can hold.
pub const MAX_SIZE: u64 = i64::MAX as u64;

/// The height of the largest perfect subtree that such a tree has.
const MAX_HEIGHT: u8 = 62;

/// The size of a tree and its root: what a log signs.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TreeHead {
    /// The entries below it.
    pub size: u64,
    /// The hash of all of them.
    pub root: Hash,
}

impl TreeHead {
    /// That of the tree without entries.
    pub fn empty() -> Self {
        Self { size: 0, root: empty_root() }
    }

    /// Whether a tree can have this size and this root, as far as that can be seen: there is one empty tree.
    pub fn is_possible(&self) -> bool {
        self.size > 0 || self.root == empty_root()
    }
}

/// The right edge of a tree: all that is needed to append to it. 2 KiB, whatever the size of the tree.
#[derive(Clone)]
pub struct Frontier {
    size: u64,
    /// The perfect subtree of 2^n leaves is at n, if bit n of the size is set. What is at other places is stale.
    peaks: [Hash; Self::PEAKS],
}

impl Frontier {
    /// As many as a size has bits.
    const PEAKS: usize = u64::BITS as usize;

    /// That of the empty tree.
    pub const fn new() -> Self {
        Self { size: 0, peaks: [Hash::ZERO; Self::PEAKS] }
    }

    /// The entries so far.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends the leaf of an entry: one more hash for every second leaf, two for every fourth and so on, which is one
    /// on average. Nothing is allocated.
    ///
    /// `grown` is given each hash that this leaf completes and that belongs in a tile, the leaf itself first. It must be
    /// appended to the last tile of its level, which is where [`TileHash`] says.
    pub fn append(&mut self, leaf: Hash, mut grown: impl FnMut(TileHash)) {
        let size = self.size;
        let mut hash = leaf;
        for (height, peak) in (0..).zip(&mut self.peaks) {
            if height % HEIGHT == 0 {
                grown(TileHash { level: height / HEIGHT, position: size >> height, hash });
            }
            if size >> height & 1 == 0 {
                *peak = hash;
                break;
            }
            hash = node_hash(peak, &hash);
        }
        self.size += 1;
    }

    /// The root of all entries so far. Costs a hash for every bit set in the size but one.
    pub fn root(&self) -> Hash {
        join_peaks(self.peaks())
    }

    /// Size and root.
    pub fn head(&self) -> TreeHead {
        TreeHead { size: self.size, root: self.root() }
    }

    /// The perfect subtrees, the smallest and rightmost first.
    fn peaks(&self) -> impl Iterator<Item = Hash> {
        let present = |height: &u8| self.size >> height & 1 == 1;
        (0..).zip(&self.peaks).filter(move |(height, _)| present(height)).map(|(_, peak)| *peak)
    }
}

impl Default for Frontier {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Frontier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frontier").field("size", &self.size).field("root", &self.root()).finish_non_exhaustive()
    }
}

/// The root of a tree of these leaves, or of these roots of perfect subtrees of one size.
pub fn root_of(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => empty_root(),
        [hash] => *hash,
        _ => {
            let (left, right) = hashes.split_at(hashes.len().next_power_of_two() / 2);
            node_hash(&root_of(left), &root_of(right))
        }
    }
}

/// The root above perfect subtrees of falling size, given from the right.
fn join_peaks(from_the_right: impl Iterator<Item = Hash>) -> Hash {
    from_the_right.reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
}

#[cfg(test)]
mod tests;
