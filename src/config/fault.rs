//! What is wrong with a configuration. All of it is told at once, in the order of the file.

use std::fmt;

use super::origin::Origin;
use crate::foundation::telemetry::printable;

/// More than this of a message says nothing more.
const MESSAGE_LIMIT: usize = 1000;

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Fault {
    origin: Origin,
    key: String,
    message: String,
}

impl Fault {
    /// `message` about the value of `key` (empty if it is about no key), given at `origin`.
    pub(super) fn new(origin: Origin, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { origin, key: key.into(), message: message.into() }
    }

    /// Where the offending value stands.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

/// `file:line:column: key: message`, on one line whatever the user wrote.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.key.is_empty() { "" } else { ": " };
        let text = format!("{}: {}{separator}{}", self.origin, self.key, self.message);
        f.write_str(&printable(&text, MESSAGE_LIMIT))
    }
}

/// Everything that is wrong with a configuration: at least one fault.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    faults: Vec<Fault>,
}

impl ConfigError {
    pub(super) fn new(mut faults: Vec<Fault>) -> Self {
        faults.sort();
        faults.dedup();
        Self { faults }
    }

    /// The faults, in the order of the file, then those of the environment, then those of the flags.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

/// One line a fault.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            write!(f, "{}{fault}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}
