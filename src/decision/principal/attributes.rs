//! Claims as the values that the schema declares. Issuers write one thing in several ways: a flag as `"true"`, a number as
//! a text, a set as one text with spaces (RFC 8693 section 4.2, `scope`), a moment as seconds (RFC 7519 section 2).

use serde_json::Value;

use crate::decision::schema::Type;
use crate::decision::value::ExtensionKind;
use crate::foundation::clock::Timestamp;

/// `claim` as a value of type `kind`, as far as it can be one; else as it is, which the schema then refuses.
pub(super) fn attribute(kind: &Type, claim: &Value) -> Value {
    let read = match (kind, claim) {
        (Type::Bool, Value::String(text)) => text.parse().ok().map(Value::Bool),
        (Type::Long, Value::String(text)) => {
            text.parse().ok().filter(|number: &i64| number.to_string() == *text).map(Value::from)
        }
        (Type::String, Value::Number(number)) if !number.is_f64() => Some(number.to_string().into()),
        (Type::String, Value::Bool(flag)) => Some(flag.to_string().into()),
        (Type::Set(element), Value::Array(values)) => {
            Some(values.iter().map(|value| attribute(element, value)).collect())
        }
        (Type::Set(element), Value::String(text)) => {
            Some(text.split_ascii_whitespace().map(|word| attribute(element, &word.into())).collect())
        }
        (Type::Extension(ExtensionKind::Datetime), Value::Number(seconds)) => seconds.as_i64().map(moment),
        _ => None,
    };
    read.unwrap_or_else(|| claim.clone())
}

/// As Cedar spells it.
fn moment(seconds: i64) -> Value {
    let shown = Timestamp::from_unix_seconds(seconds).to_string();
    // Cedar has milliseconds where we have microseconds, and these are whole seconds.
    shown.replace(".000000Z", "Z").into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_read_as_what_the_schema_declares() {
        let strings = Type::Set(Box::new(Type::String));
        let datetime = Type::Extension(ExtensionKind::Datetime);
        for (kind, claim, value) in [
            (&Type::Bool, json!("true"), json!(true)),
            (&Type::Bool, json!("yes"), json!("yes")),
            (&Type::Bool, json!(false), json!(false)),
            (&Type::Long, json!("17"), json!(17)),
            (&Type::Long, json!("017"), json!("017")),
            (&Type::Long, json!(1.5), json!(1.5)),
            (&Type::String, json!(17), json!("17")),
            (&Type::String, json!(["a"]), json!(["a"])),
            (&strings, json!("read write"), json!(["read", "write"])),
            (&strings, json!(""), json!([])),
            (&strings, json!(["a b", 1]), json!(["a b", "1"])),
            (&datetime, json!(1_800_000_000), json!("2027-01-15T08:00:00Z")),
            (&datetime, json!("2027-01-15T08:00:00Z"), json!("2027-01-15T08:00:00Z")),
        ] {
            assert_eq!(attribute(kind, &claim), value, "{kind:?} of {claim}");
        }
    }
}
