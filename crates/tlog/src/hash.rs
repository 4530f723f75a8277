//! The hashes of a Merkle tree (RFC 6962 section 2.1) with SHA-256.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::Engine as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;

/// What goes before an entry, so that no entry can pass for an inner node.
const LEAF: u8 = 0x00;
/// What goes before the two children of an inner node.
const NODE: u8 = 0x01;

/// A node of the tree: 32 bytes. Text form: base64 with padding, 44 characters.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Hash([u8; Self::LENGTH]);

/// The text is not the base64 of 32 bytes, in the one spelling that they have.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a hash is the base64 of 32 bytes")]
pub struct HashError;

impl Hash {
    /// Its length in bytes.
    pub const LENGTH: usize = 32;

    /// Thirty-two zeros: no hash of anything known.
    pub(crate) const ZERO: Self = Self([0; Self::LENGTH]);

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl From<[u8; Self::LENGTH]> for Hash {
    fn from(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Base64Display::new(&self.0, &STANDARD).fmt(f)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = STANDARD.decode(text).map_err(|_malformed| HashError)?;
        bytes.try_into().map(Self).map_err(|_length| HashError)
    }
}

/// Up to this length an entry is hashed in one piece, which spares what a context costs: about as much as the hash itself.
const SHORT: usize = 1023;

/// The hash of an entry: SHA-256(0x00 || entry).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut input = [LEAF; 1 + SHORT];
    if let Some(input) = input.get_mut(..=entry.len()) {
        let (_prefix, rest) = input.split_at_mut(1);
        rest.copy_from_slice(entry);
        return from_digest(&digest(&SHA256, input));
    }
    let mut context = Context::new(&SHA256);
    context.update(&[LEAF]);
    context.update(entry);
    from_digest(&context.finish())
}

/// The hash of an inner node: SHA-256(0x01 || left || right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut input = [NODE; 1 + 2 * Hash::LENGTH];
    let (_prefix, children) = input.split_at_mut(1);
    let (first, second) = children.split_at_mut(Hash::LENGTH);
    first.copy_from_slice(&left.0);
    second.copy_from_slice(&right.0);
    from_digest(&digest(&SHA256, &input))
}

/// The root of a tree without entries: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    from_digest(&digest(&SHA256, b""))
}

fn from_digest(digest: &aws_lc_rs::digest::Digest) -> Hash {
    let mut bytes = [0; Hash::LENGTH];
    bytes.copy_from_slice(digest.as_ref());
    Hash(bytes)
}

#[cfg(test)]
mod tests;
