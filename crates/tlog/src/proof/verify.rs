//! Verifies proofs, as RFC 9162 sections 2.1.3.2 and 2.1.4.2 have it.

use crate::hash::{Hash, node_hash};
use crate::tree::TreeHead;

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The entry can't be in a tree of that size.
    #[error("entry {index} is not within a tree of {size} entries")]
    OutOfRange {
        /// The entry.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
    /// The tree that is said to be the later one is smaller.
    #[error("the tree has shrunk from {old} entries to {new}")]
    Shrunk {
        /// The size before.
        old: u64,
        /// The size after.
        new: u64,
    },
    /// There are too few or too many hashes for these sizes.
    #[error("the proof has {0} hashes, which does not fit the sizes")]
    Length(usize),
    /// The hashes lead to another root.
    #[error("the proof leads to another root than that of the tree of {size} entries")]
    Root {
        /// The size of the tree.
        size: u64,
    },
}

/// The way from a node up to the root, as bits: which side it is on, and where the right edge is.
struct Climb {
    node: u64,
    edge: u64,
}

/// Which side the next hash of a proof is on.
enum Sibling {
    Left,
    Right,
}

impl Climb {
    /// Goes up one hash of the proof; none at the root.
    fn step(&mut self) -> Option<Sibling> {
        if self.edge == 0 {
            return None;
        }
        let sibling = if self.node & 1 == 1 || self.node == self.edge { Sibling::Left } else { Sibling::Right };
        if matches!(sibling, Sibling::Left) {
            // A node on the right edge without a sibling is lifted as it is.
            self.lift(self.node.trailing_zeros());
        }
        self.lift(1);
        Some(sibling)
    }

    fn lift(&mut self, levels: u32) {
        self.node >>= levels;
        self.edge >>= levels;
    }
}

/// Checks that the entry with the hash `leaf` is number `index` in the tree with that head.
pub fn verify_inclusion(head: &TreeHead, index: u64, leaf: &Hash, proof: &[Hash]) -> Result<(), ProofError> {
    if index >= head.size {
        return Err(ProofError::OutOfRange { index, size: head.size });
    }
    let mut climb = Climb { node: index, edge: head.size - 1 };
    let mut hash = *leaf;
    for other in proof {
        hash = match climb.step().ok_or(ProofError::Length(proof.len()))? {
            Sibling::Left => node_hash(other, &hash),
            Sibling::Right => node_hash(&hash, other),
        };
    }
    if climb.edge != 0 {
        return Err(ProofError::Length(proof.len()));
    }
    same_root(hash, head)
}

/// Checks that the tree `new` begins with the tree `old`. The empty tree is the beginning of all, and needs an empty
/// proof, as do equal trees.
pub fn verify_consistency(old: &TreeHead, new: &TreeHead, proof: &[Hash]) -> Result<(), ProofError> {
    if old.size > new.size {
        return Err(ProofError::Shrunk { old: old.size, new: new.size });
    }
    if let Some(impossible) = [old, new].into_iter().find(|head| !head.is_possible()) {
        return Err(ProofError::Root { size: impossible.size });
    }
    let length = ProofError::Length(proof.len());
    if old.size == 0 || old.size == new.size {
        let same = old.size == 0 || old.root == new.root;
        return match (proof, same) {
            ([], true) => Ok(()),
            ([], false) => Err(ProofError::Root { size: new.size }),
            _ => Err(length),
        };
    }
    let mut climb = Climb { node: old.size - 1, edge: new.size - 1 };
    climb.lift(climb.node.trailing_ones());
    // The old tree's last perfect subtree is where both climbs begin. If it is the whole old tree, it is known.
    let (start, rest) = if old.size.is_power_of_two() {
        (old.root, proof)
    } else {
        proof.split_first().map(|(start, rest)| (*start, rest)).ok_or(length)?
    };
    let (mut in_old, mut in_new) = (start, start);
    for other in rest {
        match climb.step().ok_or(length)? {
            Sibling::Left => {
                in_old = node_hash(other, &in_old);
                in_new = node_hash(other, &in_new);
            }
            Sibling::Right => in_new = node_hash(&in_new, other),
        }
    }
    if climb.edge != 0 {
        return Err(length);
    }
    same_root(in_old, old)?;
    same_root(in_new, new)
}

fn same_root(hash: Hash, head: &TreeHead) -> Result<(), ProofError> {
    if hash == head.root { Ok(()) } else { Err(ProofError::Root { size: head.size }) }
}
