//! What others' verifiers were fooled with, named after what must not happen. W7.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
};

use super::mint::{encode, token_of_texts};
use super::*;

fn refused(token: &str, key: &Key) -> TokenError {
    verify(token, "orders", &bundles(key), NOW).unwrap_err()
}

#[test]
fn no_algorithm_at_all_is_not_one() {
    let key = Key::p256().but_signing(|_| Vec::new());
    for name in ["none", "None", "NONE", "nOnE", ""] {
        let error = refused(&token(&header(name), &claims(), &key), &key);
        assert!(matches!(error, TokenError::Algorithm(_)), "{name}: {error}");
    }
    let unsigned = token(&header("ES256"), &claims(), &key);
    assert!(unsigned.ends_with('.'));
    assert!(matches!(refused(&unsigned, &key), TokenError::Signature));
}

#[test]
fn a_public_key_is_not_a_shared_secret() {
    for public in [Key::p256(), Key::rsa("RS256", &RSA_PKCS1_SHA256)] {
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", encode(&public.public_key));
        for secret in [public.public_key.clone(), pem.into_bytes()] {
            let secret = hmac::Key::new(hmac::HMAC_SHA256, &secret);
            let signing = Key::p256().but_signing(move |message| hmac::sign(&secret, message).as_ref().to_vec());
            for name in ["HS256", "hs256", "ES256", "RS256"] {
                let forged = token(&header(name), &claims(), &signing);
                let error = refused(&forged, &public);
                let right =
                    matches!(error, TokenError::Algorithm(_) | TokenError::Signature | TokenError::KeyKind { .. });
                assert!(right, "{name}: {error}");
            }
        }
    }
}

#[test]
fn an_algorithm_that_jwt_svids_do_not_have_is_refused_even_with_its_own_key() {
    let key = Key::ed25519();
    let error = refused(&token(&header("EdDSA"), &claims(), &key), &key);
    assert!(matches!(error, TokenError::Algorithm(_)), "{error}");
    let error = refused(&token(&header("ES256"), &claims(), &key), &key);
    assert!(matches!(error, TokenError::KeyKind { .. }), "{error}");
}

#[test]
fn an_algorithm_goes_with_one_kind_of_key() {
    let p384 = Key::ecdsa("ES384", &ECDSA_P384_SHA384_FIXED_SIGNING);
    for (name, key) in [("ES256", &p384), ("RS256", &p384), ("ES256", &Key::rsa("RS256", &RSA_PKCS1_SHA256))] {
        let error = refused(&token(&header(name), &claims(), key), key);
        assert!(matches!(error, TokenError::KeyKind { .. }), "{name}: {error}");
    }
    // One kind of key has two ways to sign; what is signed in one does not pass for the other.
    let pss = Key::rsa("PS256", &RSA_PSS_SHA256);
    assert!(matches!(refused(&token(&header("RS256"), &claims(), &pss), &pss), TokenError::Signature));
}

/// The two numbers stand side by side in a JWS (RFC 7518 section 3.4); the other spelling has variants.
#[test]
fn a_signature_has_one_spelling() {
    let asn1 = Key::ecdsa("ES256", &ECDSA_P256_SHA256_ASN1_SIGNING);
    assert!(matches!(refused(&token(&header("ES256"), &claims(), &asn1), &asn1), TokenError::Signature));
    let zeros = Key::p256().but_signing(|_| vec![0; 64]);
    assert!(matches!(refused(&token(&header("ES256"), &claims(), &zeros), &zeros), TokenError::Signature));
    let key = Key::p256();
    let good = token(&header("ES256"), &claims(), &key);
    for bad in
        [format!("{good}="), format!("{good}\n"), format!(" {good}"), format!("Bearer {good}"), format!("{good}.")]
    {
        assert!(matches!(refused(&bad, &key), TokenError::NotCompact), "{bad:?}");
    }
}

#[test]
fn a_key_is_named_and_never_guessed() {
    let key = Key::p256();
    for bad in [json!({"alg": "ES256"}), with(&header("ES256"), "kid", "")] {
        assert!(matches!(refused(&token(&bad, &claims(), &key), &key), TokenError::NoKeyId), "{bad}");
    }
    for bad in ["kid-2", "KID-1", "kid-1 ", "../kid-1"] {
        let error = refused(&token(&with(&header("ES256"), "kid", bad), &claims(), &key), &key);
        assert!(matches!(error, TokenError::NoKey { .. }), "{bad}: {error}");
    }
    assert!(matches!(
        refused(&token(&with(&header("ES256"), "kid", 1), &claims(), &key), &key),
        TokenError::Malformed("kid")
    ));
}

#[test]
fn a_header_brings_no_key_of_its_own_and_no_demands() {
    let key = Key::p256();
    for name in ["jwk", "jku", "x5c", "x5u", "x5t", "x5t#S256", "crit", "b64", "cty", "enc", "zip", "epk", "ALG", "iss"]
    {
        let error = refused(&token(&with(&header("ES256"), name, json!(["exp"])), &claims(), &key), &key);
        assert!(matches!(&error, TokenError::HeaderParameter(found) if found == name), "{name}: {error}");
    }
}

#[test]
fn a_token_of_another_type_is_not_a_jwt_svid() {
    let key = Key::p256();
    for name in ["at+jwt", "wit+jwt", "jwt", "dpop+jwt", "JWE", ""] {
        let error = refused(&token(&with(&header("ES256"), "typ", name), &claims(), &key), &key);
        assert!(matches!(error, TokenError::Type(_)), "{name}: {error}");
    }
}

/// Of two members with one name, one reader takes the first and another the last.
#[test]
fn what_can_be_read_in_two_ways_is_not_read() {
    let key = Key::p256();
    let (header, claims) = (header("ES256").to_string(), claims().to_string());
    let headers = [
        r#"{"alg":"none","alg":"ES256","kid":"kid-1"}"#,
        r#"{"alg":"ES256","kid":"kid-1","kid":"kid-2"}"#,
        r#"{"alg":"ES256","kid":"kid-1""#,
        r#"[{"alg":"ES256","kid":"kid-1"}]"#,
        "null",
        "",
    ];
    for bad in headers {
        let error = refused(&token_of_texts(bad, &claims, &key), &key);
        assert!(matches!(error, TokenError::Json { .. } | TokenError::NotAnObject("header")), "{bad}: {error}");
    }
    let twice = [
        claims.replacen('{', r#"{"sub":"spiffe://example.org/admin","#, 1),
        claims.replacen('{', r#"{"exp":9999999999,"#, 1),
        claims.replacen('{', r#"{"\u0061ud":"batch","#, 1),
        claims.replacen('{', r#"{"act":{"sub":1,"sub":2},"#, 1),
        format!("{claims}{{}}"),
    ];
    for bad in twice {
        let error = refused(&token_of_texts(&header, &bad, &key), &key);
        assert!(matches!(error, TokenError::Json { part: "payload", .. }), "{bad}: {error}");
    }
}

#[test]
fn garbage_is_garbage() {
    let key = Key::p256();
    for bad in ["", ".", "..", "...", "a.b.c", "rubbish", "a.b.c.d.e", r#"{"payload":""}"#, "é.é.é"] {
        let error = refused(bad, &key);
        assert!(matches!(error, TokenError::NotCompact | TokenError::Json { .. }), "{bad}: {error}");
    }
    let long = format!("{}.a.a", "A".repeat(MAX_TOKEN_BYTES));
    assert!(matches!(refused(&long, &key), TokenError::TooLong(_)));
}

#[test]
fn an_error_does_not_write_a_log_line_of_its_own() {
    let key = Key::p256();
    for bad in [
        with(&header("ES256"), "kid", "a\nb\u{202e}"),
        with(&header("a\nb"), "x", 1),
        with(&header("ES256"), "a\nb", 1),
    ] {
        let text = refused(&token(&bad, &claims(), &key), &key).to_string();
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
}
