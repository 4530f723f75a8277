//! Protobuf messages as JSON, as SPIRE prints them: proto names, fields at their defaults too, no nulls, sorted keys.

use std::sync::OnceLock;

use portcullis_spiffe_api::FILE_DESCRIPTOR_SET;
use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::{Number, Value};

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

/// One line, with what means something in HTML escaped, as Go does it.
pub(super) fn line(value: &Value) -> String {
    const ESCAPED: [(char, &str); 5] =
        [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")];
    // None of them can stand outside of a string.
    ESCAPED.iter().fold(value.to_string(), |text, (plain, escaped)| text.replace(*plain, escaped)) + "\n"
}

fn tidy(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.into_iter().filter(|(_, value)| !value.is_null()).collect();
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(members.into_iter().map(|(name, value)| (name, tidy(value))).collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().filter(|value| !value.is_null()).map(tidy).collect()),
        Value::Number(number) => whole(&number).map_or(Value::Number(number), Value::from),
        other => other,
    }
}

/// The integer that a number of a claim is; protobuf has all of them as floating point.
fn whole(number: &Number) -> Option<i64> {
    /// Up to here every integer has a floating-point number of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;

    let float = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0 && float.abs() < EXACT)?;
    #[expect(clippy::cast_possible_truncation, reason = "it is an integer, and in range")]
    let whole = float as i64;
    Some(whole)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_as_go_prints_it() {
        let value = tidy(json!({"b": [1.0, null, -2.5, 1e300, {"z": null}], "a": "<&>\u{2028}", "n": null, "i": 7}));
        assert_eq!(line(&value), "{\"a\":\"\\u003c\\u0026\\u003e\\u2028\",\"b\":[1,-2.5,1e+300,{}],\"i\":7}\n");
    }
}
