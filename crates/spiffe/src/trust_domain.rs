//! Trust domain names (SPIFFE-ID section 2.1).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest trust domain name, in bytes (SPIFFE-ID section 2.3).
const MAX_LENGTH: usize = 255;

/// The name of a trust domain: 1 to 255 of `a-z 0-9 . - _`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TrustDomain(Arc<str>);

/// Why a text is not a trust domain name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustDomainError {
    /// No name at all.
    #[error("the trust domain is empty")]
    Empty,
    /// More than 255 bytes.
    #[error("the trust domain has {0} bytes, more than 255")]
    TooLong(usize),
    /// A character outside the set. Upper case is outside it too: see [`SpiffeId`](crate::SpiffeId).
    #[error("the trust domain has {0:?}, but only a-z, 0-9, `.`, `-` and `_` may stand there")]
    Character(char),
}

impl TrustDomain {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The SPIFFE ID of the trust domain itself, `spiffe://name`.
    pub fn id_string(&self) -> String {
        format!("spiffe://{}", self.0)
    }
}

impl FromStr for TrustDomain {
    type Err = TrustDomainError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if name.is_empty() {
            return Err(TrustDomainError::Empty);
        }
        if name.len() > MAX_LENGTH {
            return Err(TrustDomainError::TooLong(name.len()));
        }
        match name.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '.' | '-' | '_')) {
            Some(stranger) => Err(TrustDomainError::Character(stranger)),
            None => Ok(Self(name.into())),
        }
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for TrustDomain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TrustDomain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
