//! One entity as a source writes it, in Cedar's JSON format for entities, read as the schema says it is: what Cedar's
//! own reader takes for an entity of the schema is taken here, with the same values, and nothing else.
//!
//! One thing is stricter: the JSON is read as [`json`](crate::foundation::json) reads it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::sharing::Sharing;
use super::store::Node;
use super::uid::Uid;
use crate::decision::schema::{EntityType, RecordType, SchemaTypes, Type};
use crate::decision::value::read::{Place, ValueError, closed, names, read};
use crate::decision::value::{Record, Text, Value};

/// How many tags or parents one entity may have.
const MOST_MEMBERS: usize = 10_000;

/// Why a record was refused. Names the entity if its name could be read.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RecordError {
    uid: Option<Uid>,
    what: String,
}

/// Reads records by one schema.
#[derive(Debug)]
pub struct RecordReader {
    types: Arc<SchemaTypes>,
    /// The names of all attributes, so that a million entities share them.
    names: BTreeSet<Arc<str>>,
}

impl RecordReader {
    /// A reader by the schema of these types.
    pub(in crate::decision) fn new(types: Arc<SchemaTypes>) -> Self {
        let mut names = BTreeSet::new();
        for entity in types.entities.values() {
            collect_names(&entity.attributes, &mut names);
            if let Some(tags) = &entity.tags {
                collect_inner_names(tags, &mut names);
            }
        }
        Self { types, names }
    }

    /// Whether it reads as a schema of these types wants.
    pub(in crate::decision) fn reads_by(&self, types: &SchemaTypes) -> bool {
        *self.types == *types
    }

    /// Whether its schema has entities of this type.
    pub(super) fn knows(&self, kind: &str) -> bool {
        self.types.entities.contains_key(kind)
    }

    /// The types of its schema.
    pub(super) fn types(&self) -> &SchemaTypes {
        &self.types
    }

    /// The entity that `json` describes: `uid`, `attrs`, `parents` and, if there are any, `tags`. `None` for an action,
    /// about which only the schema has a say.
    ///
    /// # Errors
    /// [`RecordError`].
    pub(in crate::decision) fn read(&self, json: &Json, sharing: &mut Sharing) -> Result<Option<Node>, RecordError> {
        let unnamed = |what: &str| RecordError { uid: None, what: what.to_owned() };
        let members = json.as_object().ok_or_else(|| unnamed("an entity must be an object"))?;
        let uid = members.get("uid").ok_or_else(|| unnamed("`uid` is missing"))?;
        let (kind, id) =
            names(uid).ok_or_else(|| unnamed("`uid` must have a `type` and an `id`, which are strings"))?;
        if self.is_action(kind, id) {
            return Ok(None);
        }
        let named = |what: String| RecordError { uid: Some(Uid::new(kind.into(), id)), what };
        let entity = self.types.entities.get(kind).ok_or_else(|| named("the schema has no such type".to_owned()))?;
        if !entity.reference.allows(id) {
            return Err(named("it is not among the entities that the schema lists".to_owned()));
        }
        self.node(entity, id, members, sharing).map(Some).map_err(named)
    }

    fn node(
        &self,
        entity: &EntityType,
        id: &str,
        members: &Map<String, Json>,
        sharing: &mut Sharing,
    ) -> Result<Node, String> {
        if let Some(unknown) = members.keys().find(|key| !["uid", "attrs", "parents", "tags"].contains(&key.as_str())) {
            return Err(format!("`{unknown}` is not a member of an entity"));
        }
        let attributes = object(members, "attrs")?.ok_or("`attrs` is missing")?;
        let attributes = closed(&entity.attributes, attributes, &Place::new("attrs")).map_err(told)?;
        let tags = object(members, "tags")?.map_or(Ok(Record::default()), |tags| read_tags(entity, tags))?;
        let parents = members.get("parents").and_then(Json::as_array).ok_or("`parents` must be an array")?;
        if parents.len() > MOST_MEMBERS || tags.len() > MOST_MEMBERS {
            return Err(format!("it has more than {MOST_MEMBERS} parents or tags"));
        }
        let parents: Result<Vec<_>, _> = parents.iter().map(|parent| self.parent(entity, parent)).collect();
        let uid = Uid::new(Arc::clone(&entity.reference.kind), id);
        Ok(Node::new(uid, self.keep(&attributes, sharing), self.keep(&tags, sharing), parents?))
    }

    fn parent(&self, entity: &EntityType, json: &Json) -> Result<Uid, String> {
        let (kind, id) = names(json).ok_or("a parent must have a `type` and an `id`, which are strings")?;
        let own = &entity.reference.kind;
        let allowed = entity.ancestors.contains(kind).then(|| self.types.entities.get(kind)).flatten();
        let reference = &allowed.ok_or_else(|| format!("a `{own}` can't be in a `{kind}`"))?.reference;
        if reference.allows(id) {
            Ok(Uid::new(Arc::clone(&reference.kind), id))
        } else {
            Err(format!("the parent `{kind}::{id:?}` is not among the entities that the schema lists"))
        }
    }

    /// An action is known by its type, `Action` of any namespace.
    fn is_action(&self, kind: &str, id: &str) -> bool {
        let full = match kind.strip_suffix("Action") {
            Some("") => id.to_owned(),
            Some(namespace) if namespace.ends_with("::") => format!("{namespace}{id}"),
            _ => return false,
        };
        self.types.actions.contains_key(&full)
    }

    /// The same record, borrowing nothing and sharing what is repeated.
    fn keep(&self, record: &Record<'_>, sharing: &mut Sharing) -> Record<'static> {
        record.iter().map(|(name, value)| (self.name(name, sharing), self.keep_value(value, sharing))).collect()
    }

    fn keep_value(&self, value: &Value<'_>, sharing: &mut Sharing) -> Value<'static> {
        match value {
            Value::Record(record) => Value::Record(self.keep(record, sharing)),
            Value::Set(set) => Value::Set(set.iter().map(|value| self.keep_value(value, sharing)).collect()),
            Value::Text(text) => Value::Text(sharing.text(text.as_str())),
            other => other.clone().into_owned(),
        }
    }

    /// The schema's name of an attribute; that of a tag is the record's own.
    fn name(&self, name: &Text<'_>, sharing: &mut Sharing) -> Text<'static> {
        match self.names.get(name.as_str()) {
            Some(shared) => Text::Shared(Arc::clone(shared)),
            None => sharing.text(name.as_str()),
        }
    }
}

fn object<'a>(members: &'a Map<String, Json>, name: &str) -> Result<Option<&'a Map<String, Json>>, String> {
    let Some(json) = members.get(name) else { return Ok(None) };
    json.as_object().map(Some).ok_or_else(|| format!("`{name}` must be an object"))
}

fn read_tags<'a>(entity: &EntityType, tags: &'a Map<String, Json>) -> Result<Record<'a>, String> {
    let Some(kind) = &entity.tags else {
        return if tags.is_empty() { Ok(Record::default()) } else { Err("its type has no tags".to_owned()) };
    };
    let place = Place::new("tags");
    let tags = tags.iter().map(|(name, json)| Ok((Text::Borrowed(name), read(kind, json, &place.field(name))?)));
    tags.collect::<Result<Vec<_>, ValueError>>().map(Record::from_iter).map_err(told)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn told(error: ValueError) -> String {
    error.to_string()
}

fn collect_names(record: &RecordType, names: &mut BTreeSet<Arc<str>>) {
    for (name, attribute) in record {
        names.insert(name.as_str().into());
        collect_inner_names(&attribute.kind, names);
    }
}

fn collect_inner_names(kind: &Type, names: &mut BTreeSet<Arc<str>>) {
    match kind {
        Type::Record(record) => collect_names(record, names),
        Type::Set(element) => collect_inner_names(element, names),
        Type::Bool | Type::Long | Type::String | Type::Entity(_) | Type::Extension(_) => {}
    }
}

impl RecordError {
    /// A refusal of a record whose name is not known.
    pub(super) fn unnamed(what: impl fmt::Display) -> Self {
        Self { uid: None, what: what.to_string() }
    }

    /// A refusal of the entity `uid`.
    pub(super) fn of(uid: &Uid, what: impl fmt::Display) -> Self {
        Self { uid: Some(uid.clone()), what: what.to_string() }
    }

    /// The entity that it is about, if that could be read.
    pub const fn uid(&self) -> Option<&Uid> {
        self.uid.as_ref()
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.uid {
            Some(uid) => write!(f, "the entity `{uid}`: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl std::error::Error for RecordError {}

#[cfg(test)]
mod tests;
