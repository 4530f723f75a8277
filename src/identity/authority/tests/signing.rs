//! What is signed: its dates, its keys, and for whom.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::*;

/// Header and claims of a token whose signature the bundle's key of its `kid` verifies.
pub(super) fn opened(
    authority: &Authority,
    token: &str,
    verifier: &'static dyn VerificationAlgorithm,
) -> (Value, Value) {
    let parts: Vec<_> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("{token}") };
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    let header: Value = serde_json::from_slice(&decoded(header)).unwrap();
    let keys = bundle(authority).jwt_authorities;
    let key = keys.iter().find(|key| *key.key_id == header["kid"]).unwrap();
    let (_, spki) = <x509_parser::x509::SubjectPublicKeyInfo<'_> as x509_parser::prelude::FromDer<'_, _>>::from_der(
        &key.public_key,
    )
    .unwrap();
    let (signed, _) = token.rsplit_once('.').unwrap();
    let public_key = UnparsedPublicKey::new(verifier, &spki.subject_public_key.data);
    public_key.verify(signed.as_bytes(), &decoded(signature)).unwrap();
    (header, serde_json::from_slice(&decoded(claims)).unwrap())
}

#[tokio::test]
async fn tokens_of_every_algorithm_verify_with_the_bundle_also_after_a_restart() {
    let kinds: [(_, _, _, &'static dyn VerificationAlgorithm); 6] = [
        (KeyType::EcP256, Hash::Sha256, "ES256", &ECDSA_P256_SHA256_FIXED),
        (KeyType::EcP384, Hash::Sha256, "ES384", &ECDSA_P384_SHA384_FIXED),
        (KeyType::Rsa2048, Hash::Sha256, "RS256", &RSA_PKCS1_2048_8192_SHA256),
        (KeyType::Rsa2048, Hash::Sha384, "RS384", &RSA_PKCS1_2048_8192_SHA384),
        (KeyType::Rsa2048, Hash::Sha512, "RS512", &RSA_PKCS1_2048_8192_SHA512),
        (KeyType::EcP256, Hash::Sha512, "ES256", &ECDSA_P256_SHA256_FIXED),
    ];
    for (key_type, hash, algorithm, verifier) in kinds {
        let estate = Estate { jwt_key_type: key_type, jwt_rsa_hash: hash, ..Estate::new() };
        let first = estate.open().await.unwrap();
        let restarted = estate.open().await.unwrap();
        for authority in [first, restarted] {
            // The two numbers of a signature differ in length every few hundred times.
            for _ in 0..if matches!(key_type, KeyType::Rsa2048) { 1 } else { 300 } {
                let token = sign_token(&authority, LIFE, estate.clock.now()).unwrap();
                let (header, claims) = opened(&authority, token.token.expose(), verifier);
                assert_eq!(header, json!({ "alg": algorithm, "kid": &*token.authority, "typ": "JWT" }));
                let expected = json!({
                    "aud": ["orders"], "exp": START + 1200, "iat": START, "sub": "spiffe://example.org/web"
                });
                assert_eq!(claims, expected);
            }
        }
    }
}

/// A setting that changed holds for the next authority; the present one keeps its key.
#[tokio::test]
async fn another_key_type_comes_with_the_next_authority() {
    let mut estate = Estate::new();
    estate.open().await.unwrap();
    estate.jwt_key_type = KeyType::EcP384;
    let authority = estate.open().await.unwrap();
    let alg = |authority: &Authority, verifier| {
        let token = sign_token(authority, LIFE, estate.clock.now()).unwrap();
        opened(authority, token.token.expose(), verifier).0["alg"].clone()
    };
    assert_eq!(alg(&authority, &ECDSA_P256_SHA256_FIXED), "ES256");
    let prepared = authority.prepare(AuthorityKind::Jwt, estate.clock.now()).await.unwrap();
    authority.activate(AuthorityKind::Jwt, &prepared.id, estate.clock.now()).await.unwrap();
    assert_eq!(alg(&authority, &ECDSA_P384_SHA384_FIXED), "ES384");
}

#[tokio::test]
async fn what_is_signed_never_outlives_who_signed_it() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    for second in [0, 1, 500, 1100, 1199] {
        let now = estate.advance_to(second);
        let leaf = sign(&authority, 10 * LIFE, now).unwrap().leaf;
        let limit = lint::validity_of(&leaf.authority_certificate).unwrap().not_after;
        assert_eq!(leaf.not_after, limit);
        assert_eq!(lint::validity_of(&leaf.certificate).unwrap().not_after, limit);
        let token = sign_token(&authority, 10 * LIFE, now).unwrap();
        assert_eq!(Some(token.not_after), bundle(&authority).jwt_authorities[0].expires_at);
    }
}

#[tokio::test]
async fn only_our_own_trust_domain_is_signed_for() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    let spiffe_id = "spiffe://example.com/web".parse().unwrap();
    let request = LeafRequest { spiffe_id: &spiffe_id, dns_names: &[], ttl: LIFE };
    let error = authority.sign(&request, estate.clock.now()).unwrap_err();
    assert!(matches!(error, AuthorityError::ForeignTrustDomain(_)), "{error}");
    let request = TokenRequest { spiffe_id: &spiffe_id, audience: &[], ttl: LIFE, issuer: None, jti: None };
    let error = authority.sign_token(&request, estate.clock.now()).unwrap_err();
    assert!(matches!(error, AuthorityError::ForeignTrustDomain(_)), "{error}");
}

#[tokio::test]
async fn a_life_of_less_than_a_second_is_none() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    let now = estate.clock.now();
    for ttl in [Duration::ZERO, Duration::from_millis(999)] {
        assert!(matches!(sign(&authority, ttl, now), Err(AuthorityError::TooShort(_))));
        assert!(matches!(sign_token(&authority, ttl, now), Err(AuthorityError::TooShort(_))));
    }
}

/// Verifiers that look authorities up by name try every one of that name, and Go's gives up after some (spire#4415).
#[tokio::test]
async fn no_two_authorities_have_the_same_subject() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    authority.prepare(AuthorityKind::X509, estate.clock.now()).await.unwrap();
    let bundle = bundle(&authority);
    let subject = |der| x509_parser::parse_x509_certificate(der).unwrap().1.subject().as_raw().to_vec();
    let subjects: Vec<_> = bundle.certificates().map(|der| subject(der)).collect();
    assert_eq!(subjects.len(), 2);
    assert_ne!(subjects[0], subjects[1]);
}

/// The linter looks at every one, and the verifier of every Check takes what was signed.
#[tokio::test]
async fn certificates_of_every_kind_of_key_verify_with_the_bundle_also_after_a_restart() {
    for key_type in KeyType::FOR_CERTIFICATES {
        let estate = Estate { key_type, ..Estate::new() };
        let first = estate.open().await.unwrap();
        let restarted = estate.open().await.unwrap();
        for authority in [first, restarted] {
            let leaf = sign(&authority, LIFE, estate.clock.now()).unwrap().leaf.certificate;
            let anchors: Vec<_> = bundle(&authority)
                .certificates()
                .map(|der| anchor_from_trusted_cert(der).unwrap().to_owned())
                .collect();
            let leaf = EndEntityCert::try_from(&leaf).unwrap();
            let usage = KeyUsage::client_auth();
            leaf.verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, &[], estate.clock.now().into(), usage, None, None)
                .unwrap_or_else(|error| panic!("{}: {error}", key_type.name()));
        }
    }
}

#[test]
fn keys_of_every_kind_survive_their_document() {
    for key_type in KeyType::FOR_CERTIFICATES {
        let key = SigningKey::generate(key_type).unwrap();
        let again = SigningKey::from_pkcs8(key.to_pkcs8().unwrap().expose()).unwrap();
        assert_eq!(again.subject_public_key_info(), key.subject_public_key_info());
        assert_eq!(format!("{again:?}"), format!("{key:?}"));
    }
    assert!(SigningKey::from_pkcs8(b"no key").is_err());
}
