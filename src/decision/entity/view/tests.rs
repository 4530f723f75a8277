use super::*;
use crate::decision::entity::{Uid, Writer};
use crate::decision::value::Text;

fn uid(id: &str) -> Uid {
    Uid::new("Thing".into(), id)
}

fn name(id: &str) -> UidRef<'_> {
    UidRef::new("Thing", id)
}

fn record(fields: &[(&'static str, i64)]) -> Record<'static> {
    fields.iter().map(|(name, value)| (Text::from(*name), Value::Long(*value))).collect()
}

/// Id, attributes, parents.
type Described<'a> = (&'a str, &'a [(&'static str, i64)], &'a [&'a str]);

fn stored(entities: &[Described<'_>]) -> Entities {
    let mut writer = Writer::default();
    for (id, attributes, parents) in entities {
        let parents = parents.iter().map(|parent| uid(parent)).collect();
        writer.upsert(Node::new(uid(id), record(attributes), record(&[("tag", 1)]), parents)).unwrap();
    }
    writer.snapshot()
}

fn brought<'a>(id: &'a str, attributes: &[(&'static str, i64)], parents: &[&'a str]) -> Brought<'a> {
    let mut parents = parents.iter().map(|parent| name(parent));
    let (parent, attributes) = (parents.next(), record(attributes));
    Brought {
        uid: name(id),
        stored: None,
        overlay: Record::default(),
        attributes,
        parent,
        more_parents: parents.collect(),
    }
}

/// The same, with what is stored of it.
fn among<'a>(stored: &'a Entities, brought: Brought<'a>) -> Brought<'a> {
    Brought { stored: stored.get(brought.uid), ..brought }
}

fn ids(lineage: &Lineage<'_>) -> Vec<String> {
    let mut ids: Vec<_> = lineage.iter().map(|uid| uid.id().to_owned()).collect();
    assert_eq!(ids.first().map(String::as_str), Some(lineage.entity().id()), "itself first");
    ids.sort_unstable();
    ids
}

#[test]
fn what_is_stored_wins_and_what_is_brought_adds() {
    let (stored, actions) = (stored(&[("a", &[("level", 1)], &["group"])]), Entities::default());
    let brought = [brought("a", &[("level", 9), ("new", 2)], &["request"]), brought("b", &[("level", 3)], &[])]
        .map(|brought| among(&stored, brought));
    let view = View { stored: &stored, actions: &actions, brought: &brought };
    let known = view.get(name("a")).unwrap();
    assert_eq!(known.attribute("level"), Some(&Value::Long(1)));
    assert_eq!(known.attribute("new"), Some(&Value::Long(2)));
    assert_eq!((known.attribute("none"), known.tag("tag")), (None, Some(&Value::Long(1))));
    let all: Vec<_> = known.attributes().collect();
    assert_eq!(all, [("level", &Value::Long(1)), ("new", &Value::Long(2))]);
    assert_eq!(ids(&view.lineage(name("a"))), ["a", "group", "request"]);
    assert_eq!(view.get(name("b")).unwrap().attribute("level"), Some(&Value::Long(3)));
    assert!(view.get(name("group")).is_none(), "a name is not an entity yet");
    assert_eq!(ids(&view.lineage(name("group"))), ["group"]);
}

#[test]
fn what_is_overlaid_wins_over_what_is_stored_and_parents_stay() {
    let (stored, actions) = (stored(&[("a", &[("level", 1), ("own", 4)], &["group"])]), Entities::default());
    let overlay = record(&[("level", 9), ("other", 5)]);
    let brought = [among(&stored, Brought { overlay, ..brought("a", &[("own", 8), ("new", 2)], &[]) })];
    let view = View { stored: &stored, actions: &actions, brought: &brought };
    let known = view.get(name("a")).unwrap();
    assert_eq!(known.attribute("level"), Some(&Value::Long(9)));
    assert_eq!(known.attribute("own"), Some(&Value::Long(4)), "what is not overlaid is as it is stored");
    let mut all: Vec<_> = known.attributes().collect();
    all.sort_unstable();
    let expected =
        [("level", 9), ("new", 2), ("other", 5), ("own", 4)].map(|(name, number)| (name, Value::Long(number)));
    assert_eq!(all, expected.each_ref().map(|(name, value)| (*name, value)));
    assert_eq!(ids(&view.lineage(name("a"))), ["a", "group"]);
    assert_eq!(known.tag("tag"), Some(&Value::Long(1)));
}

#[test]
fn what_is_stored_is_found_whatever_its_type_is_called() {
    for kind in ["UserAction", "N::Action2", "Thing"] {
        let uid = Uid::new(kind.into(), "a");
        let mut writer = Writer::default();
        writer.upsert(Node::new(uid.clone(), record(&[("level", 1)]), record(&[]), Vec::new())).unwrap();
        let (stored, actions) = (writer.snapshot(), Entities::default());
        let view = View { stored: &stored, actions: &actions, brought: &[] };
        assert_eq!(view.get(uid.as_ref()).unwrap().attribute("level"), Some(&Value::Long(1)), "{kind}");
    }
}

#[test]
fn a_lineage_leads_through_what_is_stored_and_brought_and_ends_in_circles() {
    let actions = Entities::default();
    let stored = stored(&[("b", &[], &["c"]), ("c", &[], &["d"]), ("e", &[], &["f"])]);
    let brought = [brought("a", &[], &["b"]), brought("d", &[], &["e", "a"])].map(|brought| among(&stored, brought));
    let view = View { stored: &stored, actions: &actions, brought: &brought };
    assert_eq!(ids(&view.lineage(name("a"))), ["a", "b", "c", "d", "e", "f"]);
    assert_eq!(ids(&view.lineage(name("d"))), ["a", "b", "c", "d", "e", "f"]);
    assert_eq!(ids(&view.lineage(name("e"))), ["e", "f"]);
}

#[test]
fn a_lineage_has_room_for_more_than_fits_on_the_stack() {
    let (nobody, names) = (Entities::default(), (0..100).map(|id| id.to_string()).collect::<Vec<_>>());
    let chain: Vec<_> = names.windows(2).map(|pair| brought(&pair[0], &[], &[&pair[1]])).collect();
    let view = View { stored: &nobody, actions: &nobody, brought: &chain };
    let lineage = view.lineage(name("0"));
    assert_eq!(lineage.iter().count(), 100);
    assert!(names.iter().all(|id| lineage.has(name(id))) && !lineage.has(name("100")));
}
