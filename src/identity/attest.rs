//! Attestation: what can be said of a caller without asking it.

pub mod unix;

use std::collections::BTreeSet;

use super::selector::Selector;

/// What attestation found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attested {
    /// The process id, for logs.
    pub pid: i32,
    /// All that is true of the process.
    pub selectors: BTreeSet<Selector>,
}
