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
    let home = &types.entities["N::Home"].attributes;
    assert_eq!(home["inner"].kind, Type::Bool);
    assert_eq!(home["outer"].kind, Type::Long);
    assert_eq!(home["text"].kind, Type::String);
    let Type::Entity(who) = &home["who"].kind else { panic!("{:?}", home["who"]) };
    assert_eq!(&*who.kind, "N::Who");
}

#[test]
fn a_common_type_is_read_in_the_namespace_that_declares_it() {
    let types = types(json!({
        "A": {"commonTypes": {"T": {"type": "Record", "attributes": {"x": {"type": "U", "required": false}}},
            "U": {"type": "Set", "element": {"type": "Extension", "name": "ipaddr"}}}, "entityTypes": {},
            "actions": {}},
        "B": {"commonTypes": {"U": {"type": "Long"}}, "entityTypes": {"E": {"shape": {"type": "A::T"}}}, "actions": {}},
    }));
    let expected = AttributeType { kind: Type::Set(Box::new(Type::Extension(ExtensionKind::Ip))), required: false };
    assert_eq!(types.entities["B::E"].attributes["x"], expected);
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

#[test]
fn a_type_may_descend_from_all_that_its_parents_may_descend_from() {
    let types = types(json!({
        "N": {"entityTypes": {
            "User": {"memberOfTypes": ["Team"], "tags": {"type": "Set", "element": {"type": "String"}}},
            "Team": {"memberOfTypes": ["Team", "Top"]},
            "Colour": {"enum": ["red", "blue"]},
            "Alone": {},
        }, "actions": {}},
        "": {"entityTypes": {"Top": {}}, "actions": {}},
    }));
    let ancestors = |name: &str| types.entities[name].ancestors.iter().map(|kind| &**kind).collect::<Vec<_>>();
    assert_eq!(ancestors("N::User"), ["N::Team", "Top"]);
    assert_eq!(ancestors("N::Team"), ["N::Team", "Top"]);
    assert!(ancestors("N::Alone").is_empty());
    assert_eq!(types.entities["N::User"].tags, Some(Type::Set(Box::new(Type::String))));
    assert_eq!(types.entities["N::Team"].tags, None);
    let colour = &types.entities["N::Colour"].reference;
    assert!(colour.allows("red") && !colour.allows("green") && types.entities["Top"].reference.allows("any"));
}
