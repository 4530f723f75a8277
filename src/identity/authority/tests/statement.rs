//! What the gateway says of itself, signed.

use aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED;
use serde_json::json;

use super::signing::opened;
use super::*;
use crate::identity::svid::jwt::verify;

#[tokio::test]
async fn a_statement_is_signed_anew_at_half_of_its_life_and_by_who_signs_now() {
    let estate = Estate::new();
    let authority = Arc::new(estate.open().await.unwrap());
    let claims = json!({"iss": "https://pdp.example.com", "n": 1}).as_object().unwrap().clone();
    let clock = Arc::new(ManualClock::new(estate.clock.now()));
    let statement = Statement::new(Arc::clone(&authority), clock.clone(), claims);
    let at = async |second: u64| {
        let now = estate.advance_to(second);
        clock.set(now);
        authority.maintain(now).await.unwrap();
        statement.signed().unwrap()
    };
    // An authority lives for 20 minutes here and signs until the 1000th second.
    let first = at(0).await;
    let (header, claims) = opened(&authority, &first, &ECDSA_P256_SHA256_FIXED);
    assert_eq!(header["alg"], "ES256");
    let expected = json!({"iss": "https://pdp.example.com", "n": 1, "iat": START, "nbf": START, "exp": START + 1200});
    assert_eq!(claims, expected, "it outlives no authority");
    assert_eq!(at(599).await, first);
    let second = at(600).await;
    assert_ne!(second, first, "half of its life is over");
    let third = at(1000).await;
    let (next, claims) = opened(&authority, &third, &ECDSA_P256_SHA256_FIXED);
    assert_ne!((&next["kid"], claims["iat"].as_u64()), (&header["kid"], Some(START + 600)), "another signs now");
    assert_eq!(at(1001).await, third);
    estate.advance_to(900);
    clock.set(estate.clock.now());
    assert_ne!(statement.signed().unwrap(), third, "what comes from the future is not believed");
}

#[tokio::test]
async fn a_statement_is_no_identity() {
    let estate = Estate::new();
    let authority = Arc::new(estate.open().await.unwrap());
    let claims = json!({"iss": "https://pdp.example.com"}).as_object().unwrap().clone();
    let clock = Arc::new(ManualClock::new(estate.clock.now()));
    let token = Statement::new(Arc::clone(&authority), clock, claims).signed().unwrap();
    let bundles = [Arc::new(bundle(&authority))];
    assert!(verify(&token, "https://pdp.example.com", &bundles, estate.clock.now()).is_err());
}
