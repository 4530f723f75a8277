mod keys;

use proptest::prelude::*;
use signed_note::Verifier as _;

use super::*;
use crate::testing::flip;

/// The key of Go's tests of notes.
const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETERS_SEED: &str = "gQoUAtUUbI2E8kQzMPVAgOv5juF9nHT2JS/F1ccoMXM=";
const PETERS_TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const PETERS_LINE: &str =
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const ENOCH: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const ENOCHS_LINE: &str =
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

fn key(vkey: &str) -> VerifierKey {
    vkey.parse().unwrap()
}

fn signer(name: &str, seed: u8) -> NoteSigner {
    NoteSigner::from_seed(name.parse().unwrap(), &[seed; 32]).unwrap()
}

fn note(text: &str, lines: &[&str]) -> Note {
    Note::parse(format!("{text}\n{}", lines.concat()).as_bytes()).unwrap()
}

fn signers<'k>(verified: &[VerifiedSignature<'k>]) -> Vec<&'k str> {
    verified.iter().map(|signature| signature.key.name().as_str()).collect()
}

#[test]
fn the_note_of_the_specification_is_verified() {
    let key = key("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k");
    let text = "This is an example message.\n";
    let line = "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    let keys = [key];
    let verified = note(text, &[line]);
    assert_eq!(signers(&verified.verify(&keys).unwrap()), ["example.com/foo"]);
    assert_eq!(verified.text(), text);
    assert!(note("This is an example message!\n", &[line]).verify(&keys).is_err());
}

#[test]
fn a_signature_is_the_one_that_go_makes() {
    use base64::Engine as _;
    let seed = base64::engine::general_purpose::STANDARD.decode(PETERS_SEED).unwrap().try_into().unwrap();
    let signer = NoteSigner::from_seed("PeterNeumann".parse().unwrap(), &seed).unwrap();
    assert_eq!(signer.verifier().to_string(), PETER);
    assert_eq!(Note::sign(PETERS_TEXT, &signer).unwrap().to_string(), format!("{PETERS_TEXT}\n{PETERS_LINE}"));
}

#[test]
fn signatures_of_strangers_are_passed_over_and_kept() {
    let note = note(PETERS_TEXT, &[PETERS_LINE, ENOCHS_LINE]);
    let (peter, enoch) = ([key(PETER)], [key(ENOCH)]);
    assert_eq!(signers(&note.verify(&peter).unwrap()), ["PeterNeumann"]);
    assert_eq!(signers(&note.verify(&enoch).unwrap()), ["EnochRoot"]);
    assert_eq!(signers(&note.verify(&[key(ENOCH), key(PETER)]).unwrap()), ["PeterNeumann", "EnochRoot"]);
    assert_eq!(note.verify(&[]), Err(VerifyError::Unknown));
    assert_eq!(note.verify(&[signer("PeterNeumann", 1).verifier().clone()]), Err(VerifyError::Unknown));
    assert_eq!(note.to_string(), format!("{PETERS_TEXT}\n{PETERS_LINE}{ENOCHS_LINE}"));
}

/// A right signature must not carry a wrong one along, whichever comes first.
#[test]
fn one_wrong_signature_of_a_known_key_spoils_the_note() {
    let wrong = PETERS_LINE.replace("x08go/ZJ", "x08go/ZK");
    let keys = [key(PETER), key(ENOCH)];
    for lines in [[wrong.as_str(), ENOCHS_LINE], [ENOCHS_LINE, &wrong], [PETERS_LINE, &wrong], [&wrong, PETERS_LINE]] {
        let error = note(PETERS_TEXT, &lines).verify(&keys).unwrap_err();
        assert_eq!(error, VerifyError::Wrong { name: "PeterNeumann".parse().unwrap(), id: keys[0].id() });
    }
}

#[test]
fn a_key_counts_once_however_often_it_signs() {
    let keys = [key(PETER), key(PETER)];
    assert_eq!(signers(&note(PETERS_TEXT, &[PETERS_LINE, PETERS_LINE]).verify(&keys).unwrap()), ["PeterNeumann"]);
}

/// Name and id are not secret: whoever takes those of a known key gets nothing but a refusal.
#[test]
fn a_signature_under_another_name_or_id_is_not_believed() {
    let keys = [key(PETER)];
    let as_enoch = PETERS_LINE.replace("PeterNeumann", "EnochRoot");
    assert_eq!(note(PETERS_TEXT, &[&as_enoch]).verify(&keys), Err(VerifyError::Unknown));
    let as_peter = ENOCHS_LINE.replace("EnochRoot rwz+eB", "PeterNeumann x08gox");
    assert!(matches!(note(PETERS_TEXT, &[&as_peter]).verify(&keys), Err(VerifyError::Wrong { .. })));
}

#[test]
fn the_text_ends_at_the_last_empty_line() {
    let text = "first\n\nsecond\n\n— PeterNeumann AAAAAAAA\n\n\n";
    let signed = Note::sign(text, &signer("a", 1)).unwrap();
    let read = Note::parse(signed.to_string().as_bytes()).unwrap();
    assert_eq!((read.text(), read.signatures().len()), (text, 1));
    assert!(read.verify(&[signer("a", 1).verifier().clone()]).is_ok());
}

#[test]
fn what_is_not_a_note_is_refused_for_a_reason() {
    let line = PETERS_LINE;
    let cases: &[(&str, NoteError)] = &[
        ("", NoteError::Unsigned),
        ("\n", NoteError::Unsigned),
        ("\n\n", NoteError::Unsigned),
        ("text\n", NoteError::Unsigned),
        ("text\n\n", NoteError::Unsigned),
        (&format!("text\n{line}"), NoteError::Unsigned),
        (&format!("text\n\n{line}\n"), NoteError::Unsigned),
        (&format!("text\n\n{}", line.trim_end()), NoteError::Unsigned),
        (&format!("text\n\nmore\n{line}"), NoteError::Signature(1)),
        (&format!("text\n\n{line}more\n"), NoteError::Signature(2)),
        (&format!("text\n\n {line}"), NoteError::Signature(1)),
        (&format!("text\n\n{}", line.replace('—', "-")), NoteError::Signature(1)),
        (&format!("text\n\n{}", line.replace("— ", "—\u{a0}")), NoteError::Signature(1)),
        (&format!("text\n\n{}", line.replace("Neumann ", "Neumann  ")), NoteError::Signature(1)),
        (&format!("text\n\n{}", line.replace("Neumann ", "+ ")), NoteError::Signature(1)),
        (&format!("text\n\n{}", line.replace("PeterNeumann ", " ")), NoteError::Signature(1)),
        (&format!("text\n\n{}", line.replace("Peter", "Peter\u{2003}")), NoteError::Signature(1)),
        (&format!("text\n\n{}", line.replace('=', "")), NoteError::Signature(1)),
        (&format!("text\n\n{}", line.replace("M=", "N=")), NoteError::Signature(1)),
        (&format!("text\n\n{}", line.replace('\n', " \n")), NoteError::Signature(1)),
        ("text\n\n— a x08goA==\n", NoteError::Signature(1)),
        ("text\n\n— a \n", NoteError::Signature(1)),
        ("text\n\n— a\n", NoteError::Signature(1)),
        (&format!("te\rxt\n\n{line}"), NoteError::Character),
        (&format!("te\txt\n\n{line}"), NoteError::Character),
        (&format!("te\0xt\n\n{line}"), NoteError::Character),
    ];
    for (bytes, reason) in cases {
        assert_eq!(Note::parse(bytes.as_bytes()), Err(*reason), "{bytes:?}");
    }
    let not_utf8 = [b"te\xffxt\n\n", line.as_bytes()].concat();
    assert_eq!(Note::parse(&not_utf8), Err(NoteError::Character));
}

#[test]
fn there_is_an_end_to_length_and_number_of_signatures() {
    let text = format!("{}\n", "x".repeat(MAX_LENGTH));
    assert_eq!(Note::sign(&text, &signer("a", 1)), Err(NoteError::TooLong(MAX_LENGTH + 1)));
    assert_eq!(Note::parse(text.as_bytes()), Err(NoteError::TooLong(MAX_LENGTH + 1)));
    let many = |number| format!("text\n\n{}", PETERS_LINE.repeat(number));
    assert_eq!(Note::parse(many(MAX_SIGNATURES + 1).as_bytes()), Err(NoteError::TooMany));
    let mut full = Note::parse(many(MAX_SIGNATURES).as_bytes()).unwrap();
    let other = Note::sign("text\n", &signer("a", 1)).unwrap().signatures()[0].clone();
    full.signatures[0] = other.clone();
    assert_eq!(
        full.add(Note::sign("text\n", &signer("b", 2)).unwrap().signatures()[0].clone()),
        Err(NoteError::TooMany)
    );
    assert_eq!(full.add(other), Ok(()));
}

#[test]
fn a_text_that_no_note_can_have_is_not_signed() {
    let signer = signer("a", 1);
    assert_eq!(Note::sign("", &signer), Err(NoteError::Text));
    assert_eq!(Note::sign("no newline", &signer), Err(NoteError::Text));
    assert_eq!(Note::sign("bell\u{7}\n", &signer), Err(NoteError::Character));
    assert!(Note::sign("\n", &signer).is_ok());
}

#[test]
fn a_new_signature_takes_the_place_of_the_old_one_by_that_key() {
    let (first, second) = (signer("a", 1), signer("a", 2));
    let mut note = Note::sign("one\n", &first).unwrap();
    let of = |text: &str, signer: &NoteSigner| Note::sign(text, signer).unwrap().signatures()[0].clone();
    note.add(of("one\n", &second)).unwrap();
    note.add(of("two\n", &first)).unwrap();
    assert_eq!(note.signatures(), [of("one\n", &second), of("two\n", &first)]);
}

#[test]
fn signatures_alone_are_read_as_a_witness_gives_them() {
    let two = format!("{PETERS_LINE}{ENOCHS_LINE}");
    assert_eq!(parse_signatures(two.as_bytes()).map(|signatures| signatures.len()), Ok(2));
    assert_eq!(parse_signatures(b""), Err(NoteError::Unsigned));
    assert_eq!(parse_signatures(b"\n"), Err(NoteError::Signature(1)));
    assert_eq!(parse_signatures(format!("{PETERS_LINE}\n").as_bytes()), Err(NoteError::Signature(2)));
    assert_eq!(parse_signatures(b"\xff\n"), Err(NoteError::Character));
}

#[test]
fn every_bit_of_a_signed_note_matters() {
    let written = format!("{PETERS_TEXT}\n{PETERS_LINE}").into_bytes();
    let keys = [key(PETER)];
    for bit in 0..written.len() * 8 {
        let changed = flip(&written, bit);
        let verified = Note::parse(&changed).map(|note| note.verify(&keys).is_ok());
        assert!(!verified.is_ok_and(|valid| valid), "bit {bit}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn cloudflares_crate_believes_our_notes_and_we_believe_its(text in "[ -~é—\n]{0,80}\n", seed in any::<[u8; 32]>()) {
        let name = "log.example/a";
        let ours = NoteSigner::from_seed(name.parse().unwrap(), &seed).unwrap();
        let vkey = ours.verifier().to_string();
        let theirs = signed_note::StandardVerifier::new(&vkey).unwrap();
        prop_assert_eq!(format!("{:08x}", theirs.key_id()), ours.verifier().id().to_string());
        let note = Note::sign(&text, &ours).unwrap();
        let read = signed_note::Note::from_bytes(note.to_string().as_bytes()).unwrap();
        prop_assert_eq!(read.text(), text.as_bytes());
        prop_assert!(theirs.verify(read.text(), note.signatures()[0].bytes()));
        prop_assert_eq!(read.to_bytes(), note.to_string().into_bytes());
        prop_assert!(Note::parse(&read.to_bytes()).unwrap().verify(&[vkey.parse().unwrap()]).is_ok());
    }

}

proptest! {
    #[test]
    fn any_bytes_are_what_would_be_written_or_refused(text in "([a—]?\n){0,3}([— a]{0,3}\n){0,2}(— [a+ ]{0,2} [A-D]{0,8}={0,2}\n?){0,3}") {
        if let Ok(note) = Note::parse(text.as_bytes()) {
            prop_assert_eq!(note.to_string(), text);
        }
    }

    #[test]
    fn random_bytes_are_no_trouble(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Note::parse(&bytes).is_err() || bytes.windows(2).any(|pair| pair == b"\n\n"));
        let _signatures = parse_signatures(&bytes);
    }
}
