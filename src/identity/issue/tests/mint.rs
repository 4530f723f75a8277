//! What an administrator gets, and what nobody does.

use portcullis_spiffe::x509::Leaf;
use rcgen::{KeyPair as Generated, PublicKeyData as _};

use super::*;
use crate::evidence::AppendError;

fn wanted(id: &str, public_key: Vec<u8>) -> MintX509 {
    MintX509 { spiffe_id: id.parse().unwrap(), dns_names: Vec::new(), public_key, ttl: None }
}

fn public_key(algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
    Generated::generate_for(algorithm).unwrap().subject_public_key_info()
}

fn refusal<T: std::fmt::Debug>(result: Result<T, IssueError>) -> NotMintable {
    match result {
        Err(IssueError::NotMintable(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_key_of_every_kind_gets_a_leaf_that_verifies() {
    let house = House::new([]).await;
    let kinds = [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ECDSA_P521_SHA512,
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_RSA_SHA256,
    ];
    for kind in kinds {
        let key = public_key(kind);
        let dns_names = vec!["batch.example".to_owned()];
        let request = MintX509 { dns_names, ..wanted("spiffe://example.org/batch", key.clone()) };
        let minted = house.issuer.mint_x509(&request).unwrap();
        let [leaf] = &minted.chain[..] else { panic!("{minted:?}") };
        let (_, parsed) = x509_parser::parse_x509_certificate(leaf).unwrap();
        assert_eq!(parsed.public_key().raw, key);
        assert_eq!(minted.serial, hex::encode(parsed.raw_serial()));
        assert_eq!(minted.not_after, house.clock.now().after(TTL));
        Leaf::parse(leaf).unwrap();

        let bundles = house.authority.bundles().load();
        let own = bundles.get(house.authority.trust_domain()).unwrap();
        let anchors: Vec<_> = own.certificates().map(|der| anchor_from_trusted_cert(der).unwrap()).collect();
        let (now, usage) = (house.clock.now().into(), KeyUsage::client_auth());
        let verified = EndEntityCert::try_from(leaf).unwrap();
        verified.verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, &[], now, usage, None, None).unwrap();

        let records = house.log.records.lock().unwrap();
        let record = records.last().unwrap();
        assert_eq!((&*record.spiffe_id, &*record.entry_id), ("spiffe://example.org/batch", ""));
        assert_eq!(record.leaf, Digest::of(leaf));
    }
}

#[tokio::test]
async fn what_is_no_key_or_a_weak_one_is_refused() {
    let house = House::new([]).await;
    let good = public_key(&rcgen::PKCS_ECDSA_P256_SHA256);
    let mut off_the_curve = good.clone();
    *off_the_curve.last_mut().unwrap() ^= 1;
    let mut longer = good.clone();
    longer.push(0);
    // RSA, 1024 bits: an SPKI with a modulus of 128 bytes.
    let modulus = [&[0x02, 0x81, 0x81, 0x00, 0xff][..], &[0xa5; 126], &[0x01]].concat();
    let key = [&modulus[..], &[0x02, 0x03, 0x01, 0x00, 0x01]].concat();
    let key = [&[0x30, 0x81, u8::try_from(key.len()).unwrap()][..], &key].concat();
    let bits = [&[0x03, 0x81, u8::try_from(key.len() + 1).unwrap(), 0x00][..], &key].concat();
    let algorithm = [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    let body = [&algorithm[..], &bits].concat();
    let rsa_1024 = [&[0x30, 0x81, u8::try_from(body.len()).unwrap()][..], &body].concat();
    let ml_dsa = public_key(&rcgen::PKCS_ML_DSA_44);
    for bad in [Vec::new(), b"no key".to_vec(), off_the_curve, longer, good[..80].to_vec(), rsa_1024, ml_dsa] {
        let result = house.issuer.mint_x509(&wanted("spiffe://example.org/batch", bad));
        assert_eq!(refusal(result), NotMintable::PublicKey);
    }
    assert_eq!(house.recorded(), 0);
}

#[tokio::test]
async fn only_workloads_of_our_own_trust_domain_are_minted_for() {
    let house = House::new([]).await;
    // The words are those of SPIRE 1.15.
    let refused = [
        ("spiffe://other.org/m", r#""spiffe://other.org/m" is not a member of trust domain "example.org""#),
        (
            "spiffe://example.org/spire/server",
            r#""spiffe://example.org/spire/server" is not a workload in trust domain "example.org"; path is in the reserved namespace"#,
        ),
        (
            "spiffe://example.org/spire",
            r#""spiffe://example.org/spire" is not a workload in trust domain "example.org"; path is in the reserved namespace"#,
        ),
    ];
    for (id, words) in refused {
        let x509 = house.issuer.mint_x509(&wanted(id, public_key(&rcgen::PKCS_ED25519)));
        assert_eq!(refusal(x509).to_string(), words);
        let jwt = MintJwt { spiffe_id: id.parse().unwrap(), audience: vec!["a".into()], ttl: None };
        assert_eq!(refusal(house.issuer.mint_jwt(&jwt)).to_string(), words);
    }
    house.issuer.mint_x509(&wanted("spiffe://example.org/spires", public_key(&rcgen::PKCS_ED25519))).unwrap();
}

#[tokio::test]
async fn dns_names_are_checked() {
    let house = House::new([]).await;
    let key = public_key(&rcgen::PKCS_ED25519);
    let many: Vec<_> = (0..101).map(|number| format!("h{number}.example")).collect();
    let cases = [vec!["*.example".to_owned()], vec![String::new()], vec!["a".into(), "A".into()], many];
    for dns_names in cases {
        let request = MintX509 { dns_names, ..wanted("spiffe://example.org/batch", key.clone()) };
        let refused = refusal(house.issuer.mint_x509(&request));
        assert!(matches!(refused, NotMintable::DnsName(_) | NotMintable::TooManyDnsNames(101)), "{refused}");
    }
}

#[tokio::test]
async fn a_life_is_what_was_asked_for_or_the_default_and_cut_to_a_sixth_of_the_authoritys() {
    let house = House::new([]).await;
    let key = public_key(&rcgen::PKCS_ED25519);
    let now = house.clock.now();
    let (minute, year) = (Duration::from_mins(1), Duration::from_hours(9000));
    for (ttl, x509, jwt) in
        [(None, TTL, JWT_TTL), (Some(minute), minute, minute), (Some(year), AUTHORITY_TTL / 6, AUTHORITY_TTL / 6)]
    {
        let request = MintX509 { ttl, ..wanted("spiffe://example.org/batch", key.clone()) };
        assert_eq!(house.issuer.mint_x509(&request).unwrap().not_after.since(now), x509);
        let request = MintJwt { spiffe_id: request.spiffe_id, audience: vec!["a".into()], ttl };
        assert_eq!(house.issuer.mint_jwt(&request).unwrap().not_after.since(now), jwt);
    }
    let request = MintX509 { ttl: Some(Duration::ZERO), ..wanted("spiffe://example.org/batch", key) };
    let result = house.issuer.mint_x509(&request);
    assert!(matches!(result, Err(IssueError::Authority(AuthorityError::TooShort(_)))), "{result:?}");
}

#[tokio::test]
async fn minted_tokens_are_recorded_and_never_kept() {
    let house = House::new([]).await;
    let spiffe_id: SpiffeId = "spiffe://example.org/batch".parse().unwrap();
    let request = MintJwt { spiffe_id, audience: vec!["a".into(), "b".into()], ttl: None };
    let first = house.issuer.mint_jwt(&request).unwrap();
    house.clock.advance(Duration::from_secs(1));
    let second = house.issuer.mint_jwt(&request).unwrap();
    assert_ne!(first.token.expose(), second.token.expose());
    let digests: Vec<_> = house.log.tokens.lock().unwrap().iter().map(|record| record.token).collect();
    assert_eq!(digests, [&first, &second].map(|svid| Digest::of(svid.token.expose().as_bytes())));

    let none = MintJwt { audience: Vec::new(), ..request.clone() };
    assert!(matches!(house.issuer.mint_jwt(&none), Err(IssueError::Audience(AudienceError::Missing))));
    house.log.full.store(true, Ordering::SeqCst);
    assert!(matches!(house.issuer.mint_jwt(&request), Err(IssueError::Record(AppendError::Full))));
    let key = public_key(&rcgen::PKCS_ED25519);
    let result = house.issuer.mint_x509(&wanted("spiffe://example.org/batch", key));
    assert!(matches!(result, Err(IssueError::Record(AppendError::Full))));
}
