//! The question in `AuthZEN`'s shape (Authorization API 1.0, section 5): subject, action, resource, context. Every wire
//! is translated into this, and only this enters a policy.

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::foundation::digest::{Digest, Hasher};

/// A subject or a resource: an entity as the caller describes it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Entity {
    /// The entity type, e.g. `Workload`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its id, unique within the type.
    pub id: String,
    /// What the caller says of it. What the entity store says of it comes first.
    #[serde(default)]
    pub properties: Map<String, Value>,
    /// Direct parents that follow from the request itself: a path's enclosing path, a workload's trust domain. Never
    /// taken from a caller's JSON.
    #[serde(skip)]
    pub parents: Vec<EntityRef>,
}

/// The name of an entity.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EntityRef {
    /// The entity type.
    pub kind: String,
    /// Its id.
    pub id: String,
}

/// What the subject wants to do.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Action {
    /// The name, e.g. `GET` or `can_read`.
    pub name: String,
    /// What the caller says of it; policies see it as `context.action`, if the schema has that.
    #[serde(default)]
    pub properties: Map<String, Value>,
}

/// May `subject` do `action` to `resource` under `context`?
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Query {
    /// Who.
    pub subject: Entity,
    /// What.
    pub action: Action,
    /// To what.
    pub resource: Entity,
    /// Under which circumstances.
    #[serde(default)]
    pub context: Map<String, Value>,
    /// Entities that the request brings with it beside subject and resource, such as the paths that enclose a path.
    #[serde(skip)]
    pub extra: Vec<Entity>,
}

impl Query {
    /// SHA-256 over everything in the question: two questions that differ in anything, even in `1` against `"1"`, have
    /// different digests. The order of an object's members is nothing that differs.
    pub fn digest(&self) -> Digest {
        // Taken apart by name, so that a field that is added can't be forgotten here.
        let Self { subject, action: Action { name, properties }, resource, context, extra } = self;
        let mut hasher = Hasher::new();
        hash_entity(&mut hasher, subject);
        hasher.field(name.as_bytes());
        hash_object(&mut hasher, properties);
        hash_entity(&mut hasher, resource);
        hash_object(&mut hasher, context);
        hasher.number(length(extra.len()));
        for entity in extra {
            hash_entity(&mut hasher, entity);
        }
        hasher.finish()
    }
}

/// What stands before a value, so that values of different types never feed the hasher the same bytes.
enum Tag {
    Null,
    False,
    True,
    Number,
    String,
    Array,
    Object,
}

fn hash_entity(hasher: &mut Hasher, Entity { kind, id, properties, parents }: &Entity) {
    hasher.field(kind.as_bytes()).field(id.as_bytes());
    hash_object(hasher, properties);
    hasher.number(length(parents.len()));
    for EntityRef { kind, id } in parents {
        hasher.field(kind.as_bytes()).field(id.as_bytes());
    }
}

fn hash_object(hasher: &mut Hasher, object: &Map<String, Value>) {
    let mut pending = Vec::new();
    open_object(hasher, object, &mut pending);
    // A list of what is still to come and not recursion: nothing here bounds the depth of a value.
    while let Some((key, value)) = pending.pop() {
        if let Some(key) = key {
            hasher.field(key.as_bytes());
        }
        match value {
            Value::Null => drop(hasher.number(Tag::Null as u64)),
            Value::Bool(false) => drop(hasher.number(Tag::False as u64)),
            Value::Bool(true) => drop(hasher.number(Tag::True as u64)),
            Value::Number(number) => drop(hasher.number(Tag::Number as u64).field(number.to_string().as_bytes())),
            Value::String(text) => drop(hasher.number(Tag::String as u64).field(text.as_bytes())),
            Value::Array(values) => {
                hasher.number(Tag::Array as u64).number(length(values.len()));
                pending.extend(values.iter().rev().map(|value| (None, value)));
            }
            Value::Object(object) => open_object(hasher, object, &mut pending),
        }
    }
}

fn open_object<'a>(
    hasher: &mut Hasher,
    object: &'a Map<String, Value>,
    pending: &mut Vec<(Option<&'a str>, &'a Value)>,
) {
    hasher.number(Tag::Object as u64).number(length(object.len()));
    let mut members: Vec<_> = object.iter().map(|(key, value)| (Some(key.as_str()), value)).collect();
    members.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
    pending.extend(members);
}

fn length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{:?}", self.kind, self.id)
    }
}

impl fmt::Display for EntityRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{:?}", self.kind, self.id)
    }
}

#[cfg(test)]
mod tests;
