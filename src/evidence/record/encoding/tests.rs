//! Whoever reads the log has only these bytes: what they say must be what was recorded, and nothing else may say it.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::tests::{decision, examples};
use super::super::{CacheState, DecisionId, DecisionRecord, Edge, Field, Outcome, Sealed};
use super::*;

fn writer() -> Writer {
    Writer { gateway: "gate-1".into(), config: Digest::of(b"the configuration") }
}

fn written(record: &Record<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes, &writer(), record).unwrap();
    bytes
}

#[test]
fn what_is_read_is_what_was_written() {
    for record in examples() {
        let bytes = written(&record);
        let entry = read(&bytes).unwrap();
        assert_eq!(entry.writer, writer());
        assert_eq!(serde_json::to_value(&entry.record).unwrap(), serde_json::to_value(&record).unwrap());
    }
}

/// `docs/audit.cddl` is what a stranger reads: it has every key that is written, under the kind that it is of.
#[test]
fn every_key_is_documented() {
    let document = include_str!("../../../../docs/audit.cddl");
    for record in examples() {
        let kind = kind(&record);
        let maps = document.split("\n}\n");
        let number = |map: &str| map.split_once("; kind ")?.1.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
        let map = maps.filter(|map| number(map) == Some(kind)).collect::<Vec<_>>();
        assert_eq!(map.len(), 1, "kind {kind}");
        let documented =
            |key: u64| map[0].lines().any(|line| line.trim_start_matches([' ', '?']).starts_with(&format!("{key}: ")));
        let bytes = written(&record);
        let mut decoder = Decoder::new(&bytes);
        decoder.array().unwrap();
        for _ in 0..PARTS - 1 {
            decoder.skip().unwrap();
        }
        for _ in 0..decoder.map().unwrap().unwrap() {
            let key = decoder.u64().unwrap();
            assert!(documented(key), "{kind}: {key}");
            decoder.skip().unwrap();
        }
    }
}

/// A changed byte is refused, or says something else: in a tree of hashes both are found out.
#[test]
fn no_byte_can_be_changed_unseen() {
    for record in examples() {
        let bytes = written(&record);
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[place] ^= 1 << bit;
                if let Ok(entry) = read(&changed) {
                    let mut again = Vec::new();
                    entry.write(&mut again).unwrap();
                    assert_eq!(again, changed, "what was read is not what is there");
                }
            }
        }
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end]).is_err(), "{end}");
        }
        assert!(read(&[&bytes[..], &[0]].concat()).is_err());
    }
}

#[test]
fn a_later_version_and_an_unknown_kind_are_told_apart_from_damage() {
    let mut bytes = written(&Record::Decision(&decision(Timestamp::default())));
    bytes[2] = 15;
    assert!(matches!(read(&bytes), Err(ReadError::Kind(15))));
    for version in [0, VERSION + 1] {
        bytes[1] = version;
        assert!(matches!(read(&bytes), Err(ReadError::Version(found)) if found == version));
    }
}

/// An entry as version 1 wrote it. It stands here as bytes, for no code is left that writes it.
const FIRST: &str = "\
    85010066676174652d3158200101010101010101010101010101010101010101010101010101010101010101ae005000 \
    0000000000000000000000000000000105020103616105616206616308010964776879210a800b800e010f01100111182a";

#[test]
fn what_an_earlier_version_wrote_is_read_as_it_stands_and_has_nothing_that_came_later() {
    let old = DecisionRecord {
        schema_digest: None,
        authority: None,
        bundle_sequence: None,
        actors: None,
        trace_id: None,
        fields: None,
        token_claims: None,
        ..decision(Timestamp::default())
    };
    let mut bytes = written(&Record::Decision(&old));
    bytes[1] = 1;
    let OwnedRecord::Decision(again) = read(&bytes).unwrap().record else { panic!("another kind") };
    assert_eq!(*again, old);
    let mut newer = written(&Record::Decision(&decision(Timestamp::default())));
    assert!(read(&newer).is_ok());
    newer[1] = 1;
    assert!(matches!(read(&newer), Err(ReadError::NotCanonical)));

    let first = hex::decode(FIRST.replace(char::is_whitespace, "")).unwrap();
    let OwnedRecord::Decision(first) = read(&first).unwrap().record else { panic!("another kind") };
    assert_eq!((&*first.principal, &*first.reason, first.latency_us), ("a", "why!", 42));
}

prop_compose! {
    fn texts_of()(texts in prop::collection::vec("[a|\"\\\\é]{0,3}", 0..4)) -> Arc<[Arc<str>]> {
        texts.iter().map(|text| Arc::from(text.as_str())).collect()
    }
}

prop_compose! {
    fn any_field()(
        name in "[a|:]{0,3}",
        value in proptest::option::of("[a|:]{0,3}"),
        commitment in proptest::option::of(any::<[u8; 32]>()),
        sealed in proptest::option::of(prop::collection::vec(any::<u8>(), 0..4)),
    ) -> Field {
        Field { name, value, commitment: commitment.map(Digest::from_bytes), sealed: sealed.map(Sealed) }
    }
}

prop_compose! {
    fn any_decision()(
        time in any::<u64>(),
        words in prop::array::uniform4("[a|:\"]{0,4}"),
        policies in texts_of(),
        errors in texts_of(),
        leaf in proptest::option::of(any::<[u8; 32]>()),
        (request_id, route) in (proptest::option::of("[a|]{0,3}"), proptest::option::of("[a|]{0,3}")),
        fields in proptest::option::of(prop::collection::vec(any_field(), 0..3)),
        (outcome, cache, latency) in (0..3_u8, 0..3_u8, any::<u64>()),
    ) -> DecisionRecord<'static> {
        let [principal, action, resource, reason] = words;
        DecisionRecord {
            decision_id: DecisionId::NIL,
            time: Timestamp::from_unix_nanos(time),
            edge: Edge::Authzen,
            principal: principal.into(),
            leaf: leaf.map(Digest::from_bytes),
            action: action.into(),
            resource: resource.into(),
            decision: [Outcome::Allow, Outcome::Deny, Outcome::Error][usize::from(outcome)],
            reason: reason.into(),
            policies,
            policy_errors: errors,
            cache: [CacheState::Hit, CacheState::Miss, CacheState::Bypass][usize::from(cache)],
            latency_us: latency,
            request_id: request_id.map(Into::into),
            route: route.map(Into::into),
            fields,
            ..decision(Timestamp::default())
        }
    }
}

/// The same decision without some of what not all have: one bit for each of these, set if it stays.
fn thinned(decision: DecisionRecord<'static>, stays: u32) -> DecisionRecord<'static> {
    let stays = |bit: u32| stays & (1 << bit) != 0;
    let digest = |bit: u32| stays(bit).then(|| Digest::from_bytes([bit.try_into().unwrap(); 32]));
    DecisionRecord {
        leaf: digest(0),
        peer: stays(1).then(|| "spiffe://example.org/peer".into()),
        token: digest(2),
        token_issuer: stays(3).then(|| "https://issuer.example".into()),
        caller: stays(4).then(|| "an-api".into()),
        context_digest: digest(5),
        policy_digest: digest(6),
        entity_digest: digest(7),
        request_id: stays(8).then(|| "r".into()),
        route: stays(9).then(|| "orders".into()),
        schema_digest: digest(10),
        authority: digest(11),
        bundle_sequence: stays(12).then_some(1 << 40),
        actors: decision.actors.filter(|_| stays(13)),
        trace_id: decision.trace_id.filter(|_| stays(14)),
        fields: decision.fields.filter(|_| stays(15)),
        token_claims: decision.token_claims.filter(|_| stays(16)),
        ..decision
    }
}

/// Decisions are written by hand; this is how `minicbor` writes them.
fn derived(record: &DecisionRecord<'_>) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    encoder.array(5).unwrap().u8(VERSION).unwrap().u8(0).unwrap();
    encoder.str(&writer().gateway).unwrap().encode(writer().config).unwrap().encode(record).unwrap();
    encoder.into_writer()
}

#[test]
fn texts_and_lists_of_any_length_are_written_as_is_derived() {
    for length in [0, 1, 23, 24, 255, 256, 65_535, 65_536] {
        let record = DecisionRecord {
            principal: "p".repeat(length).into(),
            policies: vec![Arc::from("id"); length].into(),
            latency_us: u64::try_from(length).unwrap(),
            ..decision(Timestamp::from_unix_nanos(u64::MAX))
        };
        assert_eq!(written(&Record::Decision(&record)), derived(&record), "{length}");
    }
}

proptest! {
    #[test]
    fn decisions_are_written_as_is_derived(record in any_decision(), stays in any::<u32>()) {
        for record in [thinned(record.clone(), stays), thinned(decision(record.time), stays), record] {
            prop_assert_eq!(written(&Record::Decision(&record)), derived(&record));
        }
    }

    #[test]
    fn different_decisions_have_different_bytes(a in any_decision(), b in any_decision()) {
        let (a_bytes, b_bytes) = (written(&Record::Decision(&a)), written(&Record::Decision(&b)));
        prop_assert_eq!(a == b, a_bytes == b_bytes);
        let OwnedRecord::Decision(read) = read(&a_bytes).unwrap().record else { panic!("another kind") };
        prop_assert_eq!(*read, a);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _either = read(&bytes);
    }
}
