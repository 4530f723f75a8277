//! Protobuf messages as JSON, as SPIRE prints them: proto names, fields at their defaults too, no nulls, sorted keys.

use std::sync::OnceLock;

use portcullis_spiffe_api::FILE_DESCRIPTOR_SET;
use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;

use super::console::Failure;

/// A message as JSON.
pub(super) fn value<M: Message + Name>(message: &M) -> Result<Value, Failure> {
    static POOL: OnceLock<Option<DescriptorPool>> = OnceLock::new();

    let failed = |reason: &dyn std::fmt::Display| Failure::of("the answer can't be printed as JSON", reason);
    let pool = POOL.get_or_init(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).ok());
    let name = M::full_name();
    let descriptor = pool.as_ref().and_then(|pool| pool.get_message_by_name(&name));
    let descriptor = descriptor.ok_or_else(|| failed(&format_args!("`{name}` is unknown")))?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice());
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false);
    let json = dynamic.map_err(|error| failed(&error))?.serialize_with_options(serde_json::value::Serializer, &options);
    Ok(tidy(json.map_err(|error| failed(&error))?))
}

/// One line.
pub(super) fn line(value: &Value) -> String {
    format!("{value}\n")
}

fn tidy(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.into_iter().filter(|(_, value)| !value.is_null()).collect();
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(members.into_iter().map(|(name, value)| (name, tidy(value))).collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().filter(|value| !value.is_null()).map(tidy).collect()),
        other => other,
    }
}
