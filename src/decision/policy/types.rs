//! The schema's types, with every name resolved, so that a JSON value can be taken for exactly what the schema says it
//! is. Cedar checks the result once more; this is about reading, not about trust.
//!
//! Names resolve as in Cedar (RFC 24, RFC 70): the namespace first, then the empty one, then what is built in; a common
//! type before an entity type.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// Nested deeper than this, a type is refused; Cedar forbids common types that contain themselves.
const DEEPEST: usize = 64;

/// A type of a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Type {
    Bool,
    Long,
    String,
    Entity(String),
    Set(Box<Self>),
    Record(Record),
    Extension(Extension),
}

/// The extension types of Cedar 4.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Extension {
    Ip,
    Decimal,
    Datetime,
    Duration,
}

/// A record's attributes by name.
pub(super) type Record = BTreeMap<String, Attribute>;

/// One attribute of a record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Attribute {
    pub(super) kind: Type,
    pub(super) required: bool,
}

/// One action.
#[derive(Clone, Debug, Default)]
pub(super) struct ActionType {
    pub(super) principals: BTreeSet<String>,
    pub(super) resources: BTreeSet<String>,
    pub(super) context: Record,
}

/// The attributes of every entity type and the context of every action, by their full names (`Namespace::Type`,
/// `Namespace::action`).
#[derive(Clone, Debug, Default)]
pub(super) struct SchemaTypes {
    pub(super) entities: BTreeMap<String, Record>,
    pub(super) actions: BTreeMap<String, ActionType>,
}

/// The schema has something that this module does not know.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {what}")]
pub(super) struct TypeError {
    place: String,
    what: String,
}

impl SchemaTypes {
    /// Resolves a schema given as its fragments in Cedar's JSON form.
    pub(super) fn of(fragments: &[Value]) -> Result<Self, TypeError> {
        let names = Names::of(fragments);
        let mut types = Self::default();
        for (namespace, definition) in namespaces(fragments) {
            for (name, entity) in members(definition, "entityTypes") {
                let full = qualify(namespace, name);
                let shape =
                    entity.get("shape").map_or(Ok(Record::new()), |shape| names.record(namespace, shape, &full))?;
                types.entities.insert(full, shape);
            }
            for (name, action) in members(definition, "actions") {
                let full = qualify(namespace, name);
                let applies = action.get("appliesTo").unwrap_or(&Value::Null);
                let context = applies.get("context");
                let action = ActionType {
                    principals: names.entity_names(namespace, applies.get("principalTypes")),
                    resources: names.entity_names(namespace, applies.get("resourceTypes")),
                    context: context.map_or(Ok(Record::new()), |context| names.record(namespace, context, &full))?,
                };
                if types.actions.insert(full.clone(), action).is_some() {
                    let what = "two actions of different namespaces share this name".to_owned();
                    return Err(TypeError { place: format!("action `{full}`"), what });
                }
            }
        }
        Ok(types)
    }
}

/// What is declared where.
struct Names<'a> {
    common: BTreeMap<String, (&'a str, &'a Value)>,
    entities: BTreeSet<String>,
}

impl<'a> Names<'a> {
    fn of(fragments: &'a [Value]) -> Self {
        let mut names = Names { common: BTreeMap::new(), entities: BTreeSet::new() };
        for (namespace, definition) in namespaces(fragments) {
            for (name, common) in members(definition, "commonTypes") {
                names.common.insert(qualify(namespace, name), (namespace, common));
            }
            names.entities.extend(members(definition, "entityTypes").map(|(name, _)| qualify(namespace, name)));
        }
        names
    }

    fn record(&self, namespace: &str, json: &Value, place: &str) -> Result<Record, TypeError> {
        match self.resolve(namespace, json, place, 0)? {
            Type::Record(record) => Ok(record),
            _ => Err(TypeError { place: place.to_owned(), what: "not a record".to_owned() }),
        }
    }

    fn entity_names(&self, namespace: &str, json: Option<&Value>) -> BTreeSet<String> {
        let listed = json.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        listed.filter_map(|name| self.entity(namespace, name)).collect()
    }

    fn entity(&self, namespace: &str, name: &str) -> Option<String> {
        candidates(namespace, name).into_iter().find(|candidate| self.entities.contains(candidate))
    }

    fn resolve(&self, namespace: &str, json: &Value, place: &str, depth: usize) -> Result<Type, TypeError> {
        let unknown = |what: &str| TypeError { place: place.to_owned(), what: what.to_owned() };
        if depth > DEEPEST {
            return Err(unknown("the type is nested too deeply"));
        }
        let text = |key: &str| json.get(key).and_then(Value::as_str);
        let named = || text("name").ok_or_else(|| unknown("a type without its name"));
        match text("type").ok_or_else(|| unknown("a value without a type"))? {
            "Boolean" | "Bool" => Ok(Type::Bool),
            "Long" => Ok(Type::Long),
            "String" => Ok(Type::String),
            "Extension" => builtin(named()?).ok_or_else(|| unknown("an unknown extension type")),
            "Entity" => {
                self.entity(namespace, named()?).map(Type::Entity).ok_or_else(|| unknown("an unknown entity type"))
            }
            "Set" => {
                let element = json.get("element").ok_or_else(|| unknown("a set without its element"))?;
                Ok(Type::Set(Box::new(self.resolve(namespace, element, place, depth + 1)?)))
            }
            "Record" => self.attributes(namespace, json, place, depth).map(Type::Record),
            "EntityOrCommon" => self.reference(namespace, named()?, place, depth),
            reference => self.reference(namespace, reference, place, depth),
        }
    }

    fn attributes(&self, namespace: &str, json: &Value, place: &str, depth: usize) -> Result<Record, TypeError> {
        let mut record = Record::new();
        for (name, attribute) in members(json, "attributes") {
            let place = format!("{place}.{name}");
            let required = attribute.get("required").and_then(Value::as_bool).unwrap_or(true);
            let kind = self.resolve(namespace, attribute, &place, depth + 1)?;
            record.insert(name.to_owned(), Attribute { kind, required });
        }
        Ok(record)
    }

    fn reference(&self, namespace: &str, name: &str, place: &str, depth: usize) -> Result<Type, TypeError> {
        for candidate in candidates(namespace, name) {
            if let Some((home, json)) = self.common.get(&candidate) {
                return self.resolve(home, json, place, depth + 1);
            }
            if self.entities.contains(&candidate) {
                return Ok(Type::Entity(candidate));
            }
        }
        let unknown = || TypeError { place: place.to_owned(), what: format!("the type `{name}` is unknown") };
        builtin(name.strip_prefix("__cedar::").unwrap_or(name)).ok_or_else(unknown)
    }
}

fn builtin(name: &str) -> Option<Type> {
    match name {
        "Bool" | "Boolean" => Some(Type::Bool),
        "Long" => Some(Type::Long),
        "String" => Some(Type::String),
        "ipaddr" => Some(Type::Extension(Extension::Ip)),
        "decimal" => Some(Type::Extension(Extension::Decimal)),
        "datetime" => Some(Type::Extension(Extension::Datetime)),
        "duration" => Some(Type::Extension(Extension::Duration)),
        _ => None,
    }
}

fn namespaces(fragments: &[Value]) -> impl Iterator<Item = (&str, &Value)> {
    fragments
        .iter()
        .filter_map(Value::as_object)
        .flat_map(Map::iter)
        .map(|(name, definition)| (name.as_str(), definition))
}

fn members<'a>(json: &'a Value, key: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let members = json.get(key).and_then(Value::as_object).into_iter().flat_map(Map::iter);
    members.map(|(name, member)| (name.as_str(), member))
}

fn qualify(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}::{name}") }
}

/// What an unqualified name can mean, first choice first; a qualified one means only itself.
fn candidates(namespace: &str, name: &str) -> Vec<String> {
    if namespace.is_empty() || name.contains("::") {
        return vec![name.to_owned()];
    }
    vec![qualify(namespace, name), name.to_owned()]
}

#[cfg(test)]
mod tests;
