//! Selectors: what attestation found out about a workload, and what an entry asks for, in SPIRE's `type:value` form.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// The types of selector that an attestor of ours can find. One of another type fits nobody.
pub const KNOWN_KINDS: [&str; 4] = ["unix", "docker", "k8s", "systemd"];

/// One fact about a workload, e.g. `unix:uid:1000`: type `unix`, value `uid:1000`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Selector {
    kind: String,
    value: String,
}

/// A text that is not a selector.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a selector has the form `type:value`, both not empty")]
pub struct SelectorError;

impl Selector {
    /// A selector made by an attestor.
    pub fn new(kind: impl Into<String>, value: impl Into<String>) -> Self {
        Self { kind: kind.into(), value: value.into() }
    }

    /// Which attestor it is of, e.g. `unix`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What that attestor found, e.g. `uid:1000`.
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some((kind, value)) if !kind.is_empty() && !value.is_empty() => Ok(Self::new(kind, value)),
            _ => Err(SelectorError),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.value)
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
