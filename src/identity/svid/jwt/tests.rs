mod forged;
mod mint;

use proptest::prelude::*;
use serde_json::json;

use self::mint::{Key, bundle, token, with};
use super::*;

const NOW: Timestamp = Timestamp::from_unix_nanos(1_800_000_000_000_000_000);
const SECOND: u64 = 1_800_000_000;

/// Claims of `spiffe://example.org/web` for `orders`, for five minutes.
fn claims() -> Value {
    json!({
        "sub": "spiffe://example.org/web",
        "aud": ["orders", "audit"],
        "iat": SECOND,
        "exp": SECOND + 300,
        "jti": "a-number",
    })
}

/// A bundle of `example.org` with this key in it.
fn bundles(key: &Key) -> Vec<Arc<Bundle>> {
    vec![bundle("example.org", [("kid-1", key)])]
}

fn header(algorithm: &str) -> Value {
    json!({"alg": algorithm, "kid": "kid-1", "typ": "JWT"})
}

fn verified(header: &Value, claims: &Value, key: &Key) -> Result<VerifiedToken, TokenError> {
    verify(&token(header, claims, key), "orders", &bundles(key), NOW)
}

/// What is wrong with a token that is good but for these claims.
fn fault(claims: &Value) -> TokenError {
    let key = Key::p256();
    verified(&header("ES256"), claims, &key).unwrap_err()
}

#[test]
fn each_of_the_nine_algorithms_verifies_with_a_key_of_its_kind() {
    for key in Key::all_kinds() {
        let verified = verified(&header(key.algorithm), &claims(), &key).unwrap();
        assert_eq!(verified.id.as_str(), "spiffe://example.org/web", "{}", key.algorithm);
        assert_eq!(verified.expires_at, NOW.after(Duration::from_mins(5)));
        assert_eq!(Value::Object(verified.claims), claims());
    }
}

#[test]
fn the_type_may_be_left_out_and_be_jose() {
    let key = Key::p256();
    for good in [json!({"alg": "ES256", "kid": "kid-1"}), with(&header("ES256"), "typ", "JOSE")] {
        verified(&good, &claims(), &key).unwrap();
    }
}

#[test]
fn an_audience_is_a_list_whichever_form_the_token_has_it_in() {
    let verified = verified(&header("ES256"), &with(&claims(), "aud", "orders"), &Key::p256()).unwrap();
    assert_eq!(verified.claims["aud"], json!(["orders"]));
}

/// W7.
#[test]
fn a_token_for_others_proves_nothing() {
    for (audience, shown) in [(json!(["batch", "orders2"]), "batch"), (json!("ORDERS"), "ORDERS")] {
        let error = fault(&with(&claims(), "aud", audience));
        assert!(matches!(error, TokenError::Audience { .. }), "{error}");
        assert!(error.to_string().contains(shown), "{error}");
    }
    let empty = with(&claims(), "aud", json!([]));
    assert!(matches!(fault(&empty), TokenError::Missing("aud")));
    assert!(matches!(fault(&with(&claims(), "aud", json!(["orders", 1]))), TokenError::Malformed("aud")));
    assert!(matches!(fault(&with(&claims(), "aud", json!({"orders": 1}))), TokenError::Malformed("aud")));
}

/// W7. go-jose, and so SPIRE, takes a token for a minute after its end.
#[test]
fn a_token_ends_with_its_time_to_the_second() {
    let key = Key::p256();
    let ending = token(&header("ES256"), &with(&claims(), "exp", SECOND), &key);
    let before = NOW.before(Duration::from_nanos(1));
    assert!(verify(&ending, "orders", &bundles(&key), before).is_ok());
    let error = verify(&ending, "orders", &bundles(&key), NOW).unwrap_err();
    assert!(matches!(error, TokenError::Expired(at) if at == NOW), "{error}");
}

#[test]
fn a_clock_that_is_a_minute_ahead_is_forgiven_and_no_more() {
    for name in ["nbf", "iat"] {
        let of = |seconds: u64| with(&claims(), name, SECOND + seconds);
        verified(&header("ES256"), &of(60), &Key::p256()).unwrap();
        let error = fault(&of(61));
        assert!(matches!(error, TokenError::NotYetValid(_) | TokenError::FromTheFuture(_)), "{error}");
    }
}

#[test]
fn times_are_numbers_that_may_have_fractions() {
    let fraction = with(&claims(), "exp", json!(1_800_000_000.5));
    assert_eq!(
        verified(&header("ES256"), &fraction, &Key::p256()).unwrap().expires_at,
        NOW.after(Duration::from_millis(500))
    );
    for bad in [json!("1800000300"), json!(-1), json!(1e300), json!(null), json!([1]), json!(true)] {
        for name in ["exp", "nbf", "iat"] {
            let error = fault(&with(&claims(), name, bad.clone()));
            assert!(matches!(error, TokenError::Malformed(found) if found == name), "{name} {bad}: {error}");
        }
    }
    let huge = with(&claims(), "exp", u64::MAX);
    assert_eq!(verified(&header("ES256"), &huge, &Key::p256()).unwrap().expires_at, Timestamp::MAX);
}

#[test]
fn a_claim_that_must_be_there_is_missed() {
    for name in ["sub", "aud", "exp"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        let error = fault(&claims);
        assert!(matches!(error, TokenError::Missing(found) if found == name), "{name}: {error}");
    }
}

#[test]
fn a_subject_is_the_id_of_a_workload() {
    for bad in ["", "alice", "spiffe://example.org", "spiffe://example.org/", "spiffe://Example.org/web", "https://x/y"]
    {
        let error = fault(&with(&claims(), "sub", bad));
        assert!(matches!(error, TokenError::Subject(_)), "{bad}: {error}");
    }
    assert!(matches!(fault(&with(&claims(), "sub", 1)), TokenError::Malformed("sub")));
}

/// W7.
#[test]
fn a_foreign_token_is_verified_by_its_own_bundle_and_no_other() {
    let (ours, theirs) = (Key::p256(), Key::p256());
    let subject = with(&claims(), "sub", "spiffe://other.org/web");
    let signed_by = |key: &Key| token(&header("ES256"), &subject, key);
    let both = [bundle("example.org", [("kid-1", &ours)]), bundle("other.org", [("kid-1", &theirs)])];
    let verified = verify(&signed_by(&theirs), "orders", &both, NOW).unwrap();
    assert_eq!(verified.id.as_str(), "spiffe://other.org/web");
    let forged = verify(&signed_by(&ours), "orders", &both, NOW).unwrap_err();
    assert!(matches!(forged, TokenError::Signature), "{forged}");
    let unknown = verify(&signed_by(&ours), "orders", &both[..1], NOW).unwrap_err();
    assert!(matches!(unknown, TokenError::NoBundle(_)), "{unknown}");
    let empty = [bundle("other.org", [])];
    assert!(matches!(verify(&signed_by(&theirs), "orders", &empty, NOW).unwrap_err(), TokenError::NoKey { .. }));
}

#[test]
fn a_key_that_is_at_its_end_vouches_for_no_one() {
    let key = Key::p256();
    let mut bundle = Bundle::clone(&bundle("example.org", [("kid-1", &key)]));
    let good = token(&header("ES256"), &claims(), &key);
    bundle.jwt_authorities[0].expires_at = Some(NOW.after(Duration::from_secs(1)));
    bundle.jwt_authorities[0].tainted = true;
    verify(&good, "orders", &[Arc::new(bundle.clone())], NOW).unwrap();
    bundle.jwt_authorities[0].expires_at = Some(NOW);
    let error = verify(&good, "orders", &[Arc::new(bundle)], NOW).unwrap_err();
    assert!(matches!(error, TokenError::NoKey { .. }), "{error}");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_or_pass(text in "\\PC{0,80}(\\.\\PC{0,80}){0,4}") {
        prop_assert!(verify(&text, "orders", &bundles(&Key::p256()), NOW).is_err());
    }

    #[test]
    fn no_bytes_in_the_parts_make_it_panic_or_pass(
        header in proptest::collection::vec(any::<u8>(), 0..60),
        claims in proptest::collection::vec(any::<u8>(), 0..60),
        signature in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let text = mint::joined(&header, &claims, &signature);
        prop_assert!(verify(&text, "orders", &bundles(&Key::p256()), NOW).is_err());
    }

    #[test]
    fn a_token_of_which_one_character_is_another_does_not_pass(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.-]") {
        let key = Key::p256();
        let good = token(&header("ES256"), &claims(), &key);
        let at = at.index(good.len());
        prop_assume!(!good[at..].starts_with(&to));
        let bad = format!("{}{to}{}", &good[..at], &good[at + 1..]);
        prop_assert!(verify(&bad, "orders", &bundles(&key), NOW).is_err());
    }
}
