mod forged;
mod fuzz;
mod keys;
mod remembered;
mod single_use;

use std::time::Duration;

use portcullis_spiffe::bundle::jwk_of;
use serde_json::json;

use super::*;
use crate::foundation::watched::Watched;
use crate::identity::bundle::{Bundle, Bundles};
use crate::identity::svid::jwt;
pub(crate) use crate::identity::svid::jwt::tests::mint::{Key, bundle, token, token_of_texts, with};

pub(crate) const NOW: Timestamp = Timestamp::from_unix_nanos(1_800_000_000_000_000_000);
pub(crate) const SECOND: u64 = 1_800_000_000;
pub(crate) const ISSUER: &str = "https://idp.example";
const STALE: Duration = Duration::from_hours(24);

/// Claims of alice for `orders`, for five minutes.
pub(crate) fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "sub": "alice",
        "aud": ["orders", "audit"],
        "iat": SECOND,
        "exp": SECOND + 300,
        "jti": "a-number",
        "groups": ["staff"],
    })
}

pub(crate) fn header(algorithm: &str) -> Value {
    json!({"alg": algorithm, "kid": "kid-1", "typ": "JWT"})
}

pub(crate) fn rules(issuer: &str) -> IssuerRules {
    IssuerRules {
        issuer: issuer.into(),
        audiences: vec!["orders".to_owned(), "reports".to_owned()],
        algorithms: vec![Algorithm::Es256, Algorithm::Rs256, Algorithm::EdDsa],
        types: vec!["JWT".to_owned()],
        leeway: Duration::from_secs(30),
        single_use: None,
    }
}

/// A key as issuers publish it.
pub(crate) fn jwk(key_id: &str, key: &Key) -> Value {
    with(&serde_json::to_value(jwk_of(&key.spki).unwrap()).unwrap(), "kid", key_id)
}

pub(crate) fn document(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}

/// Keys that the issuer has just vouched for.
pub(crate) fn published(keys: &[(&str, &Key)]) -> Arc<PublishedKeys> {
    let published = PublishedKeys::new(STALE);
    let keys: Vec<Value> = keys.iter().map(|(key_id, key)| jwk(key_id, key)).collect();
    published.publish(KeySet::parse(&document(&keys)).unwrap(), NOW);
    Arc::new(published)
}

/// What believes one issuer with one key.
pub(crate) fn tokens(key: &Key) -> Tokens {
    Tokens::new(vec![Issuer::publishing(rules(ISSUER), published(&[("kid-1", key)]))], 100)
}

fn verified(header: &Value, claims: &Value, key: &Key) -> Result<Arc<VerifiedToken>, TokenError> {
    tokens(key).verify(&token(header, claims, key), NOW)
}

/// What is wrong with a token that is good but for these claims.
fn fault(claims: &Value) -> TokenError {
    let key = Key::p256();
    verified(&header("ES256"), claims, &key).unwrap_err()
}

#[test]
fn a_good_token_proves_what_it_says() {
    let key = Key::p256();
    let good = token(&header("ES256"), &claims(), &key);
    let verified = tokens(&key).verify(&good, NOW).unwrap();
    assert_eq!((&*verified.issuer, &*verified.subject, verified.issuer_index), (ISSUER, "alice", 0));
    assert_eq!(verified.audience, ["orders", "audit"]);
    assert_eq!(verified.not_after, NOW.after(Duration::from_mins(5)));
    assert_eq!(verified.digest, Digest::of(good.as_bytes()));
    assert_eq!(Value::Object(verified.claims.clone()), claims());
}

#[test]
fn each_algorithm_verifies_if_its_issuer_may_use_it_and_else_not() {
    for key in Key::all_kinds().into_iter().chain([Key::ed25519()]) {
        let algorithm: Algorithm = key.algorithm.parse().unwrap();
        let good = token(&header(key.algorithm), &claims(), &key);
        let allowing = |algorithms: &[Algorithm]| {
            let rules = IssuerRules { algorithms: algorithms.to_vec(), ..rules(ISSUER) };
            Tokens::new(vec![Issuer::publishing(rules, published(&[("kid-1", &key)]))], 100).verify(&good, NOW)
        };
        assert_eq!(allowing(&[algorithm]).unwrap().subject, "alice", "{algorithm}");
        let others: Vec<_> = Algorithm::ALL.into_iter().filter(|other| *other != algorithm).collect();
        let error = allowing(&others).unwrap_err();
        assert!(matches!(error, TokenError::Algorithm(_)), "{algorithm}: {error}");
    }
}

#[test]
fn it_is_for_us_or_it_proves_nothing() {
    for audience in [json!("orders"), json!(["x", "reports"])] {
        verified(&header("ES256"), &with(&claims(), "aud", audience), &Key::p256()).unwrap();
    }
    for audience in [json!("order"), json!(["x", "ORDERS"]), json!(["orders "])] {
        let error = fault(&with(&claims(), "aud", audience));
        assert!(matches!(error, TokenError::Jwt(jwt::TokenError::Audience { .. })), "{error}");
        assert_eq!(error.fault(), TokenFault::Untrusted);
    }
}

#[test]
fn what_must_be_there_is_missed() {
    for name in ["sub", "aud", "exp"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        let error = fault(&claims);
        assert!(matches!(error, TokenError::Jwt(jwt::TokenError::Missing(found)) if found == name), "{name}: {error}");
    }
    assert!(matches!(fault(&with(&claims(), "sub", "")), TokenError::Jwt(jwt::TokenError::Missing("sub"))));
    assert!(matches!(fault(&with(&claims(), "aud", json!([]))), TokenError::Jwt(jwt::TokenError::Missing("aud"))));
    assert!(matches!(fault(&with(&claims(), "exp", json!("9999999999"))), TokenError::Jwt(_)));
}

#[test]
fn clocks_may_differ_by_the_leeway_and_no_more() {
    let at = |name: &str, second: u64| verified(&header("ES256"), &with(&claims(), name, second), &Key::p256());
    for (name, good, bad) in [("exp", SECOND - 29, SECOND - 30), ("nbf", SECOND + 30, SECOND + 31)] {
        at(name, good).unwrap();
        assert_eq!(at(name, bad).unwrap_err().fault(), TokenFault::OutOfTime, "{name}");
    }
    at("iat", SECOND + 30).unwrap();
    assert_eq!(at("iat", SECOND + 31).unwrap_err().fault(), TokenFault::OutOfTime);
}

#[test]
fn an_issuer_is_known_to_the_letter() {
    let mut nobody = claims();
    nobody.as_object_mut().unwrap().remove("iss");
    let others = ["https://idp.example/", "https://IDP.example", "http://idp.example", "https://idp.example.evil", ""];
    for bad in others.map(|name| with(&claims(), "iss", name)).into_iter().chain([nobody]) {
        let error = fault(&bad);
        assert!(matches!(error, TokenError::UnknownIssuer(_)), "{bad}: {error}");
    }
    let list = with(&claims(), "iss", json!([ISSUER]));
    assert!(matches!(fault(&list), TokenError::UnknownIssuer(_)));
}

#[test]
fn one_issuer_does_not_speak_for_another() {
    let (ours, theirs) = (Key::p256(), Key::p256());
    let issuers = vec![
        Issuer::publishing(rules(ISSUER), published(&[("kid-1", &ours)])),
        Issuer::publishing(rules("https://other.example"), published(&[("kid-1", &theirs), ("kid-2", &theirs)])),
    ];
    let tokens = Tokens::new(issuers, 100);
    let forged = tokens.verify(&token(&header("ES256"), &claims(), &theirs), NOW).unwrap_err();
    assert!(matches!(forged, TokenError::Jwt(jwt::TokenError::Signature)), "{forged}");
    let elsewhere = token(&with(&header("ES256"), "kid", "kid-2"), &claims(), &theirs);
    let unknown = tokens.verify(&elsewhere, NOW).unwrap_err();
    assert!(matches!(unknown, TokenError::UnknownKey { .. }), "{unknown}");
    let own = token(&header("ES256"), &with(&claims(), "iss", "https://other.example"), &theirs);
    assert_eq!(tokens.verify(&own, NOW).unwrap().issuer_index, 1);
}

#[test]
fn a_jwt_svid_is_verified_by_the_bundle_of_its_trust_domain() {
    let (key, other) = (Key::p256(), Key::p256());
    let bundle = Bundle::clone(&bundle("example.org", [("kid-1", &key)]));
    let bundles = Arc::new(Watched::new(Bundles::new([bundle])));
    let issuers = vec![
        Issuer::spiffe(rules("spiffe"), Arc::clone(&bundles)),
        Issuer::publishing(rules(ISSUER), published(&[("kid-1", &other)])),
    ];
    let tokens = Tokens::new(issuers, 100);
    let svid = with(&with(&claims(), "sub", "spiffe://example.org/web"), "iss", "https://whoever.example");
    let verified = tokens.verify(&token(&header("ES256"), &svid, &key), NOW).unwrap();
    assert_eq!((&*verified.issuer, &*verified.subject), ("spiffe://example.org", "spiffe://example.org/web"));
    assert_eq!(verified.issuer_index, 0);
    let forged = tokens.verify(&token(&header("ES256"), &svid, &other), NOW).unwrap_err();
    assert!(matches!(forged, TokenError::Jwt(jwt::TokenError::Signature)), "{forged}");
    let elsewhere = with(&svid, "aud", "elsewhere");
    let error = tokens.verify(&token(&header("ES256"), &elsewhere, &key), NOW).unwrap_err();
    assert_eq!(error.fault(), TokenFault::Untrusted);
    // A trust domain vouches for nobody but its own, and an issuer of users for no workload unless it is asked as itself.
    let alice = token(&header("ES256"), &claims(), &key);
    assert!(tokens.verify(&alice, NOW).is_err());
    bundles.replace(Bundles::default());
    let good = token(&header("ES256"), &svid, &key);
    assert!(matches!(tokens.verify(&good, NOW).unwrap_err(), TokenError::Jwt(jwt::TokenError::NoBundle(_))));
}
