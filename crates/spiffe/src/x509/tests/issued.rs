use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, PublicKeyData as _, SanType, SerialNumber};

use super::mint::*;
use crate::SpiffeId;
use crate::x509::{Authority, Expected, IssuedError, Leaf, ProfileError, check_issued};

type Edit = fn(&mut CertificateParams);

/// Issues a leaf as `edit` says and checks it against the expectations of a good one, bent by `expect`.
fn issue(
    edit: impl FnOnce(&mut CertificateParams),
    expect: impl FnOnce(&mut Expected<'_>),
) -> Result<Leaf, IssuedError> {
    issue_and_patch(edit, expect, <[u8]>::to_vec)
}

fn issue_and_patch(
    edit: impl FnOnce(&mut CertificateParams),
    expect: impl FnOnce(&mut Expected<'_>),
    patch: impl FnOnce(&[u8]) -> Vec<u8>,
) -> Result<Leaf, IssuedError> {
    let (authority, key, id) = (authority(), KeyPair::generate().unwrap(), ID.parse::<SpiffeId>().unwrap());
    let mut params = leaf_params();
    params.subject_alt_names.push(dns("a1.internal"));
    edit(&mut params);
    let der = patch(params.signed_by(&key, &authority).unwrap().der());
    let (public_key, dns_names) = (key.subject_public_key_info(), [String::from("a1.internal")]);
    let authority_key_id = Authority::parse(authority.der()).unwrap().subject_key_id.unwrap();
    let mut expected = Expected {
        id: &id,
        dns_names: &dns_names,
        not_before: NOT_BEFORE,
        not_after: NOT_AFTER,
        public_key: &public_key,
        authority_key_id: &authority_key_id,
    };
    expect(&mut expected);
    check_issued(&der, &expected)
}

#[test]
fn what_was_asked_for_passes() {
    assert_eq!(issue(|_| {}, |_| {}).unwrap().id.as_str(), ID);
}

#[test]
fn every_difference_has_its_error() {
    use ExtendedKeyUsagePurpose::{ClientAuth, CodeSigning, ServerAuth};
    let names = |names: &[&str]| IssuedError::DnsNames(names.iter().map(|&name| name.to_owned()).collect());
    let address = std::net::IpAddr::from([127, 0, 0, 1]);
    assert_eq!(
        issue(|params| params.subject_alt_names.push(SanType::IpAddress(address)), |_| {}),
        Err(IssuedError::OtherSans(1))
    );
    let cases: &[(&str, Edit, IssuedError)] = &[
        (
            "someone else",
            |p| p.subject_alt_names[0] = uri("spiffe://prod.example/admin"),
            IssuedError::Id("spiffe://prod.example/admin".parse().unwrap()),
        ),
        ("a DNS name too few", |p| p.subject_alt_names.truncate(1), names(&[])),
        ("a DNS name too many", |p| p.subject_alt_names.push(dns("b")), names(&["a1.internal", "b"])),
        (
            "another validity",
            |p| p.not_after = rcgen::date_time_ymd(2026, 1, 3),
            IssuedError::Validity { not_before: NOT_BEFORE, not_after: NOT_AFTER + 86_400 },
        ),
        ("serial 0", |p| p.serial_number = Some(SerialNumber::from_slice(&[0])), IssuedError::Serial),
        ("21 octets", |p| p.serial_number = Some(SerialNumber::from_slice(&[0x7f; 21])), IssuedError::Serial),
        ("a sign octet and 20", |p| p.serial_number = Some(SerialNumber::from_slice(&[0xff; 20])), IssuedError::Serial),
        ("clientAuth only", |p| p.extended_key_usages = vec![ClientAuth], IssuedError::ExtendedKeyUsage),
        ("no purpose", |p| p.extended_key_usages.clear(), IssuedError::ExtendedKeyUsage),
        (
            "a purpose too many",
            |p| p.extended_key_usages = vec![ServerAuth, ClientAuth, CodeSigning],
            IssuedError::ExtendedKeyUsage,
        ),
        ("no basic constraints", |p| p.is_ca = IsCa::NoCa, IssuedError::NoBasicConstraints),
        ("no authority key id", |p| p.use_authority_key_identifier_extension = false, IssuedError::AuthorityKeyId),
        (
            "a CA",
            |p| p.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained),
            IssuedError::Profile(ProfileError::Ca),
        ),
    ];
    for (name, edit, expected) in cases {
        assert_eq!(issue(edit, |_| {}), Err(expected.clone()), "{name}");
    }
}

#[test]
fn serials_of_20_octets_and_of_one_pass() {
    for serial in [&[0x7f; 20][..], &[1], &[0x80]] {
        let serial = SerialNumber::from_slice(serial);
        assert!(issue(|params| params.serial_number = Some(serial.clone()), |_| {}).is_ok(), "{serial}");
    }
}

#[test]
fn a_negative_serial_is_refused() {
    let positive = [&[2, 16][..], &[0x7f; 16]].concat();
    let negative = [&[2, 16, 0xff][..], &[0x7f; 15]].concat();
    assert_eq!(issue_and_patch(|_| {}, |_| {}, |der| patch(der, &positive, &negative)), Err(IssuedError::Serial));
}

#[test]
fn another_key_than_the_one_asked_for_is_refused() {
    assert_eq!(issue(|_| {}, |expected| expected.public_key = b"another"), Err(IssuedError::PublicKey));
}

#[test]
fn another_authority_than_the_one_that_signs_is_refused() {
    assert_eq!(issue(|_| {}, |expected| expected.authority_key_id = &[7; 20]), Err(IssuedError::AuthorityKeyId));
}

#[test]
fn a_missing_subject_key_id_is_refused() {
    // 2.5.29.14 becomes 2.5.29.9, an extension that nobody here reads.
    let hide = |der: &[u8]| patch(der, &[0x06, 3, 0x55, 0x1d, 14], &[0x06, 3, 0x55, 0x1d, 9]);
    assert_eq!(issue_and_patch(|_| {}, |_| {}, hide), Err(IssuedError::NoSubjectKeyId));
}
