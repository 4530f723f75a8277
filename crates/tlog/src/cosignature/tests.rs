use aws_lc_rs::signature::{ED25519, ML_DSA_44, UnparsedPublicKey};

use super::*;
use crate::checkpoint::SignedCheckpoint;
use crate::hash::leaf_hash;
use crate::note::{Note, NoteSigner, VerifyError};
use crate::testing::{flip, flip_hash};
use crate::tree::TreeHead;

const TIME: u64 = 1_679_315_147;

fn checkpoint(size: u64) -> Checkpoint {
    Checkpoint::new("log.example", TreeHead { size, root: leaf_hash(b"root") }).unwrap()
}

fn cosigners() -> [Cosigner; 2] {
    let name = || "w.example/1".parse().unwrap();
    [Cosigner::ed25519(name(), &[1; 32]).unwrap(), Cosigner::ml_dsa_44(name(), &[2; 32]).unwrap()]
}

fn verify_blob(key: &VerifierKey, checkpoint: &Checkpoint, blob: &[u8]) -> Option<u64> {
    verify(&checkpoint.to_string(), blob, key)
}

#[test]
fn what_ed25519_signs_is_written_in_the_specification() {
    let [cosigner, _] = cosigners();
    let signature = cosigner.cosign(&checkpoint(3), TIME).unwrap();
    let (time, raw) = signature.bytes().split_at(8);
    assert_eq!(time, TIME.to_be_bytes());
    let message = format!("cosignature/v1\ntime 1679315147\nlog.example\n3\n{}\n", leaf_hash(b"root"));
    let key = UnparsedPublicKey::new(&ED25519, cosigner.verifier().bytes());
    assert!(key.verify(message.as_bytes(), raw).is_ok());
}

#[test]
fn what_ml_dsa_44_signs_is_written_in_the_specification() {
    let [_, cosigner] = cosigners();
    let signature = cosigner.cosign(&checkpoint(0x0102), TIME).unwrap();
    let (time, raw) = signature.bytes().split_at(8);
    assert_eq!((time, raw.len()), (TIME.to_be_bytes().as_slice(), 2420));
    let mut message = b"subtree/v1\n\0\x0bw.example/1\0\0\0\0\x64\x18\x50\xcb\x0blog.example".to_vec();
    message.extend(b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x02");
    message.extend(leaf_hash(b"root").as_bytes());
    let key = UnparsedPublicKey::new(&ML_DSA_44, cosigner.verifier().bytes());
    assert!(key.verify(&message, raw).is_ok());
}

#[test]
fn a_cosignature_holds_for_its_checkpoint_and_time_alone() {
    for cosigner in cosigners() {
        let key = cosigner.verifier();
        let blob = cosigner.cosign(&checkpoint(3), TIME).unwrap().bytes().to_vec();
        assert_eq!(verify_blob(key, &checkpoint(3), &blob), Some(TIME));
        assert_eq!(verify_blob(key, &checkpoint(4), &blob), None);
        let other_root = TreeHead { size: 3, root: flip_hash(&leaf_hash(b"root"), 255) };
        assert_eq!(verify_blob(key, &Checkpoint::new("log.example", other_root).unwrap(), &blob), None);
        let other_log = Checkpoint::new("log.exampl", *checkpoint(3).head()).unwrap();
        assert_eq!(verify_blob(key, &other_log, &blob), None);
        let extended = checkpoint(3).with_extension("x").unwrap();
        assert_eq!(verify_blob(key, &extended, &blob), None, "extension lines are covered or refused");
        for bit in (0..64).chain((64..blob.len() * 8).step_by(61)) {
            assert_eq!(verify_blob(key, &checkpoint(3), &flip(&blob, bit)), None, "bit {bit}");
        }
        for end in [0, 7, 8, blob.len() - 1] {
            assert_eq!(verify_blob(key, &checkpoint(3), &blob[..end]), None);
        }
        assert_eq!(verify_blob(key, &checkpoint(3), &[blob.as_slice(), &[0]].concat()), None);
    }
}

#[test]
fn only_ml_dsa_44_binds_the_name_of_the_cosigner() {
    for cosigner in cosigners() {
        let key = cosigner.verifier();
        let renamed = VerifierKey::new("w.example/2".parse().unwrap(), key.algorithm(), key.bytes()).unwrap();
        let blob = cosigner.cosign(&checkpoint(3), TIME).unwrap().bytes().to_vec();
        let bound = key.algorithm() == Algorithm::MlDsa44Cosignature;
        assert_eq!(verify_blob(&renamed, &checkpoint(3), &blob).is_none(), bound);
    }
}

/// A log that is cosigned and signs with one key, against the rules: the one signature is not the other.
#[test]
fn a_signature_of_a_note_is_no_cosignature_and_the_other_way_round() {
    let name = || "log.example".parse().unwrap();
    let log = NoteSigner::from_seed(name(), &[1; 32]).unwrap();
    let cosigner = Cosigner::ed25519(name(), &[1; 32]).unwrap();
    assert_eq!(log.verifier().bytes(), cosigner.verifier().bytes());
    let text = checkpoint(3).to_string();
    let signature = Note::sign(&text, &log).unwrap().signatures()[0].clone();
    assert_eq!(verify(&text, signature.bytes(), cosigner.verifier()), None);
    let timed = [TIME.to_be_bytes().as_slice(), signature.bytes()].concat();
    assert_eq!(verify(&text, &timed, cosigner.verifier()), None);
    let cosignature = cosigner.cosign(&checkpoint(3), TIME).unwrap();
    assert_eq!(verify(&text, cosignature.bytes(), log.verifier()), None);
    let as_note = Signature::new(name(), log.verifier().id(), cosignature.bytes()[8..].to_vec());
    let mut signed = SignedCheckpoint::sign(checkpoint(3), &log).unwrap();
    signed.add(as_note).unwrap();
    assert!(matches!(signed.verify(&[log.verifier().clone()]), Err(VerifyError::Wrong { .. })));
}

#[test]
fn what_would_mean_nothing_is_not_signed() {
    let [ed25519, ml_dsa] = cosigners();
    let extended = checkpoint(3).with_extension("x").unwrap();
    assert!(ed25519.cosign(&extended, TIME).is_ok());
    assert_eq!(ml_dsa.cosign(&extended, TIME), Err(CosignError::Extensions));
    let long = Checkpoint::new(&"o".repeat(256), *checkpoint(3).head()).unwrap();
    assert!(ed25519.cosign(&long, TIME).is_ok());
    assert_eq!(ml_dsa.cosign(&long, TIME), Err(CosignError::Origin(256)));
    for cosigner in [ed25519, ml_dsa] {
        assert_eq!(cosigner.cosign(&checkpoint(3), MAX_TIME + 1), Err(CosignError::Time(MAX_TIME + 1)));
        assert!(cosigner.cosign(&checkpoint(3), MAX_TIME).is_ok());
        assert_eq!(cosigner.cosign(&checkpoint(0), TIME), Err(CosignError::EmptyRoot));
        assert!(cosigner.cosign(&Checkpoint::new("a", TreeHead::empty()).unwrap(), TIME).is_ok());
    }
}

#[test]
fn a_time_that_no_clock_shows_is_refused() {
    let [cosigner, _] = cosigners();
    let time = u64::MAX;
    let message = format!("cosignature/v1\ntime {time}\n{}", checkpoint(3));
    let Pair::Ed25519(pair) = &cosigner.pair else { panic!("it is an Ed25519 key") };
    let blob = [time.to_be_bytes().as_slice(), pair.sign(message.as_bytes()).as_ref()].concat();
    assert_eq!(verify_blob(cosigner.verifier(), &checkpoint(3), &blob), None);
}

#[test]
fn a_cosigned_note_says_when() {
    let log = NoteSigner::from_seed("log.example".parse().unwrap(), &[9; 32]).unwrap();
    let mut signed = SignedCheckpoint::sign(checkpoint(3), &log).unwrap();
    let cosigners = cosigners();
    signed.add(cosigners[0].cosign(&checkpoint(3), TIME).unwrap()).unwrap();
    signed.add(cosigners[1].cosign(&checkpoint(3), 0).unwrap()).unwrap();
    let read = SignedCheckpoint::parse(signed.to_string().as_bytes()).unwrap();
    let keys = [log.verifier().clone(), cosigners[0].verifier().clone(), cosigners[1].verifier().clone()];
    let times: Vec<_> = read.verify(&keys).unwrap().iter().map(|signature| signature.time).collect();
    assert_eq!(times, [None, Some(TIME), None]);
}

#[test]
fn a_cosignature_of_what_is_no_checkpoint_is_refused() {
    for cosigner in cosigners() {
        let blob = cosigner.cosign(&checkpoint(3), TIME).unwrap().bytes().to_vec();
        assert_eq!(verify("hello\n", &blob, cosigner.verifier()), None);
    }
}
