//! A value while a program runs: borrowed from the request, the entities or the policy.

use crate::decision::entity::UidRef;
use crate::decision::value::{Extension, Record, Set, Value};

/// A value that is borrowed. The order is that of [`Value`], so that a [`Set`] can be searched for one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::decision::policy) enum Datum<'v> {
    Bool(bool),
    Long(i64),
    Text(&'v str),
    Entity(UidRef<'v>),
    Set(&'v Set<'v>),
    Record(&'v Record<'v>),
    Extension(Extension),
}

impl<'v> From<&'v Value<'v>> for Datum<'v> {
    fn from(value: &'v Value<'v>) -> Self {
        match value {
            Value::Bool(value) => Self::Bool(*value),
            Value::Long(value) => Self::Long(*value),
            Value::Text(text) => Self::Text(text.as_str()),
            Value::Entity(uid) => Self::Entity(uid.as_ref()),
            Value::Set(set) => Self::Set(set),
            Value::Record(record) => Self::Record(record),
            Value::Extension(value) => Self::Extension(*value),
        }
    }
}

impl Datum<'_> {
    /// Whether `set` has it.
    pub(super) fn is_in(&self, set: &Set<'_>) -> bool {
        set.search(|element| Datum::from(element).cmp(self))
    }
}
