//! Verifier keys and their names.

use proptest::prelude::*;

use super::{ENOCH, PETER, signer};
use crate::cosignature::Cosigner;
use crate::note::{Algorithm, KeyError, KeyName, VerifierKey};
use crate::testing::flip;

#[test]
fn a_key_prints_as_it_was_read() {
    for vkey in [PETER, ENOCH, "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"] {
        let key: VerifierKey = vkey.parse().unwrap();
        assert_eq!((key.to_string(), key.algorithm()), (vkey.to_owned(), Algorithm::Ed25519));
    }
}

#[test]
fn every_algorithm_has_its_type_byte_and_length() {
    let name = || "w.example/1".parse::<KeyName>().unwrap();
    let witness = Cosigner::ed25519(name(), &[1; 32]).unwrap();
    let quantum = Cosigner::ml_dsa_44(name(), &[1; 32]).unwrap();
    let log = signer("w.example/1", 1);
    for (key, start, length) in
        [(log.verifier(), "AY", 32), (witness.verifier(), "BI", 32), (quantum.verifier(), "B", 1312)]
    {
        let text = key.to_string();
        assert_eq!(key.bytes().len(), length);
        assert!(text.rsplit('+').count() >= 3 && text.contains(&format!("+{}+{start}", key.id())), "{text}");
        assert_eq!(text.parse().as_ref(), Ok(key));
    }
    assert_eq!(log.verifier().bytes(), witness.verifier().bytes());
    assert_ne!(log.verifier().id(), witness.verifier().id(), "one key of two types has two ids");
    assert_ne!(log.verifier(), witness.verifier());
}

#[test]
fn everything_else_is_refused_for_a_reason() {
    let cases = [
        (String::new(), KeyError::Form),
        ("PeterNeumann".to_owned(), KeyError::Form),
        ("PeterNeumann+c74f20a3".to_owned(), KeyError::Form),
        ("PeterNeumann+c74f20a3+".to_owned(), KeyError::Form),
        (PETER.replace("c74f20a3", "C74F20A3"), KeyError::Form),
        (PETER.replace("c74f20a3", "0c74f20a3"), KeyError::Form),
        (PETER.replace("c74f20a3", "+c74f20a3"), KeyError::Form),
        (PETER.replace("c74f20a3", "xxxxxxxx"), KeyError::Form),
        (PETER.replace("c74f20a3", ""), KeyError::Form),
        (PETER.replace("ARpc", "ARp"), KeyError::Form),
        (format!("{PETER}\n"), KeyError::Form),
        (format!("{PETER}="), KeyError::Form),
        (PETER.replace("PeterNeumann", ""), KeyError::Name),
        (PETER.replace("Peter", "Peter "), KeyError::Name),
        (PETER.replace("Peter", "Peter\u{3000}"), KeyError::Name),
        (PETER.replace("Peter", "Peter\n"), KeyError::Name),
        // As Go's tests have them: a key of another length, and another type, each with the id that goes with it.
        ("PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==".to_owned(), KeyError::Form),
        ("PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWAAAA".to_owned(), KeyError::Key),
        ("PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".to_owned(), KeyError::Algorithm(0x65)),
        ("PeterNeumann+cc469956+Bhpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".to_owned(), KeyError::Key),
    ];
    for (vkey, reason) in cases {
        let found = vkey.parse::<VerifierKey>();
        assert_eq!(found, Err(reason), "{vkey:?}");
    }
}

#[test]
fn an_id_belongs_to_one_name_and_one_key() {
    for vkey in [PETER.replace("Peter", ""), PETER.replace("c74f20a3", "c74f20a4"), PETER.replace("ARpc", "BBpc")] {
        assert!(matches!(vkey.parse::<VerifierKey>(), Err(KeyError::Id { .. })), "{vkey}");
    }
}

#[test]
fn the_name_of_a_quantum_safe_cosigner_must_fit_what_it_signs() {
    let name = |length: usize| "n".repeat(length).parse::<KeyName>().unwrap();
    assert!(Cosigner::ml_dsa_44(name(255), &[1; 32]).is_ok());
    assert_eq!(Cosigner::ml_dsa_44(name(256), &[1; 32]).unwrap_err(), KeyError::NameTooLong(256));
    assert!(Cosigner::ed25519(name(256), &[1; 32]).is_ok());
}

#[test]
fn nothing_prints_a_private_key() {
    let seed = [0xab; 32];
    let name = || "a".parse::<KeyName>().unwrap();
    let printed = [
        format!("{:?}", crate::note::NoteSigner::from_seed(name(), &seed).unwrap()),
        format!("{:?}", Cosigner::ed25519(name(), &seed).unwrap()),
        format!("{:?}", Cosigner::ml_dsa_44(name(), &seed).unwrap()),
    ];
    for text in printed {
        assert!(!text.contains("q6ur") && !text.contains("abab") && !text.contains("171"), "{text}");
    }
}

proptest! {
    #[test]
    fn every_bit_of_a_key_matters(bit in 0..PETER.len() * 8) {
        let changed = flip(PETER.as_bytes(), bit);
        let read = std::str::from_utf8(&changed).ok().and_then(|vkey| vkey.parse::<VerifierKey>().ok());
        prop_assert_eq!(read, None);
    }

    #[test]
    fn a_name_is_what_go_takes_for_one(name in any::<String>()) {
        let ours = name.parse::<KeyName>().is_ok();
        // Ours must not have control characters either, with which no note could be read.
        let theirs = signed_note::is_key_name_valid(&name) && !name.contains(|c| c < ' ');
        prop_assert_eq!(ours, theirs);
    }
}
