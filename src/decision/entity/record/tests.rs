//! Cedar's own reader is the measure.

use std::sync::LazyLock;

use cedar_policy::{Entities as CedarEntities, Schema, SchemaFragment};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::decision::entity::{Writer, stock};

const SCHEMA: &str = r#"
    entity Team in [Team] { lead?: User };
    entity Colour enum ["red", "blue"];
    entity User in [Team, Colour] {
        name: String,
        age?: Long,
        admin?: Bool,
        address?: ipaddr,
        score?: decimal,
        since?: datetime,
        shift?: duration,
        boss?: User,
        likes?: Colour,
        groups?: Set<String>,
        home?: { street: String, number?: Long, door?: { code: Long } },
        history?: Set<{ at: datetime }>,
    } tags Set<Long>;
    action read appliesTo { principal: User, resource: Team };
"#;

static READ: LazyLock<(Schema, RecordReader)> = LazyLock::new(|| {
    let (fragment, _warnings) = SchemaFragment::from_cedarschema_str(SCHEMA).unwrap();
    let types = SchemaTypes::of(&[fragment.clone().to_json_value().unwrap()]).unwrap();
    (Schema::from_schema_fragments([fragment]).unwrap(), RecordReader::new(Arc::new(types)))
});

fn schema() -> &'static (Schema, RecordReader) {
    &READ
}

/// What both make of one entity: the same value, or nothing.
fn agree(json: &Json) -> bool {
    let (schema, reader) = schema();
    let cedar = CedarEntities::from_json_value(json!([json]), Some(schema));
    let ours = reader.read(json, &mut Sharing::default());
    let (Ok(cedar), Ok(Some(node))) = (&cedar, &ours) else {
        assert!(cedar.is_err() && ours.is_err(), "{json}\nCedar: {cedar:?}\nours: {ours:?}");
        return false;
    };
    let mut writer = Writer::default();
    writer.upsert(node.clone()).unwrap();
    let entity = stock::Kinds::default().stored(&writer.snapshot(), node).unwrap();
    let expected = cedar.get(&entity.uid()).unwrap();
    assert!(entity.deep_eq(expected), "{json}\nCedar: {expected:?}\nours: {entity:?}");
    true
}

fn user(attributes: &Json) -> Json {
    json!({"uid": {"type": "User", "id": "a"}, "attrs": attributes, "parents": []})
}

#[test]
fn every_type_is_read_as_cedar_reads_it() {
    let full = json!({
        "uid": {"__entity": {"type": "User", "id": "a \" \n b"}},
        "attrs": {
            "name": "Alice", "age": -7, "admin": true, "address": "10.0.0.0/8", "score": "-1.5",
            "since": "2026-11-22T08:00:00.250+0100", "shift": "1h30m", "boss": {"type": "User", "id": "b"},
            "likes": {"__entity": {"type": "Colour", "id": "red"}}, "groups": ["x", "y", "x"],
            "home": {"street": "Main", "door": {"code": 1}}, "history": [{"at": "2026-01-01"}],
        },
        "tags": {"a": [1, 2], "b": []},
        "parents": [{"type": "Team", "id": "t"}, {"__entity": {"type": "Colour", "id": "blue"}}],
    });
    assert!(agree(&full));
}

#[test]
fn what_cedar_refuses_is_refused() {
    let bad = [
        json!(7),
        json!({"attrs": {"name": "a"}, "parents": []}),
        json!({"uid": "User::\"a\"", "attrs": {"name": "a"}, "parents": []}),
        json!({"uid": {"type": "User", "id": 7}, "attrs": {"name": "a"}, "parents": []}),
        json!({"uid": {"type": "Nobody", "id": "a"}, "attrs": {}, "parents": []}),
        json!({"uid": {"type": "Colour", "id": "green"}, "attrs": {}, "parents": []}),
        json!({"uid": {"type": "User", "id": "a"}, "parents": []}),
        json!({"uid": {"type": "User", "id": "a"}, "attrs": {"name": "a"}}),
        json!({"uid": {"type": "User", "id": "a"}, "attrs": {"name": "a"}, "parents": {}}),
        json!({"uid": {"type": "User", "id": "a"}, "attrs": {"name": "a"}, "parents": [{"type": "User", "id": "b"}]}),
        json!({"uid": {"type": "User", "id": "a"}, "attrs": {"name": "a"}, "parents": [{"type": "Colour", "id": "x"}]}),
        json!({"uid": {"type": "User", "id": "a"}, "attrs": {"name": "a"}, "parents": [], "tags": {"a": ["b"]}}),
        json!({"uid": {"type": "Team", "id": "a"}, "attrs": {}, "parents": [], "tags": {"a": [1]}}),
        json!({"uid": {"type": "Team", "id": "a"}, "attrs": {}, "parents": [{"type": "Team", "id": "a"}]}),
        user(&json!({})),
        user(&json!([])),
        user(&json!({"name": "a", "unknown": 1})),
        user(&json!({"name": 1})),
        user(&json!({"name": "a", "age": 1.5})),
        user(&json!({"name": "a", "age": null})),
        user(&json!({"name": "a", "address": "10.0.0.300"})),
        user(&json!({"name": "a", "boss": {"type": "Team", "id": "b"}})),
        user(&json!({"name": "a", "likes": {"type": "Colour", "id": "green"}})),
        user(&json!({"name": "a", "groups": ["x", 1]})),
        user(&json!({"name": "a", "home": {}})),
        user(&json!({"name": "a", "home": {"street": "x", "more": 1}})),
    ];
    for json in bad {
        let (_, reader) = schema();
        if json["parents"][0] == json["uid"] && json["uid"].is_object() {
            // Read well, and refused where the hierarchy is.
            let node = reader.read(&json, &mut Sharing::default()).unwrap().unwrap();
            assert!(Writer::default().upsert(node).is_err());
        } else {
            assert!(!agree(&json), "{json}");
        }
    }
}

#[test]
fn a_refusal_names_the_entity_and_the_place() {
    let (_, reader) = schema();
    let told = |json: &Json| reader.read(json, &mut Sharing::default()).unwrap_err().to_string();
    assert_eq!(told(&user(&json!({"name": 1}))), r#"the entity `User::"a"`: `attrs.name` must be a string"#);
    let tagged = json!({"uid": {"type": "User", "id": "a"}, "attrs": {"name": "a"}, "parents": [], "tags": {"t": 1}});
    assert_eq!(told(&tagged), r#"the entity `User::"a"`: `tags.t` must be an array"#);
    let inside = json!({"uid": {"type": "Team", "id": "a"}, "attrs": {}, "parents": [{"type": "User", "id": "b"}]});
    assert_eq!(told(&inside), r#"the entity `Team::"a"`: a `Team` can't be in a `User`"#);
}

#[test]
fn actions_are_the_schemas_alone() {
    let (_, reader) = schema();
    let action = |id: &str| json!({"uid": {"type": "Action", "id": id}, "attrs": {}, "parents": []});
    assert_eq!(reader.read(&action("read"), &mut Sharing::default()).unwrap().map(|node| node.uid().clone()), None);
    assert!(reader.read(&action("write"), &mut Sharing::default()).is_err());
}

/// A value that may or may not be what some type wants.
fn value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        "[a-z]{0,3}".prop_map(Json::from),
        prop_oneof![
            Just("10.0.0.1/8"),
            Just("1.25"),
            Just("2026-11-22"),
            Just("2026-11-22T00:00:00Z"),
            Just("2h"),
            Just("::1"),
            Just("-0.0001"),
            Just("0000-01-01T00:00:00+0100"),
            Just("-1ms"),
        ]
        .prop_map(Json::from),
        prop_oneof![Just("User"), Just("Colour")].prop_map(|kind| json!({"type": kind, "id": "red"})),
        prop_oneof![Just("User"), Just("Colour")].prop_map(|kind| json!({"__entity": {"type": kind, "id": "blue"}})),
        Just(json!({"__extn": {"fn": "ip", "arg": "::1"}})),
        Just(json!({"street": "x", "door": {"code": 3}})),
        Just(Json::Null),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
            prop::collection::btree_map("street|number|at|code", inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn any_attribute_is_what_cedar_says(
        name in "age|admin|address|score|since|shift|boss|likes|groups|home|history",
        value in value(),
    ) {
        agree(&user(&json!({"name": "a", name: value})));
    }

    #[test]
    fn any_value_of_the_right_type_is_what_cedar_says(
        age in any::<i64>(), admin in any::<bool>(), score in -900_000_000_000_000_i64..900_000_000_000_000,
        groups in prop::collection::vec("[a-c]{0,2}", 0..4), name in ".*", milliseconds in any::<i64>(),
        tags in prop::collection::btree_map(".{0,3}", prop::collection::vec(0..5_i64, 0..3), 0..3),
        address in any::<std::net::IpAddr>(),
    ) {
        let score = format!("{score}.25");
        let attributes = json!({
            "name": name, "age": age, "admin": admin, "score": score, "groups": groups,
            "shift": format!("{milliseconds}ms"), "address": address.to_string(),
        });
        let json = json!({"uid": {"type": "User", "id": name}, "attrs": attributes, "parents": [], "tags": tags});
        prop_assert!(agree(&json) || address.to_string().contains("::ffff"), "{}", json);
    }
}
