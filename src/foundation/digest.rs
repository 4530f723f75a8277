//! SHA-256 digests, as they stand in records, cache keys and logs.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Serialize, Serializer};

/// A SHA-256 digest. Displays and serialises as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut digest = [0; 32];
        digest.copy_from_slice(aws_lc_rs::digest::digest(&SHA256, bytes).as_ref());
        Self(digest)
    }

    /// A digest that was made before, such as one that is read from a log.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes themselves.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Digest {
    /// As 64 digits, without asking for memory: four of them stand in each record.
    fn with_hexadecimal<T>(&self, f: impl FnOnce(&str) -> T) -> T {
        let mut digits = [0; 64];
        // The buffer is as long as it must be, and what is in it is ASCII.
        let _infallible = hex::encode_to_slice(self.0, &mut digits);
        f(str::from_utf8(&digits).unwrap_or_default())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_hexadecimal(|digits| f.write_str(digits))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_hexadecimal(|digits| serializer.serialize_str(digits))
    }
}

/// Hashes a sequence of fields so that no two different sequences feed it the same bytes: every field is preceded by
/// its length. (Joining with a separator is how two records of a prior system came to share one hash.)
pub struct Hasher {
    context: Context,
    /// What was fed and not hashed yet: the library takes a few long texts faster than many short ones.
    pending: [u8; PENDING],
    length: usize,
}

/// As much as most questions have.
const PENDING: usize = 1024;

impl Hasher {
    /// A hasher that has seen nothing.
    pub fn new() -> Self {
        Self { context: Context::new(&SHA256), pending: [0; PENDING], length: 0 }
    }

    /// One field, with its length before it.
    pub fn field(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.raw(bytes)
    }

    /// A number, which needs no length.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.raw(&number.to_le_bytes())
    }

    /// The digest of all that was fed.
    pub fn finish(mut self) -> Digest {
        self.flush();
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.context.finish().as_ref());
        Digest(bytes)
    }

    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        if let Some(room) = self.pending.get_mut(self.length..self.length.saturating_add(bytes.len())) {
            room.copy_from_slice(bytes);
            self.length += bytes.len();
        } else {
            self.flush();
            self.context.update(bytes);
        }
        self
    }

    fn flush(&mut self) {
        self.context.update(self.pending.get(..self.length).unwrap_or_default());
        self.length = 0;
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_byte_across_a_field_boundary_changes_the_digest() {
        let digest = |fields: &[&str]| {
            let mut hasher = Hasher::new();
            for field in fields {
                hasher.field(field.as_bytes());
            }
            hasher.finish()
        };
        assert_ne!(digest(&["a|", "b"]), digest(&["a", "|b"]));
        assert_ne!(digest(&["ab", ""]), digest(&["", "ab"]));
        assert_ne!(digest(&["ab"]), digest(&["ab", ""]));
    }

    #[test]
    fn how_the_bytes_are_fed_does_not_matter() {
        let bytes: Vec<u8> = (0..10_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        for piece in [1, 7, PENDING - 1, PENDING, PENDING + 1, 5000] {
            let mut hasher = Hasher::new();
            for piece in bytes.chunks(piece) {
                hasher.raw(piece);
            }
            assert_eq!(hasher.finish(), Digest::of(&bytes), "{piece}");
        }
    }

    #[test]
    fn a_digest_prints_as_hexadecimal() {
        assert_eq!(Digest::of(b"abc").to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
