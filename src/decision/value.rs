//! Values as policies see them. One type serves what is stored (`Value<'static>`), what a policy says, and what a request
//! brings, whose texts are borrowed from the request's own bytes.
//!
//! Equality is Cedar's (language reference, "Equality"): structural, `false` between values of different types, and
//! blind to the order and number of a set's elements. The order that the types here have beside it means nothing to
//! policies; it is there so that sets can be searched.

mod extension;
pub(in crate::decision) mod read;
mod text;

use std::cmp::Ordering;

pub use self::extension::{Extension, ExtensionKind, IpNet};
pub use self::text::Text;
use super::entity::Uid;

/// A value.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Value<'a> {
    /// A boolean.
    Bool(bool),
    /// An integer of 64 bits.
    Long(i64),
    /// A string.
    Text(Text<'a>),
    /// The name of an entity, which may exist or not.
    Entity(Uid),
    /// A set.
    Set(Set<'a>),
    /// A record.
    Record(Record<'a>),
    /// A value of an extension type.
    Extension(Extension),
}

/// A set of values: sorted, each once.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Set<'a>(Box<[Value<'a>]>);

/// Named values, sorted by name, each name once.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Record<'a>(Box<[(Text<'a>, Value<'a>)]>);

impl<'a> Set<'a> {
    /// Whether `value` is an element.
    pub fn contains(&self, value: &Value<'_>) -> bool {
        self.search(|element| compare(element, value))
    }

    /// Whether there is an element that `order` calls equal; `order` must agree with the order of values.
    pub(super) fn search(&self, order: impl Fn(&Value<'a>) -> Ordering) -> bool {
        self.0.binary_search_by(order).is_ok()
    }

    /// Whether each element of `other` is an element here.
    pub fn contains_all(&self, other: &Set<'_>) -> bool {
        other.0.iter().all(|value| self.contains(value))
    }

    /// Whether any element of `other` is an element here.
    pub fn contains_any(&self, other: &Set<'_>) -> bool {
        let (few, many) = if self.0.len() < other.0.len() { (&self.0, &other.0) } else { (&other.0, &self.0) };
        few.iter().any(|value| many.binary_search_by(|element| compare(element, value)).is_ok())
    }

    /// The elements, in an order that means nothing.
    pub fn iter(&self) -> std::slice::Iter<'_, Value<'a>> {
        self.0.iter()
    }

    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'s, 'a> IntoIterator for &'s Set<'a> {
    type Item = &'s Value<'a>;
    type IntoIter = std::slice::Iter<'s, Value<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> FromIterator<Value<'a>> for Set<'a> {
    fn from_iter<I: IntoIterator<Item = Value<'a>>>(values: I) -> Self {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_unstable();
        values.dedup();
        Self(values.into())
    }
}

impl<'a> Record<'a> {
    /// Of fields that come sorted by name, each name once: what goes through the attributes of a type has them so.
    pub(super) fn sorted(fields: Vec<(Text<'a>, Value<'a>)>) -> Self {
        debug_assert!(fields.is_sorted_by(|(one, _), (next, _)| one < next), "they are not sorted");
        Self(fields.into())
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        let place = self.0.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
        self.0.get(place).map(|(_, value)| value)
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Text<'a>, &Value<'a>)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Of a name that comes twice, the first counts.
impl<'a> FromIterator<(Text<'a>, Value<'a>)> for Record<'a> {
    fn from_iter<I: IntoIterator<Item = (Text<'a>, Value<'a>)>>(fields: I) -> Self {
        let mut fields: Vec<_> = fields.into_iter().collect();
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        fields.dedup_by(|(later, _), (first, _)| later == first);
        Self(fields.into())
    }
}

impl Value<'_> {
    /// The same value, borrowing nothing.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Bool(value) => Value::Bool(value),
            Self::Long(value) => Value::Long(value),
            Self::Text(text) => Value::Text(text.into_owned()),
            Self::Entity(uid) => Value::Entity(uid),
            // Owning changes nothing that the order looks at.
            Self::Set(set) => Value::Set(Set(set.0.into_iter().map(Value::into_owned).collect())),
            Self::Record(record) => Value::Record(record.into_owned()),
            Self::Extension(value) => Value::Extension(value),
        }
    }
}

impl Record<'_> {
    /// The same record, borrowing nothing.
    pub fn into_owned(self) -> Record<'static> {
        Record(self.0.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }
}

/// The order of values whatever they borrow from: lifetimes would tie the two together otherwise.
fn compare(a: &Value<'_>, b: &Value<'_>) -> Ordering {
    fn same<'a>(a: &Value<'a>, b: &Value<'a>) -> Ordering {
        a.cmp(b)
    }
    same(a, b)
}

#[cfg(test)]
mod tests;
