use std::time::Duration;

use portcullis_tlog::note::VerifierKey;

use super::*;
use crate::evidence::log::tests::of_decisions;
use crate::evidence::record::DecisionRecord;
use crate::evidence::record::tests::decision;
use crate::foundation::entropy::SystemEntropy;

const NOW: Timestamp = Timestamp::from_unix_nanos(1_795_312_180_123_456_000);

fn record(time: Timestamp) -> DecisionRecord<'static> {
    let id = DecisionId::new(time, &SystemEntropy::new()).unwrap();
    let (leaf, authority) = (Some(Digest::of(b"a leaf")), Some(Digest::of(b"an authority")));
    DecisionRecord { decision_id: id, time, leaf, authority, ..decision(time) }
}

fn policy(key: VerifierKey) -> Policy {
    Policy::log_only(&key.name().to_string(), key)
}

/// A log with this one decision, and its receipt.
fn receipt(with_certificates: bool) -> (tempfile::TempDir, Policy, Receipt) {
    let home = tempfile::tempdir().unwrap();
    let record = record(NOW);
    let (path, key) = of_decisions(home.path(), &[self::record(NOW), record.clone()]);
    if with_certificates {
        for certificate in [&b"a leaf"[..], b"an authority"] {
            Archive::new(&path).keep(Shelf::Certificates, certificate).unwrap();
        }
    }
    let receipts = Receipts::new(&path, policy(key.clone()));
    let Found::Receipt(receipt) = receipts.find(record.decision_id, NOW).unwrap() else { panic!("there is none") };
    (home, policy(key), *receipt)
}

#[test]
fn a_receipt_has_the_certificates_if_they_are_kept_and_is_read_as_it_was_written() {
    for kept in [true, false] {
        let (_home, policy, receipt) = receipt(kept);
        let text = receipt.to_string();
        let read = Receipt::parse(text.as_bytes()).unwrap();
        assert_eq!(read, receipt);
        let proved = read.verify(&policy).unwrap();
        assert_eq!(proved.index, 1);
        assert_eq!(proved.chain.is_some(), kept);
        // What stands before the certificates is a proof that any program for such proofs reads.
        let proof = text.split("-----BEGIN").next().unwrap();
        assert_eq!(LogProof::parse(proof.as_bytes()).unwrap(), receipt.proof);
    }
}

#[test]
fn no_bit_of_a_receipt_can_be_changed_and_no_byte_be_lost_or_added() {
    let (_home, policy, receipt) = receipt(true);
    let text = receipt.to_string().into_bytes();
    let holds = |bytes: &[u8]| Receipt::parse(bytes).is_ok_and(|receipt| receipt.verify(&policy).is_ok());
    assert!(holds(&text));
    for place in 0..text.len() {
        for bit in 0..8 {
            let mut changed = text.clone();
            changed[place] ^= 1 << bit;
            assert!(!holds(&changed), "{place}.{bit}: {:?}", String::from_utf8_lossy(&changed));
        }
        let mut lost = text.clone();
        lost.remove(place);
        // Of two equal bytes it does not matter which is gone; what is left is another text all the same.
        assert!(!holds(&lost), "{place}");
    }
    assert!(!holds(&[&text[..], b"\n"].concat()));
    // Without its certificates it is a receipt that claims less.
    let end = String::from_utf8(text.clone()).unwrap().find("-----BEGIN").unwrap();
    assert!(holds(&text[..end]));
}

#[test]
fn certificates_that_the_record_does_not_name_are_refused() {
    let (_home, policy, receipt) = receipt(true);
    let other = |chain: [&[u8]; 2]| Receipt { chain: Some(chain.map(<[u8]>::to_vec)), ..receipt.clone() };
    for (chain, what) in [
        ([&b"another leaf"[..], b"an authority"], "leaf"),
        ([b"a leaf", b"another authority"], "authority"),
        ([b"an authority", b"a leaf"], "leaf"),
    ] {
        let found = other(chain).verify(&policy).map(|proved| proved.index);
        assert!(matches!(found, Err(ReceiptError::OtherCertificate(which)) if which == what), "{found:?}");
    }
}

#[test]
fn a_decision_is_found_wherever_it_is_and_whatever_the_clock_did() {
    let home = tempfile::tempdir().unwrap();
    let at = |number: u64| NOW.after(Duration::from_millis(number * 40));
    let mut records: Vec<_> = (0..1500).map(|number| record(at(number))).collect();
    // A clock that was an hour behind for a while.
    for (number, record) in (700..720).zip(&mut records[700..720]) {
        *record = self::record(at(number).before(Duration::from_hours(1)));
    }
    let (path, key) = of_decisions(home.path(), &records);
    let receipts = Receipts::new(&path, policy(key));
    for number in (0..1500).step_by(53).chain([0, 255, 256, 700, 719, 1499]) {
        let found = receipts.entry(records[number].decision_id, 1500).unwrap();
        assert_eq!(found.map(|(index, _)| usize::try_from(index).unwrap()), Some(number));
    }
    let unknown = record(at(3)).decision_id;
    assert!(receipts.entry(unknown, 1500).unwrap().is_none());
    let later = NOW.after(Duration::from_hours(1));
    assert!(matches!(receipts.find(unknown, later).unwrap(), Found::Nothing));
    // It may be of a record that is about to be written.
    assert!(matches!(receipts.find(unknown, at(4)).unwrap(), Found::Pending));
}

/// Whoever asks over the network can't have the whole log read, and is told if there may have been something.
#[test]
fn a_receipt_is_looked_for_around_the_time_of_its_decision_alone() {
    let home = tempfile::tempdir().unwrap();
    let at = |number: u64| NOW.after(Duration::from_millis(number * 100));
    let mut records: Vec<_> = (0..1500).map(|number| record(at(number))).collect();
    // Far from where it should be.
    records[1400] = record(at(3));
    let (path, key) = of_decisions(home.path(), &records);
    let receipts = Receipts::new(&path, policy(key));
    let found = |id| receipts.find_near(id, NOW.after(Duration::from_hours(1))).unwrap();
    assert!(matches!(found(records[900].decision_id), Found::Receipt(_)));
    assert!(matches!(found(records[1400].decision_id), Found::Nothing));
    assert!(receipts.entry(records[1400].decision_id, 1500).unwrap().is_some());

    let plan = Retention::of(&path).prune(1500, at(700), |_| Ok(())).unwrap();
    assert_eq!(plan.end, 512);
    assert!(matches!(found(records[100].decision_id), Found::TakenOut));
    assert!(matches!(found(records[900].decision_id), Found::Receipt(_)));
    assert!(matches!(found(record(at(1000)).decision_id), Found::Nothing));
}
