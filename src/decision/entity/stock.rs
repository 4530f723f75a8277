//! Names, values and entities as Cedar's own, for whatever only Cedar itself can do.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression, Schema};

use super::store::{Entities, Node};
use super::uid::{Uid, UidRef};
use crate::decision::value::{Extension, IpNet, Record, Value};

/// Entity types by full name; parsing one costs as much as a decision. What is not among them is parsed.
#[derive(Clone, Debug, Default)]
pub struct Kinds(HashMap<String, EntityTypeName>);

impl Kinds {
    /// The entity types of a schema, those of its actions included.
    pub fn of(schema: &Schema) -> Self {
        let actions = schema.actions().map(EntityUid::type_name);
        Self(schema.entity_types().chain(actions).map(|kind| (kind.to_string(), kind.clone())).collect())
    }

    /// A name as Cedar has it; `None` if its type is none of Cedar's, which no schema lets be.
    pub fn uid(&self, uid: UidRef<'_>) -> Option<EntityUid> {
        let known = self.0.get(uid.kind()).cloned();
        let kind = known.or_else(|| uid.kind().parse().ok())?;
        Some(EntityUid::from_type_name_and_id(kind, EntityId::new(uid.id())))
    }

    /// A stored entity with all its ancestors. `None` if a name or a value is none of Cedar's, which the schema rules
    /// out.
    pub fn stored(&self, entities: &Entities, node: &Node) -> Option<Entity> {
        let ancestors = entities.ancestors(node);
        let fields = |record: &Record<'static>| {
            record.iter().map(|(name, value)| self.field(name.as_str(), value)).collect::<Option<Vec<_>>>()
        };
        let (attributes, tags) = (fields(node.attributes())?, fields(node.tags())?);
        self.entity(node.uid().as_ref(), ancestors.iter().map(Uid::as_ref), attributes, tags)
    }

    /// An entity of these parts; its ancestors need not be there themselves.
    pub fn entity<'u>(
        &self,
        uid: UidRef<'_>,
        ancestors: impl Iterator<Item = UidRef<'u>>,
        attributes: Vec<(String, RestrictedExpression)>,
        tags: Vec<(String, RestrictedExpression)>,
    ) -> Option<Entity> {
        let ancestors: Option<HashSet<_>> = ancestors.map(|ancestor| self.uid(ancestor)).collect();
        let attributes: HashMap<_, _> = attributes.into_iter().collect();
        Entity::new_with_tags(self.uid(uid)?, attributes, ancestors?, tags).ok()
    }

    /// A value as an expression.
    pub fn expression(&self, value: &Value<'_>) -> Option<RestrictedExpression> {
        Some(match value {
            Value::Bool(value) => RestrictedExpression::new_bool(*value),
            Value::Long(value) => RestrictedExpression::new_long(*value),
            Value::Text(text) => RestrictedExpression::new_string(text.as_str().to_owned()),
            Value::Entity(name) => RestrictedExpression::new_entity_uid(self.uid(name.as_ref())?),
            Value::Set(set) => {
                let values: Option<Vec<_>> = set.iter().map(|value| self.expression(value)).collect();
                RestrictedExpression::new_set(values?)
            }
            Value::Record(record) => {
                let fields = record.iter().map(|(name, value)| self.field(name.as_str(), value));
                RestrictedExpression::new_record(fields.collect::<Option<Vec<_>>>()?).ok()?
            }
            Value::Extension(value) => extension(*value)?,
        })
    }

    /// A named value.
    pub fn field(&self, name: &str, value: &Value<'_>) -> Option<(String, RestrictedExpression)> {
        Some((name.to_owned(), self.expression(value)?))
    }
}

fn extension(value: Extension) -> Option<RestrictedExpression> {
    Some(match value {
        Extension::Ip(range) => RestrictedExpression::new_ip(spelled(range)),
        Extension::Decimal(parts) => {
            let (sign, parts) = (if parts < 0 { "-" } else { "" }, parts.unsigned_abs());
            RestrictedExpression::new_decimal(format!("{sign}{}.{:04}", parts / 10_000, parts % 10_000))
        }
        // Not every point in time can be written as a date.
        Extension::Datetime(since) => {
            format!("datetime(\"1970-01-01\").offset(duration(\"{since}ms\"))").parse().ok()?
        }
        Extension::Duration(length) => RestrictedExpression::new_duration(format!("{length}ms")),
    })
}

/// Cedar does not read the mixed form `::ffff:10.0.0.1`, in which such addresses are usually written.
fn spelled(range: IpNet) -> String {
    let address = match range.address() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address.segments().map(|segment| format!("{segment:x}")).join(":"),
    };
    format!("{address}/{}", range.prefix())
}
