use super::*;
use crate::cosignature::Cosigner;
use crate::hash::leaf_hash;
use crate::note::NoteSigner;
use crate::tree::TreeHead;

const ORIGIN: &str = "log.example";

fn log() -> NoteSigner {
    NoteSigner::from_seed(ORIGIN.parse().unwrap(), &[1; 32]).unwrap()
}

fn witness(name: &str, seed: u8) -> Cosigner {
    Cosigner::ed25519(name.parse().unwrap(), &[seed; 32]).unwrap()
}

fn key(cosigner: &Cosigner) -> VerifierKey {
    cosigner.verifier().clone()
}

fn signed(by: &[&Cosigner]) -> SignedCheckpoint {
    let checkpoint = Checkpoint::new(ORIGIN, TreeHead { size: 3, root: leaf_hash(b"") }).unwrap();
    let mut signed = SignedCheckpoint::sign(checkpoint.clone(), &log()).unwrap();
    for cosigner in by {
        signed.add(cosigner.cosign(&checkpoint, 7).unwrap()).unwrap();
    }
    signed
}

fn policy(witnesses: Vec<VerifierKey>, quorum: usize) -> Policy {
    Policy::new(ORIGIN, vec![log().verifier().clone()], witnesses, quorum).unwrap()
}

#[test]
fn a_quorum_is_counted_by_witnesses() {
    let (a, b, stranger) = (witness("a", 2), witness("b", 3), witness("c", 4));
    let quantum = Cosigner::ml_dsa_44("a".parse().unwrap(), &[5; 32]).unwrap();
    let policy = policy(vec![key(&a), key(&quantum), key(&b)], 2);
    let quorum = |found| Err(UntrustedError::Quorum { found, needed: 2 });
    let count = |by: &[&Cosigner]| policy.verify(&signed(by)).map(|verified| verified.witnesses.len());
    assert_eq!(count(&[]), quorum(0));
    assert_eq!(count(&[&a]), quorum(1));
    assert_eq!(count(&[&a, &quantum]), quorum(1), "two keys of one witness");
    assert_eq!(count(&[&a, &stranger]), quorum(1));
    assert_eq!(count(&[&a, &b]), Ok(2));
    assert_eq!(count(&[&b, &quantum, &a, &stranger]), Ok(3));
}

#[test]
fn witnesses_alone_do_not_make_a_checkpoint() {
    let (a, other) = (witness("a", 2), NoteSigner::from_seed(ORIGIN.parse().unwrap(), &[9; 32]).unwrap());
    let policy = Policy::new(ORIGIN, vec![other.verifier().clone()], vec![key(&a)], 1).unwrap();
    assert_eq!(policy.verify(&signed(&[&a])), Err(UntrustedError::Log(VerifyError::Unknown)));
}

#[test]
fn a_checkpoint_of_another_log_is_refused() {
    let policy = Policy::log_only("log.example/2", log().verifier().clone());
    let (found, expected) = (ORIGIN.to_owned(), "log.example/2".to_owned());
    assert_eq!(policy.verify(&signed(&[])), Err(UntrustedError::Origin { found, expected }));
}

#[test]
fn a_wrong_cosignature_is_not_passed_over_even_if_it_is_not_needed() {
    let (a, b) = (witness("a", 2), witness("b", 3));
    let mut checkpoint = signed(&[&a]);
    let other = Checkpoint::new(ORIGIN, TreeHead { size: 4, root: leaf_hash(b"") }).unwrap();
    checkpoint.add(b.cosign(&other, 7).unwrap()).unwrap();
    let error = policy(vec![key(&a), key(&b)], 1).verify(&checkpoint).unwrap_err();
    assert!(matches!(error, UntrustedError::Witness(VerifyError::Wrong { .. })), "{error}");
}

#[test]
fn a_policy_that_could_be_cheated_or_never_met_is_refused() {
    let (log, a) = (log().verifier().clone(), witness("a", 2));
    let make = |keys: &[&VerifierKey], witnesses: &[&Cosigner], quorum| {
        let keys = keys.iter().map(|key| (*key).clone()).collect();
        Policy::new(ORIGIN, keys, witnesses.iter().map(|witness| key(witness)).collect(), quorum).map(|_| ())
    };
    assert_eq!(make(&[], &[&a], 1), Err(PolicyError::NoKey));
    assert_eq!(make(&[&log], &[&a], 2), Err(PolicyError::Quorum { quorum: 2, witnesses: 1 }));
    let renamed = witness("b", 2);
    assert_eq!(
        make(&[&log], &[&a, &renamed], 2),
        Err(PolicyError::SameKey("a".parse().unwrap(), "b".parse().unwrap()))
    );
    let log_as_witness = witness("b", 1);
    assert!(matches!(make(&[&log], &[&a, &log_as_witness], 2), Err(PolicyError::SameKey(..))));
    let quantum = Cosigner::ml_dsa_44("a".parse().unwrap(), &[5; 32]).unwrap();
    assert_eq!(make(&[&log], &[&a, &quantum], 2), Err(PolicyError::Quorum { quorum: 2, witnesses: 1 }));
    assert_eq!(make(&[&log], &[&a, &quantum], 1), Ok(()));
}

#[test]
fn there_is_one_empty_tree() {
    let signed = |root| {
        let checkpoint = Checkpoint::new(ORIGIN, TreeHead { size: 0, root }).unwrap();
        SignedCheckpoint::sign(checkpoint, &log()).unwrap()
    };
    let policy = Policy::log_only(ORIGIN, log().verifier().clone());
    assert!(policy.verify(&signed(TreeHead::empty().root)).is_ok());
    assert_eq!(policy.verify(&signed(leaf_hash(b""))), Err(UntrustedError::EmptyRoot));
}
