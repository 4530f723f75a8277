//! Which of the properties that a caller tells of an entity count though something else is stored.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Properties;

/// Names of properties that whoever asks was granted, one by one. Nothing by default: what is stored comes first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Overlay(Option<Arc<BTreeSet<String>>>);

impl Overlay {
    /// These names, which the properties need not have.
    pub fn of(names: BTreeSet<String>) -> Self {
        Self((!names.is_empty()).then(|| Arc::new(names)))
    }

    /// Whether a property of this name comes before what is stored.
    pub fn covers(&self, name: &str) -> bool {
        self.0.as_ref().is_some_and(|names| names.contains(name))
    }

    /// Whether it covers no name at all.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The names that it covers, ascending.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|names| names.iter().map(String::as_str))
    }

    /// Those of them that `properties` have: all that it means beside these.
    pub fn said<'o>(&'o self, properties: &'o Properties<'_>) -> impl Iterator<Item = &'o str> {
        self.names().filter(|name| properties.get(name).is_some())
    }
}
