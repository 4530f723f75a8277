use super::*;
use crate::decision::entity::Uid;

fn text(text: &'static str) -> Value<'static> {
    Value::Text(text.into())
}

#[test]
fn a_set_is_its_elements_and_not_their_order_or_number() {
    let set = |values: &[i64]| values.iter().copied().map(Value::Long).collect::<Set<'_>>();
    assert_eq!(set(&[3, 1, 1]), set(&[1, 3]));
    assert_ne!(set(&[1]), set(&[1, 3]));
    assert!(set(&[5, 1, 3]).contains(&Value::Long(3)) && !set(&[5, 1, 3]).contains(&Value::Long(2)));
    assert!(set(&[1, 2, 3]).contains_all(&set(&[3, 1])) && !set(&[1, 2]).contains_all(&set(&[3, 1])));
    assert!(set(&[1, 2]).contains_any(&set(&[2, 9])) && !set(&[1, 2]).contains_any(&set(&[8, 9])));
    assert!(set(&[1]).contains_all(&set(&[])) && !set(&[1]).contains_any(&set(&[])));
}

#[test]
fn values_of_different_types_are_never_equal() {
    let uid = Uid::new("User".into(), "1");
    let values = [Value::Bool(true), Value::Long(1), text("1"), Value::Entity(uid), Value::Set(Set::default())];
    for (i, a) in values.iter().enumerate() {
        for (j, b) in values.iter().enumerate() {
            assert_eq!(a == b, i == j, "{a:?} {b:?}");
        }
    }
}

#[test]
fn a_record_finds_its_names_and_equals_one_that_is_borrowed() {
    let owned: Record<'_> =
        [("b", 2), ("a", 1)].map(|(name, value)| (name.to_owned().into(), Value::Long(value))).into_iter().collect();
    let borrowed: Record<'_> =
        [("a", 1), ("b", 2)].map(|(name, value)| (name.into(), Value::Long(value))).into_iter().collect();
    assert_eq!(owned, borrowed);
    assert_eq!((owned.get("b"), owned.get("c")), (Some(&Value::Long(2)), None));
    assert_eq!(borrowed.clone().into_owned(), owned);
}

#[test]
fn a_value_takes_32_bytes() {
    assert_eq!(size_of::<Value<'_>>(), 32);
}
