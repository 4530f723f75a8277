use super::super::contract::types;
use super::super::progress::Unseen;
use super::*;

fn intake() -> Intake {
    Intake::new(Readers::only(Arc::new(RecordReader::new(types()))), Arc::new(Unseen))
}

#[test]
fn each_bad_record_is_told_where_it_stands_and_the_others_are_taken() {
    let mut intake = intake();
    let text = r#"[
  {"uid": {"type": "User", "id": "a"}, "attrs": {"level": 1}, "parents": []},
  {"uid": {"type": "User", "id": "b"}, "attrs": {"level": "x"}, "parents": []}, 7,
  {"uid": {"type": "User", "id": "c"}, "attrs": {"level": 1, "level": 2}, "parents": []},
  {"uid": {"type": "Action", "id": "read"}, "attrs": {}, "parents": []}
]"#;
    intake.document(&"e.json".into(), text.as_bytes()).unwrap();
    assert_eq!(intake.current.located.len(), 1);
    let told: Vec<_> = intake.current.refused.iter().map(ToString::to_string).collect();
    assert_eq!(told[0], "e.json:3:3: the entity `User::\"b\"`: `attrs.level` must be an integer of 64 bits");
    assert_eq!(told[1], "e.json:3:81: an entity must be an object");
    assert!(told[2].starts_with("e.json:4:3: ") && told[2].contains("`level` is there twice"), "{}", told[2]);
}

#[test]
fn a_document_that_breaks_off_is_refused_as_a_whole() {
    let refused = |bytes: &[u8]| intake().document(&"e.json".into(), bytes).unwrap_err().to_string();
    assert_eq!(refused(b"{}"), "e.json:1:1: expected `[`: entities are a JSON array");
    assert!(refused(b"[\n{\"uid\": }]").starts_with("e.json:2:9: "));
    assert_eq!(refused(b"[\xff]"), "e.json: not UTF-8");
}

#[test]
fn a_row_is_read_as_an_entity() {
    let mut intake = intake();
    let row = Row { kind: "User", id: "a", attributes: "{\"level\": 1}", tags: "{\"t\": \"v\"}", parents: "[]" };
    intake.row(&"entities".into(), row);
    intake.row(&"entities".into(), Row { parents: "{", ..row });
    assert_eq!(intake.current.located[0].node.tags().len(), 1);
    let told = intake.current.refused[0].to_string();
    assert!(told.starts_with("entities: the entity `User::\"a\"`: the column `parents`: "), "{told}");
    assert_eq!(intake.current.deleted, [Uid::new("User".into(), "a")], "what it was before does not stand");
}

#[test]
fn refusals_are_bounded() {
    let mut intake = intake();
    let text = format!("[{}7]", "7,".repeat(MOST_KEPT + 4));
    intake.document(&"e.json".into(), text.as_bytes()).unwrap();
    assert_eq!((intake.current.refused.len(), intake.current.omitted), (MOST_KEPT, 5));
}
