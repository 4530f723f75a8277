//! SPIFFE IDs (SPIFFE-ID section 2).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::trust_domain::{TrustDomain, TrustDomainError};

const SCHEME: &str = "spiffe://";

/// The longest SPIFFE ID, in bytes, that everyone must support and that we accept (SPIFFE-ID section 2.3).
const MAX_LENGTH: usize = 2048;

/// A SPIFFE ID with a path: the name of a workload. The bare ID of a trust domain is a [`TrustDomain`].
///
/// Only the canonical spelling is accepted: scheme and trust domain in lower case. The standard lets a parser accept
/// other cases (2.4), but whatever compares IDs as bytes, Envoy included, would then disagree with us.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SpiffeId {
    uri: Arc<str>,
    trust_domain: TrustDomain,
}

/// Why a text is not the SPIFFE ID of a workload.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// More than 2048 bytes.
    #[error("the SPIFFE ID has {0} bytes, more than 2048")]
    TooLong(usize),
    /// It does not begin with `spiffe://`.
    #[error("a SPIFFE ID begins with `spiffe://` in lower case")]
    Scheme,
    /// The trust domain is not one.
    #[error(transparent)]
    TrustDomain(#[from] TrustDomainError),
    /// There is no path, so this names a trust domain and not a workload.
    #[error("the SPIFFE ID has no path, so it names a trust domain and not a workload")]
    NoPath,
    /// `//` or a trailing `/`.
    #[error("the path of the SPIFFE ID has an empty segment")]
    EmptySegment,
    /// `.` or `..`.
    #[error("the path of the SPIFFE ID has a `.` or `..` segment")]
    DotSegment,
    /// A character outside the set; percent-encoding is not allowed anywhere.
    #[error("the path of the SPIFFE ID has {0:?}, but only letters, digits, `.`, `-` and `_` may stand there")]
    Character(char),
}

impl SpiffeId {
    /// The whole URI.
    pub fn as_str(&self) -> &str {
        &self.uri
    }

    /// Who vouches for it.
    pub const fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The path, with its leading slash.
    pub fn path(&self) -> &str {
        self.uri.get(SCHEME.len() + self.trust_domain.as_str().len()..).unwrap_or_default()
    }
}

impl FromStr for SpiffeId {
    type Err = IdError;

    fn from_str(uri: &str) -> Result<Self, Self::Err> {
        if uri.len() > MAX_LENGTH {
            return Err(IdError::TooLong(uri.len()));
        }
        let rest = uri.strip_prefix(SCHEME).ok_or(IdError::Scheme)?;
        let (name, path) = rest.split_once('/').map_or((rest, None), |(name, path)| (name, Some(path)));
        let trust_domain = name.parse()?;
        check_path(path.ok_or(IdError::NoPath)?)?;
        Ok(Self { uri: uri.into(), trust_domain })
    }
}

/// Checks a path without its leading slash.
fn check_path(path: &str) -> Result<(), IdError> {
    for segment in path.split('/') {
        match segment {
            "" => return Err(IdError::EmptySegment),
            "." | ".." => return Err(IdError::DotSegment),
            _ => {}
        }
        let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if let Some(stranger) = segment.chars().find(|c| !allowed(c)) {
            return Err(IdError::Character(stranger));
        }
    }
    Ok(())
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri)
    }
}

impl Serialize for SpiffeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.uri)
    }
}

impl<'de> Deserialize<'de> for SpiffeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
