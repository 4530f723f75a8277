use std::sync::Arc;

use cedar_policy::SchemaFragment;
use serde_json::{Value as Json, json};

use super::super::sharing::Sharing;
use super::*;

/// Schemas that differ from one another in what one kind of thing may be.
const SCHEMAS: [&str; 12] = [
    "entity T in [T]; entity U in [T] { a?: Long } tags Long;",
    "entity T in [T]; entity U in [T] { a?: String } tags String;",
    "entity T in [T]; entity U in [T] { a: Long };",
    "entity T; entity U { a?: Long };",
    "entity T in [T]; entity U in [T] { a?: ipaddr, b?: Long };",
    "entity T in [T]; entity U in [T] { a?: decimal };",
    "entity T in [T]; entity U in [T] { a?: Set<Long> } tags Set<Long>;",
    "entity T in [T]; entity U in [T] { a?: Set<{ c: Bool }> };",
    "entity T in [T]; entity U in [T] { a?: { type: String, id: String } };",
    "entity T in [T]; entity U in [T] { a?: U };",
    "entity T enum [\"red\"]; entity U in [T] { a?: T };",
    "entity U enum [\"alice\"]; entity T in [U];",
];

fn reader(schema: &str) -> RecordReader {
    let text = format!("{schema} action read appliesTo {{ principal: U, resource: T }};");
    let (fragment, _warnings) = SchemaFragment::from_cedarschema_str(&text).unwrap();
    RecordReader::new(Arc::new(SchemaTypes::of(&[fragment.to_json_value().unwrap()]).unwrap()))
}

fn records() -> Vec<Json> {
    let name = |kind: &str, id: &str| json!({"type": kind, "id": id});
    let values = [
        json!({}),
        json!({"a": 1}),
        json!({"a": "10.0.0.1"}),
        json!({"a": "1.5"}),
        json!({"a": []}),
        json!({"a": [1, 2]}),
        json!({"a": [{"c": true}]}),
        json!({"a": name("U", "bob")}),
        json!({"a": name("T", "red")}),
        json!({"a": 1, "b": 2}),
    ];
    let mut records = Vec::new();
    for attributes in &values {
        for parents in [json!([]), json!([name("T", "red")]), json!([name("T", "blue")])] {
            for tags in [json!({}), json!({"t": 1}), json!({"t": "x"}), json!({"t": []})] {
                for id in ["alice", "bob"] {
                    records.push(json!({
                        "uid": name("U", id), "attrs": attributes, "parents": parents, "tags": tags,
                    }));
                }
            }
        }
    }
    records
}

#[test]
fn what_fits_is_what_would_be_read_anew() {
    let readers = SCHEMAS.map(reader);
    let read = |reader: &RecordReader, record: &Json| reader.read(record, &mut Sharing::default());
    let (mut fitting, mut unfit) = (0, 0);
    for record in records() {
        for before in &readers {
            let Ok(Some(node)) = read(before, &record) else { continue };
            for after in &readers {
                let anew = read(after, &record);
                let same = matches!(&anew, Ok(Some(anew)) if anew.says_the_same(&node));
                assert_eq!(after.fits(&node), same, "{record}\nby {before:?}\nand by {after:?}");
                *if same { &mut fitting } else { &mut unfit } += 1;
            }
        }
    }
    assert!(fitting > 200 && unfit > 200, "{fitting} and {unfit} are too few to show anything");
}
