use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::decision::entity::Writer;
use crate::decision::value::{Record, Value};

const KINDS: [&str; 2] = ["Group", "User"];

fn uid(number: u8) -> Uid {
    Uid::new(KINDS[usize::from(number % 2)].into(), &(number / 2).to_string())
}

fn node(number: u8, parents: &[u8]) -> Node {
    let parents = parents.iter().map(|parent| uid(*parent)).collect();
    Node::new(uid(number), Record::default(), Record::default(), parents)
}

/// The same, naming others in the attribute `of`: one by itself, more in a set.
fn naming(number: u8, parents: &[u8], named: &[u8]) -> Node {
    let mut values: Vec<_> = named.iter().map(|other| Value::Entity(uid(*other))).collect();
    let value = if values.len() == 1 { values.pop() } else { Some(Value::Set(values.into_iter().collect())) };
    let attributes = value.into_iter().map(|value| ("of".into(), value)).collect();
    let parents = parents.iter().map(|parent| uid(*parent)).collect();
    Node::new(uid(number), attributes, Record::default(), parents)
}

/// Everyone of type `User` who names it, found by looking at everyone.
fn all_naming(entities: &Entities, target: &Uid) -> Vec<String> {
    let names = |node: &&Node| match node.attributes().get("of") {
        Some(Value::Set(set)) => set.contains(&Value::Entity(target.clone())),
        value => value == Some(&Value::Entity(target.clone())),
    };
    let users = entities.iter().filter(|node| node.uid().kind() == "User");
    let mut all: Vec<_> = users.filter(names).map(|node| node.uid().id().to_owned()).collect();
    all.sort_unstable();
    all
}

type Shown = (Vec<String>, BTreeMap<String, (Vec<String>, Vec<String>)>);

/// All that an order says.
fn shown(order: &Order) -> Shown {
    let names = |names: &Sorted| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let group = |group: &Group| (group.uid.to_string(), (names(&group.members), names(&group.subgroups)));
    (names(&order.all), order.groups.iter().map(group).collect())
}

proptest! {
    #[test]
    fn an_order_that_followed_every_change_is_the_one_that_is_made_anew(
        changes in proptest::collection::vec((any::<bool>(), 0..30_u8, proptest::collection::vec(0..30_u8, 0..3)), 1..60),
        asked in 0..60_usize,
    ) {
        let mut writer = Writer::default();
        let mut snapshots = Vec::new();
        for (step, (put, number, parents)) in changes.into_iter().enumerate() {
            if put {
                // Circles are refused.
                let _refused = writer.upsert(node(number, &parents));
            } else {
                writer.remove(&uid(number));
            }
            let snapshot = writer.snapshot();
            if step >= asked {
                let told = shown(snapshot.order());
                prop_assert_eq!(&told, &shown(&Order::of(&snapshot)));
                snapshots.push((snapshot, told));
            }
        }
        for (snapshot, told) in snapshots {
            prop_assert_eq!(shown(snapshot.order()), told, "what a reader has does not change");
        }
    }
}

proptest! {
    #[test]
    fn who_names_whom_is_known_after_every_change(
        changes in proptest::collection::vec(
            (0..4_u8, 0..20_u8, proptest::collection::vec(0..20_u8, 0..2), proptest::collection::vec(0..20_u8, 0..3)),
            1..40,
        ),
        asked in 0..20_usize,
    ) {
        let mut writer = Writer::default();
        let mut snapshots = Vec::new();
        for (step, (what, number, parents, named)) in changes.into_iter().enumerate() {
            if what == 0 {
                writer.remove(&uid(number));
            } else {
                let _refused = writer.upsert(naming(number, &parents, &named));
            }
            if step >= asked {
                let snapshot = writer.snapshot();
                let told: Vec<Vec<String>> = (0..20).map(|target| all_naming(&snapshot, &uid(target))).collect();
                snapshots.push((snapshot, told));
                // Those of before still say what was true then.
                for (snapshot, told) in &snapshots {
                    for (target, told) in (0..20).zip(told) {
                        let names = |after| snapshot.naming("of", uid(target).as_ref(), "User", after).map(|uid| uid.id().to_owned());
                        prop_assert_eq!(&names(None).collect::<Vec<_>>(), told);
                        prop_assert!(names(Some("5")).eq(told.iter().filter(|name| name.as_str() > "5").cloned()));
                    }
                }
            }
        }
    }
}

#[test]
fn names_come_by_type_and_in_the_order_of_their_bytes() {
    let mut writer = Writer::default();
    for id in ["b", "a", "ab", "B", "é", ""] {
        let uid = |kind: &str| Uid::new(kind.into(), id);
        let parent = Uid::new("Group".into(), "g");
        writer.upsert(Node::new(uid("User"), Record::default(), Record::default(), vec![parent.clone()])).unwrap();
        writer.upsert(Node::new(uid("Use"), Record::default(), Record::default(), vec![parent])).unwrap();
    }
    let entities = writer.snapshot();
    let of_kind = |kind, after| entities.order().of_kind(kind, after).map(|uid| uid.id()).collect::<Vec<_>>();
    assert_eq!(of_kind("User", None), ["", "B", "a", "ab", "b", "é"]);
    assert_eq!(of_kind("Use", Some("a")), ["ab", "b", "é"]);
    assert_eq!(of_kind("User", Some("aa")), ["ab", "b", "é"]);
    assert!(of_kind("Us", None).is_empty() && of_kind("User", Some("é")).is_empty());
    let group = Uid::new("Group".into(), "g");
    let members =
        |kind, after| entities.order().members(group.as_ref(), kind, after).map(|uid| uid.id()).collect::<Vec<_>>();
    assert_eq!(members("Use", Some("")), ["B", "a", "ab", "b", "é"]);
    assert!(members("Group", None).is_empty());
    assert_eq!(entities.order().subgroups(group.as_ref()).count(), 0);
}

#[test]
fn a_long_list_is_in_pieces_that_split_and_vanish() {
    let name = |number: usize| Uid::new("User".into(), &format!("{number:05}"));
    let mut sorted: Sorted = (0..3000).step_by(2).map(name).collect();
    (0..3000).rev().for_each(|number| sorted.insert(&name(number)));
    let before = sorted.clone();
    assert_eq!((sorted.len(), sorted.iter().count()), (3000, 3000));
    assert!(sorted.iter().is_sorted());
    (0..3000).filter(|number| number % 3 > 0).for_each(|number| sorted.remove(&name(number)));
    sorted.remove(&name(1));
    let left: Vec<_> = sorted.since(|uid| uid.id() < "01500").map(|uid| uid.id().to_owned()).collect();
    assert_eq!((left.len(), &*left[0], sorted.len()), (500, "01500", 1000));
    (0..3000).for_each(|number| sorted.remove(&name(number)));
    assert_eq!((sorted.len(), sorted.iter().count(), before.len()), (0, 0, 3000));
}

#[test]
fn many_changes_are_not_followed_one_by_one() {
    let mut writer = Writer::default();
    writer.upsert(node(0, &[])).unwrap();
    writer.snapshot().order();
    for number in 0..=MANY_CHANGES {
        let name = Uid::new("User".into(), &number.to_string());
        writer.upsert(Node::new(name, Record::default(), Record::default(), Vec::new())).unwrap();
    }
    // Fewer are there than were changed, so it is made anew at the end.
    for number in 0..=MANY_CHANGES {
        writer.remove(&Uid::new("User".into(), &number.to_string()));
    }
    let snapshot = writer.snapshot();
    assert_eq!(
        (shown(snapshot.order()), snapshot.order().changes < MANY_CHANGES),
        (shown(&Order::of(&snapshot)), true)
    );
}
