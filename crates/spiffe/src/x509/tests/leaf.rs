use proptest::prelude::*;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};

use super::mint::*;
use crate::x509::{Leaf, ProfileError};
use crate::{IdError, TrustDomainError};

type Edit = fn(&mut CertificateParams);

fn with_uri(uri_text: &str) -> Result<Leaf, ProfileError> {
    Leaf::parse(&leaf(|params| params.subject_alt_names = vec![uri(uri_text)]))
}

fn with_san(critical: bool, names: &[(u8, &[u8])]) -> Result<Leaf, ProfileError> {
    Leaf::parse(&leaf(|params| {
        params.subject_alt_names.clear();
        params.custom_extensions = vec![extension(SUBJECT_ALT_NAME, critical, san(names))];
    }))
}

fn assert_refused(cases: &[(&str, Edit, ProfileError)]) {
    for (name, edit, expected) in cases {
        assert_eq!(Leaf::parse(&leaf(edit)), Err(expected.clone()), "{name}");
    }
}

#[test]
fn a_good_leaf_comes_apart() {
    let der = leaf(|params| params.subject_alt_names.extend([dns("a1.internal"), dns("b.internal")]));
    let leaf = Leaf::parse(&der).unwrap();
    assert_eq!(leaf.id.as_str(), ID);
    assert_eq!((leaf.not_before, leaf.not_after), (NOT_BEFORE, NOT_AFTER));
    assert_eq!(leaf.serial, [0x7f; 16]);
    assert_eq!(leaf.dns_names, ["a1.internal", "b.internal"]);
    assert_eq!(leaf.subject_key_id.as_ref().map(Vec::len), Some(20));
    assert_ne!(leaf.subject_key_id, leaf.authority_key_id);
    assert_eq!(leaf.check_client(), Ok(()));
}

#[test]
fn a_leaf_of_spires_profile_is_taken() {
    let edit: Edit = |params| {
        params.distinguished_name.push(DnType::CountryName, "US");
        params.distinguished_name.push(DnType::OrganizationName, "SPIRE");
        params.key_usages.extend([KeyUsagePurpose::KeyEncipherment, KeyUsagePurpose::KeyAgreement]);
    };
    assert_eq!(Leaf::parse(&leaf(edit)).unwrap().id.as_str(), ID);
}

#[test]
fn any_other_number_of_uris_than_one_is_refused() {
    assert_refused(&[
        ("no SAN at all", |p| p.subject_alt_names.clear(), ProfileError::UriSans(0)),
        ("no URI", |p| p.subject_alt_names = vec![dns("a1")], ProfileError::UriSans(0)),
        (
            "a DNS SAN that looks like an ID",
            |p| p.subject_alt_names = vec![SanType::DnsName(ID.try_into().unwrap())],
            ProfileError::UriSans(0),
        ),
        ("two URI SANs", |p| p.subject_alt_names.push(uri("spiffe://prod.example/admin")), ProfileError::UriSans(2)),
        (
            "a partner's URI first and ours second",
            |p| p.subject_alt_names.insert(0, uri("spiffe://partner.example/x")),
            ProfileError::UriSans(2),
        ),
        ("the same URI twice", |p| p.subject_alt_names.push(uri(ID)), ProfileError::UriSans(2)),
        ("a web URI beside the ID", |p| p.subject_alt_names.push(uri("https://a/")), ProfileError::UriSans(2)),
        (
            "a second SAN extension",
            |p| p.custom_extensions = vec![extension(SUBJECT_ALT_NAME, true, san(&[(URI, b"spiffe://a/b")]))],
            ProfileError::DuplicateExtension("2.5.29.17".into()),
        ),
    ]);
}

#[test]
fn every_other_departure_from_the_profile_has_its_error() {
    use ExtendedKeyUsagePurpose::{Any, ServerAuth};
    use KeyUsagePurpose::{CrlSign, DigitalSignature, KeyCertSign, KeyEncipherment};
    assert_refused(&[
        ("a CA", |p| p.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained), ProfileError::Ca),
        ("no key usage", |p| p.key_usages.clear(), ProfileError::NoKeyUsage),
        ("keyCertSign", |p| p.key_usages.push(KeyCertSign), ProfileError::KeyCertSign),
        ("cRLSign", |p| p.key_usages = vec![DigitalSignature, CrlSign], ProfileError::CrlSign),
        ("no digitalSignature", |p| p.key_usages = vec![KeyEncipherment], ProfileError::NoDigitalSignature),
        (
            "a key usage that is not critical",
            |p| {
                p.key_usages.clear();
                p.custom_extensions = vec![extension(KEY_USAGE, false, vec![3, 2, 7, 0x80])];
            },
            ProfileError::KeyUsageNotCritical,
        ),
        ("serverAuth only", |p| p.extended_key_usages = vec![ServerAuth], ProfileError::NoClientAuth),
        ("anyExtendedKeyUsage only", |p| p.extended_key_usages = vec![Any], ProfileError::NoClientAuth),
        (
            "an unknown critical extension",
            |p| p.custom_extensions = vec![extension(&[1, 2, 3, 4], true, vec![5, 0])],
            ProfileError::CriticalExtension("1.2.3.4".into()),
        ),
        (
            "bytes after the key usage inside its extension",
            |p| {
                p.key_usages.clear();
                p.custom_extensions = vec![extension(KEY_USAGE, true, vec![3, 2, 7, 0x80, 5, 0])];
            },
            ProfileError::MalformedExtension("2.5.29.15".into()),
        ),
        (
            "bytes after the purposes inside their extension",
            |p| {
                p.extended_key_usages.clear();
                let purpose = [0x30, 10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 2, 0];
                p.custom_extensions = vec![extension(EXTENDED_KEY_USAGE, false, purpose.to_vec())];
            },
            ProfileError::MalformedExtension("2.5.29.37".into()),
        ),
    ]);
}

#[test]
fn an_absent_extended_key_usage_is_a_leaf_but_no_client() {
    let leaf = Leaf::parse(&leaf(|params| params.extended_key_usages.clear())).unwrap();
    assert_eq!(leaf.check_client(), Err(ProfileError::NoExtendedKeyUsage));
}

#[test]
fn a_client_only_leaf_is_a_client() {
    let edit: Edit = |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    assert_eq!(Leaf::parse(&leaf(edit)).unwrap().check_client(), Ok(()));
}

#[test]
fn every_ungrammatical_id_that_envoy_takes_is_refused() {
    let cases = [
        ("spiffe://prod.example", IdError::NoPath),
        ("spiffe://prod.example/", IdError::EmptySegment),
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
        ("https://prod.example/a", IdError::Scheme),
        ("SPIFFE://prod.example/a", IdError::Scheme),
        ("spiffe://Prod.example/a", IdError::TrustDomain(TrustDomainError::Character('P'))),
        ("spiffe://user@prod.example/a", IdError::TrustDomain(TrustDomainError::Character('@'))),
        ("spiffe://prod.example:443/a", IdError::TrustDomain(TrustDomainError::Character(':'))),
        ("spiffe:///a", IdError::TrustDomain(TrustDomainError::Empty)),
    ];
    for (id, expected) in cases {
        assert_eq!(with_uri(id), Err(ProfileError::Id(expected)), "{id}");
    }
    let long = format!("spiffe://prod.example/{}", "a".repeat(3000));
    assert_eq!(with_uri(&long), Err(ProfileError::Id(IdError::TooLong(long.len()))));
}

#[test]
fn a_nul_in_any_textual_name_is_refused() {
    let nul = Err(ProfileError::NulInSan);
    assert_eq!(with_san(true, &[(URI, b"spiffe://prod.example/a\0.evil")]), nul);
    assert_eq!(with_san(true, &[(URI, ID.as_bytes()), (DNS, b"good.example\0.evil.example")]), nul);
    assert_eq!(with_san(true, &[(URI, ID.as_bytes()), (EMAIL, b"a@good.example\0")]), nul);
}

#[test]
fn a_name_that_is_not_ascii_is_refused() {
    assert_eq!(with_san(true, &[(URI, b"spiffe://prod.example/\xff")]), Err(ProfileError::MalformedSan));
    assert_eq!(with_san(true, &[(URI, "spiffe://prod.example/ä".as_bytes())]), Err(ProfileError::MalformedSan));
    assert_eq!(with_san(true, &[(URI, ID.as_bytes()), (DNS, b"\xc3\xa4.example")]), Err(ProfileError::MalformedSan));
    assert_eq!(with_san(true, &[(URI, ID.as_bytes()), (0x89, b"")]), Err(ProfileError::MalformedSan));
}

#[test]
fn an_empty_subject_needs_a_critical_san() {
    let names: &[(u8, &[u8])] = &[(URI, ID.as_bytes())];
    assert_eq!(with_san(false, names), Err(ProfileError::SanNotCritical));
    assert_eq!(with_san(true, names).unwrap().id.as_str(), ID);
}

#[test]
fn bytes_after_or_missing_at_the_end_are_refused() {
    let good = leaf(|_| {});
    let mut longer = good.clone();
    longer.extend([0, 0]);
    assert_eq!(Leaf::parse(&longer), Err(ProfileError::TrailingBytes(2)));
    for length in 0..good.len() {
        assert_eq!(Leaf::parse(&good[..length]), Err(ProfileError::Malformed), "{length} bytes");
    }
}

#[test]
fn a_field_after_the_last_one_is_refused() {
    let good = leaf(|_| {});
    let outer = element(0x30, &[&good[4..], &[5, 0]].concat());
    assert_eq!(Leaf::parse(&outer), Err(ProfileError::Malformed), "after the signature");

    let signed_length = 4 + usize::from(u16::from_be_bytes([good[6], good[7]]));
    let (signed, rest) = good[4..].split_at(signed_length);
    let inner = element(0x30, &[&element(0x30, &[&signed[4..], &[5, 0]].concat()), rest].concat());
    assert_eq!(Leaf::parse(&inner), Err(ProfileError::Malformed), "after the extensions");
}

#[test]
fn unique_identifiers_are_refused() {
    let good = leaf(|_| {});
    let signed_length = 4 + usize::from(u16::from_be_bytes([good[6], good[7]]));
    let (signed, rest) = good[4..].split_at(signed_length);
    let extensions = (4..signed.len()).find(|&at| signed[at..].starts_with(&[0xa3, 0x81])).unwrap();
    assert_eq!(signed.len() - extensions, 3 + usize::from(signed[extensions + 2]), "they are the last field");
    for identifier in [[0x81, 2, 0, 1], [0x82, 2, 0, 1]] {
        let fields = [&signed[4..extensions], &identifier, &signed[extensions..]].concat();
        let der = element(0x30, &[&element(0x30, &fields), rest].concat());
        assert_eq!(Leaf::parse(&der), Err(ProfileError::Malformed));
    }
}

#[test]
fn an_older_version_is_refused() {
    let version_2 = patch(&leaf(|_| {}), &[0xa0, 3, 2, 1, 2], &[0xa0, 3, 2, 1, 1]);
    assert_eq!(Leaf::parse(&version_2), Err(ProfileError::Version));
}

#[test]
fn a_validity_that_ends_before_it_begins_is_refused() {
    let edit: Edit = |params| std::mem::swap(&mut params.not_before, &mut params.not_after);
    assert_eq!(Leaf::parse(&leaf(edit)), Err(ProfileError::Validity));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(der in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(Leaf::parse(&der).is_err());
    }

    #[test]
    fn a_certificate_with_changed_bytes_never_panics(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6)
    ) {
        let mut der = leaf(|params| params.subject_alt_names.push(dns("a1.internal")));
        for (place, byte) in changes {
            let place = place.index(der.len());
            der[place] = byte;
        }
        if let Ok(leaf) = Leaf::parse(&der) {
            prop_assert_eq!(leaf.id.to_string().parse(), Ok(leaf.id));
        }
    }
}
