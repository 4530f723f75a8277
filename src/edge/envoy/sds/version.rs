//! The versions of secrets: what they are, not how many there were. So a version moves when the content does and never
//! otherwise, and it still means the same on the next stream and after a restart.

use std::fmt;

use crate::foundation::digest::{Digest, Hasher};

/// The version of a secret, or of several. Displays as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Version([u8; 32]);

impl Version {
    /// The version of an encoded secret.
    pub(super) fn of(secret: &[u8]) -> Self {
        Self(*Digest::of(secret).as_bytes())
    }

    /// The version of several secrets together, in their order.
    pub(super) fn of_all(versions: impl IntoIterator<Item = Self>) -> Self {
        let mut hasher = Hasher::new();
        for Self(version) in versions {
            hasher.field(&version);
        }
        Self(*hasher.finish().as_bytes())
    }

    /// A version as a client repeats it; `None` if it is none of ours.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_displayed_is_read_back_and_nothing_else_is() {
        let version = Version::of(b"a secret");
        assert_eq!(Version::parse(&version.to_string()), Some(version));
        for text in ["", "1", "zz", &"g".repeat(64), &"0".repeat(63), &"0".repeat(66)] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    #[test]
    fn several_secrets_have_another_version_if_one_has_or_is_gone() {
        let [a, b] = [b"a", b"b"].map(|secret| Version::of(secret));
        let all = [vec![a, b], vec![b, a], vec![a], vec![a, a], vec![]].map(Version::of_all);
        for (index, version) in all.iter().enumerate() {
            assert!(!all.iter().skip(index + 1).any(|other| other == version), "{index}");
        }
        assert_eq!(Version::of_all([a, b]), all[0]);
    }
}
