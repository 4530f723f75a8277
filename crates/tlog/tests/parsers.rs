//! Every parser, given what is nearly right: no panic, and what is taken is written again as it was.
//!
//! A body takes any bytes, so that a fuzzer can run it too.

#![cfg(test)]

use std::fmt::Display;
use std::str::FromStr;

use portcullis_tlog::bundle::{self, Entries};
use portcullis_tlog::cosignature::Cosigner;
use portcullis_tlog::note::{KeyName, Note, NoteSigner, Signature, VerifierKey, parse_signatures};
use portcullis_tlog::policy::Policy;
use portcullis_tlog::proof::{verify_consistency, verify_inclusion};
use portcullis_tlog::witness::{AddCheckpoint, KnownLog, decide, parse_size};
use portcullis_tlog::{Checkpoint, Hash, LogProof, Resource, SignedCheckpoint, Tile, TreeHead, leaf_hash};
use proptest::prelude::*;
use proptest::sample::Index;

const ORIGIN: &str = "log.example";

type Body = fn(&[u8]);

/// All of them get all seeds: what is right for one is nearly right for another.
const BODIES: &[Body] = &[
    |bytes| same(bytes, Note::parse(bytes).ok()),
    |bytes| same(bytes, SignedCheckpoint::parse(bytes).ok()),
    |bytes| same(bytes, LogProof::parse(bytes).ok()),
    |bytes| same(bytes, AddCheckpoint::parse(bytes).ok()),
    |bytes| same(bytes, text::<Checkpoint>(bytes)),
    |bytes| same(bytes, text::<VerifierKey>(bytes)),
    |bytes| same(bytes, text::<KeyName>(bytes)),
    |bytes| same(bytes, text::<Hash>(bytes)),
    |bytes| same(bytes, text::<Resource>(bytes)),
    |bytes| same(bytes, text::<Tile>(bytes)),
    |bytes| same(bytes, parse_size(bytes).map(|size| format!("{size}\n"))),
    signatures,
    bundles,
    verifiers,
];

fn give_all(bytes: &[u8]) {
    for body in BODIES {
        body(bytes);
    }
}

fn text<T: FromStr>(bytes: &[u8]) -> Option<T> {
    str::from_utf8(bytes).ok()?.parse().ok()
}

fn same(bytes: &[u8], read: Option<impl Display>) {
    if let Some(read) = read {
        assert_eq!(read.to_string().as_bytes(), bytes);
    }
}

fn signatures(bytes: &[u8]) {
    let lines = |read: Vec<Signature>| read.iter().map(|line| format!("{line}\n")).collect::<Vec<_>>().concat();
    same(bytes, parse_signatures(bytes).ok().map(lines));
}

fn bundles(bytes: &[u8]) {
    let mut entries = Entries::new(bytes);
    let mut again = Vec::new();
    for entry in entries.by_ref().map_while(Result::ok) {
        bundle::push(&mut again, entry).unwrap();
    }
    assert_eq!(again, bytes[..entries.offset()]);
    for width in [0, 1, 256, u16::MAX] {
        let _entries = bundle::parse(bytes, width);
        assert!(bundle::narrow(bytes, width).is_ok_and(|narrow| bytes.starts_with(narrow)) || width > 0);
    }
    let _hashes = Tile::new(0, 0, 3).unwrap().parse(bytes);
}

/// What is read is verified too: nothing that a stranger changed may pass, nor end in a panic.
fn verifiers(bytes: &[u8]) {
    let keys = [signer().verifier().clone()];
    let policy = Policy::log_only(ORIGIN, keys[0].clone());
    if let Ok(proof) = LogProof::parse(bytes) {
        let _claimed = verify_inclusion(proof.checkpoint.unverified().head(), proof.index, &leaf(), &proof.hashes);
        // Extra data and signatures of strangers may be there.
        let right = proof.index == 0 && proof.hashes.is_empty() && *proof.checkpoint.unverified() == checkpoint();
        assert!(right || proof.verify(&policy, &leaf()).is_err());
    }
    if let Ok(request) = AddCheckpoint::parse(bytes) {
        let (old, new) = (TreeHead { size: request.old_size, root: leaf() }, request.checkpoint.unverified().head());
        let _claimed = verify_consistency(&old, new, &request.proof);
        let known = KnownLog { origin: ORIGIN, keys: &keys, latest: head() };
        let right = request.proof.is_empty() && *request.checkpoint.unverified() == checkpoint();
        assert!(right || decide(&request, Some(&known)).is_err());
    }
}

fn signer() -> NoteSigner {
    NoteSigner::from_seed(ORIGIN.parse().unwrap(), &[1; 32]).unwrap()
}

fn leaf() -> Hash {
    leaf_hash(b"entry")
}

fn head() -> TreeHead {
    TreeHead { size: 1, root: leaf() }
}

fn checkpoint() -> Checkpoint {
    Checkpoint::new(ORIGIN, head()).unwrap()
}

fn checkpoint_seed() -> SignedCheckpoint {
    SignedCheckpoint::sign(checkpoint(), &signer()).unwrap()
}

fn proof_seed() -> String {
    LogProof { extra: None, index: 0, hashes: Vec::new(), checkpoint: checkpoint_seed() }.to_string()
}

fn request_seed() -> String {
    AddCheckpoint { old_size: 1, proof: Vec::new(), checkpoint: checkpoint_seed() }.to_string()
}

fn seeds() -> Vec<Vec<u8>> {
    let cosigner = Cosigner::ed25519("w.example/1".parse().unwrap(), &[2; 32]).unwrap();
    let mut signed = checkpoint_seed();
    signed.add(cosigner.cosign(signed.unverified(), 7).unwrap()).unwrap();
    let with_extra = LogProof { extra: Some(vec![1]), index: 5, hashes: vec![leaf(); 3], checkpoint: signed.clone() };
    let texts = [
        signed.to_string(),
        signed.unverified().to_string(),
        format!("{}\n", signed.signatures()[1]),
        proof_seed(),
        with_extra.to_string(),
        request_seed(),
        AddCheckpoint { old_size: 3, proof: vec![leaf(); 2], checkpoint: signed }.to_string(),
        cosigner.verifier().to_string(),
        leaf().to_string(),
        "tile/entries/x001/067.p/9".to_owned(),
        "tile/3/x001/x234/067".to_owned(),
        "70000\n".to_owned(),
    ];
    texts.into_iter().map(String::into_bytes).chain([vec![0, 2, b'a', b'b', 0, 0, 0, 1, b'c'], vec![7; 96]]).collect()
}

#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    Repeat(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let byte = || prop_oneof![any::<u8>(), prop::sample::select(b"\n\n +=/0x.p\r\x7f-".to_vec())];
    prop_oneof![
        (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (any::<Index>(), byte()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        any::<Index>().prop_map(Change::Remove),
        any::<Index>().prop_map(Change::Cut),
        any::<(Index, Index)>().prop_map(|(from, to)| Change::Repeat(from, to)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let length = bytes.len().max(1);
    match change {
        _ if bytes.is_empty() => {}
        Change::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
        Change::Insert(at, byte) => bytes.insert(at.index(length), *byte),
        Change::Remove(at) => drop(bytes.remove(at.index(length))),
        Change::Cut(at) => bytes.truncate(at.index(length)),
        Change::Repeat(from, to) => {
            let (from, to) = (from.index(length), to.index(length));
            let piece = bytes[from.min(to)..from.max(to)].to_vec();
            bytes.splice(to..to, piece);
        }
    }
}

#[test]
fn the_seeds_are_right() {
    for seed in seeds() {
        give_all(&seed);
    }
    let policy = Policy::log_only(ORIGIN, signer().verifier().clone());
    assert!(LogProof::parse(proof_seed().as_bytes()).unwrap().verify(&policy, &leaf()).is_ok());
    assert!(AddCheckpoint::parse(request_seed().as_bytes()).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_nearly_right_is_the_same_again_or_refused(
        seed in any::<Index>(), changes in prop::collection::vec(change(), 1..4),
    ) {
        let mut bytes = seed.get(&seeds()).clone();
        for change in &changes {
            apply(&mut bytes, change);
        }
        give_all(&bytes);
    }

    #[test]
    fn any_bytes_are_the_same_again_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        give_all(&bytes);
    }
}
