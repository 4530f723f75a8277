//! Keys and documents for the tests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose, SignatureAlgorithm, date_time_ymd};
use serde_json::{Value, json};

use crate::bundle::{BundleDocument, DocumentJwtAuthority, DocumentX509Authority, jwk_of};

/// A document with two X.509 and two JWT authorities, as the library that SPIRE uses wrote it.
pub(super) const SPIRE: &str = include_str!("spire.json");

/// The public key of RFC 7517 appendix A.1 that is on P-256, and what OpenSSL makes of it.
pub(super) const P256: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEMKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D7gS2XpJFbZ\
                               iItSs3m9+9Ue6GnvHw/GW2ZZaVtszggXIw==";
pub(super) const P256_X: &str = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
pub(super) const P256_Y: &str = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";

/// The RSA key of the same appendix, also that of RFC 7638 section 3.1.
pub(super) const RSA: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM\
                              78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc/BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ/2W+5JsGY4Hc5\
                              n9yBXArwl93lqt7/RN5w6Cf0h4QyQ5v+65YGjQR0/FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qM\
                              QvRL5hajrn1n91CbOpbISD08qNLyrdkt+bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ+G/xBniIqbw0Ls1\
                              jF44+csFCur+kEgU8awapJzKnqDKgwIDAQAB";
pub(super) const RSA_N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_\
                                BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0\
                                _FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWh\
                                AI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

/// Decodes base64 with padding.
pub(super) fn bytes(base64: &str) -> Vec<u8> {
    STANDARD.decode(base64).unwrap()
}

/// A fresh, self-signed authority certificate with a key of that kind.
pub(super) fn certificate(algorithm: &'static SignatureAlgorithm) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.self_signed(&KeyPair::generate_for(algorithm).unwrap()).unwrap().der().to_vec()
}

pub(super) fn x509_authority(certificate: Vec<u8>) -> DocumentX509Authority {
    DocumentX509Authority { certificate, tainted: false }
}

pub(super) fn jwt_authority(key_id: &str, public_key: Vec<u8>) -> DocumentJwtAuthority {
    DocumentJwtAuthority { key_id: key_id.to_owned(), public_key, tainted: false }
}

/// A good JWT key, bent by `edit`.
pub(super) fn jwt_key(edit: impl FnOnce(&mut Value)) -> Value {
    let mut key = json!({"use": "jwt-svid", "kid": "one", "kty": "EC", "crv": "P-256", "x": P256_X, "y": P256_Y});
    edit(&mut key);
    key
}

/// A good X.509 key, bent by `edit`, and its certificate.
pub(super) fn x509_key(edit: impl FnOnce(&mut Value)) -> (Value, Vec<u8>) {
    let certificate = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
    let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).unwrap();
    let mut key = serde_json::to_value(jwk_of(parsed.public_key().raw).unwrap()).unwrap();
    key["use"] = "x509-svid".into();
    key["x5c"] = json!([STANDARD.encode(&certificate)]);
    edit(&mut key);
    (key, certificate)
}

/// What a document of these keys says.
pub(super) fn read(keys: &[Value]) -> BundleDocument {
    BundleDocument::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}
