//! The schema's types, with every name resolved, so that a JSON value can be taken for exactly what the schema says it
//! is.

mod resolve;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::value::ExtensionKind;

/// A type of a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::decision) enum Type {
    Bool,
    Long,
    String,
    Entity(ReferenceType),
    Set(Box<Self>),
    Record(RecordType),
    Extension(ExtensionKind),
}

/// The type of a name of an entity.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::decision) struct ReferenceType {
    /// The entity type, by its full name.
    pub(in crate::decision) kind: Arc<str>,
    /// The only ids there are, if the schema lists them (RFC 53).
    pub(in crate::decision) ids: Option<Arc<BTreeSet<String>>>,
}

/// A record's attributes by name.
pub(in crate::decision) type RecordType = BTreeMap<String, AttributeType>;

/// One attribute of a record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::decision) struct AttributeType {
    pub(in crate::decision) kind: Type,
    pub(in crate::decision) required: bool,
}

/// One entity type.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::decision) struct EntityType {
    /// Its name, and the ids that it may have.
    pub(in crate::decision) reference: ReferenceType,
    pub(in crate::decision) attributes: RecordType,
    /// The type of its tags' values, if it may have tags.
    pub(in crate::decision) tags: Option<Type>,
    /// The types whose descendant it may be.
    pub(in crate::decision) ancestors: BTreeSet<Arc<str>>,
}

/// One action.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::decision) struct ActionType {
    pub(in crate::decision) principals: BTreeSet<Arc<str>>,
    pub(in crate::decision) resources: BTreeSet<Arc<str>>,
    pub(in crate::decision) context: RecordType,
}

/// Every entity type and every action, by their full names (`Namespace::Type`, `Namespace::action`).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::decision) struct SchemaTypes {
    pub(in crate::decision) entities: BTreeMap<Arc<str>, EntityType>,
    pub(in crate::decision) actions: BTreeMap<String, ActionType>,
}

/// The schema has something that this module does not know.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {what}")]
pub(in crate::decision) struct TypeError {
    place: String,
    what: String,
}

impl SchemaTypes {
    /// Resolves a schema given as its fragments in Cedar's JSON form.
    pub(in crate::decision) fn of(fragments: &[Value]) -> Result<Self, TypeError> {
        resolve::schema(fragments)
    }
}

impl ReferenceType {
    /// Whether there may be an entity `id` of this type.
    pub(in crate::decision) fn allows(&self, id: &str) -> bool {
        self.ids.as_ref().is_none_or(|ids| ids.contains(id))
    }
}

#[cfg(test)]
mod tests;
