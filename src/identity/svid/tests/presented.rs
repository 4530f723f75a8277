//! The text around the certificate.

use proptest::prelude::*;

use super::mint::*;
use crate::identity::svid::LeafError;
use crate::identity::svid::presented::der_of;

const DER: &[u8] = &[0x30, 3, 0xfb, 0xff, 0xbe, 0];

#[test]
fn what_envoy_sends_is_decoded() {
    assert!(present(DER).starts_with("-----BEGIN%20CERTIFICATE-----%0A"));
    assert_eq!(der_of(&present(DER)), Ok(DER.to_vec()));
}

#[test]
fn white_space_around_and_other_line_ends_are_taken() {
    assert_eq!(der_of(&escape(&format!("\n  {}\r\n\t", pem(DER)))), Ok(DER.to_vec()));
    assert_eq!(der_of(&escape(&pem(DER).replace('\n', "\r\n"))), Ok(DER.to_vec()));
    assert_eq!(der_of(present(DER).trim_end_matches("%0A")), Ok(DER.to_vec()));
}

#[test]
fn what_is_not_percent_encoded_is_refused() {
    let good = present(DER);
    for bad in ["%", "%2", "%zz", "%2z", "%u000A", "%%0A", "%25"] {
        assert_eq!(der_of(&format!("{good}{bad}")), Err(LeafError::PercentEncoding), "{bad} at the end");
        assert_eq!(der_of(&good.replace("%0A", bad)), Err(LeafError::PercentEncoding), "{bad} inside");
    }
}

#[test]
fn a_truncated_text_is_refused_wherever_it_ends() {
    let good = present(DER);
    let whole = good.trim_end_matches("%0A");
    for length in 0..whole.len() {
        assert!(der_of(whole.get(..length).unwrap()).is_err(), "{length} bytes");
    }
}

#[test]
fn two_blocks_are_refused() {
    let (one, two) = (pem(DER), pem(&[0x30, 0]));
    for several in [format!("{one}{two}"), format!("{one}\n{one}"), format!("{}{two}", one.trim_end())] {
        assert_eq!(der_of(&escape(&several)), Err(LeafError::SeveralBlocks), "{several}");
    }
    let key = two.replace("CERTIFICATE", "PRIVATE KEY");
    assert_eq!(der_of(&escape(&format!("{one}{key}{one}"))), Err(LeafError::SeveralBlocks));
}

#[test]
fn anything_around_or_instead_of_the_block_is_refused() {
    let good = pem(DER);
    let cases = [
        format!("subject=a\n{good}"),
        format!("{good}# a comment\n"),
        format!("{good}\0"),
        format!("{}{good}", pem(DER).replace("CERTIFICATE", "X509 CRL")),
        good.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
        good.replace("CERTIFICATE", "certificate"),
        good.replace("END CERTIFICATE", "END PRIVATE KEY"),
        good.replace("-----BEGIN", "----BEGIN"),
        good.replacen('\n', "", 1),
        good.replacen('\n', "\nProc-Type: 4,ENCRYPTED\n\n", 1),
        good.replacen('\n', "\n ", 1),
        good.replacen('\n', "\n=", 1),
        String::from("-----BEGIN CERTIFICATE-----\nMAP-_74A\n-----END CERTIFICATE-----\n"),
        String::from("-----BEGIN CERTIFICATE-----\nMAM\n-----END CERTIFICATE-----\n"),
        String::from("-----BEGIN CERTIFICATE-----\nMAM=A\n-----END CERTIFICATE-----\n"),
        String::from("-----BEGIN CERTIFICATE-----\nMAN=\n-----END CERTIFICATE-----\n"),
        String::from("-----BEGIN CERTIFICATE----------END CERTIFICATE-----"),
        String::from("-----BEGIN CERTIFICATE-----\n"),
        String::from("hello"),
        String::from(" "),
    ];
    for text in cases {
        assert_eq!(der_of(&escape(&text)), Err(LeafError::Pem), "{text:?}");
    }
}

#[test]
fn a_plus_is_a_plus_and_no_space() {
    let good = escape(&pem(&[0xfb; 3]));
    assert!(good.contains("%2B"));
    assert_eq!(der_of(&good.replace("%2B", "+")), Ok(vec![0xfb; 3]));
    assert_eq!(der_of(&good.replace("%20", "+")), Err(LeafError::Pem));
}

proptest! {
    #[test]
    fn every_der_comes_back_as_it_was(der in proptest::collection::vec(any::<u8>(), 1..300)) {
        prop_assert_eq!(der_of(&present(&der)), Ok(der));
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        prop_assert!(der_of(&text).is_err());
    }

    #[test]
    fn no_near_miss_makes_it_panic(body in "[\n%0-9A-Fa-z+/=-]{0,60}") {
        let text = format!("-----BEGIN%20CERTIFICATE-----%0A{body}%0A-----END CERTIFICATE-----");
        if let Ok(der) = der_of(&text) {
            prop_assert_eq!(der_of(&present(&der)), Ok(der));
        }
    }
}
