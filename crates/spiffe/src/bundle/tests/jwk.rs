use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::{Value, json};

use super::fixtures::*;
use crate::bundle::{Jwk, JwkError, jwk_of, public_key_of};

fn jwk(json: Value) -> Jwk {
    serde_json::from_value(json).unwrap()
}

/// The keys that standards print, with their members, and what OpenSSL makes of them.
fn published_keys() -> Vec<(Value, Vec<u8>)> {
    vec![
        // RFC 7517 appendix A.1.
        (json!({"kty": "EC", "crv": "P-256", "x": P256_X, "y": P256_Y}), bytes(P256)),
        // RFC 7517 appendix A.1 and RFC 7638 section 3.1.
        (json!({"kty": "RSA", "n": RSA_N, "e": "AQAB"}), bytes(RSA)),
        // RFC 7520 section 3.1, whose x begins with a zero byte.
        (
            json!({
                "kty": "EC", "crv": "P-521",
                "x": "AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt",
                "y": "AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1",
            }),
            bytes(
                "MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQAcpkss6wI7PPlxj3t7A1RqMH3nvL4L5Tzxze/XeeYZnHqxiX+gle70DlGRMqqOq\
                 +PJ6RYX7vK0PJFdiAIXlyPQq0B3KaUe86IvFeQSFrJdCc0K8NfiH2G1loIk3fiR+YLqlXk6FAeKtpXJKxR1pCQCAM+vBCsmZud\
                 f1zCUZ8/4eodlHU=",
            ),
        ),
        // A key of our own whose x begins with a zero byte.
        (
            json!({
                "kty": "EC", "crv": "P-384",
                "x": "AIZK--vD_l20lEewF-VYilFNsen8mYDGDK5sNTzqeXQ0Gv1p9WoRZfUDEYbjiXAG",
                "y": "6CTkSvmU2eNM7TlIsHouVynfJgD6YzeoCQm5zMoCKh0j-eu_MM8SrKLbVRrgUVJ-",
            }),
            bytes(
                "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEAIZK++vD/l20lEewF+VYilFNsen8mYDGDK5sNTzqeXQ0Gv1p9WoRZfUDEYbjiXAG6C\
                 TkSvmU2eNM7TlIsHouVynfJgD6YzeoCQm5zMoCKh0j+eu/MM8SrKLbVRrgUVJ+",
            ),
        ),
        // RFC 8037 appendix A.2.
        (
            json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
            bytes("MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="),
        ),
    ]
}

#[test]
fn published_keys_are_the_same_in_both_forms() {
    for (members, spki) in published_keys() {
        assert_eq!(serde_json::to_value(jwk_of(&spki).unwrap()).unwrap(), members);
        assert_eq!(public_key_of(&jwk(members)).unwrap(), spki);
    }
}

#[test]
fn fresh_keys_of_every_kind_come_back() {
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ECDSA_P521_SHA512,
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_RSA_SHA256,
        &rcgen::PKCS_ML_DSA_44,
        &rcgen::PKCS_ML_DSA_65,
        &rcgen::PKCS_ML_DSA_87,
    ] {
        let spki = KeyPair::generate_for(algorithm).unwrap().subject_public_key_info();
        assert_eq!(public_key_of(&jwk_of(&spki).unwrap()).unwrap(), spki, "{algorithm:?}");
    }
}

/// RFC 9964: `kty` AKP, with `alg` as a part of the key.
#[test]
fn an_ml_dsa_key_says_its_algorithm() {
    let spki = KeyPair::generate_for(&rcgen::PKCS_ML_DSA_44).unwrap().subject_public_key_info();
    let mut members = serde_json::to_value(jwk_of(&spki).unwrap()).unwrap();
    assert_eq!((&members["kty"], &members["alg"]), (&json!("AKP"), &json!("ML-DSA-44")));
    assert_eq!(members["pub"].as_str().unwrap().len(), (1312 * 4_usize).div_ceil(3));
    members["alg"] = "ML-DSA-65".into();
    assert_eq!(public_key_of(&jwk(members.clone())), Err(JwkError::Member("pub")));
    members["alg"] = "ML-DSA-1".into();
    assert_eq!(public_key_of(&jwk(members.clone())), Err(JwkError::UnknownKind));
    members.as_object_mut().unwrap().remove("alg");
    assert_eq!(public_key_of(&jwk(members)), Err(JwkError::Member("alg")));
}

#[test]
fn leading_zeros_are_kept_for_ec_and_dropped_for_rsa() {
    let short = json!({"kty": "EC", "crv": "P-256", "x": "oEJM0hwpRIOKLXXJKzfnbqINnwCJOjtO7oo8Cq_sPg", "y": P256_Y});
    assert_eq!(public_key_of(&jwk(short)), Err(JwkError::Member("x")));
    let padded = json!({"kty": "RSA", "n": RSA_N, "e": "AAEAAQ"});
    assert_eq!(public_key_of(&jwk(padded)).unwrap(), bytes(RSA));
}

#[test]
fn a_broken_jwk_has_its_error() {
    let rsa = |n: &[u8], e: &str| {
        use base64::Engine as _;
        json!({"kty": "RSA", "n": base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(n), "e": e})
    };
    let cases = [
        ("unknown kty", json!({"kty": "oct", "k": "AAAA"}), JwkError::UnknownKind),
        ("kty in lower case", json!({"kty": "ec", "crv": "P-256", "x": P256_X, "y": P256_Y}), JwkError::UnknownKind),
        ("unknown curve", json!({"kty": "EC", "crv": "secp256k1", "x": P256_X, "y": P256_Y}), JwkError::UnknownKind),
        ("no curve", json!({"kty": "EC", "x": P256_X, "y": P256_Y}), JwkError::Member("crv")),
        ("no y", json!({"kty": "EC", "crv": "P-256", "x": P256_X}), JwkError::Member("y")),
        (
            "padding",
            json!({"kty": "EC", "crv": "P-256", "x": format!("{P256_X}="), "y": P256_Y}),
            JwkError::Member("x"),
        ),
        (
            "the alphabet of x5c",
            json!({"kty": "RSA", "n": RSA_N.replace('_', "/"), "e": "AQAB"}),
            JwkError::Member("n"),
        ),
        ("private", json!({"kty": "EC", "crv": "P-256", "x": P256_X, "y": P256_Y, "d": "AA"}), JwkError::Private),
        ("private ML-DSA", json!({"kty": "AKP", "alg": "ML-DSA-44", "priv": "AA"}), JwkError::Private),
        ("2047 bits", rsa(&[&[0x7f], [0xff; 255].as_slice()].concat(), "AQAB"), JwkError::RsaSize(2047)),
        ("8193 bits", rsa(&[&[1], [0xff; 1024].as_slice()].concat(), "AQAB"), JwkError::RsaSize(8193)),
        ("an empty modulus", rsa(&[], "AQAB"), JwkError::RsaSize(0)),
        ("an even modulus", rsa(&[0xfe; 256], "AQAB"), JwkError::RsaNumbers),
        ("an even exponent", rsa(&[0xff; 256], "AQAA"), JwkError::RsaNumbers),
        ("an exponent of 1", rsa(&[0xff; 256], "AQ"), JwkError::RsaNumbers),
        ("a long exponent", rsa(&[0xff; 256], "AQAAAAE"), JwkError::RsaNumbers),
    ];
    for (name, members, expected) in cases {
        assert_eq!(public_key_of(&jwk(members)), Err(expected), "{name}");
    }
}

/// A reader that takes more than one spelling of a key would take two spellings for two keys.
#[test]
fn only_canonical_der_is_a_key() {
    let good = bytes(RSA);
    let bent = |from: &[u8], to: &[u8]| {
        let at = good.windows(from.len()).position(|window| window == from).unwrap();
        [&good[..at], to, &good[at + from.len()..]].concat()
    };
    let trailing = [good.as_slice(), &[0]].concat();
    let unused_bits = bent(&[0x03, 0x82, 0x01, 0x0f, 0x00], &[0x03, 0x82, 0x01, 0x0f, 0x01]);
    let no_null = {
        let mut der = bent(&[0x05, 0x00], &[]);
        der[5] -= 2;
        der[3] -= 2;
        der
    };
    let negative = {
        // The modulus without its leading zero, and all lengths around it one less.
        let mut der = bent(&[0x02, 0x82, 0x01, 0x01, 0x00], &[0x02, 0x82, 0x01, 0x00]);
        for length in [3, 22, 27] {
            der[length] = der[length].wrapping_sub(1);
        }
        der
    };
    for (name, der) in [
        ("trailing", trailing),
        ("unused bits", unused_bits),
        ("no parameters", no_null),
        ("negative", negative),
        ("empty", Vec::new()),
    ] {
        assert_eq!(jwk_of(&der), Err(JwkError::Malformed), "{name}");
    }
    let mut compressed = bytes(P256);
    compressed[26] = 2;
    assert_eq!(jwk_of(&compressed), Err(JwkError::Malformed));
    let mut x25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().subject_public_key_info();
    x25519[8] = 110;
    assert_eq!(jwk_of(&x25519), Err(JwkError::UnknownKind));
}
