//! What others' verifiers were fooled with, named after what must not happen.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, RSA_PKCS1_SHA256, RSA_PSS_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;

use super::*;

fn refused(token: &str, key: &Key) -> TokenError {
    tokens(key).verify(token, NOW).unwrap_err()
}

#[test]
fn no_algorithm_at_all_is_not_one() {
    let key = Key::p256().but_signing(|_| Vec::new());
    for name in ["none", "None", "NONE", "nOnE"] {
        let error = refused(&token(&header(name), &claims(), &key), &key);
        assert!(matches!(error, TokenError::Algorithm(_)), "{name}: {error}");
    }
    let unsigned = token(&header("ES256"), &claims(), &key);
    assert!(matches!(refused(&unsigned, &key), TokenError::Jwt(jwt::TokenError::Signature)));
}

#[test]
fn a_public_key_is_not_a_shared_secret() {
    for public in [Key::p256(), Key::rsa("RS256", &RSA_PKCS1_SHA256)] {
        let pem =
            format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", URL_SAFE_NO_PAD.encode(&public.spki));
        for secret in [public.spki.clone(), pem.into_bytes(), jwk("kid-1", &public).to_string().into_bytes()] {
            let secret = hmac::Key::new(hmac::HMAC_SHA256, &secret);
            let signing = Key::p256().but_signing(move |message| hmac::sign(&secret, message).as_ref().to_vec());
            for name in ["HS256", "HS512", "hs256", "ES256", "RS256", "EdDSA"] {
                let error = refused(&token(&header(name), &claims(), &signing), &public);
                let right = matches!(
                    error,
                    TokenError::Algorithm(_)
                        | TokenError::Jwt(jwt::TokenError::Signature | jwt::TokenError::KeyKind { .. })
                );
                assert!(right, "{name}: {error}");
            }
        }
    }
}

#[test]
fn an_algorithm_goes_with_one_kind_of_key() {
    let p384 = Key::ecdsa("ES384", &ECDSA_P384_SHA384_FIXED_SIGNING);
    let rsa = Key::rsa("RS256", &RSA_PKCS1_SHA256);
    let cases = [("ES256", &p384), ("RS256", &p384), ("ES256", &rsa), ("EdDSA", &rsa), ("ES256", &Key::ed25519())];
    for (name, key) in cases {
        let error = refused(&token(&header(name), &claims(), key), key);
        assert!(matches!(error, TokenError::Jwt(jwt::TokenError::KeyKind { .. })), "{name}: {error}");
    }
    let pss = Key::rsa("PS256", &RSA_PSS_SHA256);
    let error = refused(&token(&header("RS256"), &claims(), &pss), &pss);
    assert!(matches!(error, TokenError::Jwt(jwt::TokenError::Signature)), "{error}");
}

#[test]
fn a_key_that_says_what_it_is_for_is_for_nothing_else() {
    let key = Key::rsa("RS256", &RSA_PKCS1_SHA256);
    let good = token(&header("RS256"), &claims(), &key);
    let with_key = |jwk: Value| {
        let keys = PublishedKeys::new(STALE);
        keys.publish(KeySet::parse(&document(&[jwk])).unwrap(), NOW);
        Tokens::new(vec![Issuer::publishing(rules(ISSUER), Arc::new(keys))], 1).verify(&good, NOW)
    };
    let jwk = jwk("kid-1", &key);
    with_key(with(&with(&jwk, "alg", "RS256"), "use", "sig")).unwrap();
    with_key(with(&jwk, "key_ops", json!(["verify"]))).unwrap();
    assert!(matches!(with_key(with(&jwk, "alg", "PS256")), Err(TokenError::OtherAlgorithm(Algorithm::Ps256))));
    for (name, value) in [
        ("use", json!("enc")),
        ("use", json!(1)),
        ("key_ops", json!(["sign"])),
        ("key_ops", json!("verify")),
        ("alg", json!("HS256")),
        ("alg", json!("RSA-OAEP")),
        ("d", json!("AAAA")),
        ("kid", json!("")),
    ] {
        let error = with_key(with(&jwk, name, value.clone())).unwrap_err();
        assert!(matches!(error, TokenError::UnknownKey { .. }), "{name} {value}: {error}");
    }
}

#[test]
fn a_key_is_named_unless_there_is_but_one() {
    let (key, other) = (Key::p256(), Key::p256());
    let unnamed = token(&json!({"alg": "ES256"}), &claims(), &key);
    tokens(&key).verify(&unnamed, NOW).unwrap();
    let two = published(&[("kid-1", &key), ("kid-2", &other)]);
    let tokens = Tokens::new(vec![Issuer::publishing(rules(ISSUER), two)], 1);
    assert!(matches!(tokens.verify(&unnamed, NOW).unwrap_err(), TokenError::UnknownKey { key_id: None, .. }));
    for bad in ["kid-3", "KID-1", "kid-1 ", "../kid-1", "kid-1\0"] {
        let error = tokens.verify(&token(&with(&header("ES256"), "kid", bad), &claims(), &key), NOW).unwrap_err();
        assert!(matches!(error, TokenError::UnknownKey { .. }), "{bad}: {error}");
        assert!(!error.to_string().chars().any(char::is_control), "{error:?}");
    }
    for bad in [json!(1), json!(""), json!(null), json!(["kid-1"])] {
        let error = refused(&token(&with(&header("ES256"), "kid", bad), &claims(), &key), &key);
        assert!(matches!(error, TokenError::Jwt(jwt::TokenError::Malformed("kid"))), "{error}");
    }
}

#[test]
fn a_header_brings_no_key_of_its_own_and_no_demands() {
    let (key, forger) = (Key::p256(), Key::p256());
    for (name, value) in [
        ("jwk", jwk("kid-1", &forger)),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/chain")),
        ("x5c", json!(["AAAA"])),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("enc", json!("A256GCM")),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
    ] {
        for signer in [&key, &forger] {
            let error = refused(&token(&with(&header("ES256"), name, value.clone()), &claims(), signer), &key);
            assert!(matches!(error, TokenError::HeaderParameter(found) if found == name), "{name}: {error}");
        }
    }
    let more = with(&with(&header("ES256"), "x5t", "AAAA"), "nonce", "n");
    tokens(&key).verify(&token(&more, &claims(), &key), NOW).unwrap();
}

#[test]
fn a_token_of_another_purpose_is_not_taken() {
    let key = Key::p256();
    let of = |kind: Option<&str>, wanted: &[&str]| {
        let mut header = header("ES256");
        match kind {
            Some(kind) => header["typ"] = kind.into(),
            None => drop(header.as_object_mut().unwrap().remove("typ")),
        }
        let rules = IssuerRules { types: wanted.iter().copied().map(str::to_owned).collect(), ..rules(ISSUER) };
        let tokens = Tokens::new(vec![Issuer::publishing(rules, published(&[("kid-1", &key)]))], 1);
        tokens.verify(&token(&header, &claims(), &key), NOW).map(drop)
    };
    for (kind, wanted) in [
        (Some("JWT"), &["JWT"][..]),
        (Some("jwt"), &["JWT"]),
        (None, &["JWT"]),
        (Some("at+jwt"), &["at+jwt"]),
        (Some("application/at+jwt"), &["at+jwt"]),
    ] {
        of(kind, wanted).unwrap();
    }
    for (kind, wanted) in [
        (Some("at+jwt"), &["JWT"][..]),
        (Some("JWT"), &["at+jwt"]),
        (None, &["at+jwt"]),
        (Some("dpop+jwt"), &["JWT", "at+jwt"]),
        (Some("logout+jwt"), &["JWT"]),
    ] {
        assert!(matches!(of(kind, wanted).unwrap_err(), TokenError::Type(_)), "{kind:?} for {wanted:?}");
    }
}

/// Of two members with one name, one reader takes the first and another the last.
#[test]
fn what_can_be_read_in_two_ways_is_not_read() {
    let key = Key::p256();
    let (header, claims) = (header("ES256").to_string(), claims().to_string());
    for bad in [
        r#"{"alg":"none","alg":"ES256","kid":"kid-1"}"#,
        r#"{"alg":"ES256","kid":"kid-1","\u006bid":"kid-2"}"#,
        r#"{"alg":"ES256","kid":"kid-1""#,
        r#"[{"alg":"ES256"}]"#,
        "null",
        "",
    ] {
        let error = refused(&token_of_texts(bad, &claims, &key), &key);
        assert_eq!(error.fault(), TokenFault::Bad, "{bad}: {error}");
    }
    for bad in [
        claims.replacen('{', r#"{"sub":"admin","#, 1),
        claims.replacen('{', r#"{"\u0069ss":"https://other.example","#, 1),
        claims.replacen('{', r#"{"realm":{"roles":[],"roles":["admin"]},"#, 1),
        format!("{claims}{{}}"),
        format!("\u{feff}{claims}"),
        claims.replace("alice", "\\ud800"),
    ] {
        let error = refused(&token_of_texts(&header, &bad, &key), &key);
        assert_eq!(error.fault(), TokenFault::Bad, "{bad}: {error}");
    }
}

#[test]
fn what_is_longer_than_any_token_is_refused() {
    let key = Key::p256();
    let long = token(&header("ES256"), &with(&claims(), "x", "a".repeat(MAX_TOKEN_BYTES)), &key);
    assert!(matches!(refused(&long, &key), TokenError::TooLong(_)));
    let good = token(&header("ES256"), &with(&claims(), "x", "a".repeat(4000)), &key);
    tokens(&key).verify(&good, NOW).unwrap();
}

#[test]
fn a_token_has_one_spelling() {
    let key = Key::p256();
    let good = token(&header("ES256"), &claims(), &key);
    let five = format!("{good}.a.b");
    for bad in
        [format!("{good}="), format!("{good}\n"), format!(" {good}"), format!("Bearer {good}"), five, String::new()]
    {
        assert_eq!(refused(&bad, &key).fault(), TokenFault::Bad, "{bad:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_token_of_which_one_byte_is_another_does_not_pass(at in any::<prop::sample::Index>(), to in 0x20u8..0x7f) {
        let key = Key::p256();
        let good = token(&header("ES256"), &claims(), &key);
        let mut bad = good.clone().into_bytes();
        let at = at.index(bad.len());
        prop_assume!(bad[at] != to);
        bad[at] = to;
        let tokens = tokens(&key);
        // The good one is remembered, and its neighbour must not be taken for it.
        tokens.verify(&good, NOW).unwrap();
        prop_assert!(tokens.verify(std::str::from_utf8(&bad).unwrap(), NOW).is_err());
    }

    #[test]
    fn a_token_of_which_something_is_missing_does_not_pass(cut in any::<prop::sample::Index>(), length in 1usize..40) {
        let key = Key::p256();
        let good = token(&header("ES256"), &claims(), &key);
        let from = cut.index(good.len());
        let kept = |index: usize| !(from..from + length).contains(&index);
        let bad: String = good.chars().enumerate().filter(|(index, _)| kept(*index)).map(|(_, c)| c).collect();
        prop_assert!(tokens(&key).verify(&bad, NOW).is_err());
    }

    #[test]
    fn no_text_makes_it_panic_or_pass(text in "\\PC{0,80}(\\.\\PC{0,80}){0,4}") {
        prop_assert!(tokens(&Key::p256()).verify(&text, NOW).is_err());
    }
}
