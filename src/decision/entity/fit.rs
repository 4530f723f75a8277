//! Whether an entity that was read by one schema is what another one would have read, too. A value that fits a type is
//! what any reader of that type makes of its JSON, so what fits need not be read again.

use super::record::RecordReader;
use super::store::Node;
use crate::decision::schema::{RecordType, ReferenceType, SchemaTypes, Type};
use crate::decision::value::{Record, Value};

impl RecordReader {
    /// Whether it would read `node` from what `node` was read from.
    pub(super) fn fits(&self, node: &Node) -> bool {
        fits(self.types(), node)
    }
}

fn fits(types: &SchemaTypes, node: &Node) -> bool {
    let Some(entity) = types.entities.get(node.uid().kind()) else { return false };
    let mut tags = node.tags().iter();
    let parent = |kind: &str, id: &str| {
        entity.ancestors.contains(kind) && types.entities.get(kind).is_some_and(|parent| parent.reference.allows(id))
    };
    entity.reference.allows(node.uid().id())
        && has(&entity.attributes, node.attributes())
        && tags.all(|(_, value)| entity.tags.as_ref().is_some_and(|kind| is(kind, value)))
        && node.parents().iter().all(|uid| parent(uid.kind(), uid.id()))
}

/// Whether `record` has all that `kind` requires, and nothing else than what it declares.
fn has(kind: &RecordType, record: &Record<'_>) -> bool {
    kind.iter().all(|(name, attribute)| !attribute.required || record.get(name).is_some())
        && record
            .iter()
            .all(|(name, value)| kind.get(name.as_str()).is_some_and(|attribute| is(&attribute.kind, value)))
}

fn is(kind: &Type, value: &Value<'_>) -> bool {
    match (kind, value) {
        (Type::Bool, Value::Bool(_)) | (Type::Long, Value::Long(_)) | (Type::String, Value::Text(_)) => true,
        (Type::Entity(ReferenceType { kind, ids }), Value::Entity(uid)) => {
            **kind == *uid.kind() && ids.as_ref().is_none_or(|ids| ids.contains(uid.id()))
        }
        (Type::Set(element), Value::Set(set)) => set.iter().all(|value| is(element, value)),
        (Type::Record(kind), Value::Record(record)) => has(kind, record),
        (Type::Extension(kind), Value::Extension(value)) => *kind == value.kind(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
