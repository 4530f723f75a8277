//! One key that is not understood must not take away the others: each rule alone, beside a good key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::fixtures::*;
use crate::bundle::{BundleDocument, BundleDocumentError};

/// Asserts that `key` is passed over, and the good one beside it is not.
fn assert_ignored(key: &Value) {
    let document = read(&[key.clone(), jwt_key(|key| key["kid"] = "good".into())]);
    assert_eq!(document.x509_authorities, []);
    assert_eq!(document.jwt_authorities, [jwt_authority("good", bytes(P256))]);
}

fn without(name: &str) -> impl FnOnce(&mut Value) {
    move |key| drop(key.as_object_mut().unwrap().remove(name).unwrap())
}

#[test]
fn a_good_key_of_each_use_is_read() {
    let (key, certificate) = x509_key(|_| {});
    let document = read(&[key, jwt_key(|_| {})]);
    assert_eq!(document.x509_authorities, [x509_authority(certificate)]);
    assert_eq!(document.jwt_authorities, [jwt_authority("one", bytes(P256))]);
    assert_eq!((document.sequence, document.refresh_hint), (None, None));
}

/// SPIRE's own reader refuses the document.
#[test]
fn an_unknown_use_does_not_lose_the_bundle() {
    for use_ in ["wit-svid", "sig", "JWT-SVID", ""] {
        assert_ignored(&jwt_key(|key| key["use"] = use_.into()));
    }
}

/// SPIRE's own reader refuses the document.
#[test]
fn a_missing_use_does_not_lose_the_bundle() {
    assert_ignored(&jwt_key(without("use")));
    assert_ignored(&x509_key(without("use")).0);
}

#[test]
fn an_unknown_key_type_is_ignored() {
    assert_ignored(&jwt_key(|key| key["kty"] = "XY".into()));
    assert_ignored(&jwt_key(without("kty")));
    assert_ignored(&x509_key(|key| key["kty"] = "XY".into()).0);
    assert_ignored(&x509_key(without("kty")).0);
    assert_ignored(&jwt_key(|key| key["crv"] = "P-999".into()));
}

#[test]
fn an_x509_key_without_x5c_is_ignored() {
    assert_ignored(&x509_key(without("x5c")).0);
    assert_ignored(&x509_key(|key| key["x5c"] = json!([])).0);
    assert_ignored(&x509_key(|key| key["x5c"] = Value::Null).0);
}

/// SPIRE's own reader refuses the document.
#[test]
fn of_several_certificates_only_the_first_counts() {
    let (key, certificate) = x509_key(|key| key["x5c"].as_array_mut().unwrap().push("not even base64".into()));
    assert_eq!(read(&[key]).x509_authorities, [x509_authority(certificate)]);
}

#[test]
fn a_first_certificate_that_is_none_is_ignored_with_its_key() {
    let (_, good) = x509_key(|_| {});
    for x5c in ["", "!", &STANDARD.encode(b"no certificate"), &STANDARD.encode([good.as_slice(), &[0]].concat())] {
        assert_ignored(&x509_key(|key| key["x5c"] = json!([x5c, STANDARD.encode(&good)])).0);
    }
}

#[test]
fn x5c_is_standard_base64_and_not_that_of_urls() {
    let (_, certificate) = loop {
        let (key, certificate) = x509_key(|_| {});
        if key["x5c"][0].as_str().unwrap().contains(['+', '/']) {
            break (key, certificate);
        }
    };
    let url = STANDARD.encode(&certificate).replace('+', "-").replace('/', "_");
    let key = json!({"use": "x509-svid", "kty": "EC", "x5c": [url]});
    assert_ignored(&key);
}

/// RFC 7517 section 4.7: readers of `x5c` and readers of the other members must see one key.
#[test]
fn a_certificate_of_another_key_than_the_jwk_says_is_ignored() {
    assert_ignored(&x509_key(|key| (key["x"], key["y"]) = (P256_X.into(), P256_Y.into())).0);
    assert_ignored(&x509_key(without("y")).0);
}

#[test]
fn a_certificate_alone_stands_for_its_key() {
    let (key, certificate) = x509_key(|key| {
        for name in ["crv", "x", "y"] {
            key.as_object_mut().unwrap().remove(name).unwrap();
        }
    });
    assert_eq!(read(std::slice::from_ref(&key)).x509_authorities, [x509_authority(certificate)]);
    let mut other = key;
    other["kty"] = "RSA".into();
    assert_ignored(&other);
}

#[test]
fn a_jwt_key_without_a_key_id_is_ignored() {
    assert_ignored(&jwt_key(without("kid")));
    assert_ignored(&jwt_key(|key| key["kid"] = "".into()));
}

#[test]
fn a_key_that_signs_no_jwt_svids_is_no_jwt_authority() {
    let key = json!({
        "use": "jwt-svid", "kid": "one", "kty": "OKP", "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    });
    assert_ignored(&key);
}

#[test]
fn a_key_that_is_no_proper_jwk_is_ignored() {
    for key in [json!(1), json!(null), json!([]), json!("text"), json!({})] {
        assert_ignored(&key);
    }
    assert_ignored(&jwt_key(|key| key["kid"] = 1.into()));
    assert_ignored(&jwt_key(|key| key["x"] = "AA".into()));
}

#[test]
fn a_key_that_shows_its_private_part_is_ignored() {
    assert_ignored(&jwt_key(|key| key["d"] = "AA".into()));
    assert_ignored(&x509_key(|key| key["d"] = "AA".into()).0);
}

#[test]
fn a_key_with_a_member_twice_is_ignored() {
    let good = jwt_key(|_| {}).to_string();
    let twice = good.replacen('{', r#"{"kid":"two","#, 1);
    let document = BundleDocument::parse(format!(r#"{{"keys":[{twice}]}}"#).as_bytes()).unwrap();
    assert_eq!(document, BundleDocument::default());
}

#[test]
fn unknown_members_are_ignored() {
    let key = jwt_key(|key| key["alg"] = json!("ES256"));
    let json = json!({"keys": [key], "spiffe_future": {"a": [1]}}).to_string();
    assert_eq!(BundleDocument::parse(json.as_bytes()).unwrap().jwt_authorities.len(), 1);
    assert_eq!(read(&[jwt_key(|key| key["future"] = json!({"a": [1]}))]).jwt_authorities.len(), 1);
}

#[test]
fn the_same_key_again_counts_once() {
    let (key, certificate) = x509_key(|_| {});
    let document = read(&[key.clone(), jwt_key(|_| {}), key, jwt_key(|_| {})]);
    assert_eq!(document.x509_authorities, [x509_authority(certificate)]);
    assert_eq!(document.jwt_authorities, [jwt_authority("one", bytes(P256))]);
}

/// Whichever we took, the publisher may have meant the other; a reader that takes the last one lets whoever can
/// append to a document replace a key.
#[test]
fn two_keys_with_one_key_id_are_refused() {
    let other = json!({"use": "jwt-svid", "kid": "one", "kty": "RSA", "n": RSA_N, "e": "AQAB"});
    let json = json!({"keys": [1, jwt_key(|_| {}), other]}).to_string();
    assert_eq!(BundleDocument::parse(json.as_bytes()), Err(BundleDocumentError::DuplicateKeyId(2)));
}
