//! JSON as Cedar's values, read by the type that the schema gives them. A string is an address only where the schema
//! says so, and no spelling in a value can turn it into a reference to an entity.

use std::collections::BTreeMap;

use cedar_policy::{EntityTypeName, EntityUid, RestrictedExpression};
use serde_json::{Map, Value};

use super::uid;
use crate::decision::schema::{RecordType, Type};
use crate::decision::value::ExtensionKind;

/// Entity types by full name.
pub(super) type Kinds = BTreeMap<String, EntityTypeName>;

/// A value is not of the type that the schema gives it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{place}` {what}")]
pub(super) struct ValueError {
    place: String,
    what: &'static str,
}

/// The attributes of `record` that `given` has. What is not declared is left out: no policy could read it.
pub(super) fn declared(
    record: &RecordType,
    given: &Map<String, Value>,
    place: &str,
    kinds: &Kinds,
) -> Result<Vec<(String, RestrictedExpression)>, ValueError> {
    let mut attributes = Vec::new();
    for (name, attribute) in record {
        if let Some(value) = given.get(name) {
            let place = format!("{place}.{name}");
            attributes.push((name.clone(), convert(&attribute.kind, value, &place, kinds)?));
        }
    }
    Ok(attributes)
}

/// One value. The depth is that of the type, which the schema bounds, never that of the JSON.
fn convert(kind: &Type, value: &Value, place: &str, kinds: &Kinds) -> Result<RestrictedExpression, ValueError> {
    let wrong = |what| ValueError { place: place.to_owned(), what };
    match kind {
        Type::Bool => value.as_bool().map(RestrictedExpression::new_bool).ok_or_else(|| wrong("must be a boolean")),
        Type::Long => {
            value.as_i64().map(RestrictedExpression::new_long).ok_or_else(|| wrong("must be an integer of 64 bits"))
        }
        Type::String => {
            let text = value.as_str().ok_or_else(|| wrong("must be a string"))?;
            Ok(RestrictedExpression::new_string(text.to_owned()))
        }
        Type::Extension(extension) => {
            let text = extension_text(*extension, value).ok_or_else(|| wrong("must be a string of its type"))?;
            Ok(match extension {
                ExtensionKind::Ip => RestrictedExpression::new_ip(text),
                ExtensionKind::Decimal => RestrictedExpression::new_decimal(text),
                ExtensionKind::Datetime => RestrictedExpression::new_datetime(text),
                ExtensionKind::Duration => RestrictedExpression::new_duration(text),
            })
        }
        Type::Entity(entity) => {
            let reference =
                reference(&entity.kind, value, kinds).ok_or_else(|| wrong("must name an entity of its type"))?;
            Ok(RestrictedExpression::new_entity_uid(reference))
        }
        Type::Set(element) => {
            let values = value.as_array().ok_or_else(|| wrong("must be an array"))?;
            let converted: Result<Vec<_>, _> =
                values.iter().map(|value| convert(element, value, place, kinds)).collect();
            Ok(RestrictedExpression::new_set(converted?))
        }
        Type::Record(record) => {
            let given = value.as_object().ok_or_else(|| wrong("must be an object"))?;
            if given.keys().any(|name| !record.contains_key(name)) {
                return Err(wrong("has an attribute that the schema does not declare"));
            }
            if record.iter().any(|(name, attribute)| attribute.required && !given.contains_key(name)) {
                return Err(wrong("lacks an attribute that the schema requires"));
            }
            let attributes = declared(record, given, place, kinds)?;
            RestrictedExpression::new_record(attributes).map_err(|_duplicate| wrong("has an attribute twice"))
        }
    }
}

/// `"10.0.0.1"`, or Cedar's own spelling `{"__extn": {"fn": "ip", "arg": "10.0.0.1"}}`.
fn extension_text(extension: ExtensionKind, value: &Value) -> Option<&str> {
    if let Some(text) = value.as_str() {
        return Some(text);
    }
    let function = match extension {
        ExtensionKind::Ip => "ip",
        ExtensionKind::Decimal => "decimal",
        ExtensionKind::Datetime => "datetime",
        ExtensionKind::Duration => "duration",
    };
    let call = value.get("__extn")?;
    if call.get("fn")?.as_str()? == function { call.get("arg")?.as_str() } else { None }
}

/// `{"type": "User", "id": "alice"}`, or the same within Cedar's `{"__entity": …}`.
fn reference(name: &str, value: &Value, kinds: &Kinds) -> Option<EntityUid> {
    let named = value.get("__entity").unwrap_or(value);
    if named.get("type")?.as_str()? != name {
        return None;
    }
    Some(uid(kinds.get(name)?, named.get("id")?.as_str()?))
}

#[cfg(test)]
mod tests;
