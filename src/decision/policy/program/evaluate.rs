//! Runs a program.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::{Arithmetic, Datum, Op, Variable};
use crate::decision::entity::{Known, Lineage, UidRef, View};
use crate::decision::value::{Extension, Record, Set};

/// The program does not know: Cedar has to say. Every error ends here too.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::decision::policy) struct GaveUp;

/// What a program runs on.
#[derive(Clone, Copy, Debug)]
pub(in crate::decision::policy) struct Scene<'v> {
    pub(in crate::decision::policy) principal: &'v Lineage<'v>,
    pub(in crate::decision::policy) action: &'v Lineage<'v>,
    pub(in crate::decision::policy) resource: &'v Lineage<'v>,
    pub(in crate::decision::policy) context: &'v Record<'v>,
    pub(in crate::decision::policy) entities: View<'v>,
}

impl<'v> Scene<'v> {
    /// Whether all conditions hold, looked at in their order until one does not.
    pub(in crate::decision::policy) fn all(
        &self,
        conditions: impl IntoIterator<Item = &'v Op>,
    ) -> Result<bool, GaveUp> {
        for op in conditions {
            if !self.truth(op)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Runs a program that ends in a boolean.
    pub(in crate::decision::policy) fn truth(&self, op: &'v Op) -> Result<bool, GaveUp> {
        match self.run(op)? {
            Datum::Bool(truth) => Ok(truth),
            _ => Err(GaveUp),
        }
    }

    /// Runs a program.
    pub(in crate::decision::policy) fn run(&self, op: &'v Op) -> Result<Datum<'v>, GaveUp> {
        Ok(match op {
            Op::Constant(value) => value.into(),
            Op::Variable(variable) => self.variable(*variable),
            Op::Attribute(of, name) => self.attribute(of, name)?.ok_or(GaveUp)?,
            Op::Has(of, name) => Datum::Bool(self.attribute(of, name)?.is_some()),
            Op::Tag(of) => self.tag(of)?.ok_or(GaveUp)?,
            Op::HasTag(of) => Datum::Bool(self.tag(of)?.is_some()),
            Op::And(all) => Datum::Bool(self.all(all.iter())?),
            Op::Or(any) => Datum::Bool(self.any(any)?),
            Op::Not(op) => Datum::Bool(!self.truth(op)?),
            Op::If(branches) => {
                let [test, then, otherwise] = &**branches;
                self.run(if self.truth(test)? { then } else { otherwise })?
            }
            Op::Equal(pair) => {
                let (a, b) = self.both(pair)?;
                Datum::Bool(a == b)
            }
            Op::Less(pair) => Datum::Bool(self.compare(pair)?.is_lt()),
            Op::LessEqual(pair) => Datum::Bool(self.compare(pair)?.is_le()),
            Op::Negate(op) => Datum::Long(self.long(op)?.checked_neg().ok_or(GaveUp)?),
            Op::Arithmetic(what, pair) => Datum::Long(self.arithmetic(*what, pair)?),
            Op::In(pair) => Datum::Bool(self.is_in(pair)?),
            Op::InAny(of, any) => Datum::Bool(self.is_in_any(of, any)?),
            Op::Is(of, kind) => Datum::Bool(self.entity(of)?.kind() == &**kind),
            Op::Contains(pair) => {
                let (set, element) = self.both(pair)?;
                Datum::Bool(element.is_in(as_set(set)?))
            }
            Op::AnyEqual(elements, wanted) => Datum::Bool(self.any_equal(elements, wanted)?),
            Op::ContainsAll(pair) => {
                let (a, b) = self.sets(pair)?;
                Datum::Bool(a.contains_all(b))
            }
            Op::ContainsAny(pair) => {
                let (a, b) = self.sets(pair)?;
                Datum::Bool(a.contains_any(b))
            }
            Op::IsEmpty(op) => Datum::Bool(as_set(self.run(op)?)?.is_empty()),
            Op::Like(op, pattern) => match self.run(op)? {
                Datum::Text(text) => Datum::Bool(pattern.matches(text)),
                _ => return Err(GaveUp),
            },
            Op::Call(function, arguments) => {
                let arguments: Result<SmallVec<[_; 2]>, _> = arguments.iter().map(|op| self.run(op)).collect();
                function.call(&arguments?)?
            }
            Op::GiveUp => return Err(GaveUp),
        })
    }

    fn variable(&self, variable: Variable) -> Datum<'v> {
        match variable {
            Variable::Principal => Datum::Entity(self.principal.entity()),
            Variable::Action => Datum::Entity(self.action.entity()),
            Variable::Resource => Datum::Entity(self.resource.entity()),
            Variable::Context => Datum::Record(self.context),
        }
    }

    fn attribute(&self, of: &'v Op, name: &str) -> Result<Option<Datum<'v>>, GaveUp> {
        let known: Option<Known<'v>> = match of {
            // Those that the request is about have been looked up already.
            Op::Variable(Variable::Principal) => self.principal.known(),
            Op::Variable(Variable::Resource) => self.resource.known(),
            of => match self.run(of)? {
                Datum::Record(record) => return Ok(record.get(name).map(Datum::from)),
                Datum::Entity(uid) => self.entities.get(uid),
                _ => return Err(GaveUp),
            },
        };
        Ok(known.and_then(|known| known.attribute(name)).map(Datum::from))
    }

    fn tag(&self, [of, name]: &'v [Op; 2]) -> Result<Option<Datum<'v>>, GaveUp> {
        let (of, Datum::Text(name)) = (self.entity(of)?, self.run(name)?) else { return Err(GaveUp) };
        Ok(self.entities.get(of).and_then(|known| known.tag(name)).map(Datum::from))
    }

    fn any(&self, ops: &'v [Op]) -> Result<bool, GaveUp> {
        for op in ops {
            if self.truth(op)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn both(&self, [a, b]: &'v [Op; 2]) -> Result<(Datum<'v>, Datum<'v>), GaveUp> {
        Ok((self.run(a)?, self.run(b)?))
    }

    fn sets(&self, pair: &'v [Op; 2]) -> Result<(&'v Set<'v>, &'v Set<'v>), GaveUp> {
        let (a, b) = self.both(pair)?;
        Ok((as_set(a)?, as_set(b)?))
    }

    fn entity(&self, op: &'v Op) -> Result<UidRef<'v>, GaveUp> {
        as_entity(self.run(op)?)
    }

    fn long(&self, op: &'v Op) -> Result<i64, GaveUp> {
        match self.run(op)? {
            Datum::Long(number) => Ok(number),
            _ => Err(GaveUp),
        }
    }

    /// Only integers, points in time and durations have an order that policies can ask about.
    fn compare(&self, pair: &'v [Op; 2]) -> Result<std::cmp::Ordering, GaveUp> {
        match self.both(pair)? {
            (Datum::Long(a), Datum::Long(b))
            | (Datum::Extension(Extension::Datetime(a)), Datum::Extension(Extension::Datetime(b)))
            | (Datum::Extension(Extension::Duration(a)), Datum::Extension(Extension::Duration(b))) => Ok(a.cmp(&b)),
            _ => Err(GaveUp),
        }
    }

    fn arithmetic(&self, what: Arithmetic, [a, b]: &'v [Op; 2]) -> Result<i64, GaveUp> {
        let (a, b) = (self.long(a)?, self.long(b)?);
        let result = match what {
            Arithmetic::Add => a.checked_add(b),
            Arithmetic::Subtract => a.checked_sub(b),
            Arithmetic::Multiply => a.checked_mul(b),
        };
        result.ok_or(GaveUp)
    }

    fn is_in(&self, [of, place]: &'v [Op; 2]) -> Result<bool, GaveUp> {
        let (of, place) = (self.entity(of)?, self.run(place)?);
        match place {
            Datum::Entity(place) => Ok(self.within(of, &[place])),
            Datum::Set(set) => {
                let places: Result<SmallVec<[_; 8]>, _> = set.iter().map(|value| as_entity(value.into())).collect();
                Ok(self.within(of, &places?))
            }
            _ => Err(GaveUp),
        }
    }

    fn is_in_any(&self, of: &'v Op, places: &'v [Op]) -> Result<bool, GaveUp> {
        let of = self.entity(of)?;
        let places: Result<SmallVec<[_; 8]>, _> = places.iter().map(|op| self.entity(op)).collect();
        Ok(self.within(of, &places?))
    }

    fn within(&self, of: UidRef<'v>, places: &[UidRef<'v>]) -> bool {
        if places.contains(&of) {
            return true;
        }
        // Those that the request is about have been traced already.
        let traced = [self.principal, self.resource, self.action].into_iter().find(|lineage| lineage.entity() == of);
        let lineage = traced.map_or_else(|| Cow::Owned(self.entities.lineage(of)), Cow::Borrowed);
        places.iter().any(|place| lineage.has(*place))
    }

    fn any_equal(&self, elements: &'v [Op], wanted: &'v Op) -> Result<bool, GaveUp> {
        let elements: Result<SmallVec<[_; 4]>, _> = elements.iter().map(|op| self.run(op)).collect();
        let (elements, wanted) = (elements?, self.run(wanted)?);
        Ok(elements.contains(&wanted))
    }
}

const fn as_set(datum: Datum<'_>) -> Result<&Set<'_>, GaveUp> {
    match datum {
        Datum::Set(set) => Ok(set),
        _ => Err(GaveUp),
    }
}

const fn as_entity(datum: Datum<'_>) -> Result<UidRef<'_>, GaveUp> {
    match datum {
        Datum::Entity(uid) => Ok(uid),
        _ => Err(GaveUp),
    }
}
