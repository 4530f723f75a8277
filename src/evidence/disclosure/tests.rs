use proptest::prelude::*;

use super::*;
use crate::evidence::record::tests::decision;
use crate::foundation::clock::Timestamp;
use crate::foundation::entropy::SystemEntropy;

fn key() -> DisclosureKey {
    DisclosureKey::of_seed([7; 32])
}

/// A record that keeps these fields from the eyes of others.
fn record(fields: &[(&str, &str)]) -> DecisionRecord<'static> {
    let record = decision(Timestamp::from_unix_seconds(1_795_000_000));
    let redacted = fields.iter().map(|(name, value)| key().redact(record.decision_id, name, value)).collect();
    DecisionRecord { fields: Some(redacted), ..record }
}

#[test]
fn a_key_is_made_once_and_read_from_then_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("private/key");
    let of = |key: &DisclosureKey| key.salt(DecisionId::NIL, "a");
    let first = of(&DisclosureKey::load_or_create(&path, &SystemEntropy::new()).unwrap());
    assert_eq!(of(&DisclosureKey::load_or_create(&path, &SystemEntropy::new()).unwrap()), first);
    assert_eq!(of(&DisclosureKey::load(&path).unwrap()), first);
    std::fs::write(&path, "something else").unwrap();
    assert!(matches!(DisclosureKey::load_or_create(&path, &SystemEntropy::new()), Err(LogError::Key(_))));
}

/// What one of them redacts, the other must be able to disclose.
#[test]
fn those_who_start_at_the_same_time_have_one_key() {
    for _ in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("private/key");
        let load = || DisclosureKey::load_or_create(&path, &SystemEntropy::new()).unwrap().salt(DecisionId::NIL, "a");
        let salts: Vec<_> = std::thread::scope(|scope| {
            let made: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
            made.into_iter().map(|made| made.join().unwrap()).collect()
        });
        assert!(salts.iter().all(|salt| *salt == salts[0]));
    }
}

#[test]
fn what_is_plain_not_there_not_kept_or_of_another_key_is_told_apart() {
    let long = format!("\"{}\"", "x".repeat(MAX_SEALED));
    let mut record = record(&[("context.a", "\"1\""), ("context.long", &long)]);
    record.fields.as_mut().unwrap().push(Field {
        name: "context.open".into(),
        value: Some("1".into()),
        commitment: None,
        sealed: None,
    });
    let open = |name: &str, value| key().open(&record, name, value);
    assert_eq!(open("context.a", None).unwrap().value, "\"1\"");
    assert_eq!(open("context.b", None), Err(DisclosureError::NoField("context.b".into())));
    assert_eq!(open("context.open", None), Err(DisclosureError::Plain("context.open".into())));
    assert_eq!(open("context.long", None), Err(DisclosureError::NotKept("context.long".into())));
    open("context.long", Some(&long)).unwrap().verify(&record).unwrap();
    assert_eq!(open("context.a", Some("1")), Err(DisclosureError::OtherValue("context.a".into())));
    let other = DisclosureKey::of_seed([8; 32]);
    assert_eq!(other.open(&record, "context.a", None), Err(DisclosureError::OtherKey("context.a".into())));
}

#[test]
fn equal_values_of_two_decisions_or_two_fields_can_t_be_seen_to_be_equal() {
    let one = record(&[("context.a", "true"), ("context.b", "true"), ("context.c", "false")]);
    let fields = one.fields.unwrap();
    assert_ne!(fields[0].commitment, fields[1].commitment);
    assert_ne!(fields[0].sealed, fields[1].sealed);
    assert_eq!(fields[0].sealed.as_ref().unwrap().0.len(), fields[2].sealed.as_ref().unwrap().0.len());
    let other = decision(Timestamp::from_unix_seconds(1_795_000_001));
    assert_ne!(key().redact(other.decision_id, "context.a", "true").commitment, fields[0].commitment);
}

#[test]
fn no_bit_of_an_opening_or_of_the_field_can_be_changed() {
    let record = record(&[("context.a", "\"alice@example.org\"")]);
    let opening = key().open(&record, "context.a", None).unwrap();
    opening.verify(&record).unwrap();
    let text = serde_json::to_vec(&opening).unwrap();
    for place in 0..text.len() {
        for bit in 0..8 {
            let mut changed = text.clone();
            changed[place] ^= 1 << bit;
            if let Ok(opening) = serde_json::from_slice::<Opening>(&changed) {
                assert!(opening.verify(&record).is_err(), "{place}.{bit}: {opening:?}");
            }
        }
    }
    let sealed = record.fields.as_ref().unwrap()[0].sealed.clone().unwrap();
    for place in 0..sealed.0.len() {
        let mut changed = record.clone();
        changed.fields.as_mut().unwrap()[0].sealed.as_mut().unwrap().0[place] ^= 1;
        assert_eq!(key().open(&changed, "context.a", None), Err(DisclosureError::OtherKey("context.a".into())));
    }
}

proptest! {
    #[test]
    fn what_was_redacted_can_be_disclosed_and_nothing_else_passes_for_it(
        name in "[a-z.]{0,12}", value in ".{0,200}", other in ".{0,8}",
    ) {
        let record = record(&[(&name, &value)]);
        let opening = key().open(&record, &name, None).unwrap();
        prop_assert_eq!(&opening.value, &value);
        prop_assert_eq!(opening.verify(&record), Ok(()));
        let written = serde_json::to_string(&opening).unwrap();
        prop_assert_eq!(serde_json::from_str::<Opening>(&written).unwrap(), opening.clone());
        // A byte that moves from the name to the value makes another field.
        let moved = Opening { name: format!("{name}{other}"), ..opening.clone() };
        prop_assert_eq!(moved.verify(&record).is_ok(), other.is_empty());
        let changed = Opening { value: other.clone(), ..opening };
        prop_assert_eq!(changed.verify(&record).is_ok(), other == value);
    }
}
