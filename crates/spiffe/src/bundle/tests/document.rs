use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::fixtures::*;
use crate::bundle::{
    BundleDocument, BundleDocumentError, BundleMap, JwkError, MAX_DOCUMENT_BYTES, MAX_DOCUMENT_KEYS, public_key_of,
};
use crate::x509::Authority;

type Error = BundleDocumentError;

fn parse(json: &str) -> Result<BundleDocument, Error> {
    BundleDocument::parse(json.as_bytes())
}

fn small() -> BundleDocument {
    let jwt_authorities = vec![jwt_authority("one", bytes(P256))];
    BundleDocument { jwt_authorities, sequence: Some(7), refresh_hint: Some(300), ..BundleDocument::default() }
}

#[test]
fn a_document_of_spire_is_read_and_written_to_the_letter() {
    let document = parse(SPIRE).unwrap();
    assert_eq!(document.x509_authorities.len(), 2);
    for authority in &document.x509_authorities {
        Authority::parse(&authority.certificate).unwrap();
    }
    let key_ids: Vec<_> = document.jwt_authorities.iter().map(|authority| authority.key_id.as_str()).collect();
    assert_eq!(key_ids, ["J7fh2Xb0zUZBGTVsQTE6Oc3XAkQsQTE6", "rsa-2026"]);
    assert_eq!((document.sequence, document.refresh_hint), (Some(42), Some(300)));
    assert_eq!(document.to_json_pretty().unwrap(), SPIRE);
    assert_eq!(parse(&document.to_json().unwrap()).unwrap(), document);
}

#[test]
fn an_endpoint_serves_it_without_white_space() {
    let expected = format!(
        r#"{{"keys":[{{"use":"jwt-svid","kty":"EC","kid":"one","crv":"P-256","x":"{P256_X}","y":"{P256_Y}"}}],"spiffe_sequence":7,"spiffe_refresh_hint":300}}"#
    );
    assert_eq!(small().to_json().unwrap(), expected);
}

/// W8: what `FetchJWTBundles` hands out has key IDs and no certificates.
#[test]
fn a_standard_key_set_has_jwt_keys_alone_and_nothing_of_spiffe() {
    let mut document = small();
    document.x509_authorities.push(x509_authority(certificate(&rcgen::PKCS_ECDSA_P256_SHA256)));
    let expected = format!(
        "{{\n    \"keys\": [\n        {{\n            \"kty\": \"EC\",\n            \"kid\": \"one\",\n            \"crv\": \
         \"P-256\",\n            \"x\": \"{P256_X}\",\n            \"y\": \"{P256_Y}\"\n        }}\n    ]\n}}"
    );
    assert_eq!(document.to_standard_jwks().unwrap(), expected);
    assert_eq!(BundleDocument::default().to_standard_jwks().unwrap(), "{\n    \"keys\": []\n}");
}

#[test]
fn an_empty_bundle_has_an_empty_array_of_keys() {
    let empty = BundleDocument::default();
    assert_eq!(empty.to_json().unwrap(), r#"{"keys":[]}"#);
    assert_eq!(empty.to_json_pretty().unwrap(), "{\n    \"keys\": []\n}");
    assert_eq!(parse(r#"{"keys":[]}"#).unwrap(), empty);
}

#[test]
fn a_certificate_of_every_kind_of_key_is_published_with_its_key() {
    let kinds = [
        (&rcgen::PKCS_ECDSA_P256_SHA256, "EC"),
        (&rcgen::PKCS_ECDSA_P384_SHA384, "EC"),
        (&rcgen::PKCS_RSA_SHA256, "RSA"),
        (&rcgen::PKCS_ED25519, "OKP"),
        (&rcgen::PKCS_ML_DSA_44, "AKP"),
        (&rcgen::PKCS_ML_DSA_65, "AKP"),
    ];
    let x509_authorities = kinds.iter().map(|(algorithm, _)| x509_authority(certificate(algorithm))).collect();
    let document = BundleDocument { x509_authorities, ..BundleDocument::default() };
    let json = document.to_json().unwrap();
    assert_eq!(parse(&json).unwrap(), document);

    let written: Value = serde_json::from_str(&json).unwrap();
    for ((key, (_, kty)), authority) in
        written["keys"].as_array().unwrap().iter().zip(kinds).zip(&document.x509_authorities)
    {
        assert_eq!((&key["use"], &key["kty"], key.get("kid")), (&json!("x509-svid"), &json!(kty), None));
        assert_eq!(key["x5c"], json!([STANDARD.encode(&authority.certificate)]));
        let (_, parsed) = x509_parser::parse_x509_certificate(&authority.certificate).unwrap();
        assert_eq!(
            public_key_of(&serde_json::from_value(key.clone()).unwrap()).unwrap(),
            parsed.public_key().raw.to_vec()
        );
    }
}

/// No reader would know the member, and an authority that is tainted still vouches for what it has signed.
#[test]
fn a_tainted_authority_is_published_like_any_other() {
    let mut document = parse(SPIRE).unwrap();
    document.x509_authorities[0].tainted = true;
    document.jwt_authorities[0].tainted = true;
    assert_eq!(document.to_json_pretty().unwrap(), SPIRE);
}

#[test]
fn all_64_bits_of_the_sequence_survive() {
    let document = BundleDocument { sequence: Some(u64::MAX), refresh_hint: Some(0), ..BundleDocument::default() };
    let json = document.to_json().unwrap();
    assert_eq!(json, r#"{"keys":[],"spiffe_sequence":18446744073709551615,"spiffe_refresh_hint":0}"#);
    assert_eq!(parse(&json).unwrap(), document);
}

#[test]
fn what_can_not_be_published_is_an_error() {
    let of_jwt = |authority| BundleDocument { jwt_authorities: vec![authority], ..BundleDocument::default() };
    let of_x509 = |der| BundleDocument { x509_authorities: vec![x509_authority(der)], ..BundleDocument::default() };
    let ed25519 =
        rcgen::PublicKeyData::subject_public_key_info(&rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap());
    let trailing = [certificate(&rcgen::PKCS_ED25519), vec![0]].concat();
    let mut twice = small();
    twice.jwt_authorities.push(jwt_authority("one", bytes(RSA)));
    let jwt_authorities = (0..=MAX_DOCUMENT_KEYS).map(|n| jwt_authority(&n.to_string(), bytes(P256))).collect();
    let many = BundleDocument { jwt_authorities, ..BundleDocument::default() };
    let cases = [
        (of_jwt(jwt_authority("", bytes(P256))), Error::NoKeyId(0)),
        (of_jwt(jwt_authority("one", vec![1])), Error::JwtKey { index: 0, reason: JwkError::Malformed }),
        (of_jwt(jwt_authority("one", ed25519)), Error::JwtKey { index: 0, reason: JwkError::NotForJwt }),
        (of_x509(b"no certificate".to_vec()), Error::Certificate(0)),
        (of_x509(trailing), Error::Certificate(0)),
        (twice, Error::DuplicateKeyId(1)),
        (many, Error::TooManyKeys(MAX_DOCUMENT_KEYS + 1)),
    ];
    for (document, expected) in cases {
        assert_eq!(document.to_json(), Err(expected));
    }
    let long = of_jwt(jwt_authority(&"k".repeat(MAX_DOCUMENT_BYTES), bytes(P256)));
    assert!(matches!(long.to_json(), Err(Error::TooLarge(_))));
}

#[test]
fn a_document_that_is_wrong_as_a_whole_is_an_error() {
    let not_an_object = |column| Error::NotAnObject { line: 1, column };
    let cases = [
        ("", not_an_object(0)),
        ("[]", not_an_object(0)),
        (r#"{"keys":[]"#, not_an_object(10)),
        (r#"{"keys":[]} x"#, not_an_object(13)),
        ("{}", Error::NoKeys),
        (r#"{"Keys":[]}"#, Error::NoKeys),
        (r#"{"keys":null}"#, Error::KeysNotAnArray),
        (r#"{"keys":{}}"#, Error::KeysNotAnArray),
        (r#"{"keys":[],"keys":[]}"#, Error::DuplicateMember("keys".to_owned())),
        (r#"{"keys":[],"\u006beys":[]}"#, Error::DuplicateMember("keys".to_owned())),
        (r#"{"keys":[],"other":1,"other":1}"#, Error::DuplicateMember("other".to_owned())),
    ];
    for (json, expected) in cases {
        assert_eq!(parse(json), Err(expected), "{json}");
    }
    for name in ["spiffe_sequence", "spiffe_refresh_hint"] {
        for value in [r#""1""#, "-1", "1.0", "1e3", "null", "true", "[1]", "18446744073709551616"] {
            let json = format!(r#"{{"keys":[],"{name}":{value}}}"#);
            assert_eq!(parse(&json), Err(Error::NotAnInteger(name)), "{json}");
        }
    }
}

#[test]
fn a_document_has_bounds() {
    let keys = |count| format!(r#"{{"keys":[{}]}}"#, vec!["0"; count].join(","));
    assert!(parse(&keys(MAX_DOCUMENT_KEYS)).is_ok());
    assert_eq!(parse(&keys(MAX_DOCUMENT_KEYS + 1)), Err(Error::TooManyKeys(MAX_DOCUMENT_KEYS + 1)));

    let full = |length: usize| format!(r#"{{"keys":[]{}}}"#, " ".repeat(length - r#"{"keys":[]}"#.len()));
    assert!(parse(&full(MAX_DOCUMENT_BYTES)).is_ok());
    assert_eq!(parse(&full(MAX_DOCUMENT_BYTES + 1)), Err(Error::TooLarge(MAX_DOCUMENT_BYTES + 1)));

    let name = "n".repeat(10_000);
    let Err(Error::DuplicateMember(shown)) = parse(&format!(r#"{{"{name}":1,"{name}":1}}"#)) else { panic!() };
    assert_eq!(shown.len(), 64);
}

#[test]
fn nesting_can_not_exhaust_the_stack() {
    let deep = "[".repeat(400_000) + &"]".repeat(400_000);
    assert_eq!(parse(&format!(r#"{{"keys":[{deep}]}}"#)), Ok(BundleDocument::default()));
    assert_eq!(parse(&format!(r#"{{"keys":[{{"kty":"EC","deep":{deep}}}]}}"#)), Ok(BundleDocument::default()));
}

#[test]
fn a_map_has_the_certificates_of_each_domain_and_no_key_of_another_kind() {
    let authority = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
    let mut document = small();
    document.x509_authorities.push(x509_authority(authority.clone()));
    let mut map = BundleMap::default();
    map.insert("b.example".parse().unwrap(), &document).unwrap();
    map.insert("a.example".parse().unwrap(), &BundleDocument { sequence: Some(1), ..document.clone() }).unwrap();
    let unreadable = BundleDocument { x509_authorities: vec![x509_authority(vec![1])], ..small() };
    assert_eq!(map.insert("a.example".parse().unwrap(), &unreadable), Err(Error::Certificate(0)));
    let written: Value = serde_json::from_str(&map.to_json().unwrap()).unwrap();
    for (name, sequence) in [("a.example", 1), ("b.example", 7)] {
        let member = written["trust_domains"][name].to_string();
        let read = parse(&member).unwrap();
        assert_eq!(read.x509_authorities, [x509_authority(authority.clone())]);
        assert_eq!((read.jwt_authorities.len(), read.sequence, read.refresh_hint), (0, Some(sequence), None));
        assert!(!member.contains("\"kid\""), "{member}");
    }
    assert_eq!(written.as_object().unwrap().len(), 1);
}
