//! What Envoy's filter `envoy.filters.http.mcp` says of a request, out of `core.v3.Metadata`. All other metadata is stepped
//! over.

use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use serde_json::{Map, Number, Value as Json};

use super::wire::{DecodeError, Field};

/// The name under which the filter writes, since Envoy 1.38.
const NAMESPACE: &[u8] = b"envoy.filters.http.mcp";

/// The most bytes that are read of it: in memory they become some thirty times as many.
const MAX_BYTES: usize = 256 * 1024;

/// The largest whole number up to which a `double` has them all.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;

/// Takes down what the filter says, if it says anything. What can't be read is `null`: nobody who asks for it is content
/// with that, and nobody else is bothered.
pub(super) fn mcp(field: Field<'_>, found: &mut Option<Json>) {
    match of(field) {
        Ok(None) => {}
        Ok(Some(json)) => *found = Some(json),
        Err(_unreadable) => *found = Some(Json::Null),
    }
}

/// `core.v3.Metadata`.
fn of(field: Field<'_>) -> Result<Option<Json>, DecodeError> {
    let (mut message, mut found) = (field.message()?, None);
    while let Some(field) = message.next_field()? {
        if field.number == 1 {
            let (key, value) = entry(field)?;
            if key == NAMESPACE {
                // Of a name that comes twice the last counts, as in any map.
                found = Some(value.map_or(Json::Null, read));
            }
        }
    }
    Ok(found)
}

/// A name, and what it stands for.
fn entry(field: Field<'_>) -> Result<(&[u8], Option<&[u8]>), DecodeError> {
    let (mut message, mut key, mut values) = (field.message()?, &[][..], Vec::new());
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => key = field.bytes()?,
            2 => values.push(field.bytes()?),
            _ => {}
        }
    }
    // One that is not there is empty; several would have to be merged.
    let value = values.first().copied().unwrap_or_default();
    Ok((key, (values.len() < 2).then_some(value)))
}

fn read(bytes: &[u8]) -> Json {
    if bytes.len() > MAX_BYTES {
        return Json::Null;
    }
    Struct::decode(bytes).map_or(Json::Null, object)
}

fn object(object: Struct) -> Json {
    Json::Object(object.fields.into_iter().map(|(name, value)| (name, json(value))).collect::<Map<_, _>>())
}

/// As deep as prost reads, which is a hundred messages.
fn json(value: Value) -> Json {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(flag)) => Json::Bool(flag),
        Some(Kind::NumberValue(value)) => number(value),
        Some(Kind::StringValue(text)) => Json::String(text),
        Some(Kind::StructValue(inner)) => object(inner),
        Some(Kind::ListValue(list)) => Json::Array(list.values.into_iter().map(json).collect()),
    }
}

/// All numbers are `double` here. One that was whole when it was sent is whole again.
fn number(value: f64) -> Json {
    #[expect(clippy::cast_possible_truncation, reason = "it is whole, and within what both types have")]
    if value.fract() == 0.0 && value.abs() < MAX_WHOLE {
        return Json::from(value as i64);
    }
    Number::from_f64(value).map_or(Json::Null, Json::Number)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use envoy_types::pb::envoy::config::core::v3 as core;
    use envoy_types::pb::envoy::service::auth::v3 as auth;
    use envoy_types::pb::google::protobuf as google;
    use serde_json::json;

    use super::*;
    use crate::edge::envoy::ext_authz::decode::decode;

    fn value(json: &Json) -> google::Value {
        use google::value::Kind;
        let kind = match json {
            Json::Null => Kind::NullValue(0),
            Json::Bool(flag) => Kind::BoolValue(*flag),
            Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
            Json::String(text) => Kind::StringValue(text.clone()),
            Json::Array(values) => Kind::ListValue(google::ListValue { values: values.iter().map(value).collect() }),
            Json::Object(_) => Kind::StructValue(structure(json)),
        };
        google::Value { kind: Some(kind) }
    }

    fn structure(json: &Json) -> google::Struct {
        let members = json.as_object().unwrap().iter();
        google::Struct { fields: members.map(|(name, json)| (name.clone(), value(json))).collect() }
    }

    /// What is read of a check with these namespaces.
    fn said(namespaces: &[(&str, Json)]) -> Option<Json> {
        let fields = namespaces.iter().map(|(name, json)| ((*name).to_owned(), structure(json)));
        let metadata =
            core::Metadata { filter_metadata: fields.collect::<HashMap<_, _>>(), ..core::Metadata::default() };
        let attributes =
            auth::AttributeContext { metadata_context: Some(metadata), ..auth::AttributeContext::default() };
        let bytes = auth::CheckRequest { attributes: Some(attributes) }.encode_to_vec();
        decode(&bytes).unwrap().mcp
    }

    #[test]
    fn what_the_filter_says_is_read_and_nothing_else() {
        let full = json!({
            "method": "tools/call", "id": 7, "is_mcp_request": true, "params": {"name": "a", "n": 1.5, "x": null},
            "list": [1, "b", {"c": false}],
        });
        assert_eq!(
            said(&[("envoy.filters.http.mcp", full.clone()), ("mcp_proxy", json!({"method": "ping"}))]),
            Some(full)
        );
        assert_eq!(said(&[("mcp_proxy", json!({"method": "tools/list"}))]), None);
        assert_eq!(said(&[("envoy.filters.http.mcp", json!({}))]), Some(json!({})));
    }

    #[test]
    fn what_can_t_be_read_is_null_and_not_nothing() {
        let long = json!({"params": {"arguments": "x".repeat(MAX_BYTES)}});
        assert_eq!(said(&[("envoy.filters.http.mcp", long)]), Some(Json::Null));
        // Field 11 of the attributes: an entry whose value is a number, and one that breaks off.
        let entry = [&[0x0a, 22][..], NAMESPACE].concat();
        for tail in [&[0x10, 1][..], &[0x12, 9], &[0x12, 1, 0xff], &[0x12, 0, 0x12, 0]] {
            let entry = [&entry[..], tail].concat();
            let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
            let metadata = [&[0x0a, length(&entry)][..], &entry].concat();
            let attributes = [&[0x5a, length(&metadata)][..], &metadata].concat();
            let message = [&[0x0a, length(&attributes)][..], &attributes].concat();
            assert_eq!(decode(&message).unwrap().mcp, Some(Json::Null), "{tail:?}");
        }
    }

    #[test]
    fn cve_2026_48042_nested_metadata_of_the_filter_is_null_and_not_a_stack_overflow() {
        let nested = (0..60).fold(json!({}), |inner, _| json!({"a": inner}));
        assert_eq!(said(&[("envoy.filters.http.mcp", nested)]), Some(Json::Null));
    }
}
