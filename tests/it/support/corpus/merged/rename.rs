//! Puts all names that a schema declares into one more namespace, wherever they stand.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// What becomes of the names of one schema.
pub(super) struct Renaming {
    /// The outer namespace.
    outer: String,
    /// All types by full name, those of actions included.
    declared: BTreeSet<String>,
}

impl Renaming {
    /// For the names that `schema` (in JSON) declares.
    pub(super) fn new(schema: &Value, outer: &str) -> Self {
        let mut declared = BTreeSet::new();
        for (namespace, parts) in schema.as_object().unwrap() {
            let types = ["entityTypes", "commonTypes"].into_iter().filter_map(|kind| parts[kind].as_object());
            declared.extend(types.flat_map(Map::keys).map(|name| qualified(namespace, name)));
            declared.insert(qualified(namespace, "Action"));
        }
        Self { outer: outer.to_owned(), declared }
    }

    /// All actions of the schema as it was, as they are called from now on.
    pub(super) fn actions(&self, schema: &Value) -> Vec<Value> {
        let mut actions = Vec::new();
        for (namespace, parts) in schema.as_object().unwrap() {
            let kind = self.moved(&qualified(namespace, "Action"));
            let names = parts["actions"].as_object().into_iter().flat_map(Map::keys);
            actions.extend(names.map(|id| json!({"type": kind, "id": id})));
        }
        actions
    }

    /// The new name of a type, given its full name. What the schema does not declare stays.
    pub(super) fn moved(&self, kind: &str) -> String {
        if self.declared.contains(kind) { qualified(&self.outer, kind) } else { kind.to_owned() }
    }

    /// Entities, policies or values in JSON.
    pub(super) fn data(&self, json: Value) -> Value {
        match json {
            Value::Array(values) => values.into_iter().map(|value| self.data(value)).collect(),
            Value::Object(mut object) => {
                let named = object.len() == 2 && object.get("id").is_some_and(Value::is_string);
                for key in ["entity_type"].into_iter().chain(named.then_some("type")) {
                    if let Some(Value::String(kind)) = object.get_mut(key) {
                        *kind = self.moved(kind);
                    }
                }
                Value::Object(object.into_iter().map(|(key, value)| (key, self.data(value))).collect())
            }
            other => other,
        }
    }

    /// The schema itself.
    pub(super) fn schema(&self, schema: &Value) -> Value {
        let namespaces = schema.as_object().unwrap().clone();
        let moved = namespaces.into_iter().map(|(namespace, mut parts)| {
            for common in members(&mut parts["commonTypes"]) {
                self.in_type(&namespace, common);
            }
            for kind in members(&mut parts["entityTypes"]) {
                self.in_names(&namespace, &mut kind["memberOfTypes"]);
                self.in_type(&namespace, &mut kind["shape"]);
                self.in_type(&namespace, &mut kind["tags"]);
                without_nulls(kind);
            }
            for action in members(&mut parts["actions"]) {
                if action["appliesTo"].is_object() {
                    let applies = &mut action["appliesTo"];
                    self.in_names(&namespace, &mut applies["principalTypes"]);
                    self.in_names(&namespace, &mut applies["resourceTypes"]);
                    self.in_type(&namespace, &mut applies["context"]);
                    without_nulls(applies);
                }
                for group in action["memberOf"].as_array_mut().into_iter().flatten() {
                    self.in_name(&namespace, &mut group["type"]);
                    without_nulls(group);
                }
                without_nulls(action);
            }
            without_nulls(&mut parts);
            (qualified(&self.outer, &namespace), parts)
        });
        Value::Object(moved.collect())
    }

    /// A type as attributes have it.
    fn in_type(&self, namespace: &str, kind: &mut Value) {
        match kind["type"].as_str() {
            Some("Record") => members(&mut kind["attributes"]).for_each(|kind| self.in_type(namespace, kind)),
            Some("Set") => self.in_type(namespace, &mut kind["element"]),
            Some("Entity" | "EntityOrCommon") => self.in_name(namespace, &mut kind["name"]),
            Some("Boolean" | "Extension" | "Long" | "String") | None => {}
            Some(_) => self.in_name(namespace, &mut kind["type"]),
        }
    }

    fn in_names(&self, namespace: &str, names: &mut Value) {
        names.as_array_mut().into_iter().flatten().for_each(|name| self.in_name(namespace, name));
    }

    /// A name as it stands in `namespace`: what has no namespace is looked for there, and then in none.
    fn in_name(&self, namespace: &str, name: &mut Value) {
        if let Value::String(name) = name {
            let here = qualified(namespace, name);
            *name = self.moved(if !name.contains("::") && self.declared.contains(&here) { &here } else { &*name });
        }
    }
}

fn members(object: &mut Value) -> impl Iterator<Item = &mut Value> {
    object.as_object_mut().into_iter().flat_map(Map::values_mut)
}

/// Reading what is not there for writing puts a null there.
fn without_nulls(object: &mut Value) {
    object.as_object_mut().into_iter().for_each(|object| object.retain(|_, value| !value.is_null()));
}

fn qualified(namespace: &str, name: &str) -> String {
    match (namespace, name) {
        ("", name) => name.to_owned(),
        (namespace, "") => namespace.to_owned(),
        _ => format!("{namespace}::{name}"),
    }
}
