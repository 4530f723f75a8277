use proptest::prelude::*;

use super::*;
use crate::checkpoint::Checkpoint;
use crate::note::NoteSigner;
use crate::testing::{LOG, flip};
use crate::tree::TreeReader;

const ORIGIN: &str = "log.example";

fn signer() -> NoteSigner {
    NoteSigner::from_seed(ORIGIN.parse().unwrap(), &[1; 32]).unwrap()
}

fn policy() -> Policy {
    Policy::log_only(ORIGIN, signer().verifier().clone())
}

fn proof(index: u64, size: u64) -> LogProof {
    let mut tree = TreeReader::new(size, &*LOG).unwrap();
    let hashes = proof::inclusion(&mut tree, index).unwrap();
    let checkpoint = Checkpoint::new(ORIGIN, tree.head().unwrap()).unwrap();
    LogProof { extra: None, index, hashes, checkpoint: SignedCheckpoint::sign(checkpoint, &signer()).unwrap() }
}

#[test]
fn a_proof_is_written_as_the_specification_has_it() {
    let proof = LogProof { extra: Some(b"hint".to_vec()), ..proof(2, 3) };
    let root = naive(3);
    let start = format!("c2sp.org/tlog-proof@v1\nextra aGludA==\nindex 2\n{}\n\n", naive(2));
    let text = proof.to_string();
    assert!(text.starts_with(&format!("{start}log.example\n3\n{root}\n\n— log.example ")), "{text}");
    assert_eq!(LogProof::parse(text.as_bytes()), Ok(proof));
}

fn naive(size: usize) -> Hash {
    crate::testing::naive_root(&LOG.leaves[..size])
}

#[test]
fn an_entry_is_proven_with_nothing_but_the_key() {
    for (index, size) in [(0, 1), (0, 2), (2, 3), (255, 256), (256, 257), (12_345, 70_000)] {
        let read = LogProof::parse(proof(index, size).to_string().as_bytes()).unwrap();
        let leaf = LOG.leaves[usize::try_from(index).unwrap()];
        let (policy, wrong) = (policy(), LOG.leaves[usize::try_from(index).unwrap() + 1]);
        assert_eq!(read.verify(&policy, &leaf).unwrap().checkpoint.head().size, size);
        assert!(matches!(read.verify(&policy, &wrong), Err(UnprovenError::Inclusion(_))));
        let other = Policy::log_only("log.example/2", signer().verifier().clone());
        assert!(matches!(read.verify(&other, &leaf), Err(UnprovenError::Checkpoint(_))));
    }
}

#[test]
fn every_bit_of_a_proof_matters() {
    let (written, policy) = (proof(2, 5).to_string().into_bytes(), policy());
    for bit in 0..written.len() * 8 {
        let changed = LogProof::parse(&flip(&written, bit));
        let proven = changed.is_ok_and(|proof| proof.verify(&policy, &LOG.leaves[2]).is_ok());
        assert!(!proven, "bit {bit}");
    }
}

#[test]
fn everything_else_is_refused_for_a_reason() {
    let good = proof(2, 5).to_string();
    let bad = |from: &str, to: &str| LogProof::parse(good.replacen(from, to, 1).as_bytes()).unwrap_err();
    assert_eq!(bad("@v1", "@v2"), LogProofError::FirstLine);
    assert_eq!(bad("c2sp", " c2sp"), LogProofError::FirstLine);
    assert_eq!(bad("index 2", "extra \nindex 2"), LogProofError::Extra);
    assert_eq!(bad("index 2", "extra AAA\nindex 2"), LogProofError::Extra);
    assert_eq!(bad("index 2", "extra AAAA\nextra AAAA\nindex 2"), LogProofError::Index);
    assert_eq!(bad("index 2", "index 02"), LogProofError::Index);
    assert_eq!(bad("index 2", "index  2"), LogProofError::Index);
    assert_eq!(bad("index 2", "index -2"), LogProofError::Index);
    assert_eq!(bad("index 2", "Index 2"), LogProofError::Index);
    assert_eq!(bad("index 2\n", ""), LogProofError::Index);
    assert_eq!(bad("index 2\n", "index 2\nAAAA\n"), LogProofError::Lines(LinesError::Hash(1)));
    let long = format!("index 2\n{}", format!("{}\n", naive(1)).repeat(64));
    assert_eq!(bad("index 2\n", &long), LogProofError::Lines(LinesError::TooMany));
    assert!(matches!(bad("\n\n", "\n\n\n"), LogProofError::Checkpoint(_)));
    let cut = format!("{}\n", good.split("\n\n").next().unwrap());
    assert_eq!(LogProof::parse(cut.as_bytes()), Err(LogProofError::Lines(LinesError::Endless)));
    assert_eq!(LogProof::parse(b""), Err(LogProofError::FirstLine));
    assert_eq!(LogProof::parse(b"\xff\n"), Err(LogProofError::FirstLine));
    let endless = vec![b'x'; MAX_LENGTH + 1];
    assert_eq!(LogProof::parse(&endless), Err(LogProofError::TooLong(MAX_LENGTH + 1)));
}

proptest! {
    #[test]
    fn a_changed_proof_is_canonical_or_refused(at in any::<prop::sample::Index>(), byte in any::<u8>(), insert in any::<bool>()) {
        let mut bytes = proof(2, 5).to_string().into_bytes();
        let at = at.index(bytes.len());
        if insert { bytes.insert(at, byte) } else { bytes[at] = byte }
        if let Ok(proof) = LogProof::parse(&bytes) {
            prop_assert_eq!(proof.to_string().into_bytes(), bytes);
        }
    }

    #[test]
    fn random_bytes_are_no_proof(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(LogProof::parse(&bytes).is_err());
        let after_first_line = [FIRST_LINE.as_bytes(), b"\nindex 0\n", &bytes].concat();
        prop_assert!(LogProof::parse(&after_first_line).is_err());
    }
}
