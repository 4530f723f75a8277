//! Who can be what is sought, in the order of their names: those whom the permits name that the known parts can meet.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeSet, BinaryHeap, HashSet};

use super::Budget;
use super::open::Open;
use crate::decision::entity::order::Names;
use crate::decision::entity::{Lineage, Order, UidRef, View};
use crate::decision::policy::index::{Key, Party};
use crate::decision::policy::rule::Rule;
use crate::decision::policy::{PolicySet, Question};
use crate::decision::search::SearchError;

/// The names, each once. They are merged from lists that are in order themselves, none of which is read further than
/// it has to be.
pub(super) struct Candidates<'a> {
    heads: BinaryHeap<Reverse<Head<'a>>>,
    last: Option<UidRef<'a>>,
}

/// The first name of a list, and the others.
struct Head<'a> {
    first: UidRef<'a>,
    rest: Names<'a>,
}

/// Where the names are taken from.
struct Places<'a, 'q> {
    order: &'a Order,
    kind: &'a str,
    after: Option<&'a str>,
    /// Those that are named themselves.
    named: BTreeSet<UidRef<'a>>,
    lists: Vec<Names<'a>>,
    seen: HashSet<UidRef<'q>>,
}

impl<'a> Candidates<'a> {
    /// Those whom a permit could let be the open part of `question`, which is about one of them.
    pub(super) fn of(
        set: &'a PolicySet,
        question: &Question<'a>,
        open: &Open,
        after: Option<&'a str>,
        budget: &Budget,
    ) -> Result<Self, SearchError> {
        let order = set.entities.order();
        let (known, kind) = match open.party {
            Party::Principal => (question.resource, question.principal.kind()),
            Party::Resource => (question.principal, question.resource.kind()),
        };
        let everyone = || Ok(Self::merged([order.of_kind(kind, after)]));
        if open.is_completed && may_change(set, known, kind) {
            return everyone();
        }
        let view =
            View { stored: &set.entities, actions: &set.vocabulary.actions.entities, brought: &question.brought };
        let brought: Vec<_> = question.brought.iter().map(|brought| view.lineage(brought.uid)).collect();
        let (named, lists, seen) = (BTreeSet::new(), Vec::new(), HashSet::new());
        let mut places = Places { order, kind, after, named, lists, seen };
        for rule in permits(set, question.action, open.party, &view.lineage(known)) {
            budget.spend(1);
            for key in scope_of(rule, open.party) {
                match key {
                    Key::Anyone => return everyone(),
                    Key::Kind(named) if **named == *kind => return everyone(),
                    Key::Kind(_) => {}
                    Key::Is(uid) => places.name(uid.as_ref(), set),
                    // What they are within follows from the question too, and not only from what is stored.
                    Key::Within(_) if open.is_completed => return everyone(),
                    Key::Within(uid) => places.descend(uid.as_ref(), &brought, set, budget)?,
                }
            }
        }
        let Places { named, mut lists, .. } = places;
        let is_after = move |uid: &UidRef<'_>| after.is_none_or(|after| uid.id() > after);
        lists.push(Box::new(named.into_iter().filter(is_after)));
        Ok(Self::merged(lists))
    }

    fn merged(lists: impl IntoIterator<Item = Names<'a>>) -> Self {
        let heads = lists.into_iter().filter_map(Head::of).map(Reverse).collect();
        Self { heads, last: None }
    }
}

impl<'a> Iterator for Candidates<'a> {
    type Item = UidRef<'a>;

    fn next(&mut self) -> Option<UidRef<'a>> {
        loop {
            let mut head = self.heads.peek_mut()?;
            let Reverse(Head { first, rest }) = &mut *head;
            let name = *first;
            match rest.next() {
                Some(next) => *first = next,
                None => drop(std::collections::binary_heap::PeekMut::pop(head)),
            }
            if self.last != Some(name) {
                self.last = Some(name);
                return Some(name);
            }
        }
    }
}

impl<'a> Places<'a, '_> {
    /// Adds an entity itself, if it is stored and of the type.
    fn name(&mut self, uid: UidRef<'_>, set: &'a PolicySet) {
        if uid.kind() == self.kind {
            self.named.extend(set.entities.get(uid).map(|node| node.uid().as_ref()));
        }
    }
}

impl<'a: 'q, 'q> Places<'a, 'q> {
    /// Adds an entity and all that are in it, if only by what the question brings.
    fn descend(
        &mut self,
        top: UidRef<'a>,
        brought: &[Lineage<'q>],
        set: &'a PolicySet,
        budget: &Budget,
    ) -> Result<(), SearchError> {
        let beneath = brought.iter().filter(|lineage| lineage.has(top)).map(Lineage::entity);
        let mut rest: Vec<UidRef<'q>> = beneath.chain([top]).collect();
        while let Some(group) = rest.pop() {
            if !self.seen.insert(group) {
                continue;
            }
            budget.spend(1);
            if budget.is_spent() {
                return Err(SearchError::TooMuchWork);
            }
            self.name(group, set);
            self.lists.push(self.order.members(group, self.kind, self.after));
            rest.extend(self.order.subgroups(group));
        }
        Ok(())
    }
}

/// Whether a question about one of those who are sought can bring parents for the entity that is known, or for one of
/// its ancestors: those who are sought are among them.
fn may_change(set: &PolicySet, known: UidRef<'_>, kind: &str) -> bool {
    let types = set.vocabulary.types.entities.get(known.kind());
    known.kind() == kind || types.is_none_or(|known| known.ancestors.contains(kind))
}

/// The permits that are about the action and can be met by the known entity, which is not the open `party`.
fn permits<'a>(
    set: &'a PolicySet,
    action: usize,
    party: Party,
    known: &Lineage<'_>,
) -> impl Iterator<Item = &'a Rule> + use<'a> {
    let other = match party {
        Party::Principal => Party::Resource,
        Party::Resource => Party::Principal,
    };
    let numbers = set.rules.reach().permits(other, known).into_iter();
    numbers.filter_map(|number| set.rules.get(number)).filter(move |rule| rule.scope.actions.has(action))
}

fn scope_of(rule: &Rule, party: Party) -> &[Key] {
    match party {
        Party::Principal => &rule.scope.principal,
        Party::Resource => &rule.scope.resource,
    }
}

impl<'a> Head<'a> {
    fn of(mut list: Names<'a>) -> Option<Self> {
        Some(Self { first: list.next()?, rest: list })
    }
}

impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.first.cmp(&other.first)
    }
}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Head<'_> {}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.first == other.first
    }
}
