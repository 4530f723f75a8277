//! The condition of a policy, compiled: what is left to find out once the index has chosen the policy.
//!
//! A program borrows all it reads and allocates nothing. It knows the common forms of Cedar expressions and gives up on
//! the rest, and on everything that might be an error: then Cedar's own evaluator is asked, which also finds the words
//! for the error. So a program never has to agree with Cedar on errors, only on values.

mod compile;
mod datum;
mod evaluate;
mod function;
mod like;
pub(super) mod reads;

use std::sync::Arc;

pub(super) use self::compile::{Names, conjuncts, dereferences, scope_of};
pub(super) use self::datum::Datum;
pub(super) use self::evaluate::{GaveUp, Scene};
use self::function::Function;
use self::like::Pattern;
use crate::decision::value::Value;

/// One step of a program.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Op {
    /// A literal, or what was computed of literals.
    Constant(Value<'static>),
    /// What the request is about.
    Variable(Variable),
    /// `e.name`.
    Attribute(Box<Op>, Arc<str>),
    /// `e has name`.
    Has(Box<Op>, Arc<str>),
    /// `e.getTag(e)`.
    Tag(Box<[Op; 2]>),
    /// `e.hasTag(e)`.
    HasTag(Box<[Op; 2]>),
    /// All of them, left to right until one is false.
    And(Box<[Op]>),
    /// Any of them, left to right until one is true.
    Or(Box<[Op]>),
    /// `!e`.
    Not(Box<Op>),
    /// `if e then e else e`.
    If(Box<[Op; 3]>),
    /// `e == e`.
    Equal(Box<[Op; 2]>),
    /// `e < e`.
    Less(Box<[Op; 2]>),
    /// `e <= e`.
    LessEqual(Box<[Op; 2]>),
    /// `-e`.
    Negate(Box<Op>),
    /// `e + e` and the like.
    Arithmetic(Arithmetic, Box<[Op; 2]>),
    /// `e in e`.
    In(Box<[Op; 2]>),
    /// `e in [e, e]`, where the set is not a constant.
    InAny(Box<Op>, Box<[Op]>),
    /// `e is Type`.
    Is(Box<Op>, Arc<str>),
    /// `e.contains(e)`.
    Contains(Box<[Op; 2]>),
    /// `[e, e].contains(e)`, where the set is not a constant.
    AnyEqual(Box<[Op]>, Box<Op>),
    /// `e.containsAll(e)`.
    ContainsAll(Box<[Op; 2]>),
    /// `e.containsAny(e)`.
    ContainsAny(Box<[Op; 2]>),
    /// `e.isEmpty()`.
    IsEmpty(Box<Op>),
    /// `e like "a*"`.
    Like(Box<Op>, Pattern),
    /// A function of an extension type.
    Call(Function, Box<[Op]>),
    /// Anything else.
    GiveUp,
}

/// What a request is about.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Variable {
    Principal,
    Action,
    Resource,
    Context,
}

/// What is done to two integers.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
}

#[cfg(test)]
mod tests;
