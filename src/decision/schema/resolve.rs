//! From the schema's JSON to its types.
//!
//! Names resolve as in Cedar (RFC 24, RFC 70): the namespace first, then the empty one, then what is built in; a common
//! type before an entity type.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{ActionType, AttributeType, EntityType, RecordType, ReferenceType, SchemaTypes, Type, TypeError};
use crate::decision::value::ExtensionKind;

/// Nested deeper than this, a type is refused; Cedar forbids common types that contain themselves.
const DEEPEST: usize = 64;

pub(super) fn schema(fragments: &[Value]) -> Result<SchemaTypes, TypeError> {
    let names = Names::of(fragments);
    let mut types = SchemaTypes::default();
    for (namespace, definition) in namespaces(fragments) {
        for (name, entity) in members(definition, "entityTypes") {
            let entity = names.entity_type(namespace, name, entity)?;
            types.entities.insert(Arc::clone(&entity.reference.kind), entity);
        }
        for (name, action) in members(definition, "actions") {
            let full = qualify(namespace, name);
            let action = names.action(namespace, action, &full)?;
            if types.actions.insert(full.clone(), action).is_some() {
                let what = "two actions of different namespaces share this name".to_owned();
                return Err(TypeError { place: format!("action `{full}`"), what });
            }
        }
    }
    close_ancestors(&mut types.entities);
    Ok(types)
}

/// Makes of the types that a type is a member of all those whose descendant it may be.
fn close_ancestors(entities: &mut BTreeMap<Arc<str>, EntityType>) {
    let direct: BTreeMap<_, _> =
        entities.iter().map(|(name, entity)| (Arc::clone(name), entity.ancestors.clone())).collect();
    for entity in entities.values_mut() {
        let mut waiting: Vec<_> = entity.ancestors.iter().cloned().collect();
        while let Some(name) = waiting.pop() {
            for further in direct.get(&name).into_iter().flatten() {
                if entity.ancestors.insert(Arc::clone(further)) {
                    waiting.push(Arc::clone(further));
                }
            }
        }
    }
}

/// What is declared where.
struct Names<'a> {
    common: BTreeMap<String, (&'a str, &'a Value)>,
    entities: BTreeMap<Arc<str>, ReferenceType>,
}

impl<'a> Names<'a> {
    fn of(fragments: &'a [Value]) -> Self {
        let mut names = Names { common: BTreeMap::new(), entities: BTreeMap::new() };
        for (namespace, definition) in namespaces(fragments) {
            for (name, common) in members(definition, "commonTypes") {
                names.common.insert(qualify(namespace, name), (namespace, common));
            }
            for (name, entity) in members(definition, "entityTypes") {
                let kind: Arc<str> = qualify(namespace, name).into();
                let ids = entity.get("enum").and_then(Value::as_array);
                let ids = ids.map(|ids| Arc::new(ids.iter().filter_map(Value::as_str).map(str::to_owned).collect()));
                names.entities.insert(Arc::clone(&kind), ReferenceType { kind, ids });
            }
        }
        names
    }

    fn entity_type(&self, namespace: &str, name: &str, json: &Value) -> Result<EntityType, TypeError> {
        let place = qualify(namespace, name);
        let unknown = || TypeError { place: place.clone(), what: "an unknown entity type".to_owned() };
        let reference = self.entities.get(place.as_str()).cloned().ok_or_else(unknown)?;
        let attributes = json.get("shape").map_or(Ok(RecordType::new()), |shape| self.record(namespace, shape, &place));
        let tags = json.get("tags").map(|tags| self.resolve(namespace, tags, &format!("{place} tags"), 0));
        Ok(EntityType {
            reference,
            attributes: attributes?,
            tags: tags.transpose()?,
            ancestors: self.entity_names(namespace, json.get("memberOfTypes")),
        })
    }

    fn action(&self, namespace: &str, json: &Value, place: &str) -> Result<ActionType, TypeError> {
        let applies = json.get("appliesTo").unwrap_or(&Value::Null);
        let context = applies.get("context");
        Ok(ActionType {
            principals: self.entity_names(namespace, applies.get("principalTypes")),
            resources: self.entity_names(namespace, applies.get("resourceTypes")),
            context: context.map_or(Ok(RecordType::new()), |context| self.record(namespace, context, place))?,
        })
    }

    fn record(&self, namespace: &str, json: &Value, place: &str) -> Result<RecordType, TypeError> {
        match self.resolve(namespace, json, place, 0)? {
            Type::Record(record) => Ok(record),
            _ => Err(TypeError { place: place.to_owned(), what: "not a record".to_owned() }),
        }
    }

    fn entity_names(&self, namespace: &str, json: Option<&Value>) -> BTreeSet<Arc<str>> {
        let listed = json.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        listed.filter_map(|name| self.entity(namespace, name)).map(|reference| Arc::clone(&reference.kind)).collect()
    }

    fn entity(&self, namespace: &str, name: &str) -> Option<&ReferenceType> {
        candidates(namespace, name).iter().find_map(|candidate| self.entities.get(candidate.as_str()))
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
                let reference = self.entity(namespace, named()?).cloned();
                reference.map(Type::Entity).ok_or_else(|| unknown("an unknown entity type"))
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

    fn attributes(&self, namespace: &str, json: &Value, place: &str, depth: usize) -> Result<RecordType, TypeError> {
        let mut record = RecordType::new();
        for (name, attribute) in members(json, "attributes") {
            let place = format!("{place}.{name}");
            let required = attribute.get("required").and_then(Value::as_bool).unwrap_or(true);
            let kind = self.resolve(namespace, attribute, &place, depth + 1)?;
            record.insert(name.to_owned(), AttributeType { kind, required });
        }
        Ok(record)
    }

    fn reference(&self, namespace: &str, name: &str, place: &str, depth: usize) -> Result<Type, TypeError> {
        for candidate in candidates(namespace, name) {
            if let Some((home, json)) = self.common.get(&candidate) {
                return self.resolve(home, json, place, depth + 1);
            }
            if let Some(reference) = self.entities.get(candidate.as_str()) {
                return Ok(Type::Entity(reference.clone()));
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
        "ipaddr" => Some(Type::Extension(ExtensionKind::Ip)),
        "decimal" => Some(Type::Extension(ExtensionKind::Decimal)),
        "datetime" => Some(Type::Extension(ExtensionKind::Datetime)),
        "duration" => Some(Type::Extension(ExtensionKind::Duration)),
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
