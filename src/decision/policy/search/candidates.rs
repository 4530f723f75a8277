//! Who can be what is sought, in the order of their names: those whom the permits name that the known part can meet.

use std::collections::{BTreeSet, HashSet};

use super::Budget;
use super::merged::Merged;
use super::narrow::{Narrowing, Place};
use super::open::Open;
use crate::decision::entity::order::Names;
use crate::decision::entity::{Lineage, Uid, UidRef};
use crate::decision::policy::index::{Key, Party};
use crate::decision::policy::rule::Rule;
use crate::decision::policy::{Asked, PolicySet};
use crate::decision::search::SearchError;

/// Where the names are taken from.
pub(super) struct Candidates<'a> {
    set: &'a PolicySet,
    budget: &'a Budget,
    kind: &'a str,
    after: Option<&'a str>,
    /// Whether it is everyone of the type.
    everyone: bool,
    /// Those that are named themselves.
    named: BTreeSet<UidRef<'a>>,
    /// The members of groups that are named, each list in order.
    lists: Vec<Names<'a>>,
    /// The groups.
    seen: HashSet<UidRef<'a>>,
    /// What the question brings for its known part.
    brought: Vec<Lineage<'a>>,
}

impl<'a> Candidates<'a> {
    /// Those whom a permit could let be the open part of the question, which was asked about one of them.
    ///
    /// # Errors
    /// [`SearchError::TooMuchWork`]
    pub(super) fn of(
        set: &'a PolicySet,
        asked: &'a Asked<'a>,
        open: &Open,
        after: Option<&'a str>,
        budget: &'a Budget,
    ) -> Result<Box<dyn Iterator<Item = UidRef<'a>> + 'a>, SearchError> {
        let (scene, question) = (asked.scene(), asked.question());
        let (known, kind) = match open.party {
            Party::Principal => (scene.resource, question.principal.kind()),
            Party::Resource => (scene.principal, question.resource.kind()),
        };
        let brought = question.brought.iter().map(|brought| scene.entities.lineage(brought.uid)).collect();
        let (named, lists, seen) = (BTreeSet::new(), Vec::new(), HashSet::new());
        let mut candidates = Self { set, budget, kind, after, everyone: false, named, lists, seen, brought };
        // A question about one of those who are sought then brings parents for what the known entity is within.
        if open.derived.is_some() && may_be_within(set, known.entity().kind(), kind) {
            candidates.everyone = true;
            return Ok(Box::new(candidates.names()));
        }
        let narrowing = (!open.is_described()).then(|| Narrowing::new(scene, open.party));
        let mut permits = Vec::new();
        for rule in in_reach(set, question.action, open.party, known) {
            budget.spend(1);
            if narrowing.is_none_or(|narrowing| !narrowing.rules_out(rule)) {
                candidates.add(rule, open, narrowing)?;
                permits.push(rule);
            }
        }
        let merged = candidates.names();
        Ok(match narrowing.and_then(|narrowing| narrowing.filter(&permits)) {
            // Who has nothing left to spend is told so by whoever asks for names.
            Some(filter) => Box::new(merged.filter(move |uid| budget.is_spent() || filter.lets_pass(*uid, budget))),
            None => Box::new(merged),
        })
    }

    /// Adds those whom a permit could be for.
    fn add(&mut self, rule: &'a Rule, open: &Open, narrowing: Option<Narrowing<'a>>) -> Result<(), SearchError> {
        let keys = match open.party {
            Party::Principal => &rule.scope.principal,
            Party::Resource => &rule.scope.resource,
        };
        for key in keys {
            match key {
                _ if self.everyone => return Ok(()),
                Key::Kind(kind) if **kind != *self.kind => {}
                Key::Anyone | Key::Kind(_) => match narrowing.and_then(|narrowing| narrowing.places(rule)) {
                    Some(places) => places.into_iter().try_for_each(|place| self.put(place))?,
                    None => self.everyone = true,
                },
                Key::Is(uid) => self.name(uid.as_ref()),
                Key::Within(uid) if self.may_derive(open, uid) => self.everyone = true,
                Key::Within(uid) => self.descend(uid.as_ref())?,
            }
        }
        Ok(())
    }

    /// Whether it can follow from the ids of those who are sought that they are within `place`, whatever is stored.
    fn may_derive(&self, open: &Open, place: &Uid) -> bool {
        open.derived.unwrap_or_default().iter().any(|parent| may_be_within(self.set, parent, place.kind()))
    }

    fn put(&mut self, place: Place<'a>) -> Result<(), SearchError> {
        match place {
            Place::Is(uid) => self.name(uid),
            Place::Within(uid) => self.descend(uid)?,
            Place::Naming(attribute, uid) => {
                // Of those that the question describes itself, more is known than is stored.
                let brought: Vec<_> = self.brought.iter().map(Lineage::entity).collect();
                for uid in brought {
                    self.name(uid);
                }
                self.lists.push(self.set.entities.naming(attribute, uid, self.kind, self.after));
            }
        }
        Ok(())
    }

    /// Adds an entity itself, if it is stored and of the type.
    fn name(&mut self, uid: UidRef<'_>) {
        if uid.kind() == self.kind {
            self.named.extend(self.set.entities.get(uid).map(|node| node.uid().as_ref()));
        }
    }

    /// Adds an entity and all that are in it, if only by what the question brings.
    fn descend(&mut self, top: UidRef<'a>) -> Result<(), SearchError> {
        let order = self.set.entities.order();
        let beneath = self.brought.iter().filter(|lineage| lineage.has(top)).map(Lineage::entity);
        let mut rest: Vec<UidRef<'a>> = beneath.chain([top]).collect();
        while let Some(group) = rest.pop() {
            if !self.seen.insert(group) {
                continue;
            }
            self.budget.spend(1);
            if self.budget.is_spent() {
                return Err(SearchError::TooMuchWork);
            }
            if self.seen.len() > self.set.entities.count(self.kind) {
                // There are more groups than there can be members.
                self.everyone = true;
                return Ok(());
            }
            self.name(group);
            self.lists.push(order.members(group, self.kind, self.after));
            rest.extend(order.subgroups(group));
        }
        Ok(())
    }

    fn names(self) -> Merged<'a> {
        let (kind, after) = (self.kind, self.after);
        if self.everyone {
            return Merged::from_iter([self.set.entities.order().of_kind(kind, after)]);
        }
        let named = self.named.into_iter().filter(move |uid| after.is_none_or(|after| uid.id() > after));
        self.lists.into_iter().chain([Box::new(named) as Names<'a>]).collect()
    }
}

/// Whether the schema lets an entity of type `kind` be one of type `place`, or be within one.
fn may_be_within(set: &PolicySet, kind: &str, place: &str) -> bool {
    let types = set.vocabulary.types.entities.get(kind);
    kind == place || types.is_none_or(|types| types.ancestors.contains(place))
}

/// The permits that are about the action and can be met by the known entity, which is not the open `party`.
fn in_reach<'a>(
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
