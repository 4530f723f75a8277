//! What of a question is too much for a record, as one number.

use serde_json::{Map, Value};

use super::{Action, Entity, EntityRef, Properties, Property, Query};
use crate::foundation::digest::{Digest, Hasher};

impl Query<'_> {
    /// SHA-256 over everything in the question: two questions that differ in anything, even in `1` against `"1"`, have
    /// different digests. The order of an object's members is nothing that differs.
    pub fn digest(&self) -> Digest {
        // Taken apart by name, so that a field that is added can't be forgotten here.
        let Self { subject, action: Action { name, properties }, resource, context, extra } = self;
        let mut hasher = Hasher::new();
        hash_entity(&mut hasher, subject);
        hasher.field(name.as_bytes());
        hash_properties(&mut hasher, properties);
        hash_entity(&mut hasher, resource);
        hash_properties(&mut hasher, context);
        hasher.number(length(extra.len()));
        for entity in extra {
            hash_entity(&mut hasher, entity);
        }
        hasher.finish()
    }
}

/// What stands before the names of an overlay, where without one a length stands: nothing is as long as this.
const OVERLAY: u64 = u64::MAX;

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

fn hash_entity(hasher: &mut Hasher, Entity { kind, id, properties, overlay, parents }: &Entity<'_>) {
    hasher.field(kind.as_bytes()).field(id.as_bytes());
    hash_properties(hasher, properties);
    hasher.number(length(parents.len()));
    for EntityRef { kind, id } in parents {
        hasher.field(kind.as_bytes()).field(id.as_bytes());
    }
    let covered: Vec<_> = overlay.said(properties).collect();
    if !covered.is_empty() {
        hasher.number(OVERLAY).number(length(covered.len()));
        for name in covered {
            hasher.field(name.as_bytes());
        }
    }
}

/// The same as of the object that says the same.
fn hash_properties(hasher: &mut Hasher, properties: &Properties<'_>) {
    hasher.number(Tag::Object as u64).number(length(properties.iter().len()));
    for (name, property) in properties.iter() {
        hasher.field(name.as_bytes());
        match property {
            Property::Text(text) => drop(hasher.number(Tag::String as u64).field(text.as_bytes())),
            Property::Record(record) => hash_properties(hasher, record),
            Property::Json(json) => hash_json(hasher, json),
        }
    }
}

fn hash_json(hasher: &mut Hasher, json: &Value) {
    let mut pending: Vec<(Option<&str>, _)> = vec![(None, json)];
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
