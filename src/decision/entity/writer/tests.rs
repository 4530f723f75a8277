use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::decision::value::Record;

fn uid(id: u8) -> Uid {
    Uid::new("Group".into(), &id.to_string())
}

fn node(id: u8, parents: &[u8]) -> Node {
    Node::new(uid(id), Record::default(), Record::default(), parents.iter().map(|id| uid(*id)).collect())
}

fn ancestors(writer: &Writer, id: u8) -> BTreeSet<Uid> {
    let entities = writer.snapshot();
    let node = entities.get(uid(id).as_ref()).unwrap();
    entities.ancestors(node).into_iter().collect()
}

fn uids(ids: &[u8]) -> BTreeSet<Uid> {
    ids.iter().map(|id| uid(*id)).collect()
}

#[test]
fn a_change_high_up_reaches_everyone_below() {
    let mut writer = Writer::default();
    for node in [node(1, &[2]), node(2, &[3]), node(3, &[]), node(4, &[])] {
        writer.upsert(node).unwrap();
    }
    assert_eq!(ancestors(&writer, 1), uids(&[2, 3]));
    let before = writer.snapshot();
    writer.upsert(node(3, &[4, 9])).unwrap();
    assert_eq!(ancestors(&writer, 1), uids(&[2, 3, 4, 9]));
    assert_eq!(before.ancestors(before.get(uid(1).as_ref()).unwrap()).len(), 2);
    assert!(writer.remove(&uid(3)) && !writer.remove(&uid(3)));
    assert_eq!(ancestors(&writer, 1), uids(&[2, 3]));
}

#[test]
fn only_groups_have_their_ancestors_written_out() {
    let mut writer = Writer::default();
    writer.upsert(node(1, &[2])).unwrap();
    writer.upsert(node(2, &[3])).unwrap();
    let written = |writer: &Writer, id| {
        let entities = writer.snapshot();
        entities.closed(entities.get(uid(id).as_ref()).unwrap()).map(<[_]>::len)
    };
    assert_eq!((written(&writer, 1), written(&writer, 2)), (None, Some(1)));
    writer.remove(&uid(1));
    assert_eq!(written(&writer, 2), None);
}

#[test]
fn a_circle_is_refused_and_leaves_all_as_it_was() {
    let mut writer = Writer::default();
    writer.upsert(node(1, &[2])).unwrap();
    writer.upsert(node(2, &[3])).unwrap();
    assert_eq!(writer.upsert(node(3, &[1])), Err(HierarchyError::Cycle(uid(1))));
    assert_eq!(writer.upsert(node(4, &[4])), Err(HierarchyError::Cycle(uid(4))));
    assert_eq!(writer.snapshot().len(), 2);
    assert_eq!(ancestors(&writer, 1), uids(&[2, 3]));
    writer.upsert(node(2, &[])).unwrap();
    writer.upsert(node(3, &[1])).unwrap();
    assert_eq!(ancestors(&writer, 3), uids(&[1, 2]));
}

#[test]
fn a_chain_has_an_end() {
    let mut writer = Writer::default();
    let name = |id: usize| Uid::new("Group".into(), &id.to_string());
    let link = |id: usize, parents: Vec<Uid>| Node::new(name(id), Record::default(), Record::default(), parents);
    let most = (1..=MOST_ANCESTORS).map(name).collect::<Vec<_>>();
    writer.upsert(link(0, most.clone())).unwrap();
    writer.upsert(link(MOST_ANCESTORS + 2, vec![name(1)])).unwrap();
    let more = most.into_iter().chain([name(MOST_ANCESTORS + 1)]).collect();
    assert_eq!(writer.upsert(link(0, more)), Err(HierarchyError::TooManyAncestors(name(0))));
    let raised = writer.upsert(link(1, vec![name(MOST_ANCESTORS + 1)]));
    assert!(raised.is_ok(), "a member's ancestors are counted when it is written");
}

/// What the ancestors are by definition.
fn expected(parents: &BTreeMap<u8, Vec<u8>>, id: u8) -> BTreeSet<u8> {
    let mut found = BTreeSet::new();
    let mut waiting = parents.get(&id).cloned().unwrap_or_default();
    while let Some(next) = waiting.pop() {
        if found.insert(next) {
            waiting.extend(parents.get(&next).into_iter().flatten());
        }
    }
    found
}

proptest! {
    #[test]
    fn ancestors_stay_closed_whatever_comes(
        steps in prop::collection::vec((0..12_u8, prop::option::of(prop::collection::vec(0..12_u8, 0..4))), 1..60),
    ) {
        let mut writer = Writer::default();
        let mut parents: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
        for (id, step) in steps {
            let Some(named) = step else {
                prop_assert_eq!(writer.remove(&uid(id)), parents.remove(&id).is_some());
                continue;
            };
            let mut wanted = parents.clone();
            wanted.insert(id, named.clone());
            let circular = expected(&wanted, id).contains(&id);
            prop_assert_eq!(writer.upsert(node(id, &named)).is_err(), circular);
            if !circular {
                parents = wanted;
            }
            let entities = writer.snapshot();
            prop_assert_eq!(entities.len(), parents.len());
            let named: BTreeSet<u8> = parents.values().flatten().copied().collect();
            for id in parents.keys() {
                let expected: BTreeSet<_> = expected(&parents, *id).into_iter().map(uid).collect();
                prop_assert_eq!(ancestors(&writer, *id), expected);
                let node = entities.get(uid(*id).as_ref()).unwrap();
                prop_assert_eq!(entities.closed(node).is_some(), named.contains(id));
            }
        }
    }
}
