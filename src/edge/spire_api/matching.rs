//! Lists of selectors on the wire, and how sets are asked for.

use std::collections::BTreeSet;

use portcullis_spiffe_api::spire::api::types;
use portcullis_spiffe_api::spire::api::types::selector_match::MatchBehavior;

use crate::identity::selector::Selector;

/// How a thing's own set must relate to the one that is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Relation {
    /// It is the same.
    Exact,
    /// It has something, and nothing that is not asked for.
    Subset,
    /// It has all that is asked for.
    Superset,
    /// It has something that is asked for.
    Any,
}

/// A question to a set.
#[derive(Clone, Debug)]
pub(super) struct SetMatch<T> {
    pub(super) asked: BTreeSet<T>,
    pub(super) relation: Relation,
}

/// What is wrong with a list of selectors.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum SelectorFault {
    #[error("missing selector type")]
    NoType,
    #[error("selector type contains ':'")]
    ColonInType,
    #[error("missing selector value")]
    NoValue,
    /// No attestor reports one, and not every store can keep it.
    #[error("selector contains a NUL character")]
    Nul,
    #[error("empty selector set")]
    Empty,
    #[error("unknown match behavior")]
    Relation,
}

impl Relation {
    /// By its number, which is the same for selectors and trust domains.
    pub(super) fn of(number: i32) -> Option<Self> {
        Some(match MatchBehavior::try_from(number).ok()? {
            MatchBehavior::MatchExact => Self::Exact,
            MatchBehavior::MatchSubset => Self::Subset,
            MatchBehavior::MatchSuperset => Self::Superset,
            MatchBehavior::MatchAny => Self::Any,
        })
    }
}

impl<T: Ord> SetMatch<T> {
    pub(super) fn holds(&self, own: &BTreeSet<T>) -> bool {
        match self.relation {
            Relation::Exact => *own == self.asked,
            Relation::Subset => !own.is_empty() && own.is_subset(&self.asked),
            Relation::Superset => own.is_superset(&self.asked),
            Relation::Any => !own.is_disjoint(&self.asked),
        }
    }
}

/// Selectors, of which a repetition means nothing.
pub(super) fn selectors(list: &[types::Selector]) -> Result<BTreeSet<Selector>, SelectorFault> {
    list.iter().map(selector).collect()
}

/// A question to selectors, which must not be empty.
pub(super) fn selector_match(asked: &types::SelectorMatch) -> Result<SetMatch<Selector>, SelectorFault> {
    let set = selectors(&asked.selectors)?;
    if set.is_empty() {
        return Err(SelectorFault::Empty);
    }
    Ok(SetMatch { asked: set, relation: Relation::of(asked.r#match).ok_or(SelectorFault::Relation)? })
}

/// As they go over the wire, in order.
pub(super) fn to_wire(selectors: &BTreeSet<Selector>) -> Vec<types::Selector> {
    let one = |s: &Selector| types::Selector { r#type: s.kind().to_owned(), value: s.value().to_owned() };
    selectors.iter().map(one).collect()
}

fn selector(given: &types::Selector) -> Result<Selector, SelectorFault> {
    match (given.r#type.as_str(), given.value.as_str()) {
        ("", _) => Err(SelectorFault::NoType),
        (kind, _) if kind.contains(':') => Err(SelectorFault::ColonInType),
        (_, "") => Err(SelectorFault::NoValue),
        (kind, value) if kind.contains('\0') || value.contains('\0') => Err(SelectorFault::Nul),
        (kind, value) => Ok(Selector::new(kind, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spelt out: rows are what a thing has, columns what is asked for.
    #[test]
    fn the_four_relations() {
        let sets = ["", "a", "b", "ab", "abc"];
        for (relation, expected) in [
            (Relation::Exact, [[0, 0], [1, 0], [0, 0], [0, 1], [0, 0]]),
            (Relation::Subset, [[0, 0], [1, 1], [0, 1], [0, 1], [0, 0]]),
            (Relation::Superset, [[0, 0], [1, 0], [0, 0], [1, 1], [1, 1]]),
            (Relation::Any, [[0, 0], [1, 1], [0, 1], [1, 1], [1, 1]]),
        ] {
            for (own, row) in sets.iter().zip(expected) {
                for (asked, expected) in ["a", "ab"].iter().zip(row) {
                    let question = SetMatch { asked: asked.chars().collect(), relation };
                    assert_eq!(question.holds(&own.chars().collect()), expected == 1, "{relation:?} {own} {asked}");
                }
            }
        }
        assert_eq!(Relation::of(3), Some(Relation::Any));
        assert_eq!((Relation::of(-1), Relation::of(4)), (None, None));
    }
}
