use serde_json::{Value, json};

use super::*;

fn types(schema: Value) -> SchemaTypes {
    SchemaTypes::of(&[schema]).unwrap()
}

#[test]
fn a_common_type_comes_before_an_entity_type_and_the_namespace_before_the_empty_one() {
    let reference = |name: &str| json!({"type": "EntityOrCommon", "name": name});
    let record = json!({"type": "Record", "attributes": {
        "inner": reference("Both"), "outer": reference("Outer"), "text": reference("String"), "who": reference("Who"),
    }});
    let types = types(json!({
        "": {"commonTypes": {"Outer": {"type": "Long"}, "Who": {"type": "Long"}}, "entityTypes": {}, "actions": {}},
        "N": {
            "commonTypes": {"Both": {"type": "Boolean"}},
            "entityTypes": {"Both": {}, "Who": {}, "Home": {"shape": record}},
            "actions": {},
        },
    }));
    let home = &types.entities["N::Home"];
    assert_eq!(home["inner"].kind, Type::Bool);
    assert_eq!(home["outer"].kind, Type::Long);
    assert_eq!(home["text"].kind, Type::String);
    assert_eq!(home["who"].kind, Type::Entity("N::Who".to_owned()));
}

#[test]
fn a_common_type_is_read_in_the_namespace_that_declares_it() {
    let types = types(json!({
        "A": {"commonTypes": {"T": {"type": "Record", "attributes": {"x": {"type": "U", "required": false}}},
            "U": {"type": "Set", "element": {"type": "Extension", "name": "ipaddr"}}}, "entityTypes": {},
            "actions": {}},
        "B": {"commonTypes": {"U": {"type": "Long"}}, "entityTypes": {"E": {"shape": {"type": "A::T"}}}, "actions": {}},
    }));
    let expected = Attribute { kind: Type::Set(Box::new(Type::Extension(Extension::Ip))), required: false };
    assert_eq!(types.entities["B::E"]["x"], expected);
}

#[test]
fn endless_types_and_unknown_names_are_errors_and_not_overflows() {
    let endless = json!({"": {"commonTypes": {"T": {"type": "Set", "element": {"type": "T"}}},
        "entityTypes": {"E": {"shape": {"type": "Record", "attributes": {"x": {"type": "T"}}}}}, "actions": {}}});
    assert!(SchemaTypes::of(&[endless]).is_err());
    let unknown = json!({"": {"entityTypes": {"E": {"shape": {"type": "Nope"}}}, "actions": {}}});
    assert_eq!(SchemaTypes::of(&[unknown]).unwrap_err().to_string(), "E: the type `Nope` is unknown");
}

#[test]
fn an_action_name_that_two_namespaces_could_mean_is_refused() {
    let ambiguous =
        json!({"": {"entityTypes": {}, "actions": {"N::go": {}}}, "N": {"entityTypes": {}, "actions": {"go": {}}}});
    assert!(SchemaTypes::of(&[ambiguous]).unwrap_err().to_string().contains("`N::go`"));
}
