//! What a program can read of a request: the part of it that a decision can depend on.
//!
//! A read is itself a program, and what it ends in is what was read: the value at a path such as
//! `principal.team.level`, whether there is one, whether an entity is within another.

use std::sync::Arc;

use super::Op;
use crate::decision::value::Value;

/// What some conditions can read.
#[derive(Clone, Debug, Default)]
pub(in crate::decision::policy) struct Reads {
    /// The reads, each once.
    pub(in crate::decision::policy) each: Vec<Arc<Op>>,
    /// Whether they can also read what can't be told before.
    pub(in crate::decision::policy) anything: bool,
}

impl Reads {
    /// What `conditions` can read. Equal reads of several rules should be made one by the caller's `share`.
    pub(in crate::decision::policy) fn of(conditions: &[Op], share: &mut impl FnMut(&Op) -> Arc<Op>) -> Self {
        let mut reads = Self::default();
        for op in conditions {
            reads.add(op, share);
        }
        reads
    }

    fn add(&mut self, op: &Op, share: &mut impl FnMut(&Op) -> Arc<Op>) {
        match op {
            Op::Constant(_) => {}
            Op::Variable(_) => self.push(op, share),
            Op::Attribute(of, _) | Op::Has(of, _) => {
                if of.is_path() {
                    self.push(op, share);
                } else {
                    self.anything = true;
                }
            }
            Op::Tag(pair) | Op::HasTag(pair) => match &**pair {
                [of, Op::Constant(_)] if of.is_path() => self.push(op, share),
                _ => self.anything = true,
            },
            Op::In(pair) => {
                if pair.iter().all(|op| op.is_path() || matches!(op, Op::Constant(_))) {
                    self.push(op, share);
                } else {
                    self.anything = true;
                }
            }
            Op::InAny(of, places) => {
                if of.is_path() && places.iter().all(|op| op.is_path() || matches!(op, Op::Constant(_))) {
                    self.push(op, share);
                } else {
                    self.anything = true;
                }
            }
            Op::GiveUp => self.anything = true,
            Op::And(ops) | Op::Or(ops) | Op::Call(_, ops) => ops.iter().for_each(|op| self.add(op, share)),
            Op::AnyEqual(ops, op) => ops.iter().chain([&**op]).for_each(|op| self.add(op, share)),
            Op::Not(op) | Op::Negate(op) | Op::Is(op, _) | Op::IsEmpty(op) | Op::Like(op, _) => self.add(op, share),
            Op::If(ops) => ops.iter().for_each(|op| self.add(op, share)),
            Op::Equal(pair)
            | Op::Less(pair)
            | Op::LessEqual(pair)
            | Op::Arithmetic(_, pair)
            | Op::Contains(pair)
            | Op::ContainsAll(pair)
            | Op::ContainsAny(pair) => pair.iter().for_each(|op| self.add(op, share)),
        }
    }

    fn push(&mut self, op: &Op, share: &mut impl FnMut(&Op) -> Arc<Op>) {
        let read = share(op);
        if !self.each.iter().any(|known| Arc::ptr_eq(known, &read)) {
            self.each.push(read);
        }
    }
}

impl Op {
    /// Whether it leads from what the request is about to a value, step by step.
    fn is_path(&self) -> bool {
        match self {
            Self::Variable(_) => true,
            Self::Attribute(of, _) => of.is_path(),
            Self::Tag(pair) => matches!(&**pair, [of, Self::Constant(Value::Text(_))] if of.is_path()),
            _ => false,
        }
    }
}
