//! Where a rule stands in the index.

use std::sync::Arc;

use crate::decision::entity::Uid;

/// A necessary condition of a rule on the principal or the resource.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(in crate::decision::policy) enum Key {
    /// None.
    Anyone,
    /// It is of this type.
    Kind(Arc<str>),
    /// It is this entity.
    Is(Uid),
    /// It is this entity or has it as an ancestor.
    Within(Uid),
}

/// The requests that a rule can be met by: those with any of these keys for the principal, any of these for the
/// resource, and one of these actions. No keys at all: none.
#[derive(Clone, Debug)]
pub(in crate::decision::policy) struct Scope {
    pub(in crate::decision::policy) principal: Box<[Key]>,
    pub(in crate::decision::policy) resource: Box<[Key]>,
    pub(in crate::decision::policy) actions: Arc<ActionSet>,
}

/// Some of the schema's actions, by their numbers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::decision::policy) struct ActionSet(Box<[u64]>);

impl ActionSet {
    /// Whether `action` is one of them.
    pub(in crate::decision::policy) fn has(&self, action: usize) -> bool {
        self.0.get(action / 64).is_some_and(|word| word >> (action % 64) & 1 == 1)
    }

    /// How many there are.
    pub(in crate::decision::policy) fn count(&self) -> usize {
        self.iter().count()
    }

    /// Their numbers, ascending.
    pub(in crate::decision::policy) fn iter(&self) -> impl Iterator<Item = usize> {
        (0..self.0.len() * 64).filter(|action| self.has(*action))
    }
}

impl FromIterator<usize> for ActionSet {
    fn from_iter<I: IntoIterator<Item = usize>>(actions: I) -> Self {
        let mut words: Vec<u64> = Vec::new();
        for action in actions {
            let place = action / 64;
            if words.len() <= place {
                words.resize(place + 1, 0);
            }
            if let Some(word) = words.get_mut(place) {
                *word |= 1 << (action % 64);
            }
        }
        Self(words.into())
    }
}
