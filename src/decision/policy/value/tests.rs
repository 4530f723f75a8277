use serde_json::json;

use super::*;
use crate::decision::schema::{AttributeType, ReferenceType};

fn kinds() -> Kinds {
    Kinds::from([("User".to_owned(), "User".parse().unwrap())])
}

fn read(kind: &Type, value: &Value) -> Option<String> {
    let read = convert(kind, value, "context.x", &kinds()).ok()?;
    let context = cedar_policy::Context::from_pairs([("x".to_owned(), read)]).unwrap();
    Some(context.get("x").unwrap().to_string())
}

#[test]
fn a_value_is_read_as_its_type_says_and_in_no_other_way() {
    let entity = Type::Entity(ReferenceType { kind: "User".into(), ids: None });
    let ip = Type::Extension(ExtensionKind::Ip);
    let cases = [
        (&Type::String, json!("a\"\\\n😀"), Some(r#""a\"\\\n😀""#)),
        (&Type::String, json!({"__entity": {"type": "User", "id": "root"}}), None),
        (&Type::String, json!({"__extn": {"fn": "ip", "arg": "10.0.0.1"}}), None),
        (&Type::Long, json!(i64::MIN), Some("-9223372036854775808")),
        (&Type::Long, json!(u64::MAX), None),
        (&Type::Long, json!(1.0), None),
        (&Type::Long, json!("1"), None),
        (&Type::Long, json!(null), None),
        (&Type::Bool, json!(1), None),
        (&Type::Bool, json!(true), Some("true")),
        (&entity, json!({"type": "User", "id": "a\"b"}), Some(r#"User::"a\"b""#)),
        (&entity, json!({"__entity": {"type": "User", "id": "a"}}), Some("User::\"a\"")),
        (&entity, json!({"type": "Team", "id": "a"}), None),
        (&entity, json!("User::\"a\""), None),
        (&ip, json!("10.0.0.1"), Some("ip(\"10.0.0.1\")")),
        (&ip, json!({"__extn": {"fn": "ip", "arg": "10.0.0.1"}}), Some("ip(\"10.0.0.1\")")),
        (&ip, json!({"__extn": {"fn": "decimal", "arg": "1.0"}}), None),
        (&ip, json!({"__expr": "ip(\"10.0.0.1\")"}), None),
    ];
    for (kind, value, expected) in cases {
        assert_eq!(read(kind, &value).as_deref(), expected, "{kind:?} {value}");
    }
}

#[test]
fn inner_records_are_closed_and_sets_are_of_one_type() {
    let attribute = |required| AttributeType { kind: Type::Long, required };
    let record =
        Type::Record(RecordType::from([("a".to_owned(), attribute(true)), ("b".to_owned(), attribute(false))]));
    assert!(read(&record, &json!({"a": 1, "b": 2})).is_some());
    assert!(read(&record, &json!({"b": 2})).is_none());
    assert!(read(&record, &json!({"a": 1, "c": 2})).is_none());
    let set = Type::Set(Box::new(Type::Long));
    assert_eq!(read(&set, &json!([])).as_deref(), Some("[]"));
    assert!(read(&set, &json!([1, "1"])).is_none());
    assert!(read(&set, &json!({})).is_none());
}

#[test]
fn an_error_names_the_place_and_not_the_value() {
    let record = RecordType::from([("x".to_owned(), AttributeType { kind: Type::Long, required: true })]);
    let error = declared(&record, json!({"x": "secret"}).as_object().unwrap(), "context", &kinds()).unwrap_err();
    assert_eq!(error.to_string(), "`context.x` must be an integer of 64 bits");
}
