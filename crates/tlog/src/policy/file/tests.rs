use std::fmt::Write as _;

use proptest::prelude::*;

use super::super::UntrustedError;
use super::*;
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::cosignature::Cosigner;
use crate::hash::leaf_hash;
use crate::note::NoteSigner;
use crate::tree::TreeHead;

const ORIGIN: &str = "log.example";

fn log() -> NoteSigner {
    NoteSigner::from_seed(ORIGIN.parse().unwrap(), &[1; 32]).unwrap()
}

fn witness(seed: u8) -> Cosigner {
    Cosigner::ed25519(format!("witness.example/{seed}").parse().unwrap(), &[seed; 32]).unwrap()
}

/// The log and six witnesses, in two groups, as in the example of the specification.
fn example(rest: &str) -> String {
    let mut text = format!("# whom to believe\n\n  log {} https://log.example/\n", log().verifier());
    for seed in 2..8 {
        writeln!(text, "witness w{seed}\t{}", witness(seed).verifier()).unwrap();
    }
    text + rest
}

const GROUPS: &str = "group X 2 w2 w3 w4\ngroup Y any w5 w6 w7\ngroup XY all X Y\nquorum XY\n";

fn verify(policy: &str, by: &[u8]) -> Result<usize, UntrustedError> {
    let checkpoint = Checkpoint::new(ORIGIN, TreeHead { size: 3, root: leaf_hash(b"") }).unwrap();
    let mut signed = SignedCheckpoint::sign(checkpoint.clone(), &log()).unwrap();
    for seed in by {
        signed.add(witness(*seed).cosign(&checkpoint, 7).unwrap()).unwrap();
    }
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    policy.verify(&signed).map(|verified| verified.witnesses.len())
}

#[test]
fn a_quorum_of_groups_needs_enough_of_each() {
    let policy = example(GROUPS);
    assert_eq!(verify(&policy, &[2, 4, 7]), Ok(3));
    assert_eq!(verify(&policy, &[2, 3, 4, 5, 6, 7]), Ok(6));
    for (by, found) in [(&[][..], 0), (&[2, 3, 4], 1), (&[2, 7], 1), (&[5, 6, 7, 2], 1), (&[4], 0)] {
        assert_eq!(verify(&policy, by), Err(UntrustedError::Quorum { found, needed: 2 }), "{by:?}");
    }
    assert_eq!(verify(&example("quorum none\n"), &[]), Ok(0));
    assert_eq!(verify(&example("quorum w3\n"), &[3]), Ok(1));
    let missing = Err(UntrustedError::Quorum { found: 0, needed: 1 });
    assert_eq!(verify(&example("quorum w3\n"), &[2, 4]), missing);
}

#[test]
fn a_policy_without_the_log_believes_none() {
    let found = verify("quorum none\n", &[]);
    assert!(matches!(found, Err(UntrustedError::Origin { .. })), "{found:?}");
    let other = NoteSigner::from_seed("other.example".parse().unwrap(), &[9; 32]).unwrap();
    let policy = format!("log {}\n{}", other.verifier(), example("quorum none\n"));
    assert_eq!(verify(&policy, &[]), Ok(0));
    assert_eq!(Policy::parse(policy.as_bytes()).unwrap().origins().collect::<Vec<_>>(), [ORIGIN, "other.example"]);
}

#[test]
fn what_can_not_be_meant_is_refused_where_it_stands() {
    let (log, key) = (log().verifier().to_string(), witness(9).verifier().to_string());
    let same = witness(2).verifier().to_string();
    let renamed = Cosigner::ed25519("other.example".parse().unwrap(), &[2; 32]).unwrap().verifier().to_string();
    let cases = [
        (String::new(), 10, PolicyFileFault::Quorum),
        ("quorum none\nquorum none\n".to_owned(), 11, PolicyFileFault::Quorum),
        ("quorum nobody\n".to_owned(), 10, PolicyFileFault::UnknownName),
        ("quorum\n".to_owned(), 10, PolicyFileFault::Form),
        ("Quorum none\n".to_owned(), 10, PolicyFileFault::Form),
        ("group G any w2 w2\n".to_owned(), 10, PolicyFileFault::MemberTwice),
        ("group G any w2\ngroup H any w2\n".to_owned(), 11, PolicyFileFault::MemberTwice),
        ("group G any later\nwitness later x\n".to_owned(), 10, PolicyFileFault::UnknownName),
        ("group G any none\n".to_owned(), 10, PolicyFileFault::UnknownName),
        ("group G 3 w2 w3\n".to_owned(), 10, PolicyFileFault::Count),
        ("group G 0 w2\n".to_owned(), 10, PolicyFileFault::Count),
        ("group G all\n".to_owned(), 10, PolicyFileFault::Count),
        ("group w2 any w3\n".to_owned(), 10, PolicyFileFault::NameTaken),
        (format!("witness none {key}\n"), 10, PolicyFileFault::NameTaken),
        (format!("witness w2 {key}\n"), 10, PolicyFileFault::NameTaken),
        (format!("witness w9 {same}\n"), 10, PolicyFileFault::SameKey),
        (format!("witness w9 {renamed}\n"), 10, PolicyFileFault::SameKey),
        (format!("log {log}\n"), 10, PolicyFileFault::SameKey),
        (format!("log {key}\n"), 10, PolicyFileFault::Algorithm),
        ("witness w9 nonsense\n".to_owned(), 10, PolicyFileFault::Form),
    ];
    for (rest, line, fault) in cases {
        let found = Policy::parse(example(&rest).as_bytes()).unwrap_err();
        if rest.contains("nonsense") {
            assert!(matches!(found, PolicyFileError { line: 10, fault: PolicyFileFault::Key(_) }), "{found}");
        } else {
            assert_eq!(found, PolicyFileError { line, fault }, "{rest}");
        }
    }
    for text in ["", "quorum none", "quorum none\r\n", "quorum\u{b}none\n"] {
        let fault = Policy::parse(text.as_bytes()).unwrap_err().fault;
        assert_eq!(fault, PolicyFileFault::Text, "{text:?}");
    }
}

#[test]
fn names_and_comments_are_bytes() {
    let key = witness(9).verifier().to_string();
    let text = [b"witness \xff ".as_slice(), key.as_bytes(), b"\n# \xfe\nquorum \xff\n"];
    assert!(Policy::parse(&text.concat()).is_ok());
}

proptest! {
    #[test]
    fn any_bytes_are_a_policy_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _parsed = Policy::parse(&bytes);
    }

    #[test]
    fn any_lines_are_a_policy_or_refused(text in "((group|witness|log|quorum|#)( (w2|w3|G|H|all|any|none|1|2)){0,4}\n){0,8}") {
        if let Ok(policy) = Policy::parse(example(&text).as_bytes()) {
            prop_assert!(text.contains("quorum"));
            prop_assert_eq!(policy.origins().count(), 1);
        }
    }
}
