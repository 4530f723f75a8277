//! JSON as values, read by the type that the schema gives them. A string is an address only where the schema says so,
//! and no spelling in a value can turn it into a reference to an entity. Texts are borrowed from the JSON.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::{Extension, ExtensionKind, Record, Text, Value};
use crate::decision::entity::Uid;
use crate::decision::query::{Properties, Property};
use crate::decision::schema::{RecordType, ReferenceType, Type};

/// A value is not of the type that the schema gives it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{place}` {what}")]
pub(in crate::decision) struct ValueError {
    place: String,
    what: &'static str,
}

/// Where a value stands, as it is told: `context.place.city`. It is spelled out only for an error.
#[derive(Clone, Copy, Debug)]
pub(in crate::decision) struct Place<'p> {
    outer: Option<&'p Self>,
    name: &'p str,
}

/// Named values as somebody gave them.
pub(in crate::decision) trait Given {
    /// Their names.
    fn names(&self) -> impl Iterator<Item = &str>;

    /// The value of `name`, read as what `kind` says, and the name.
    fn read<'a>(&'a self, kind: &Type, name: &str, place: &Place<'_>) -> Option<Result<Field<'a>, ValueError>>;
}

/// A name and its value.
type Field<'a> = (Text<'a>, Value<'a>);

impl Given for Map<String, Json> {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.keys().map(String::as_str)
    }

    fn read<'a>(&'a self, kind: &Type, name: &str, place: &Place<'_>) -> Option<Result<Field<'a>, ValueError>> {
        let (name, json) = self.get_key_value(name)?;
        Some(read(kind, json, &place.field(name)).map(|value| (Text::Borrowed(name), value)))
    }
}

impl Given for Properties<'_> {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }

    fn read<'a>(&'a self, kind: &Type, name: &str, place: &Place<'_>) -> Option<Result<Field<'a>, ValueError>> {
        let (name, property) = self.get_key_value(name)?;
        Some(read_property(kind, property, &place.field(name)).map(|value| (Text::Borrowed(name), value)))
    }
}

/// The attributes of `record` that `given` has. What is not declared is left out: no policy could read it.
pub(in crate::decision) fn declared<'a>(
    record: &RecordType,
    given: &'a impl Given,
    place: &Place<'_>,
) -> Result<Record<'a>, ValueError> {
    let mut fields = Vec::with_capacity(record.len());
    for (name, attribute) in record {
        fields.extend(given.read(&attribute.kind, name, place).transpose()?);
    }
    Ok(Record::sorted(fields))
}

/// The attributes of `record`: all that it requires, and none that it does not declare.
pub(in crate::decision) fn closed<'a>(
    record: &RecordType,
    given: &'a impl Given,
    place: &Place<'_>,
) -> Result<Record<'a>, ValueError> {
    if given.names().any(|name| !record.contains_key(name)) {
        return Err(place.wrong("has an attribute that the schema does not declare"));
    }
    let read = declared(record, given, place)?;
    if record.iter().any(|(name, attribute)| attribute.required && read.get(name).is_none()) {
        return Err(place.wrong("lacks an attribute that the schema requires"));
    }
    Ok(read)
}

/// One value of a question.
pub(in crate::decision) fn read_property<'a>(
    kind: &Type,
    property: &'a Property<'_>,
    place: &Place<'_>,
) -> Result<Value<'a>, ValueError> {
    match (property, kind) {
        (Property::Json(json), kind) => read(kind, json, place),
        (Property::Text(text), Type::String) => Ok(Value::Text(Text::Borrowed(text))),
        (Property::Text(text), Type::Extension(kind)) => {
            let value = Extension::parse(*kind, text).ok_or_else(|| place.wrong("must be a string of its type"))?;
            Ok(Value::Extension(value))
        }
        (Property::Record(given), Type::Record(record)) => closed(record, given, place).map(Value::Record),
        (Property::Text(_) | Property::Record(_), kind) => Err(place.wrong(expected(kind))),
    }
}

/// One value. The depth is that of the type, which the schema bounds, never that of the JSON.
pub(in crate::decision) fn read<'a>(kind: &Type, json: &'a Json, place: &Place<'_>) -> Result<Value<'a>, ValueError> {
    let wrong = || place.wrong(expected(kind));
    match kind {
        Type::Bool => json.as_bool().map(Value::Bool).ok_or_else(wrong),
        Type::Long => json.as_i64().map(Value::Long).ok_or_else(wrong),
        Type::String => json.as_str().map(|text| Value::Text(Text::Borrowed(text))).ok_or_else(wrong),
        Type::Extension(kind) => extension(*kind, json).map(Value::Extension).ok_or_else(wrong),
        Type::Entity(kind) => reference(kind, json, place).map(Value::Entity),
        Type::Set(element) => {
            let values = json.as_array().ok_or_else(wrong)?;
            let values: Result<_, _> = values.iter().map(|value| read(element, value, place)).collect();
            values.map(Value::Set)
        }
        Type::Record(record) => {
            let given = json.as_object().ok_or_else(wrong)?;
            closed(record, given, place).map(Value::Record)
        }
    }
}

/// What a value of this type must be.
const fn expected(kind: &Type) -> &'static str {
    match kind {
        Type::Bool => "must be a boolean",
        Type::Long => "must be an integer of 64 bits",
        Type::String => "must be a string",
        Type::Extension(_) => "must be a string of its type",
        Type::Entity(_) => "must name an entity of its type",
        Type::Set(_) => "must be an array",
        Type::Record(_) => "must be an object",
    }
}

/// `{"type": "User", "id": "alice"}`, or the same within Cedar's `{"__entity": …}`.
fn reference(kind: &ReferenceType, json: &Json, place: &Place<'_>) -> Result<Uid, ValueError> {
    let (name, id) = names(json).ok_or_else(|| place.wrong("must name an entity of its type"))?;
    if *name != *kind.kind {
        return Err(place.wrong("must name an entity of its type"));
    }
    if !kind.allows(id) {
        return Err(place.wrong("must be one of the entities that the schema lists"));
    }
    Ok(Uid::new(Arc::clone(&kind.kind), id))
}

/// The type and the id of a reference.
pub(in crate::decision) fn names(json: &Json) -> Option<(&str, &str)> {
    let named = json.get("__entity").unwrap_or(json);
    Some((named.get("type")?.as_str()?, named.get("id")?.as_str()?))
}

/// `"10.0.0.1"`, or Cedar's own spelling `{"__extn": {"fn": "ip", "arg": "10.0.0.1"}}`. Cedar spells a point in time as
/// the `offset` of another by a duration.
fn extension(kind: ExtensionKind, json: &Json) -> Option<Extension> {
    if let Some(text) = json.as_str() {
        return Extension::parse(kind, text);
    }
    let call = json.get("__extn")?;
    match call.get("fn")?.as_str()? {
        function if function == kind.function() => Extension::parse(kind, call.get("arg")?.as_str()?),
        "offset" if kind == ExtensionKind::Datetime => {
            let [start, by] = call.get("args")?.as_array()?.as_slice() else { return None };
            match (extension(kind, start)?, extension(ExtensionKind::Duration, by)?) {
                (Extension::Datetime(start), Extension::Duration(by)) => start.checked_add(by).map(Extension::Datetime),
                _ => None,
            }
        }
        _ => None,
    }
}

impl<'p> Place<'p> {
    /// The outermost place.
    pub(in crate::decision) const fn new(name: &'p str) -> Self {
        Self { outer: None, name }
    }

    /// An attribute of what stands here.
    pub(in crate::decision) const fn field<'q>(&'q self, name: &'q str) -> Place<'q>
    where
        'p: 'q,
    {
        Place { outer: Some(self), name }
    }

    fn wrong(&self, what: &'static str) -> ValueError {
        ValueError { place: self.to_string(), what }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(outer) = self.outer {
            write!(f, "{outer}.")?;
        }
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests;
