//! Every kind of leaf that Envoy 1.40 was measured with, and what becomes of it here.

use portcullis_spiffe::x509::ProfileError;
use portcullis_spiffe::{IdError, TrustDomainError};
use proptest::prelude::*;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};

use super::mint::*;
use super::verifier::verifier;
use crate::identity::bundle::Bundles;
use crate::identity::svid::{LeafError, LeafFault, LeafVerifier};

type Edit = fn(&mut CertificateParams);

/// Two federated trust domains, and what the gate of either holds.
struct World {
    prod: Authority,
    partner: Authority,
    verifier: LeafVerifier,
}

impl World {
    fn new() -> Self {
        let (prod, partner) = (Authority::new("prod.example"), Authority::new("partner.example"));
        let verifier = verifier(Bundles::new([prod.bundle(1), partner.bundle(1)]));
        Self { prod, partner, verifier }
    }

    fn refusal(&self, presented: &str) -> LeafError {
        self.verifier.verify(presented, noon()).unwrap_err()
    }

    fn assert_untrusted(&self, presented: &str) {
        let error = self.refusal(presented);
        assert!(matches!(error, LeafError::Untrusted { .. }), "{error:?}");
        assert_eq!(error.fault(), LeafFault::Untrusted);
    }
}

#[test]
fn good_leaves_of_both_domains_are_taken() {
    let world = World::new();
    let leaf = world.verifier.verify(&world.prod.leaf(|_| {}), noon()).unwrap();
    assert_eq!(leaf.id.as_str(), ID);
    let foreign = world.partner.leaf(|params| params.subject_alt_names = vec![uri("spiffe://partner.example/x")]);
    assert_eq!(world.verifier.verify(&foreign, noon()).unwrap().id.as_str(), "spiffe://partner.example/x");
}

#[test]
fn another_domains_authority_minting_ours_is_untrusted() {
    let world = World::new();
    world.assert_untrusted(&world.partner.leaf(|_| {}));
}

#[test]
fn a_leaf_resigned_by_an_authority_of_the_same_name_and_domain_is_untrusted() {
    let world = World::new();
    let forged = world.refusal(&Authority::new("prod.example").leaf(|_| {}));
    let reason = webpki::Error::InvalidSignatureForPublicKey;
    assert_eq!(forged, LeafError::Untrusted { id: ID.parse().unwrap(), reason });
}

#[test]
fn an_authority_of_another_name_is_untrusted() {
    let world = World::new();
    let stranger = Authority::with("prod.example", |params| {
        params.distinguished_name.push(DnType::CommonName, "a stranger");
    });
    let reason = webpki::Error::UnknownIssuer;
    assert_eq!(world.refusal(&stranger.leaf(|_| {})), LeafError::Untrusted { id: ID.parse().unwrap(), reason });
}

#[test]
fn a_leaf_that_signed_itself_is_untrusted() {
    let world = World::new();
    let key = rcgen::KeyPair::generate().unwrap();
    world.assert_untrusted(&present(leaf_params().self_signed(&key).unwrap().der()));
}

#[test]
fn a_leaf_of_an_intermediate_is_untrusted_for_the_proxy_shows_no_chain() {
    let world = World::new();
    world.assert_untrusted(&world.prod.intermediate().leaf(|_| {}));
}

#[test]
fn unknown_trust_domains_are_untrusted() {
    let world = World::new();
    for id in ["spiffe://unknown.example/x", "spiffe://prod.example.evil.com/x", "spiffe://rod.example/x"] {
        let error = world.refusal(&world.prod.leaf(|params| params.subject_alt_names = vec![uri(id)]));
        assert!(matches!(error, LeafError::NoAuthority(_)), "{id}: {error:?}");
        assert_eq!(error.fault(), LeafFault::Untrusted, "{id}");
    }
}

#[test]
fn no_client_certificate_is_told_from_a_bad_one() {
    let world = World::new();
    assert_eq!(world.refusal(""), LeafError::Missing);
    assert_eq!(world.refusal("").fault(), LeafFault::Missing);
    assert_eq!(world.refusal(" ").fault(), LeafFault::Bad);
}

#[test]
fn every_leaf_outside_the_profile_is_refused_though_our_own_authority_signed_it() {
    use ExtendedKeyUsagePurpose::{Any, ServerAuth};
    let cases: &[(&str, Edit, ProfileError)] = &[
        ("two URI SANs", |p| p.subject_alt_names.push(uri("spiffe://prod.example/admin")), ProfileError::UriSans(2)),
        ("no URI", |p| p.subject_alt_names.clear(), ProfileError::UriSans(0)),
        (
            "a DNS SAN that looks like an ID",
            |p| p.subject_alt_names = vec![SanType::DnsName(ID.try_into().unwrap())],
            ProfileError::UriSans(0),
        ),
        (
            "a second SAN extension",
            |p| p.custom_extensions = vec![second_san("spiffe://prod.example/admin")],
            ProfileError::DuplicateExtension("2.5.29.17".into()),
        ),
        (
            "a NUL in the URI",
            |p| p.subject_alt_names = vec![uri("spiffe://prod.example/a\0/admin")],
            ProfileError::NulInSan,
        ),
        ("a CA", |p| p.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained), ProfileError::Ca),
        ("keyCertSign", |p| p.key_usages.push(KeyUsagePurpose::KeyCertSign), ProfileError::KeyCertSign),
        ("cRLSign", |p| p.key_usages.push(KeyUsagePurpose::CrlSign), ProfileError::CrlSign),
        ("no key usage", |p| p.key_usages.clear(), ProfileError::NoKeyUsage),
        ("no EKU", |p| p.extended_key_usages.clear(), ProfileError::NoExtendedKeyUsage),
        ("serverAuth only", |p| p.extended_key_usages = vec![ServerAuth], ProfileError::NoClientAuth),
        ("any EKU", |p| p.extended_key_usages = vec![Any], ProfileError::NoClientAuth),
    ];
    let world = World::new();
    for (name, edit, expected) in cases {
        let error = world.refusal(&world.prod.leaf(edit));
        assert_eq!(error, LeafError::Profile(expected.clone()), "{name}");
        assert_eq!(error.fault(), LeafFault::Bad, "{name}");
    }
}

#[test]
fn a_partners_authority_can_not_add_our_name_to_its_own() {
    let world = World::new();
    for ids in [["spiffe://partner.example/x", ID], [ID, "spiffe://partner.example/x"]] {
        let two = world.partner.leaf(|params| params.subject_alt_names = ids.map(uri).to_vec());
        assert_eq!(world.refusal(&two), LeafError::Profile(ProfileError::UriSans(2)));
    }
}

#[test]
fn every_ungrammatical_id_is_refused_though_our_own_authority_signed_it() {
    let domain = |stranger| IdError::TrustDomain(TrustDomainError::Character(stranger));
    let long = format!("spiffe://prod.example/{}", "a".repeat(3000));
    let cases = [
        ("spiffe://prod.example/a/../admin", IdError::DotSegment),
        ("spiffe://prod.example//admin", IdError::EmptySegment),
        ("spiffe://prod.example/admin/", IdError::EmptySegment),
        ("spiffe://prod.example/%61dmin", IdError::Character('%')),
        ("spiffe://prod.example/a%2fadmin", IdError::Character('%')),
        ("spiffe://prod.example/a?x=1", IdError::Character('?')),
        ("spiffe://prod.example/a#f", IdError::Character('#')),
        ("spiffe://prod.example/a b", IdError::Character(' ')),
        ("spiffe://prod.example/a\"", IdError::Character('"')),
        ("spiffe://prod.example/..;URI=spiffe://prod.example/admin", IdError::Character(';')),
        ("spiffe://prod.example/a;URI=spiffe://prod.example/admin", IdError::Character(';')),
        ("spiffe://prod.example/a,URI=spiffe://prod.example/admin", IdError::Character(',')),
        ("spiffe://prod.example", IdError::NoPath),
        ("https://prod.example/a", IdError::Scheme),
        ("SPIFFE://prod.example/a", IdError::Scheme),
        ("spiffe://PROD.example/a", domain('P')),
        ("spiffe://user@prod.example/a", domain('@')),
        ("spiffe://prod.example:443/a", domain(':')),
        (&long, IdError::TooLong(long.len())),
    ];
    let world = World::new();
    for (id, expected) in cases {
        let error = world.refusal(&world.prod.leaf(|params| params.subject_alt_names = vec![uri(id)]));
        assert_eq!(error, LeafError::Profile(ProfileError::Id(expected)), "{id}");
    }
}

#[test]
fn a_named_subject_changes_nothing() {
    let world = World::new();
    let leaf = world.prod.leaf(|params| {
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "spiffe://prod.example/admin");
    });
    assert_eq!(world.verifier.verify(&leaf, noon()).unwrap().id.as_str(), ID);
}

#[test]
fn changing_any_byte_of_a_good_leaf_makes_it_a_bad_one() {
    let world = World::new();
    let good = world.prod.leaf_der(|_| {});
    for place in 0..good.len() {
        for flip in [0x01, 0x80] {
            let mut bent = good.to_vec();
            bent[place] ^= flip;
            assert!(world.verifier.verify(&present(&bent), noon()).is_err(), "byte {place} ^ {flip:#x}");
        }
    }
    let trailing = [&good[..], &[0]].concat();
    assert_eq!(world.refusal(&present(&trailing)), LeafError::Profile(ProfileError::TrailingBytes(1)));
}

#[test]
fn a_megabyte_is_refused_before_it_is_looked_at() {
    let world = World::new();
    let huge = "A".repeat(1_000_000);
    assert_eq!(world.refusal(&huge), LeafError::TooLong(1_000_000));
    assert_eq!(world.refusal(huge.get(..64 * 1024).unwrap()), LeafError::Pem);
    assert_eq!(world.refusal(&present(&vec![0x30; 40_000])), LeafError::Profile(ProfileError::Malformed));
}

#[test]
fn messages_show_no_control_character_of_the_peer() {
    let world = World::new();
    let leaf = world.prod.leaf(|params| params.subject_alt_names = vec![uri("spiffe://prod.example/a\r\n\u{1b}[2J")]);
    let message = world.refusal(&leaf).to_string();
    assert!(!message.contains(char::is_control), "{message:?}");
}

proptest! {
    #[test]
    fn random_bytes_never_panic(der in proptest::collection::vec(any::<u8>(), 0..500)) {
        let verifier = verifier(Bundles::default());
        prop_assert!(verifier.verify(&present(&der), noon()).is_err());
    }
}
