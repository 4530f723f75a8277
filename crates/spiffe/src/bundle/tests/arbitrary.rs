use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::json;

use super::fixtures::*;
use crate::bundle::{BundleDocument, Jwk, jwk_of, public_key_of};

/// What is read can be written, and says the same when read again.
fn check_stable(document: &BundleDocument) {
    let json = document.to_json().unwrap();
    assert_eq!(BundleDocument::parse(json.as_bytes()).as_ref(), Ok(document));
    assert_eq!(BundleDocument::parse(document.to_json_pretty().unwrap().as_bytes()).as_ref(), Ok(document));
}

fn base64url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// Members of keys of every kind, with numbers as random as may be.
fn key_members() -> impl Strategy<Value = serde_json::Value> {
    let ec = |curve: &'static str, bytes| {
        (vec(any::<u8>(), bytes), vec(any::<u8>(), bytes))
            .prop_map(move |(x, y)| json!({"kty": "EC", "crv": curve, "x": base64url(&x), "y": base64url(&y)}))
    };
    let rsa = (vec(any::<u8>(), 257..=1024), 1..=255_u8, 1..u32::MAX / 2).prop_map(|(mut n, top, half)| {
        n[0] = top;
        *n.last_mut().unwrap() |= 1;
        let e: Vec<u8> = (2 * half + 1).to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
        json!({"kty": "RSA", "n": base64url(&n), "e": base64url(&e)})
    });
    prop_oneof![ec("P-256", 32), ec("P-384", 48), ec("P-521", 66), rsa]
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..512)) {
        let _document = BundleDocument::parse(&bytes);
        let _jwk = jwk_of(&bytes);
    }

    #[test]
    fn a_bent_document_never_panics_and_what_is_read_can_be_written(
        edits in vec((any::<Index>(), any::<u8>()), 1..8),
        removed in any::<Index>(),
        count in 0..64_usize,
    ) {
        let mut json = SPIRE.as_bytes().to_vec();
        for (at, byte) in edits {
            *at.get_mut(&mut json) = byte;
        }
        let from = removed.index(json.len());
        json.drain(from..(from + count).min(json.len()));
        if let Ok(document) = BundleDocument::parse(&json) {
            check_stable(&document);
        }
    }

    #[test]
    fn tokens_of_documents_in_any_order_never_panic(
        tokens in vec(
            select(vec!["{", "}", "[", "]", ",", ":", "\"keys\"", "\"use\"", "\"x509-svid\"", "\"x5c\"", "null", "1"]),
            0..40,
        ),
    ) {
        let _document = BundleDocument::parse(tokens.concat().as_bytes());
        let _document = BundleDocument::parse(format!("{{\"keys\":[{}]}}", tokens.concat()).as_bytes());
    }

    #[test]
    fn a_bent_public_key_never_panics_and_has_one_spelling(
        good in select(vec![bytes(P256), bytes(RSA)]), at in any::<Index>(), byte in any::<u8>(),
    ) {
        let mut der = good;
        *at.get_mut(&mut der) = byte;
        if let Ok(jwk) = jwk_of(&der) {
            prop_assert_eq!(public_key_of(&jwk).unwrap(), der);
        }
    }

    #[test]
    fn a_key_is_the_same_in_both_forms(members in key_members()) {
        let jwk: Jwk = serde_json::from_value(members.clone()).unwrap();
        let spki = public_key_of(&jwk).unwrap();
        prop_assert_eq!(serde_json::to_value(jwk_of(&spki).unwrap()).unwrap(), members);
    }

    #[test]
    fn a_document_that_is_written_is_read_the_same(
        keys in vec(key_members(), 0..6),
        key_id in "\\PC{1,20}",
        certificates in any::<bool>(),
        sequence in any::<Option<u64>>(),
        refresh_hint in any::<Option<u64>>(),
    ) {
        let jwt_authorities = keys.into_iter().enumerate().map(|(n, members)| {
            let jwk: Jwk = serde_json::from_value(members).unwrap();
            jwt_authority(&format!("{key_id}{n}"), public_key_of(&jwk).unwrap())
        });
        let x509_authorities =
            if certificates { BundleDocument::parse(SPIRE.as_bytes()).unwrap().x509_authorities } else { Vec::new() };
        let jwt_authorities = jwt_authorities.collect();
        check_stable(&BundleDocument { x509_authorities, jwt_authorities, sequence, refresh_hint });
    }
}
