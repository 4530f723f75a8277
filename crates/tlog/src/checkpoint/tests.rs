use proptest::prelude::*;

use super::*;
use crate::cosignature::Cosigner;
use crate::hash::{Hash, leaf_hash};
use crate::note::{NoteSigner, Signature, VerifyError};

/// The example of tlog-checkpoint.
const EXAMPLE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

fn head(size: u64) -> TreeHead {
    TreeHead { size, root: leaf_hash(b"root") }
}

fn signer(name: &str) -> NoteSigner {
    NoteSigner::from_seed(name.parse().unwrap(), &[1; 32]).unwrap()
}

fn witness(name: &str) -> Cosigner {
    Cosigner::ed25519(name.parse().unwrap(), &[2; 32]).unwrap()
}

fn signed() -> SignedCheckpoint {
    SignedCheckpoint::sign(Checkpoint::new("log.example", head(3)).unwrap(), &signer("log.example")).unwrap()
}

#[test]
fn the_example_of_the_specification_comes_apart() {
    let checkpoint: Checkpoint = EXAMPLE.parse().unwrap();
    assert_eq!((checkpoint.origin(), checkpoint.head().size), ("example.com/behind-the-sofa", 20_852_163));
    assert_eq!(checkpoint.head().root.to_string(), "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=");
    assert!(checkpoint.extensions().is_empty());
    assert_eq!(checkpoint.to_string(), EXAMPLE);
    let line = "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
    let note = format!("{EXAMPLE}\n{line}");
    let signed = SignedCheckpoint::parse(note.as_bytes()).unwrap();
    assert_eq!((signed.unverified(), signed.signatures().len()), (&checkpoint, 1));
    assert_eq!(signed.to_string(), note);
}

#[test]
fn everything_else_is_refused_for_a_reason() {
    let (origin, root) = ("example.com/log", "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=");
    let cases = [
        (String::new(), CheckpointError::Lines),
        ("\n".to_owned(), CheckpointError::Lines),
        (format!("{origin}\n5\n"), CheckpointError::Lines),
        (format!("{origin}\n5\n{root}"), CheckpointError::Lines),
        (format!("\n5\n{root}\n"), CheckpointError::Origin),
        (format!("a\tb\n5\n{root}\n"), CheckpointError::Origin),
        (format!("a\rb\n5\n{root}\n"), CheckpointError::Origin),
        (format!("{origin}\n\n{root}\n"), CheckpointError::Size),
        (format!("{origin}\n05\n{root}\n"), CheckpointError::Size),
        (format!("{origin}\n00\n{root}\n"), CheckpointError::Size),
        (format!("{origin}\n+5\n{root}\n"), CheckpointError::Size),
        (format!("{origin}\n-5\n{root}\n"), CheckpointError::Size),
        (format!("{origin}\n 5\n{root}\n"), CheckpointError::Size),
        (format!("{origin}\n5 \n{root}\n"), CheckpointError::Size),
        (format!("{origin}\n0x5\n{root}\n"), CheckpointError::Size),
        (format!("{origin}\n9223372036854775808\n{root}\n"), CheckpointError::Size),
        (format!("{origin}\n18446744073709551621\n{root}\n"), CheckpointError::Size),
        (format!("{origin}\n5\n\n"), CheckpointError::Root),
        (format!("{origin}\n5\n{}\n", root.trim_start_matches('C')), CheckpointError::Root),
        (format!("{origin}\n5\n{root}\n\n"), CheckpointError::Extension),
        (format!("{origin}\n5\n{root}\n\nx\n"), CheckpointError::Extension),
        (format!("{origin}\n5\n{root}\nx\ty\n"), CheckpointError::Extension),
    ];
    for (text, reason) in cases {
        assert_eq!(text.parse::<Checkpoint>(), Err(reason), "{text:?}");
    }
}

#[test]
fn what_could_not_be_read_is_not_made() {
    assert_eq!(Checkpoint::new("", head(1)), Err(CheckpointError::Origin));
    assert_eq!(Checkpoint::new("a\nb", head(1)), Err(CheckpointError::Origin));
    assert_eq!(Checkpoint::new("a", head(MAX_SIZE + 1)), Err(CheckpointError::Size));
    let checkpoint = Checkpoint::new("a", head(MAX_SIZE)).unwrap();
    assert_eq!(checkpoint.clone().with_extension(""), Err(CheckpointError::Extension));
    assert_eq!(checkpoint.clone().with_extension("x\ny"), Err(CheckpointError::Extension));
    let extended = checkpoint.with_extension("— not a signature").unwrap();
    assert_eq!(extended.to_string().parse(), Ok(extended));
}

#[test]
fn a_note_that_is_no_checkpoint_is_refused() {
    let note = crate::note::Note::sign("hello\n", &signer("a")).unwrap().to_string();
    assert_eq!(
        SignedCheckpoint::parse(note.as_bytes()),
        Err(SignedCheckpointError::Checkpoint(CheckpointError::Lines))
    );
}

fn cosignatures(name: &str, time: u64) -> Vec<Signature> {
    vec![witness(name).cosign(signed().unverified(), time).unwrap()]
}

#[test]
fn a_witness_adds_its_cosignature() {
    let mut signed = signed();
    let keys = [witness("w.example").verifier().clone()];
    let strangers = [cosignatures("other.example", 1), cosignatures("w.example", 1_700_000_000)].concat();
    let added = signed.add_cosignatures(strangers, &keys).unwrap();
    assert_eq!((added.len(), added[0].key, added[0].time), (1, &keys[0], Some(1_700_000_000)));
    assert_eq!(signed.signatures().len(), 2);
    let read = SignedCheckpoint::parse(signed.to_string().as_bytes()).unwrap();
    assert_eq!(read.verify(&keys).unwrap()[0].time, Some(1_700_000_000));
    signed.add_cosignatures(cosignatures("w.example", 1_800_000_000), &keys).unwrap();
    assert_eq!(signed.signatures().len(), 2, "the later one takes the place of the earlier");
    assert_eq!(signed.verify(&keys).unwrap()[0].time, Some(1_800_000_000));
}

#[test]
fn an_answer_that_is_not_a_cosignature_of_this_checkpoint_changes_nothing() {
    let mut checkpoint = signed();
    let keys = [witness("w.example").verifier().clone()];
    let other = Checkpoint::new("log.example", head(4)).unwrap();
    let of_another = vec![witness("w.example").cosign(&other, 1).unwrap()];
    assert!(matches!(checkpoint.add_cosignatures(of_another, &keys), Err(VerifyError::Wrong { .. })));
    let untimed = cosignatures("w.example", 0);
    assert!(matches!(checkpoint.add_cosignatures(untimed, &keys), Err(VerifyError::Untimed { .. })));
    assert_eq!(checkpoint.add_cosignatures(Vec::new(), &keys), Err(VerifyError::Unknown));
    assert_eq!(checkpoint.add_cosignatures(cosignatures("other.example", 1), &keys), Err(VerifyError::Unknown));
    assert_eq!(checkpoint, signed());
}

proptest! {
    #[test]
    fn a_checkpoint_reads_as_it_was_written(
        origin in "[^\u{0}-\u{1f}]{1,20}", size in 0..=MAX_SIZE, root in any::<[u8; 32]>(),
        extensions in prop::collection::vec("[^\u{0}-\u{1f}]{1,9}", 0..3),
    ) {
        let plain = Checkpoint::new(&origin, TreeHead { size, root: Hash::from(root) }).unwrap();
        let checkpoint = extensions.iter().try_fold(plain, |made, line| made.with_extension(line)).unwrap();
        let text = checkpoint.to_string();
        prop_assert_eq!(text.parse(), Ok(checkpoint.clone()));
        let theirs = tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).unwrap();
        prop_assert_eq!((theirs.origin(), theirs.size(), theirs.hash().0), (origin.as_str(), size, root));
        prop_assert_eq!(theirs.to_bytes(), text.into_bytes());
        let signed = SignedCheckpoint::sign(checkpoint, &signer("a")).unwrap();
        prop_assert_eq!(SignedCheckpoint::parse(signed.to_string().as_bytes()), Ok(signed));
    }

    #[test]
    fn any_text_is_canonical_or_refused(text in "[ab\n]{0,3}\n[0-9 +]{0,3}\n(CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=)?\n[x\n]{0,3}") {
        if let Ok(checkpoint) = text.parse::<Checkpoint>() {
            prop_assert_eq!(checkpoint.to_string(), text);
        }
    }
}
