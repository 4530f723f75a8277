//! All rules of a policy set, each under a number. Cheap to change: what did not change is shared with the set before.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use cedar_policy::Effect;
use smallvec::SmallVec;

use super::index::{Index, RuleNumber};
use super::rule::Rule;
use super::search::Reach;
use crate::decision::guidance::Header;
use crate::foundation::digest::Digest;

/// Rules by number, and by what they are asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    slots: Vec<Option<Arc<Rule>>>,
    free: Vec<RuleNumber>,
    index: Index,
    by_text: HashMap<Digest, SmallVec<[RuleNumber; 1]>>,
    reach: Arc<OnceLock<Reach>>,
}

impl Rules {
    /// The rule of this number.
    pub(super) fn get(&self, number: RuleNumber) -> Option<&Rule> {
        self.slots.get(usize::try_from(number).ok()?)?.as_deref()
    }

    /// What finds the rules of a request.
    pub(super) const fn index(&self) -> &Index {
        &self.index
    }

    /// What finds the permits of which a search knows one party.
    pub(super) fn reach(&self) -> &Reach {
        let permits = || self.iter().filter(|(_, rule)| rule.effect == Effect::Permit);
        self.reach.get_or_init(|| Reach::of(permits().map(|(number, rule)| (number, &rule.scope))))
    }

    /// Has searches find what is there now; clones keep what they have.
    fn forget_reach(&mut self) {
        match Arc::get_mut(&mut self.reach) {
            Some(reach) => drop(reach.take()),
            None => self.reach = Arc::default(),
        }
    }

    /// All rules with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (RuleNumber, &Arc<Rule>)> {
        let numbered = (0..).zip(&self.slots);
        numbered.filter_map(|(number, slot)| Some((number, slot.as_ref()?)))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The names of the headers that permits set, sorted; `None` if there are none.
    pub(super) fn backend_headers(&self) -> Option<Arc<[Box<str>]>> {
        let permits = self.iter().filter(|(_, rule)| rule.effect == Effect::Permit);
        let headers = permits.filter_map(|(_, rule)| rule.guidance.as_ref()).flat_map(|guidance| &guidance.headers);
        let names: BTreeSet<&str> = headers.map(Header::name).collect();
        (!names.is_empty()).then(|| names.into_iter().map(Box::from).collect())
    }

    /// The numbers of the rules of this text.
    pub(super) fn of_text(&self, digest: &Digest) -> impl Iterator<Item = (RuleNumber, &Arc<Rule>)> {
        let numbers = self.by_text.get(digest).into_iter().flatten();
        numbers.filter_map(|number| Some((*number, self.slots.get(usize::try_from(*number).ok()?)?.as_ref()?)))
    }

    /// The same rules in a new index.
    pub(super) fn anew(&self) -> Self {
        let mut rules = Self::default();
        for (_, rule) in self.iter() {
            rules.insert(Arc::clone(rule));
        }
        rules
    }

    /// Takes a rule out.
    pub(super) fn remove(&mut self, number: RuleNumber) {
        let slot = usize::try_from(number).ok().and_then(|place| self.slots.get_mut(place));
        let Some(rule) = slot.and_then(Option::take) else { return };
        self.forget_reach();
        self.index.remove(number, &rule.scope);
        self.free.push(number);
        let digest = rule.digest;
        if let Some(numbers) = self.by_text.get_mut(&digest) {
            numbers.retain(|known| *known != number);
            if numbers.is_empty() {
                self.by_text.remove(&digest);
            }
        }
    }

    /// Puts a rule in.
    pub(super) fn insert(&mut self, rule: Arc<Rule>) {
        self.forget_reach();
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            RuleNumber::try_from(self.slots.len() - 1).unwrap_or(RuleNumber::MAX)
        });
        self.index.insert(number, &rule.scope);
        self.by_text.entry(rule.digest).or_default().push(number);
        if let Some(slot) = usize::try_from(number).ok().and_then(|place| self.slots.get_mut(place)) {
            *slot = Some(rule);
        }
    }
}
