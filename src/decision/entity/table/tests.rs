use super::super::store::Node;
use super::*;
use crate::decision::value::Record;

fn uid(id: usize) -> Uid {
    Uid::new("Thing".into(), &id.to_string())
}

fn node(id: usize) -> Node {
    Node::new(uid(id), Record::default(), Record::default(), Vec::new())
}

#[test]
fn a_snapshot_does_not_see_what_comes_after_it() {
    let mut table = Table::default();
    (0..5_000).for_each(|id| table.put(node(id)));
    let before = table.clone();
    table.remove(&uid(7));
    table.remove(&uid(7));
    table.put(node(5_000));
    table.put(Node::new(uid(8), Record::default(), Record::default(), vec![uid(1), uid(1)]));
    assert_eq!((before.len(), table.len()), (5_000, 5_000));
    assert!(before.get(uid(7).as_ref()).is_some() && table.get(uid(7).as_ref()).is_none());
    assert!(before.get(uid(5_000).as_ref()).is_none() && table.get(uid(5_000).as_ref()).is_some());
    assert!(before.get(uid(8).as_ref()).unwrap().parents().is_empty());
    assert_eq!(table.get(uid(8).as_ref()).unwrap().parents(), [uid(1)]);
    assert_eq!(table.iter().count(), 5_000);
}

#[test]
fn a_change_copies_only_the_way_to_it() {
    let mut table = Table::default();
    (0..10_000).for_each(|id| table.put(node(id)));
    let before = table.clone();
    table.put(node(3));
    let pairs = before.branches.iter().zip(table.branches.iter());
    let copied: Vec<_> = pairs.filter(|(a, b)| !Arc::ptr_eq(a, b)).collect();
    assert_eq!(copied.len(), 1);
    let parts = copied[0].0.iter().zip(copied[0].1.iter());
    assert_eq!(parts.filter(|(a, b)| !Arc::ptr_eq(a, b)).count(), 1);
}
