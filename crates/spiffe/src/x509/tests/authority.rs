use rcgen::{CertificateParams, IsCa, KeyUsagePurpose};

use super::mint::*;
use crate::TrustDomain;
use crate::x509::{Authority, Leaf, ProfileError};

type Edit = fn(&mut CertificateParams);

fn domain(name: &str) -> TrustDomain {
    name.parse().unwrap()
}

#[test]
fn a_good_authority_comes_apart_and_can_be_no_leaf() {
    let der = authority_with(|_| {});
    let authority = Authority::parse(&der).unwrap();
    assert_eq!(authority.trust_domain, Some(domain("prod.example")));
    assert_eq!(authority.not_before, NOT_BEFORE);
    assert_eq!(authority.subject_key_id.map(|id| id.len()), Some(20));
    assert!(Leaf::parse(&der).is_err());
}

#[test]
fn an_authority_vouches_only_for_the_domain_it_names() {
    let named = Authority::parse(&authority_with(|_| {})).unwrap();
    assert_eq!(named.check_domain(&domain("prod.example")), Ok(()));
    let foreign = Err(ProfileError::ForeignAuthority(domain("prod.example")));
    assert_eq!(named.check_domain(&domain("partner.example")), foreign);

    let nameless = Authority::parse(&authority_with(|params| params.subject_alt_names.clear())).unwrap();
    assert_eq!(nameless.trust_domain, None);
    assert_eq!(nameless.check_domain(&domain("partner.example")), Ok(()));
}

#[test]
fn every_departure_from_the_profile_has_its_error() {
    let cases: &[(&str, Edit, ProfileError)] = &[
        ("a leaf", |p| p.is_ca = IsCa::ExplicitNoCa, ProfileError::NotCa),
        ("no basic constraints", |p| p.is_ca = IsCa::NoCa, ProfileError::NotCa),
        ("no key usage", |p| p.key_usages.clear(), ProfileError::NoKeyUsage),
        ("no keyCertSign", |p| p.key_usages = vec![KeyUsagePurpose::DigitalSignature], ProfileError::NoKeyCertSign),
        ("an ID with a path", |p| p.subject_alt_names = vec![uri(ID)], ProfileError::AuthorityId),
        (
            "an ID with an empty path",
            |p| p.subject_alt_names = vec![uri("spiffe://prod.example/")],
            ProfileError::AuthorityId,
        ),
        ("a web URI", |p| p.subject_alt_names = vec![uri("https://prod.example")], ProfileError::AuthorityId),
        ("two URIs", |p| p.subject_alt_names.push(uri("spiffe://b.example")), ProfileError::UriSans(2)),
        (
            "an ID, but a key usage that is not critical",
            |p| {
                p.key_usages.clear();
                p.custom_extensions = vec![extension(KEY_USAGE, false, vec![3, 2, 2, 0x04])];
            },
            ProfileError::KeyUsageNotCritical,
        ),
    ];
    for (name, edit, expected) in cases {
        assert_eq!(Authority::parse(&authority_with(edit)), Err(expected.clone()), "{name}");
    }
}

#[test]
fn an_upstream_root_without_an_id_may_have_a_key_usage_that_is_not_critical() {
    let root = authority_with(|params| {
        params.subject_alt_names.clear();
        params.key_usages.clear();
        params.custom_extensions = vec![extension(KEY_USAGE, false, vec![3, 2, 2, 0x04])];
    });
    assert_eq!(Authority::parse(&root).unwrap().trust_domain, None);
}

#[test]
fn bytes_after_an_authority_are_refused() {
    let mut der = authority_with(|_| {});
    der.push(0);
    assert_eq!(Authority::parse(&der), Err(ProfileError::TrailingBytes(1)));
    assert_eq!(Authority::parse(b""), Err(ProfileError::Malformed));
}
