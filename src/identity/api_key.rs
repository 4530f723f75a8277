//! API keys: random texts that callers show whole. Only SHA-256 digests of them are known here. A plain digest is enough
//! because a key is drawn and never chosen: at 128 bits and more there is nothing to guess, and so nothing to slow down.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::foundation::digest::Digest;

/// The least that a key can have, in characters: 128 bits take 22 in base64 and 32 in hexadecimal.
pub const SHORTEST_KEY: usize = 22;

/// The longest that is looked at.
pub const LONGEST_KEY: usize = 512;

/// Whose key it is, and its digest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ApiKey {
    /// The caller's name: 1 to 64 letters, digits, `.`, `-` and `_`.
    pub name: Arc<str>,
    /// SHA-256 of the key as it is shown.
    pub digest: Digest,
}

/// All keys that are good. A caller has two while it changes from one to the next.
#[derive(Clone, Debug, Default)]
pub struct ApiKeys(Vec<ApiKey>);

impl ApiKeys {
    /// These.
    pub const fn new(keys: Vec<ApiKey>) -> Self {
        Self(keys)
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose key `shown` is. It is compared with all of them, each in constant time, so that the time that it takes says
    /// nothing about any.
    pub fn find(&self, shown: &str) -> Option<&Arc<str>> {
        if !(SHORTEST_KEY..=LONGEST_KEY).contains(&shown.len()) {
            return None;
        }
        let digest = Digest::of(shown.as_bytes());
        let same = |key: &ApiKey| verify_slices_are_equal(key.digest.as_bytes(), digest.as_bytes()).is_ok();
        self.0.iter().fold(None, |found, key| if same(key) { Some(&key.name) } else { found })
    }
}

/// Whether `name` can be that of a caller. It has no colon, so it can't pass for a SPIFFE ID or an entity.
pub fn is_caller_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(pairs: &[(&str, &str)]) -> ApiKeys {
        let key = |(name, key): &(&str, &str)| ApiKey { name: (*name).into(), digest: Digest::of(key.as_bytes()) };
        ApiKeys::new(pairs.iter().map(key).collect())
    }

    #[test]
    fn a_key_is_found_whole_and_nothing_else_is() {
        let known = keys(&[("shop", "k".repeat(22).as_str()), ("shop", "l".repeat(22).as_str()), ("till", "short")]);
        assert_eq!(known.find(&"k".repeat(22)).map(|name| &**name), Some("shop"));
        assert_eq!(known.find(&"l".repeat(22)).map(|name| &**name), Some("shop"), "the next key of the same caller");
        for other in ["", "k", &"k".repeat(21), &"k".repeat(23), &"K".repeat(22), &"k".repeat(600)] {
            assert_eq!(known.find(other), None, "{other}");
        }
        assert_eq!(known.find("short"), None, "too short to be one, whatever was configured");
    }

    #[test]
    fn the_digest_is_no_key() {
        let known = keys(&[("shop", "k".repeat(22).as_str())]);
        assert_eq!(known.find(&Digest::of("k".repeat(22).as_bytes()).to_string()), None);
    }

    #[test]
    fn a_name_can_not_pass_for_another_kind_of_caller() {
        assert!(is_caller_name("shop-2.eu_1"));
        for name in ["", "spiffe://example.org/web", "Human::\"alice\"", "a b", &"n".repeat(65)] {
            assert!(!is_caller_name(name), "{name}");
        }
    }
}
