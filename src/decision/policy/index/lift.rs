//! What of a policy's conditions the index can decide.
//!
//! A policy is a list of conditions, of which the scope is the first part, and the clauses follow. One that only asks
//! who principal or resource are can be taken out of the list and made a key, if nothing before it can be an error:
//! `false` stays `false` wherever it stands, but an error must not turn into `false`, nor the other way round.

use std::sync::Arc;

use super::scope::{ActionSet, Key, Scope};
use crate::decision::entity::{Lineage, Uid, View};
use crate::decision::policy::program::{Op, Scene, Variable};
use crate::decision::value::{Record, Set, Value};

/// How many keys a rule may have for one party; a condition with more stays a condition.
const MOST_KEYS: usize = 256;

/// Splits the conditions of a rule into its scope and what is left of them. `actions` are all actions by number, and
/// `known` has the entities that these are.
pub(in crate::decision::policy) fn lift(
    mut conditions: Vec<Op>,
    actions: &[Lineage<'_>],
    known: View<'_>,
) -> (Scope, Box<[Op]>) {
    let safe = conditions.iter().position(|op| !op.never_fails()).unwrap_or(conditions.len());
    let meant = |action: &Lineage<'_>| {
        let mut first = conditions.iter().take(safe).filter(|op| op.asks_only_for_action());
        first.all(|op| is_met_by(op, action, known))
    };
    let numbers = actions.iter().enumerate().filter(|(_, action)| meant(action)).map(|(number, _)| number);
    let scope_actions: ActionSet = numbers.collect();
    let principal = best(&conditions, safe, Variable::Principal);
    let resource = best(&conditions, safe, Variable::Resource);
    let taken = [principal.as_ref().map(|(place, _)| *place), resource.as_ref().map(|(place, _)| *place)];
    let mut place = 0;
    conditions.retain(|op| {
        let lifted = taken.contains(&Some(place)) || (place < safe && op.asks_only_for_action());
        place += 1;
        !lifted
    });
    let keys = |lifted: Option<(usize, Vec<Key>)>| {
        lifted.map_or_else(|| Box::from([Key::Anyone]), |(_, keys)| keys.into_boxed_slice())
    };
    let scope = Scope { principal: keys(principal), resource: keys(resource), actions: Arc::new(scope_actions) };
    (scope, conditions.into())
}

fn is_met_by(op: &Op, action: &Lineage<'_>, entities: View<'_>) -> bool {
    let nothing = Record::default();
    let scene = Scene { principal: action, action, resource: action, context: &nothing, entities };
    // What can't be told here stays with those who can be met.
    scene.truth(op).unwrap_or(true)
}

/// The condition on `variable` that fewest are likely to meet, and where it stands.
fn best(conditions: &[Op], safe: usize, variable: Variable) -> Option<(usize, Vec<Key>)> {
    let lifted = conditions.iter().take(safe).enumerate();
    let lifted =
        lifted.filter_map(|(place, op)| Some((place, keys(op, variable).filter(|keys| keys.len() <= MOST_KEYS)?)));
    lifted.min_by_key(|(_, keys)| (keys.iter().map(rank).max().unwrap_or(0), keys.len()))
}

const fn rank(key: &Key) -> u8 {
    match key {
        Key::Is(_) => 1,
        Key::Within(_) => 2,
        Key::Kind(_) => 3,
        Key::Anyone => 4,
    }
}

/// The keys of which `variable` must have one to meet the condition, and of which any is enough.
fn keys(op: &Op, variable: Variable) -> Option<Vec<Key>> {
    let is_it = |op: &Op| matches!(op, Op::Variable(it) if *it == variable);
    match op {
        Op::Equal(pair) => match &**pair {
            [it, Op::Constant(Value::Entity(uid))] | [Op::Constant(Value::Entity(uid)), it] if is_it(it) => {
                Some(vec![Key::Is(uid.clone())])
            }
            _ => None,
        },
        Op::In(pair) => match &**pair {
            [it, Op::Constant(Value::Entity(uid))] if is_it(it) => Some(vec![Key::Within(uid.clone())]),
            [it, Op::Constant(Value::Set(places))] if is_it(it) => entities(places, Key::Within),
            _ => None,
        },
        Op::Is(it, kind) if is_it(it) => Some(vec![Key::Kind(Arc::clone(kind))]),
        Op::Contains(pair) => match &**pair {
            // What is no entity is never equal to one, but then this is not worth a special case.
            [Op::Constant(Value::Set(elements)), it] if is_it(it) => entities(elements, Key::Is),
            _ => None,
        },
        Op::Or(any) => {
            let each: Option<Vec<_>> = any.iter().map(|op| keys(op, variable)).collect();
            Some(each?.into_iter().flatten().collect())
        }
        _ => None,
    }
}

fn entities(set: &Set<'static>, key: impl Fn(Uid) -> Key) -> Option<Vec<Key>> {
    let keys = set.iter().map(|value| match value {
        Value::Entity(uid) => Some(key(uid.clone())),
        _ => None,
    });
    keys.collect()
}

impl Op {
    /// Whether it is a boolean whatever the request, and never an error.
    fn never_fails(&self) -> bool {
        match self {
            Self::Constant(Value::Bool(_)) => true,
            Self::And(ops) | Self::Or(ops) => ops.iter().all(Self::never_fails),
            Self::Not(op) => op.never_fails(),
            Self::Equal(pair) => pair.iter().all(Self::is_known),
            Self::In(pair) => match &**pair {
                [of, Self::Constant(Value::Entity(_))] => of.is_known_entity(),
                [of, Self::Constant(Value::Set(places))] => of.is_known_entity() && entities(places, Key::Is).is_some(),
                _ => false,
            },
            Self::Is(of, _) => of.is_known_entity(),
            Self::Has(of, _) => matches!(**of, Self::Variable(_)),
            Self::Contains(pair) => match &**pair {
                [Self::Constant(Value::Set(_)), element] => element.is_known(),
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether it is a value that takes no looking up.
    const fn is_known(&self) -> bool {
        matches!(self, Self::Constant(_) | Self::Variable(_))
    }

    const fn is_known_entity(&self) -> bool {
        matches!(
            self,
            Self::Constant(Value::Entity(_))
                | Self::Variable(Variable::Principal | Variable::Action | Variable::Resource)
        )
    }

    /// Whether the action alone says what it is, for one that never fails.
    fn asks_only_for_action(&self) -> bool {
        match self {
            Self::Variable(variable) => *variable == Variable::Action,
            Self::Constant(_) => true,
            Self::And(ops) | Self::Or(ops) => ops.iter().all(Self::asks_only_for_action),
            Self::Equal(pair) | Self::In(pair) | Self::Contains(pair) => pair.iter().all(Self::asks_only_for_action),
            Self::Not(op) | Self::Is(op, _) => op.asks_only_for_action(),
            _ => false,
        }
    }
}
