use proptest::prelude::*;

use super::super::contract::types;
use super::super::record::RecordReader;
use super::*;
use crate::decision::value::{Record, Text, Value};

fn catalog() -> Catalog {
    Catalog::new(["first", "second"].map(Arc::from))
}

fn uid(id: u8) -> Uid {
    Uid::new("Team".into(), &id.to_string())
}

/// An entity that says `word` and has these parents.
fn node(id: u8, word: u8, parents: &[u8]) -> Node {
    let attributes: Record<'_> = [(Text::from("word"), Value::Long(word.into()))].into_iter().collect();
    Node::new(uid(id), attributes.into_owned(), Record::default(), parents.iter().map(|id| uid(*id)).collect())
}

fn intake(nodes: impl IntoIterator<Item = Node>) -> Reading {
    let mut reading = Reading::new(Arc::new(RecordReader::new(types())));
    let location = Location { document: "test".into(), position: None };
    reading.located.extend(nodes.into_iter().map(|node| Located { node, location: location.clone() }));
    reading
}

fn whole(catalog: &mut Catalog, source: SourceIndex, nodes: impl IntoIterator<Item = Node>) -> Applied {
    catalog.apply(source, intake(nodes), Extent::Whole)
}

fn told(applied: &Applied) -> Vec<String> {
    applied.refused.iter().map(ToString::to_string).collect()
}

fn word(catalog: &Catalog, id: u8) -> Option<i64> {
    let entities = catalog.snapshot();
    match entities.get(uid(id).as_ref())?.attributes().get("word") {
        Some(Value::Long(word)) => Some(*word),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_source_has_the_say_whoever_came_first() {
    let mut catalog = catalog();
    assert!(told(&whole(&mut catalog, 1, [node(1, 2, &[]), node(2, 2, &[])])).is_empty());
    assert!(told(&whole(&mut catalog, 0, [node(1, 1, &[])])).is_empty());
    assert_eq!((word(&catalog, 1), word(&catalog, 2)), (Some(1), Some(2)));
    let applied = whole(&mut catalog, 1, [node(1, 3, &[]), node(2, 2, &[])]);
    assert_eq!(told(&applied), ["test: the entity `Team::\"1\"`: the source `first` has it already"]);
    assert_eq!((word(&catalog, 1), applied.entities), (Some(1), 1));
    assert!(whole(&mut catalog, 0, []).changed);
    assert_eq!(word(&catalog, 1), Some(3), "what was refused counts once nobody has it before");
    let applied = catalog.apply(1, intake([]), Extent::Nothing);
    assert_eq!((told(&applied).len(), applied.entities), (0, 2));
}

#[test]
fn of_two_records_in_one_source_the_first_counts() {
    let mut catalog = catalog();
    let applied = whole(&mut catalog, 0, [node(1, 1, &[]), node(1, 2, &[])]);
    assert_eq!(told(&applied), ["test: the entity `Team::\"1\"`: it is there twice, and the first counts"]);
    assert_eq!(word(&catalog, 1), Some(1));
}

#[test]
fn a_circle_is_refused_by_name_until_it_is_open() {
    let mut catalog = catalog();
    let applied = whole(&mut catalog, 0, [node(1, 1, &[2]), node(2, 1, &[3]), node(3, 1, &[1]), node(4, 1, &[])]);
    assert_eq!(applied.entities, 3);
    let refused = told(&applied);
    assert!(refused[0].contains("`Team::\"3\"`") && refused[0].ends_with("is also its descendant"), "{refused:?}");
    let mut changes = intake([node(2, 1, &[])]);
    changes.located.push(Located { node: node(3, 1, &[1]), location: changes.located[0].location.clone() });
    let applied = catalog.apply(0, changes, Extent::Changes);
    assert_eq!((applied.entities, told(&applied).len()), (4, 0));
}

#[test]
fn links_that_change_together_are_no_circle_in_between() {
    let mut catalog = catalog();
    whole(&mut catalog, 0, [node(1, 1, &[2]), node(2, 1, &[3]), node(3, 1, &[])]);
    let applied = catalog.apply(0, intake([node(3, 1, &[2]), node(2, 1, &[1]), node(1, 1, &[])]), Extent::Changes);
    assert!(told(&applied).is_empty(), "{:?}", told(&applied));
    let entities = catalog.snapshot();
    let above = entities.ancestors(entities.get(uid(3).as_ref()).unwrap());
    assert_eq!(above.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([uid(1), uid(2)]));
}

#[test]
fn a_record_that_turns_bad_takes_its_entity_along_until_it_is_mended() {
    let mut catalog = catalog();
    whole(&mut catalog, 0, [node(1, 1, &[]), node(2, 1, &[])]);
    let mut bad = intake([]);
    let location = Location { document: "test".into(), position: None };
    bad.refuse(Refused { location, error: RecordError::of(&uid(1), "bad") });
    bad.deleted.push(uid(1));
    let applied = catalog.apply(0, bad, Extent::Changes);
    assert_eq!((applied.entities, told(&applied).len()), (1, 1));
    let applied = catalog.apply(0, intake([node(2, 2, &[])]), Extent::Changes);
    assert_eq!((applied.entities, told(&applied).len()), (1, 1), "still bad");
    let applied = catalog.apply(0, intake([node(1, 2, &[])]), Extent::Changes);
    assert_eq!((applied.entities, told(&applied).len()), (2, 0));
}

/// One source and what it says: an entity, with a word and parents.
type Saying = (SourceIndex, Vec<(u8, u8, Vec<u8>)>);

fn sayings() -> impl Strategy<Value = Vec<Saying>> {
    let node = (0..8_u8, 0..3_u8, prop::collection::vec(0..8_u8, 0..3));
    prop::collection::vec((0..2_u16, prop::collection::vec(node, 0..6)), 1..12)
}

/// Whether `id` would be above itself with these parents.
fn is_circular(stand: &BTreeMap<u8, (i64, Vec<u8>)>, id: u8, parents: &[u8]) -> bool {
    let (mut above, mut seen) = (parents.to_vec(), BTreeSet::new());
    while let Some(next) = above.pop() {
        if seen.insert(next) {
            above.extend(stand.get(&next).into_iter().flat_map(|(_, parents)| parents));
        }
    }
    seen.contains(&id)
}

/// The rule as one would write it down: one record after the other, by source and then by name.
fn expected(last: &[Vec<(u8, u8, Vec<u8>)>]) -> BTreeMap<u8, (i64, Vec<u8>)> {
    let mut stand = BTreeMap::new();
    for said in last {
        let mut first: BTreeMap<u8, (i64, Vec<u8>)> = BTreeMap::new();
        for (id, word, parents) in said {
            first.entry(*id).or_insert_with(|| (i64::from(*word), parents.clone()));
        }
        for (id, (word, parents)) in first {
            if !stand.contains_key(&id) && !is_circular(&stand, id, &parents) {
                stand.insert(id, (word, parents));
            }
        }
    }
    stand
}

proptest! {
    #[test]
    fn what_stands_follows_from_what_the_sources_say_now(sayings in sayings()) {
        let mut catalog = catalog();
        let mut last = [Vec::new(), Vec::new()];
        for (source, said) in sayings {
            let applied = whole(&mut catalog, source, said.iter().map(|(id, word, parents)| node(*id, *word, parents)));
            last[usize::from(source)] = said;
            let mine = catalog.snapshot().iter().filter(|node| node.source() == source).count();
            prop_assert_eq!(applied.entities, mine);
            let expected = expected(&last);
            for id in 0..8 {
                let entities = catalog.snapshot();
                let parents = entities.get(uid(id).as_ref()).map(|node| node.parents().to_vec());
                let wanted = expected.get(&id).map(|(_, parents)| node(id, 0, parents).parents().to_vec());
                prop_assert_eq!(word(&catalog, id), expected.get(&id).map(|(word, _)| *word));
                prop_assert_eq!(parents, wanted);
            }
        }
    }
}
