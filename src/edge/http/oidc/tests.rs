use std::time::Duration;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RsaKeyPair,
};
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;
use crate::foundation::clock::SystemClock;
use crate::identity::bundle::Bundle;

fn authority(key_id: &str, public_key: Vec<u8>) -> JwtAuthority {
    JwtAuthority { key_id: key_id.to_owned(), public_key, expires_at: None, tainted: false }
}

fn router(issuers: &[&str]) -> Router {
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let ours: TrustDomain = "example.org".parse().unwrap();
    let bundle = Bundle {
        jwt_authorities: vec![
            authority("a", p256.public_key().as_der().unwrap().as_ref().to_vec()),
            authority("b", p384.public_key().as_der().unwrap().as_ref().to_vec()),
            authority("c", rsa.public_key().as_der().unwrap().as_ref().to_vec()),
        ],
        refresh_hint: Some(Duration::from_secs(1)),
        ..Bundle::of_x509(ours.clone(), [], 1)
    };
    let config = OidcConfig {
        trust_domain: ours,
        issuers: issuers.iter().map(|issuer| issuer.parse().unwrap()).collect(),
        rsa_hash: Hash::Sha384,
        requests_per_second: 100,
    };
    oidc_router(config, Arc::new(Watched::new(Bundles::new([bundle]))), Arc::new(SystemClock::new()))
}

async fn get(router: &Router, path: &str) -> (u16, Value) {
    let response = router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn metadata_names_the_issuer_and_keys_are_for_signatures() {
    let router = router(&["https://id.example.org"]);
    let (status, metadata) = get(&router, "/.well-known/openid-configuration").await;
    let expected = json!({
        "issuer": "https://id.example.org", "jwks_uri": "https://id.example.org/keys", "authorization_endpoint": "",
        "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256", "ES384", "RS384"],
    });
    assert_eq!((status, metadata), (200, expected));
    let (status, keys) = get(&router, "/keys").await;
    assert_eq!(status, 200);
    let told: Vec<_> =
        keys["keys"].as_array().unwrap().iter().map(|key| [&key["kid"], &key["use"], &key["alg"]]).collect();
    assert_eq!(told, [["a", "sig", "ES256"], ["b", "sig", "ES384"], ["c", "sig", "RS384"]]);
    assert!(keys["keys"].as_array().unwrap().iter().all(|key| key.get("d").is_none() && key.get("x5c").is_none()));
}

#[tokio::test]
async fn several_issuers_are_told_apart_by_their_paths() {
    let router = router(&["https://id.example.org", "https://id.example.org/eu"]);
    for (path, issuer) in [("", "https://id.example.org"), ("/eu", "https://id.example.org/eu")] {
        let (_, metadata) = get(&router, &format!("{path}/.well-known/openid-configuration")).await;
        assert_eq!((&metadata["issuer"], &metadata["jwks_uri"]), (&json!(issuer), &json!(format!("{issuer}/keys"))));
        assert_eq!(get(&router, &format!("{path}/keys")).await.1["keys"].as_array().unwrap().len(), 3);
    }
    assert_eq!(get(&router, "/us/keys").await.0, 404);
}

#[tokio::test]
async fn paths_have_one_spelling() {
    let router = router(&["https://id.example.org", "https://id.example.org/eu"]);
    assert_eq!(get(&router, "/eu/keys?x=/us").await.0, 200);
    for path in [
        "/",
        "//keys",
        "/keys/",
        "/KEYS",
        "/EU/keys",
        "/eu//keys",
        "/eu/../keys",
        "/%2e%2e/keys",
        "/eu/%6beys",
        "/eu%2fkeys",
        "/keys;x",
        "/eu;x/keys",
        "/.well-known/openid-configuration/",
        "/.well-known/openid-configuration/eu",
        "/eu/.well-known/../keys",
    ] {
        assert_eq!(get(&router, path).await.0, 404, "{path}");
    }
}
