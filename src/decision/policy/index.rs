//! Finds the policies whose scope a request is in, without looking at the others.
//!
//! Each rule stands under pairs of keys, one of the principal and one of the resource, such that a request whose
//! principal and resource do not have both keys can't meet the rule. A request has few keys: its entities, their
//! ancestors, their types. So finding the candidates costs the same at ten rules and at a hundred thousand.
//!
//! A changed rule is taken out and put in; the tables are shared with the index before, shard by shard.

mod lift;
mod scope;
mod sharded;

use std::sync::Arc;

use smallvec::SmallVec;

use self::sharded::Sharded;
use crate::decision::entity::{Lineage, Uid, UidRef};

pub(super) use self::lift::lift;
pub(super) use self::scope::{ActionSet, Key, Scope};

/// A rule's place in the set it belongs to.
pub(super) type RuleNumber = u32;

/// The rules that may be met, in no order.
pub(super) type Candidates = SmallVec<[RuleNumber; 16]>;

/// A key as a number, unique for one role of an entity or type. 0 is the key that everyone has.
type KeyNumber = u32;

const ANYONE: KeyNumber = 0;

/// Under how many actions a rule is put one by one; one of more actions is put under none, and tested.
const FEW_ACTIONS: usize = 4;

/// How many keys are given out before the index should be made anew: those of policies that are gone are not given again.
const WORN: KeyNumber = 1 << 24;

/// Which of the two a key is of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Party {
    Principal,
    Resource,
}

/// Rules by keys. Cheap to clone, and a clone that is changed shares what has not changed.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// Entities that scopes name.
    names: Sharded<Named>,
    /// Types that scopes name.
    kinds: Sharded<Kind>,
    pairs: Sharded<Pair>,
    /// How many rules are under no action of their own.
    of_many_actions: u32,
    last_key: KeyNumber,
}

/// The keys of one entity: whoever is it, and whoever is in it.
#[derive(Clone, Debug)]
struct Named {
    uid: Uid,
    is: Roles,
    within: Roles,
}

/// The keys of one type.
#[derive(Clone, Debug)]
struct Kind {
    name: Arc<str>,
    keys: Roles,
}

/// The key in either role.
#[derive(Clone, Copy, Debug, Default)]
struct Roles {
    principal: KeyUse,
    resource: KeyUse,
}

/// A key, and how many times rules are under it; 0 times means that there is none.
#[derive(Clone, Copy, Debug, Default)]
struct KeyUse {
    number: KeyNumber,
    uses: u32,
}

/// The rules under one pair of keys.
#[derive(Clone, Debug)]
struct Pair {
    key: PairKey,
    rules: SmallVec<[(RuleNumber, Option<Arc<ActionSet>>); 1]>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct PairKey {
    principal: KeyNumber,
    resource: KeyNumber,
    /// One more than the action's number; 0 for rules of many actions.
    action: u32,
}

impl Index {
    /// Puts a rule in.
    pub(super) fn insert(&mut self, rule: RuleNumber, scope: &Scope) {
        for (key, many) in self.pairs_of(scope, 1) {
            let pair = self.pairs.entry(key.hash(), |pair| pair.key == key, || Pair { key, rules: SmallVec::new() });
            pair.rules.push((rule, many));
        }
    }

    /// Takes a rule out that was put in with the same scope.
    pub(super) fn remove(&mut self, rule: RuleNumber, scope: &Scope) {
        for (key, _) in self.pairs_of(scope, -1) {
            let without = |pair: &mut Pair| {
                pair.rules.retain(|(number, _)| *number != rule);
                pair.rules.is_empty()
            };
            self.pairs.change(key.hash(), |pair| pair.key == key, without);
        }
    }

    /// Whether so many rules have come and gone that it should be made anew.
    pub(super) const fn is_worn(&self) -> bool {
        self.last_key > WORN
    }

    /// Adds to `found` each rule that a request of these may meet, once.
    pub(super) fn candidates(
        &self,
        principal: &Lineage<'_>,
        action: usize,
        resource: &Lineage<'_>,
        found: &mut Candidates,
    ) {
        let principals = self.keys(principal, Party::Principal);
        let resources = self.keys(resource, Party::Resource);
        let own = u32::try_from(action).unwrap_or(u32::MAX).saturating_add(1);
        for &principal in &principals {
            for &resource in &resources {
                self.collect(PairKey { principal, resource, action: own }, action, found);
                if self.of_many_actions > 0 {
                    self.collect(PairKey { principal, resource, action: 0 }, action, found);
                }
            }
        }
        // A rule can stand under several keys of one request.
        found.sort_unstable();
        found.dedup();
    }

    fn collect(&self, key: PairKey, action: usize, found: &mut Candidates) {
        let pair = self.pairs.find(key.hash(), |pair| pair.key == key);
        let rules = pair.into_iter().flat_map(|pair| &pair.rules);
        let meant = rules.filter(|(_, actions)| actions.as_ref().is_none_or(|actions| actions.has(action)));
        found.extend(meant.map(|(rule, _)| *rule));
    }

    /// The keys that a request has by one of its entities, of those that any rule is under.
    fn keys(&self, lineage: &Lineage<'_>, party: Party) -> SmallVec<[KeyNumber; 16]> {
        let mut keys = SmallVec::from_iter([ANYONE]);
        let mut add = |roles: Roles| {
            let key = roles.of(party);
            keys.extend((key.uses > 0).then_some(key.number));
        };
        let kind = lineage.entity().kind();
        if let Some(kind) = self.kinds.find(hash_of_kind(kind), |known| &*known.name == kind) {
            add(kind.keys);
        }
        for (place, uid) in lineage.iter().enumerate() {
            if let Some(named) = self.names.find(uid.hash(), |named| named.uid.as_ref() == uid) {
                add(named.within);
                if place == 0 {
                    add(named.is);
                }
            }
        }
        keys
    }

    /// The pairs that a scope stands under; the keys are counted up or down by `step`.
    fn pairs_of(&mut self, scope: &Scope, step: i32) -> Vec<(PairKey, Option<Arc<ActionSet>>)> {
        let principals = self.numbers(&scope.principal, Party::Principal, step);
        let resources = self.numbers(&scope.resource, Party::Resource, step);
        let few = scope.actions.count() <= FEW_ACTIONS;
        if !few {
            self.of_many_actions = self.of_many_actions.saturating_add_signed(step);
        }
        let mut pairs = Vec::new();
        for &principal in &principals {
            for &resource in &resources {
                if few {
                    let action = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).saturating_add(1);
                    let each = scope.actions.iter().map(action);
                    pairs.extend(each.map(|action| (PairKey { principal, resource, action }, None)));
                } else {
                    pairs.push((PairKey { principal, resource, action: 0 }, Some(Arc::clone(&scope.actions))));
                }
            }
        }
        pairs
    }

    fn numbers(&mut self, keys: &[Key], party: Party, step: i32) -> Vec<KeyNumber> {
        keys.iter().map(|key| self.number(key, party, step)).collect()
    }

    fn number(&mut self, key: &Key, party: Party, step: i32) -> KeyNumber {
        let next = self.last_key.saturating_add(1);
        let roles = match key {
            Key::Anyone => return ANYONE,
            Key::Kind(name) => {
                let make = || Kind { name: Arc::clone(name), keys: Roles::default() };
                &mut self.kinds.entry(hash_of_kind(name), |known| known.name == *name, make).keys
            }
            Key::Is(uid) => &mut self.named(uid).is,
            Key::Within(uid) => &mut self.named(uid).within,
        };
        let counted = roles.of_mut(party);
        counted.uses = counted.uses.saturating_add_signed(step);
        if counted.number != ANYONE {
            return counted.number;
        }
        counted.number = next;
        self.last_key = next;
        next
    }

    fn named(&mut self, uid: &Uid) -> &mut Named {
        let make = || Named { uid: uid.clone(), is: Roles::default(), within: Roles::default() };
        self.names.entry(uid.as_ref().hash(), |known| known.uid == *uid, make)
    }
}

impl Roles {
    const fn of(self, party: Party) -> KeyUse {
        match party {
            Party::Principal => self.principal,
            Party::Resource => self.resource,
        }
    }

    const fn of_mut(&mut self, party: Party) -> &mut KeyUse {
        match party {
            Party::Principal => &mut self.principal,
            Party::Resource => &mut self.resource,
        }
    }
}

impl PairKey {
    /// Numbers that we gave ourselves need no seed; Fibonacci's multiplier spreads them.
    const fn hash(self) -> u64 {
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        let keys = (self.principal as u64) << 32 | self.resource as u64;
        let mixed = (keys ^ (self.action as u64).rotate_left(48)).wrapping_mul(SPREAD);
        (mixed ^ (mixed >> 29)).wrapping_mul(SPREAD)
    }
}

fn hash_of_kind(kind: &str) -> u64 {
    UidRef::new(kind, "").hash()
}

#[cfg(test)]
mod tests;
