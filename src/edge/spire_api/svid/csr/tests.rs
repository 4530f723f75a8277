//! Requests made with rcgen, and what is refused of them.

use proptest::prelude::*;
use rcgen::{
    CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PublicKeyData as _,
    RsaKeySize, SanType, SignatureAlgorithm,
};

use super::*;

const URI: &str = "spiffe://example.org/x";

/// Names, without any other extension.
fn plain() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![
        SanType::URI(URI.try_into().unwrap()),
        SanType::DnsName("a.example.org".try_into().unwrap()),
        SanType::IpAddress([127, 0, 0, 1].into()),
        SanType::Rfc822Name("a@example.org".try_into().unwrap()),
        SanType::DnsName("b.example.org".try_into().unwrap()),
    ];
    params
}

fn signed(params: &CertificateParams, algorithm: &'static SignatureAlgorithm) -> (Vec<u8>, KeyPair) {
    let key = KeyPair::generate_for(algorithm).unwrap();
    (params.serialize_request(&key).unwrap().der().to_vec(), key)
}

fn read(params: &CertificateParams) -> Result<SigningRequest, CsrFault> {
    SigningRequest::parse(&signed(params, &rcgen::PKCS_ECDSA_P256_SHA256).0)
}

fn extension(arcs: &[u64], content: &[u8], critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(arcs, content.to_vec());
    extension.set_criticality(critical);
    extension
}

#[test]
fn the_key_and_the_names_are_taken_of_every_kind_of_key() {
    let mut asked = plain();
    asked.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyAgreement];
    asked.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    asked.custom_extensions = vec![extension(&[1, 2, 3, 4], b"\x05\x00", false)];
    let kinds = [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ECDSA_P521_SHA512,
        &rcgen::PKCS_ED25519,
    ];
    let mut made: Vec<_> = kinds.map(|kind| signed(&asked, kind)).into();
    for algorithm in [&rcgen::PKCS_RSA_SHA256, &rcgen::PKCS_RSA_SHA512] {
        let key = KeyPair::generate_rsa_for(algorithm, RsaKeySize::_2048).unwrap();
        made.push((asked.serialize_request(&key).unwrap().der().to_vec(), key));
    }
    for (der, key) in made {
        let request = SigningRequest::parse(&der).unwrap();
        assert_eq!(request.uri, URI);
        assert_eq!(request.dns_names, ["a.example.org", "b.example.org"]);
        assert_eq!(request.public_key, key.subject_public_key_info());
    }
}

#[test]
fn who_has_not_the_key_gets_nothing() {
    let (der, _) = signed(&plain(), &rcgen::PKCS_ECDSA_P256_SHA256);
    let mut changed = der.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(SigningRequest::parse(&changed), Err(CsrFault::Signature));
    // Somebody else's key in a request that is otherwise whole.
    let (other, _) = signed(&plain(), &rcgen::PKCS_ECDSA_P256_SHA256);
    let (_, mine) = X509CertificationRequest::from_der(&der).unwrap();
    let (_, theirs) = X509CertificationRequest::from_der(&other).unwrap();
    let (mine, theirs) =
        (mine.certification_request_info.subject_pki.raw, theirs.certification_request_info.subject_pki.raw);
    let at = der.windows(mine.len()).position(|window| window == mine).unwrap();
    let mut stolen = der.clone();
    stolen[at..at + theirs.len()].copy_from_slice(theirs);
    assert_eq!(SigningRequest::parse(&stolen), Err(CsrFault::Signature));
}

#[test]
fn a_request_to_be_more_than_a_workload_is_refused() {
    let with = |change: fn(&mut CertificateParams)| {
        let mut params = plain();
        change(&mut params);
        read(&params)
    };
    let custom = |arcs: &[u64], content: &[u8], critical| {
        let mut params = plain();
        params.custom_extensions = vec![extension(arcs, content, critical)];
        read(&params)
    };
    let basic_constraints = [2, 5, 29, 19];
    assert_eq!(custom(&basic_constraints, b"\x30\x03\x01\x01\xff", true), Err(CsrFault::Authority));
    assert_eq!(custom(&basic_constraints, b"\x30\x03\x01\x01\xff", false), Err(CsrFault::Authority));
    assert!(custom(&basic_constraints, b"\x30\x00", true).is_ok());
    for usage in [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign] {
        let mut params = plain();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, usage];
        assert_eq!(read(&params), Err(CsrFault::Authority), "{usage:?}");
    }
    for usage in [KeyUsagePurpose::ContentCommitment, KeyUsagePurpose::DataEncipherment, KeyUsagePurpose::EncipherOnly]
    {
        let mut params = plain();
        params.key_usages = vec![usage];
        assert_eq!(read(&params), Err(CsrFault::KeyUsage), "{usage:?}");
    }
    for usage in [
        ExtendedKeyUsagePurpose::Any,
        ExtendedKeyUsagePurpose::CodeSigning,
        ExtendedKeyUsagePurpose::EmailProtection,
        ExtendedKeyUsagePurpose::TimeStamping,
        ExtendedKeyUsagePurpose::OcspSigning,
        ExtendedKeyUsagePurpose::Other(vec![1, 2, 3]),
    ] {
        let mut params = plain();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, usage.clone()];
        assert_eq!(read(&params), Err(CsrFault::ExtendedKeyUsage), "{usage:?}");
    }
    assert_eq!(custom(&[1, 2, 3, 4], b"\x05\x00", true), Err(CsrFault::Critical));
    // Name constraints are known to the parser, and yet nothing that a workload may ask for.
    assert_eq!(custom(&[2, 5, 29, 30], b"\x30\x00", true), Err(CsrFault::Critical));
    // A second list of names, beside the first.
    assert_eq!(custom(&[2, 5, 29, 17], b"\x30\x03\x82\x01a", false), Err(CsrFault::Twice));
    assert_eq!(custom(&basic_constraints, b"\x30\x03\x01\x01", false), Err(CsrFault::Malformed));

    assert_eq!(with(|params| params.subject_alt_names.clear()), Err(CsrFault::NoUri));
    assert_eq!(with(|params| drop(params.subject_alt_names.remove(0))), Err(CsrFault::NoUri));
    assert_eq!(
        with(|params| params.subject_alt_names.push(SanType::URI("spiffe://example.org/y".try_into().unwrap()))),
        Err(CsrFault::SeveralUris)
    );
}

#[test]
fn no_bytes_make_it_panic() {
    let (der, _) = signed(&plain(), &rcgen::PKCS_ED25519);
    assert_eq!(SigningRequest::parse(&[&der[..], b"\0"].concat()), Err(CsrFault::Malformed));
    assert_eq!(SigningRequest::parse(b"\0\0\0"), Err(CsrFault::Malformed));
    assert_eq!(SigningRequest::parse(&vec![0x30; MAX_LENGTH + 1]), Err(CsrFault::TooLong));
    let whole = SigningRequest::parse(&der).unwrap();
    proptest!(|(at in 0..der.len(), bit in 0..8_u8, cut in 0..der.len(), noise: Vec<u8>)| {
        let mut changed = der.clone();
        changed[at] ^= 1 << bit;
        // All that is taken is under the signature; the parser lets some spellings of what is around it pass.
        prop_assert!(SigningRequest::parse(&changed).map_or(true, |request| request == whole));
        prop_assert!(SigningRequest::parse(&der[..cut]).is_err());
        let _ = SigningRequest::parse(&noise);
    });
}
