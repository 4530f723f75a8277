//! The claims of a token as `google.protobuf.Struct`, in which every number is a double.

use std::collections::BTreeSet;

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::{Map, Value as Json};

/// What is shown of any token that holds.
const ALWAYS: [&str; 3] = ["sub", "aud", "exp"];

/// All of `claims`; of a foreign token only [`ALWAYS`] and `allowed`.
pub(super) fn told(claims: Map<String, Json>, foreign: bool, allowed: &BTreeSet<String>) -> Struct {
    let shown = |name: &String| !foreign || ALWAYS.contains(&name.as_str()) || allowed.contains(name);
    Struct {
        fields: claims.into_iter().filter(|(name, _)| shown(name)).map(|(name, json)| (name, value(json))).collect(),
    }
}

fn value(json: Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(flag) => Kind::BoolValue(flag),
        // Every number that JSON can write has a nearest double.
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(items) => Kind::ListValue(ListValue { values: items.into_iter().map(value).collect() }),
        Json::Object(members) => {
            Kind::StructValue(Struct { fields: members.into_iter().map(|(name, json)| (name, value(json))).collect() })
        }
    };
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(foreign: bool, allowed: &[&str]) -> Struct {
        let Json::Object(claims) = json!({
            "sub": "spiffe://a/b", "aud": ["x"], "exp": 1_800_000_000, "iss": "https://a", "deep": {"list": [null, true, 1.5]},
        }) else {
            panic!("an object")
        };
        told(claims, foreign, &allowed.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn our_own_tokens_are_shown_whole() {
        let all = of(false, &[]);
        assert_eq!(all.fields["exp"].kind, Some(Kind::NumberValue(1_800_000_000.0)));
        let Some(Kind::StructValue(deep)) = &all.fields["deep"].kind else { panic!("{all:?}") };
        let Some(Kind::ListValue(list)) = &deep.fields["list"].kind else { panic!("{deep:?}") };
        let kinds: Vec<_> = list.values.iter().filter_map(|value| value.kind.clone()).collect();
        assert_eq!(kinds, [Kind::NullValue(0), Kind::BoolValue(true), Kind::NumberValue(1.5)]);
        assert_eq!(all.fields.len(), 5);
    }

    /// W7.
    #[test]
    fn of_foreign_tokens_only_what_is_allowed_is_shown() {
        let names = |shown: Struct| shown.fields.into_keys().collect::<Vec<_>>();
        assert_eq!(names(of(true, &[])), ["aud", "exp", "sub"]);
        assert_eq!(names(of(true, &["iss", "nope"])), ["aud", "exp", "iss", "sub"]);
    }
}
