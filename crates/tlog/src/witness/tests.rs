use proptest::prelude::*;

use super::*;
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::hash::{Hash, leaf_hash};
use crate::note::{NoteSigner, VerifierKey, VerifyError};
use crate::proof::{LinesError, ProofError, consistency};
use crate::testing::{LOG, flip};
use crate::tree::{TreeHead, TreeReader};

const ORIGIN: &str = "log.example";

/// The example of tlog-witness.
const EXAMPLE: &str = "old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
";

fn signer(name: &str) -> NoteSigner {
    NoteSigner::from_seed(name.parse().unwrap(), &[1; 32]).unwrap()
}

fn keys() -> Vec<VerifierKey> {
    vec![signer(ORIGIN).verifier().clone()]
}

fn head(size: u64) -> TreeHead {
    TreeReader::new(size, &*LOG).unwrap().head().unwrap()
}

fn signed(head: TreeHead) -> SignedCheckpoint {
    SignedCheckpoint::sign(Checkpoint::new(ORIGIN, head).unwrap(), &signer(ORIGIN)).unwrap()
}

fn request(old: u64, new: u64) -> AddCheckpoint {
    let proof = consistency(&mut TreeReader::new(new, &*LOG).unwrap(), old).unwrap();
    AddCheckpoint { old_size: old, proof, checkpoint: signed(head(new)) }
}

/// What a witness that knows the log at `latest` says to it.
fn answer(request: &AddCheckpoint, latest: TreeHead) -> Result<TreeHead, Refusal> {
    let keys = keys();
    decide(request, Some(&KnownLog { origin: ORIGIN, keys: &keys, latest })).map(|checkpoint| *checkpoint.head())
}

#[test]
fn the_example_of_the_specification_comes_apart() {
    let request = AddCheckpoint::parse(EXAMPLE.as_bytes()).unwrap();
    assert_eq!((request.old_size, request.proof.len()), (20_852_014, 4));
    assert_eq!(request.checkpoint.unverified().origin(), "example.com/behind-the-sofa");
    assert_eq!(request.checkpoint.signatures().len(), 2);
    assert_eq!(request.to_string(), EXAMPLE);
}

#[test]
fn a_log_that_grows_is_cosigned_step_by_step() {
    let mut latest = TreeHead::empty();
    for size in [0, 1, 1, 2, 3, 255, 256, 257, 1000, 65_536, 70_000] {
        let request = request(latest.size, size);
        let read = AddCheckpoint::parse(request.to_string().as_bytes()).unwrap();
        assert_eq!(read, request);
        latest = answer(&read, latest).unwrap();
        assert_eq!(latest, head(size));
    }
}

fn refusal(request: &AddCheckpoint, latest: TreeHead) -> (u16, Refusal) {
    let refusal = answer(request, latest).unwrap_err();
    (refusal.status(), refusal)
}

#[test]
fn an_unknown_log_is_404() {
    let request = request(0, 3);
    assert_eq!(decide(&request, None), Err(Refusal::UnknownLog));
    let keys = keys();
    let other = KnownLog { origin: "log.example/2", keys: &keys, latest: TreeHead::empty() };
    assert_eq!(decide(&request, Some(&other)), Err(Refusal::UnknownLog));
    assert_eq!(Refusal::UnknownLog.status(), 404);
}

#[test]
fn a_checkpoint_that_the_log_has_not_signed_is_403() {
    let keys = [NoteSigner::from_seed(ORIGIN.parse().unwrap(), &[2; 32]).unwrap().verifier().clone()];
    let request = request(0, 3);
    let known = KnownLog { origin: ORIGIN, keys: &keys, latest: TreeHead::empty() };
    let refusal = decide(&request, Some(&known)).unwrap_err();
    assert_eq!((refusal.status(), refusal), (403, Refusal::Signature(VerifyError::Unknown)));
    let text = request.to_string().replacen("\n3\n", "\n4\n", 1);
    let tampered = AddCheckpoint::parse(text.as_bytes()).unwrap();
    let (status, refusal) = self::refusal(&tampered, TreeHead::empty());
    assert!(status == 403 && matches!(refusal, Refusal::Signature(VerifyError::Wrong { .. })), "{refusal}");
}

/// Who has not the log's key learns nothing of what the witness has seen.
#[test]
fn the_signature_is_looked_at_before_the_sizes() {
    let forged = AddCheckpoint::parse(request(0, 3).to_string().replacen("\n3\n", "\n4\n", 1).as_bytes()).unwrap();
    for latest in [0, 3, 5] {
        assert_eq!(refusal(&forged, head(latest)).0, 403);
    }
}

#[test]
fn an_old_size_above_the_new_one_is_400() {
    let request = AddCheckpoint { old_size: 4, ..request(3, 3) };
    assert_eq!(refusal(&request, head(4)), (400, Refusal::OldSize { old: 4, new: 3 }));
}

#[test]
fn another_old_size_than_the_latest_is_409_and_says_which_it_is() {
    for (old, latest) in [(0, 3), (2, 3), (4, 3), (1, 0)] {
        let (status, refusal) = refusal(&request(old, 5), head(latest));
        assert_eq!((status, &refusal), (409, &Refusal::Conflict { latest }));
        let (content_type, body) = refusal.body();
        assert_eq!((content_type, parse_size(body.as_bytes())), ("text/x.tlog.size", Some(latest)));
    }
}

#[test]
fn a_fork_is_422() {
    let fork = TreeHead { size: 3, root: leaf_hash(b"other") };
    for new in [3, 4, 5, 300] {
        let (status, refusal) = refusal(&request(3, new), fork);
        assert!(status == 422 && matches!(refusal, Refusal::Inconsistent(_)), "{new}: {refusal}");
    }
}

#[test]
fn a_wrong_proof_is_422() {
    let good = request(3, 5);
    let mut wrong = Vec::new();
    for at in 0..good.proof.len() {
        let mut proof = good.proof.clone();
        proof[at] = leaf_hash(b"other");
        wrong.push(proof);
    }
    wrong.extend([Vec::new(), good.proof[1..].to_vec(), [good.proof.as_slice(), &[leaf_hash(b"")]].concat()]);
    for proof in wrong {
        assert_eq!(refusal(&AddCheckpoint { proof, ..good.clone() }, head(3)).0, 422);
    }
    let needless = vec![leaf_hash(b"")];
    for (old, new) in [(0, 3), (3, 3)] {
        let request = AddCheckpoint { proof: needless.clone(), ..request(old, new) };
        assert_eq!(refusal(&request, head(old)), (422, Refusal::Inconsistent(ProofError::Length(1))));
    }
}

#[test]
fn an_empty_tree_with_another_root_is_422() {
    let checkpoint = signed(TreeHead { size: 0, root: leaf_hash(b"") });
    let request = AddCheckpoint { old_size: 0, proof: Vec::new(), checkpoint };
    assert_eq!(refusal(&request, TreeHead::empty()), (422, Refusal::Inconsistent(ProofError::Root { size: 0 })));
}

#[test]
fn what_is_no_request_is_refused_for_a_reason() {
    let parse = |from: &str, to: &str| AddCheckpoint::parse(EXAMPLE.replacen(from, to, 1).as_bytes()).unwrap_err();
    assert_eq!(parse("old ", ""), RequestError::OldSize);
    assert_eq!(parse("old ", "old  "), RequestError::OldSize);
    assert_eq!(parse("old ", "new "), RequestError::OldSize);
    assert_eq!(parse("old 2", "old 02"), RequestError::OldSize);
    assert_eq!(parse("PlRN", "PlR"), RequestError::Lines(LinesError::Hash(1)));
    assert_eq!(parse("jrJZ", "\u{2003}jrJZ"), RequestError::Lines(LinesError::Hash(2)));
    assert!(matches!(parse("\n\n", "\n\n\n"), RequestError::Checkpoint(_)));
    assert_eq!(AddCheckpoint::parse(b"old 5\n"), Err(RequestError::Lines(LinesError::Endless)));
    let hash = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n";
    assert!(AddCheckpoint::parse(EXAMPLE.replacen(hash, &hash.repeat(60), 1).as_bytes()).is_ok());
    assert_eq!(parse(hash, &hash.repeat(61)), RequestError::Lines(LinesError::TooMany));
    let long = vec![b'x'; MAX_LENGTH + 1];
    assert_eq!(AddCheckpoint::parse(&long), Err(RequestError::TooLong(MAX_LENGTH + 1)));
}

#[test]
fn a_size_is_a_line_with_a_number() {
    assert_eq!(parse_size(b"0\n"), Some(0));
    assert_eq!(parse_size(b"9223372036854775807\n"), Some(MAX_SIZE));
    for other in ["", "\n", "1", "01\n", "1\n\n", " 1\n", "-1\n", "9223372036854775808\n", "1\r\n"] {
        assert_eq!(parse_size(other.as_bytes()), None, "{other:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_request_in_which_any_bit_has_changed_is_not_cosigned(sizes in (1_u64..600, 0_u64..600), bit in any::<prop::sample::Index>()) {
        let (old, new) = (sizes.0, sizes.0 + sizes.1);
        let written = request(old, new).to_string().into_bytes();
        let changed = AddCheckpoint::parse(&flip(&written, bit.index(written.len() * 8)));
        prop_assert!(!changed.is_ok_and(|request| answer(&request, head(old)).is_ok()));
    }

    #[test]
    fn a_changed_request_is_canonical_or_refused(at in any::<prop::sample::Index>(), byte in any::<u8>(), insert in any::<bool>()) {
        let mut bytes = EXAMPLE.as_bytes().to_vec();
        let at = at.index(bytes.len());
        if insert { bytes.insert(at, byte) } else { bytes[at] = byte }
        if let Ok(request) = AddCheckpoint::parse(&bytes) {
            prop_assert_eq!(request.to_string().into_bytes(), bytes);
        }
    }

    #[test]
    fn random_bytes_are_no_request(bytes in prop::collection::vec(any::<u8>(), 0..300), hashes in prop::collection::vec(any::<[u8; 32]>(), 0..5)) {
        let lines: Vec<_> = hashes.into_iter().map(|hash| format!("{}\n", Hash::from(hash))).collect();
        prop_assert!(AddCheckpoint::parse(&bytes).is_err());
        prop_assert!(AddCheckpoint::parse(&[b"old 1\n", lines.concat().as_bytes(), b"\n", &bytes].concat()).is_err());
        let _size = parse_size(&bytes);
    }
}
