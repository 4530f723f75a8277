//! What the conditions of a permit say of those who are sought, where its scope says nothing: `resource.owner ==
//! principal` can be met by few, though anyone may be the resource.
//!
//! All of this holds only if the question says nothing of those who are sought, so that what is known of the known
//! parts is the same whoever they are.

use smallvec::SmallVec;

use super::Budget;
use crate::decision::entity::{Lineage, UidRef};
use crate::decision::policy::index::Party;
use crate::decision::policy::program::{Datum, GaveUp, Op, Scene, Variable};
use crate::decision::policy::rule::Rule;
use crate::decision::value::{Set, Value};

/// With more permits than this the index is faster than to try the conditions of each.
const FEW: usize = 8;

/// Who can meet a condition.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'v> {
    /// This entity.
    Is(UidRef<'v>),
    /// This entity and whoever is in it.
    Within(UidRef<'v>),
    /// Whoever has this entity as the value of an attribute, or in its set.
    Naming(&'v str, UidRef<'v>),
}

type Places<'v> = SmallVec<[Place<'v>; 2]>;

/// What is known before anyone is looked at. The scene is about one of those who are sought, whoever it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Narrowing<'v> {
    scene: Scene<'v>,
    party: Party,
}

/// Tells those whom no permit is for from their attributes alone.
#[derive(Debug)]
pub(super) struct Filter<'v> {
    narrowing: Narrowing<'v>,
    permits: Vec<Vec<&'v Op>>,
}

impl<'v> Narrowing<'v> {
    pub(super) const fn new(scene: Scene<'v>, party: Party) -> Self {
        Self { scene, party }
    }

    /// Whether nobody at all can meet the rule.
    pub(super) fn rules_out(&self, rule: &'v Rule) -> bool {
        rule.conditions.iter().map(AsRef::as_ref).any(|op| self.is_known(op) && self.scene.truth(op) == Ok(false))
    }

    /// The only ones who can meet the rule, if its conditions name them.
    pub(super) fn places(&self, rule: &'v Rule) -> Option<Places<'v>> {
        rule.conditions.iter().map(AsRef::as_ref).find_map(|op| self.meet(op))
    }

    /// A filter by the conditions of these permits, if it would ever hold anyone back.
    pub(super) fn filter(self, permits: &[&'v Rule]) -> Option<Filter<'v>> {
        if permits.len() > FEW {
            return None;
        }
        let conditions = permits.iter().map(|rule| {
            rule.conditions.iter().map(AsRef::as_ref).filter(|op| self.is_told_by_attributes(op)).collect()
        });
        let permits: Vec<Vec<_>> = conditions.collect();
        permits.iter().all(|conditions| !conditions.is_empty()).then_some(Filter { narrowing: self, permits })
    }

    /// The only ones who can meet a condition.
    fn meet(&self, op: &'v Op) -> Option<Places<'v>> {
        match op {
            Op::Constant(Value::Bool(false)) => Some(Places::new()),
            Op::Equal(pair) => match &**pair {
                [it, other] | [other, it] if self.is_sought(it) => self.one(other, Place::Is),
                [Op::Attribute(it, name), other] | [other, Op::Attribute(it, name)] if self.is_sought(it) => {
                    self.naming(name, other)
                }
                _ => None,
            },
            Op::In(pair) => match &**pair {
                [it, place] if self.is_sought(it) => self.one_or_several(place, Place::Within),
                [of, Op::Attribute(it, name)] if self.is_other(of) && self.is_sought(it) => {
                    Some(self.known().iter().map(|uid| Place::Naming(name, uid)).collect())
                }
                _ => None,
            },
            Op::InAny(it, places) if self.is_sought(it) => self.each(places, Place::Within),
            Op::Contains(pair) => match &**pair {
                [set, it] if self.is_sought(it) => self.one_or_several(set, Place::Is),
                [Op::Attribute(it, name), element] if self.is_sought(it) => self.naming(name, element),
                _ => None,
            },
            Op::AnyEqual(elements, it) if self.is_sought(it) => self.each(elements, Place::Is),
            Op::And(all) => all.iter().find_map(|op| self.meet(op)),
            Op::Or(any) => any.iter().map(|op| self.meet(op)).collect::<Option<Vec<_>>>().map(flat),
            _ => None,
        }
    }

    fn one(&self, op: &'v Op, place: impl Fn(UidRef<'v>) -> Place<'v>) -> Option<Places<'v>> {
        Some(match self.value(op).ok()? {
            Some(Datum::Entity(uid)) => Places::from_iter([place(uid)]),
            // What is no entity is never equal to one, and an error permits nothing.
            _ => Places::new(),
        })
    }

    /// Whoever names the value of an expression in an attribute, if that is an entity.
    fn naming(&self, attribute: &'v str, op: &'v Op) -> Option<Places<'v>> {
        match self.value(op).ok()? {
            Some(Datum::Entity(uid)) => Some(Places::from_iter([Place::Naming(attribute, uid)])),
            Some(_) => None,
            None => Some(Places::new()),
        }
    }

    fn one_or_several(&self, op: &'v Op, place: impl Fn(UidRef<'v>) -> Place<'v> + Copy) -> Option<Places<'v>> {
        match self.value(op).ok()? {
            Some(Datum::Set(set)) => Some(entities(set).map(place).collect()),
            _ => self.one(op, place),
        }
    }

    fn each(&self, ops: &'v [Op], place: impl Fn(UidRef<'v>) -> Place<'v> + Copy) -> Option<Places<'v>> {
        ops.iter().map(|op| self.one(op, place)).collect::<Option<Vec<_>>>().map(flat)
    }

    /// The value of an expression, whoever is sought; nothing if it is an error.
    fn value(&self, op: &'v Op) -> Result<Option<Datum<'v>>, GaveUp> {
        if !self.is_known(op) {
            return Err(GaveUp);
        }
        match (self.scene.run(op), op) {
            (Ok(datum), _) => Ok(Some(datum)),
            // What it is of is known, so it is the attribute that is not there.
            (Err(GaveUp), Op::Attribute(of, _)) => self.value(of).map(|_| None),
            (Err(GaveUp), _) => Err(GaveUp),
        }
    }

    /// Whether it means the same whoever is sought.
    fn is_known(&self, op: &Op) -> bool {
        !self.is_sought(op) && op.parts().all(|op| self.is_known(op))
    }

    /// Whether the ancestors of those who are sought have nothing to do with it.
    fn is_told_by_attributes(&self, op: &Op) -> bool {
        match op {
            Op::In(pair) => matches!(&**pair, [of, place] if self.is_other(of) && self.is_told_by_attributes(place)),
            Op::InAny(of, places) => self.is_other(of) && places.iter().all(|op| self.is_told_by_attributes(op)),
            _ => op.parts().all(|op| self.is_told_by_attributes(op)),
        }
    }

    fn is_sought(&self, op: &Op) -> bool {
        matches!((op, self.party), (Op::Variable(Variable::Principal), Party::Principal))
            || matches!((op, self.party), (Op::Variable(Variable::Resource), Party::Resource))
    }

    /// The party that is known.
    const fn known(&self) -> &'v Lineage<'v> {
        match self.party {
            Party::Principal => self.scene.resource,
            Party::Resource => self.scene.principal,
        }
    }

    /// Whether it is the party that is known.
    fn is_other(&self, op: &Op) -> bool {
        matches!((op, self.party), (Op::Variable(Variable::Resource), Party::Principal))
            || matches!((op, self.party), (Op::Variable(Variable::Principal), Party::Resource))
    }
}

impl Filter<'_> {
    /// Whether a permit could be for `uid`.
    pub(super) fn lets_pass(&self, uid: UidRef<'_>, budget: &Budget) -> bool {
        budget.spend(1);
        let Narrowing { scene, party } = self.narrowing;
        let (principal, resource) = (scene.principal.entity(), scene.resource.entity());
        let bare = Lineage::of(uid, scene.entities.get(uid));
        let (scene, known) = match party {
            Party::Principal => (Scene { principal: &bare, ..scene }, resource),
            Party::Resource => (Scene { resource: &bare, ..scene }, principal),
        };
        // Of one entity in both places the ancestors must not be mistaken.
        known == uid || self.permits.iter().any(|permit| permit.iter().all(|op| scene.truth(op) != Ok(false)))
    }
}

impl Op {
    /// What it is directly made of.
    fn parts(&self) -> impl Iterator<Item = &Self> {
        let (ops, last): (&[Self], Option<&Self>) = match self {
            Self::Constant(_) | Self::Variable(_) | Self::GiveUp => (&[], None),
            Self::Attribute(of, _)
            | Self::Has(of, _)
            | Self::Is(of, _)
            | Self::Like(of, _)
            | Self::Not(of)
            | Self::Negate(of)
            | Self::IsEmpty(of) => (&[], Some(of)),
            Self::And(ops) | Self::Or(ops) | Self::Call(_, ops) => (ops, None),
            Self::AnyEqual(ops, last) | Self::InAny(last, ops) => (ops, Some(last)),
            Self::If(ops) => (&**ops, None),
            Self::Tag(pair)
            | Self::HasTag(pair)
            | Self::Equal(pair)
            | Self::Less(pair)
            | Self::LessEqual(pair)
            | Self::Arithmetic(_, pair)
            | Self::In(pair)
            | Self::Contains(pair)
            | Self::ContainsAll(pair)
            | Self::ContainsAny(pair) => (&**pair, None),
        };
        ops.iter().chain(last)
    }
}

fn entities<'v>(set: &'v Set<'v>) -> impl Iterator<Item = UidRef<'v>> {
    set.iter().filter_map(|value| match value {
        Value::Entity(uid) => Some(uid.as_ref()),
        _ => None,
    })
}

fn flat<'v>(each: impl IntoIterator<Item = Places<'v>>) -> Places<'v> {
    each.into_iter().flatten().collect()
}
