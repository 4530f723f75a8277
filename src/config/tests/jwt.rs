//! The keys `identity.jwt_*`.

use std::time::Duration;

use super::*;
use crate::identity::authority::{Hash, KeyType};

fn with(keys: &str) -> String {
    format!("trust_domain: example.org\nidentity: {{{keys}}}\n")
}

#[test]
fn every_kind_of_key_and_algorithm_can_be_named() {
    let names = [
        ("ec-p256", KeyType::EcP256),
        ("ec-p384", KeyType::EcP384),
        ("rsa-2048", KeyType::Rsa2048),
        ("rsa-4096", KeyType::Rsa4096),
    ];
    for (name, key_type) in names {
        assert_eq!(load(&with(&format!("jwt_key_type: {name}"))).config.identity.jwt_key_type, key_type);
    }
    for (name, hash) in [("RS256", Hash::Sha256), ("RS384", Hash::Sha384), ("RS512", Hash::Sha512)] {
        assert_eq!(load(&with(&format!("jwt_rsa_algorithm: {name}"))).config.identity.jwt_rsa_hash, hash);
    }
}

#[test]
fn the_issuer_is_optional() {
    assert_eq!(load(&with("")).config.identity.jwt_issuer, None);
    let issuer = load(&with("jwt_issuer: https://oidc.example")).config.identity.jwt_issuer;
    assert_eq!(issuer.as_deref(), Some("https://oidc.example"));
}

#[test]
fn the_default_life_is_five_minutes_or_a_sixth_of_a_short_lived_authoritys() {
    let life = |keys: &str| load(&with(keys)).config.identity.jwt_svid_ttl;
    assert_eq!(life(""), Duration::from_mins(5));
    assert_eq!(life("authority_ttl: 6m, x509_svid_ttl: 30s"), Duration::from_mins(1));
    assert_eq!(life("authority_ttl: 1m, x509_svid_ttl: 10s"), Duration::from_secs(10));
}

#[test]
fn bad_values() {
    let yaml = "trust_domain: example.org
identity:
  jwt_key_type: ed25519
  jwt_rsa_algorithm: PS256
  jwt_issuer: ''
  jwt_svid_ttl: 25h
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @r"
    p.yaml:3:17: identity.jwt_key_type: `ed25519` is none of `ec-p256`, `ec-p384`, `rsa-2048`, `rsa-4096`
    p.yaml:4:22: identity.jwt_rsa_algorithm: `PS256` is none of `RS256`, `RS384`, `RS512`
    p.yaml:5:15: identity.jwt_issuer: an issuer has 1 to 1024 bytes and no control characters
    p.yaml:6:17: identity.jwt_svid_ttl: 25h is more than 1d
    ");
    let yaml = "trust_domain: example.org
identity:
  authority_ttl: 6h
  jwt_svid_ttl: 2h
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @"p.yaml:4:17: identity.jwt_svid_ttl: an SVID of 2h needs an `identity.authority_ttl` of six times as much");
}
