use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn query(context: Value) -> Query<'static> {
    Query {
        subject: Entity::named("User", "alice"),
        action: Action::named("read"),
        resource: Entity::named("Document", "plan"),
        context: serde_json::from_value::<Map<_, _>>(context).unwrap().into(),
        extra: vec![Entity::named("Folder", "/")],
    }
}

#[test]
fn values_of_different_types_never_share_a_digest() {
    let values = [
        json!(null),
        json!(false),
        json!(true),
        json!(0),
        json!(1),
        json!(1.0),
        json!("1"),
        json!("true"),
        json!("null"),
        json!(""),
        json!([]),
        json!({}),
        json!([[]]),
        json!([{}]),
        json!({"a": []}),
        json!([1, 2]),
        json!([2, 1]),
        json!([12]),
        json!(["1", "2"]),
        json!(["1,2"]),
        json!([1, [2]]),
        json!([[1], 2]),
        json!({"a": 1}),
        json!({"a": "1"}),
        json!({"a": 1, "b": 2}),
        json!({"a": {"b": 2}}),
        json!({"a": 1, "b": null}),
        json!([null]),
        json!([null, null]),
    ];
    let digests: std::collections::HashSet<_> =
        values.iter().map(|value| query(json!({"x": value})).digest()).collect();
    assert_eq!(digests.len(), values.len());
}

#[test]
fn the_order_of_members_does_not_matter() {
    let one: Value = serde_json::from_str(r#"{"a": 1, "b": {"c": [1, 2], "d": 2}}"#).unwrap();
    let other: Value = serde_json::from_str(r#"{"b": {"d": 2, "c": [1, 2]}, "a": 1}"#).unwrap();
    assert_eq!(query(one).digest(), query(other).digest());
}

#[test]
fn a_value_of_any_depth_is_hashed_without_recursion() {
    let mut deep = json!(1);
    for _ in 0..100_000 {
        deep = Value::Array(vec![deep]);
    }
    let mut query = query(json!({}));
    let flat = query.digest();
    query.context.insert("x".to_owned(), deep);
    assert_ne!(query.digest(), flat);
    // Dropping it would recurse.
    std::mem::forget(query);
}

/// Each way to change just one thing.
const CHANGES: &[fn(&mut Query<'static>, &str)] = &[
    |query, by| query.subject.kind.to_mut().push_str(by),
    |query, by| query.subject.id.to_mut().push_str(by),
    |query, by| query.subject.properties.insert(by.to_owned(), json!(by)),
    |query, by| {
        query.subject.properties.insert("said".to_owned(), json!(by));
        query.subject.overlay = Overlay::of(["said".to_owned()].into());
    },
    |query, by| query.subject.parents.push(EntityRef::new(by.to_owned(), by.to_owned())),
    |query, by| query.action.name.to_mut().push_str(by),
    |query, by| query.action.properties.insert(by.to_owned(), json!(by)),
    |query, by| query.resource.kind.to_mut().push_str(by),
    |query, by| query.resource.id.to_mut().push_str(by),
    |query, by| query.resource.properties.insert(by.to_owned(), json!(by)),
    |query, by| query.resource.parents.push(EntityRef::new(by.to_owned(), by.to_owned())),
    |query, by| query.context.insert(by.to_owned(), json!(by)),
    |query, by| query.context.insert("nested".to_owned(), json!({"in": [by]})),
    |query, by| query.extra[0].kind.to_mut().push_str(by),
    |query, by| query.extra[0].id.to_mut().push_str(by),
    |query, by| query.extra[0].properties.insert(by.to_owned(), json!(by)),
    |query, by| query.extra[0].parents.push(EntityRef::new(by.to_owned(), by.to_owned())),
    |query, by| query.extra.push(Entity { id: by.to_owned().into(), ..query.subject.clone() }),
    |query, _| query.extra.clear(),
];

proptest! {
    #[test]
    fn changing_any_one_thing_changes_the_digest(by in ".{1,12}", first in 0..CHANGES.len(), second in 0..CHANGES.len()) {
        let base = query(json!({"x": 1}));
        let changed = |change: usize| {
            let mut query = base.clone();
            CHANGES[change](&mut query, &by);
            query
        };
        let (one, other) = (changed(first), changed(second));
        prop_assert_ne!(one.digest(), base.digest());
        prop_assert_eq!(one.digest() == other.digest(), one == other);
    }

    #[test]
    fn moving_text_over_a_boundary_changes_the_digest(text in "[a:\"|]{2,8}", cut in 1_usize..7) {
        let split = |at: usize| {
            let mut query = query(json!({}));
            let (kind, id) = text.split_at(at);
            (query.subject.kind, query.subject.id) = (kind.to_owned().into(), id.to_owned().into());
            query
        };
        let (one, other) = (split(cut.min(text.len())), split(0));
        prop_assert_ne!(one.digest(), other.digest());
    }
}
