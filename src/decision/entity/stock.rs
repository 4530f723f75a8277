//! Stored entities as Cedar's own, for whatever only Cedar itself can do.

use std::collections::{HashMap, HashSet};

use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};

use super::store::{Entities, Node};
use super::uid::UidRef;
use crate::decision::value::{Extension, Value};

/// A name as Cedar has it; `None` if its type is none of Cedar's, which no schema lets be.
pub fn uid(uid: UidRef<'_>) -> Option<EntityUid> {
    let kind: EntityTypeName = uid.kind().parse().ok()?;
    Some(EntityUid::from_type_name_and_id(kind, EntityId::new(uid.id())))
}

/// An entity with all its ancestors. `None` if a name or a value is none of Cedar's, which the schema rules out.
pub fn entity(entities: &Entities, node: &Node) -> Option<Entity> {
    let ancestors = entities.ancestors(node);
    let ancestors: Option<HashSet<_>> = ancestors.iter().map(|ancestor| uid(ancestor.as_ref())).collect();
    let attributes = node.attributes().iter().map(|(name, value)| Some((name.as_str().to_owned(), expression(value)?)));
    let attributes: Option<HashMap<_, _>> = attributes.collect();
    let tags = node.tags().iter().map(|(name, value)| Some((name.as_str().to_owned(), expression(value)?)));
    let tags: Option<Vec<_>> = tags.collect();
    Entity::new_with_tags(uid(node.uid().as_ref())?, attributes?, ancestors?, tags?).ok()
}

/// A value as an expression.
pub fn expression(value: &Value<'_>) -> Option<RestrictedExpression> {
    Some(match value {
        Value::Bool(value) => RestrictedExpression::new_bool(*value),
        Value::Long(value) => RestrictedExpression::new_long(*value),
        Value::Text(text) => RestrictedExpression::new_string(text.as_str().to_owned()),
        Value::Entity(name) => RestrictedExpression::new_entity_uid(uid(name.as_ref())?),
        Value::Set(set) => RestrictedExpression::new_set(set.iter().map(expression).collect::<Option<Vec<_>>>()?),
        Value::Record(record) => {
            let fields = record.iter().map(|(name, value)| Some((name.as_str().to_owned(), expression(value)?)));
            RestrictedExpression::new_record(fields.collect::<Option<Vec<_>>>()?).ok()?
        }
        Value::Extension(value) => extension(value)?,
    })
}

fn extension(value: &Extension) -> Option<RestrictedExpression> {
    Some(match value {
        Extension::Ip(range) => RestrictedExpression::new_ip(format!("{}/{}", range.address(), range.prefix())),
        Extension::Decimal(parts) => {
            let (sign, parts) = (if *parts < 0 { "-" } else { "" }, parts.unsigned_abs());
            RestrictedExpression::new_decimal(format!("{sign}{}.{:04}", parts / 10_000, parts % 10_000))
        }
        // Not every point in time can be written as a date.
        Extension::Datetime(since) => {
            format!("datetime(\"1970-01-01\").offset(duration(\"{since}ms\"))").parse().ok()?
        }
        Extension::Duration(length) => RestrictedExpression::new_duration(format!("{length}ms")),
    })
}
