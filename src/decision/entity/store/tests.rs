use super::*;

fn uid(id: usize) -> Uid {
    Uid::new("Thing".into(), &id.to_string())
}

fn node(id: usize) -> Node {
    Node::new(uid(id), Record::default(), Record::default(), Vec::new())
}

#[test]
fn a_snapshot_does_not_see_what_comes_after_it() {
    let mut entities = Entities::default();
    (0..5_000).for_each(|id| entities.put(node(id)));
    let before = entities.clone();
    entities.remove(&uid(7));
    entities.remove(&uid(7));
    entities.put(node(5_000));
    entities.put(Node::new(uid(8), Record::default(), Record::default(), vec![uid(1), uid(1)]));
    assert_eq!((before.len(), entities.len()), (5_000, 5_000));
    assert!(before.get(uid(7).as_ref()).is_some() && entities.get(uid(7).as_ref()).is_none());
    assert!(before.get(uid(5_000).as_ref()).is_none() && entities.get(uid(5_000).as_ref()).is_some());
    assert!(before.get(uid(8).as_ref()).unwrap().parents().is_empty());
    assert_eq!(entities.get(uid(8).as_ref()).unwrap().parents(), [uid(1)]);
    assert_eq!(entities.iter().count(), 5_000);
}

#[test]
fn a_change_copies_only_the_way_to_it() {
    let mut entities = Entities::default();
    (0..10_000).for_each(|id| entities.put(node(id)));
    let before = entities.clone();
    entities.put(node(3));
    let pairs = before.branches.iter().zip(entities.branches.iter());
    let copied: Vec<_> = pairs.filter(|(a, b)| !Arc::ptr_eq(a, b)).collect();
    assert_eq!(copied.len(), 1);
    let parts = copied[0].0.iter().zip(copied[0].1.iter());
    assert_eq!(parts.filter(|(a, b)| !Arc::ptr_eq(a, b)).count(), 1);
}
