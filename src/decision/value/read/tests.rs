use serde_json::json;

use super::*;
use crate::decision::schema::AttributeType;

const PLACE: Place<'_> = Place::new("context");

fn entity(ids: Option<&[&str]>) -> Type {
    let ids = ids.map(|ids| Arc::new(ids.iter().map(|id| (*id).to_owned()).collect()));
    Type::Entity(ReferenceType { kind: "User".into(), ids })
}

#[test]
fn a_value_is_read_as_its_type_says_and_in_no_other_way() {
    let user = |id: &str| Some(Value::Entity(Uid::new("User".into(), id)));
    let listed = entity(Some(&["a"]));
    let ip = Type::Extension(ExtensionKind::Ip);
    let address = || Extension::parse(ExtensionKind::Ip, "10.0.0.1").map(Value::Extension);
    let cases = [
        (&Type::String, json!("a\"\\\n😀"), Some(Value::Text("a\"\\\n😀".into()))),
        (&Type::String, json!({"__entity": {"type": "User", "id": "root"}}), None),
        (&Type::String, json!({"__extn": {"fn": "ip", "arg": "10.0.0.1"}}), None),
        (&Type::Long, json!(i64::MIN), Some(Value::Long(i64::MIN))),
        (&Type::Long, json!(u64::MAX), None),
        (&Type::Long, json!(1.0), None),
        (&Type::Long, json!("1"), None),
        (&Type::Long, json!(null), None),
        (&Type::Bool, json!(1), None),
        (&Type::Bool, json!(true), Some(Value::Bool(true))),
        (&entity(None), json!({"type": "User", "id": "a\"b"}), user("a\"b")),
        (&entity(None), json!({"__entity": {"type": "User", "id": "a"}}), user("a")),
        (&entity(None), json!({"type": "Team", "id": "a"}), None),
        (&entity(None), json!("User::\"a\""), None),
        (&listed, json!({"type": "User", "id": "a"}), user("a")),
        (&listed, json!({"type": "User", "id": "b"}), None),
        (&ip, json!("10.0.0.1"), address()),
        (&ip, json!("10.0.0.256"), None),
        (&ip, json!({"__extn": {"fn": "ip", "arg": "10.0.0.1"}}), address()),
        (&ip, json!({"__extn": {"fn": "decimal", "arg": "1.0"}}), None),
        (&ip, json!({"__expr": "ip(\"10.0.0.1\")"}), None),
        (&Type::Extension(ExtensionKind::Decimal), json!("1.5"), Some(Value::Extension(Extension::Decimal(15_000)))),
    ];
    for (kind, json, expected) in cases {
        assert_eq!(read(kind, &json, &PLACE).ok(), expected, "{kind:?} {json}");
    }
}

#[test]
fn inner_records_are_closed_and_sets_are_of_one_type() {
    let attribute = |required| AttributeType { kind: Type::Long, required };
    let record =
        Type::Record(RecordType::from([("a".to_owned(), attribute(true)), ("b".to_owned(), attribute(false))]));
    let good = |kind: &Type, json: Json| read(kind, &json, &PLACE).is_ok();
    assert!(good(&record, json!({"a": 1, "b": 2})));
    assert!(!good(&record, json!({"b": 2})));
    assert!(!good(&record, json!({"a": 1, "c": 2})));
    let set = Type::Set(Box::new(Type::Long));
    assert!(good(&set, json!([])) && good(&set, json!([2, 1, 2])));
    assert!(!good(&set, json!([1, "1"])) && !good(&set, json!({})));
}

#[test]
fn what_is_not_declared_is_left_out_at_the_outside() {
    let record = RecordType::from([("x".to_owned(), AttributeType { kind: Type::Long, required: true })]);
    let given = json!({"x": 1, "y": 2});
    let read = declared(&record, given.as_object().unwrap(), &PLACE).unwrap();
    assert_eq!(read.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["x"]);
}

#[test]
fn an_error_names_the_place_and_not_the_value() {
    let inner = RecordType::from([("x".to_owned(), AttributeType { kind: Type::Long, required: true })]);
    let record = RecordType::from([("r".to_owned(), AttributeType { kind: Type::Record(inner), required: true })]);
    let error = declared(&record, json!({"r": {"x": "secret"}}).as_object().unwrap(), &PLACE).unwrap_err();
    assert_eq!(error.to_string(), "`context.r.x` must be an integer of 64 bits");
}
