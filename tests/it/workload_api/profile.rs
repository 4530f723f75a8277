//! W11: every certificate that comes out, against the X509-SVID standard and RFC 5280.

use portcullis::foundation::clock::{Clock as _, SystemClock};
use rustls::pki_types::CertificateDer;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::oid_registry::{OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER, OID_X509_EXT_SUBJECT_KEY_IDENTIFIER};
use x509_parser::prelude::*;

use super::{entries_for_us, next, start};

/// `notBefore` and `notAfter`, in seconds since 1970.
pub(super) fn validity(der: &[u8]) -> (i64, i64) {
    let certificate = parse(der);
    (certificate.validity().not_before.timestamp(), certificate.validity().not_after.timestamp())
}

fn parse(der: &[u8]) -> X509Certificate<'_> {
    let (rest, certificate) = X509Certificate::from_der(der).unwrap();
    assert!(rest.is_empty(), "one certificate and nothing else");
    certificate
}

fn uris<'a>(certificate: &'a X509Certificate<'_>) -> Vec<&'a str> {
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    let uri = |name: &'a GeneralName<'_>| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    };
    names.value.general_names.iter().filter_map(uri).collect()
}

/// The key identifiers of a certificate: of its own key, and of the key that signed it.
fn key_identifiers(certificate: &X509Certificate<'_>) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let mut found = (None, None);
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => found.0 = Some(id.0.to_vec()),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                found.1 = id.key_identifier.as_ref().map(|id| id.0.to_vec());
            }
            _ => {}
        }
        let is_identifier =
            [OID_X509_EXT_SUBJECT_KEY_IDENTIFIER, OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER].contains(&extension.oid);
        assert!(!(is_identifier && extension.critical), "key identifiers are never critical (RFC 5280 4.2.1.1)");
    }
    found
}

/// What leaves and authorities have in common.
fn check_any(certificate: &X509Certificate<'_>) {
    assert_eq!(certificate.version(), X509Version::V3);
    let serial = certificate.raw_serial();
    assert!(serial.len() <= 20 && serial.len() >= 8 && serial[0] < 0x80, "positive, unguessable, short: {serial:?}");
    let now = i64::try_from(SystemClock::new().now().unix_seconds()).unwrap();
    let (start, end) = (certificate.validity().not_before.timestamp(), certificate.validity().not_after.timestamp());
    assert!(start <= now && now < end && start < end, "{start} {now} {end}");
    let mut oids: Vec<_> = certificate.extensions().iter().map(|extension| extension.oid.to_id_string()).collect();
    let count = oids.len();
    oids.sort();
    oids.dedup();
    assert_eq!(oids.len(), count, "an extension stands there twice");
    assert_eq!(certificate.signature_algorithm, certificate.tbs_certificate.signature);
}

fn check_leaf(leaf: &X509Certificate<'_>, id: &str) {
    check_any(leaf);
    assert_eq!(uris(leaf), [id]);
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert!(names.critical || leaf.subject().iter().count() > 0, "an empty subject needs a critical SAN");
    let basic = leaf.basic_constraints().unwrap().unwrap();
    assert!(!basic.value.ca && basic.value.path_len_constraint.is_none());
    let usage = leaf.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.digital_signature());
    assert!(!usage.value.key_cert_sign() && !usage.value.crl_sign());
    let purposes = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(purposes.server_auth && purposes.client_auth && !purposes.any && !purposes.code_signing);
}

fn check_authority(authority: &X509Certificate<'_>) {
    check_any(authority);
    assert_eq!(uris(authority), ["spiffe://example.org"]);
    let basic = authority.basic_constraints().unwrap().unwrap();
    assert!(basic.critical && basic.value.ca);
    let usage = authority.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign());
    assert!(!usage.value.digital_signature(), "it must not be used for authentication");
    assert!(authority.extended_key_usage().unwrap().is_none());
    assert!(authority.subject().iter().count() > 0, "who signs has a name (RFC 5280 4.1.2.6)");
    assert_eq!(authority.issuer(), authority.subject());
}

/// W11.
#[tokio::test(flavor = "multi_thread")]
async fn every_certificate_that_comes_out_is_an_x509_svid_and_fits_its_authority() {
    let entries = entries_for_us(&[("web", "a"), ("deep/path/of-it", "b"), ("UPPER_case.1", "c")]);
    let (_home, _gateway, mut client) = start(&[("IDENTITY__ENTRIES", &entries)]).await;
    let response = next(&mut client.x509_svids().await).await;
    assert_eq!(response.svids.len(), 3);
    let mut serials = Vec::new();
    for svid in &response.svids {
        let (leaf, authority) = (parse(&svid.x509_svid), parse(&svid.bundle));
        check_leaf(&leaf, &svid.spiffe_id);
        check_authority(&authority);
        let ((own, signer), (authority_own, _)) = (key_identifiers(&leaf), key_identifiers(&authority));
        assert!(own.is_some() && authority_own.is_some());
        assert_eq!(signer, authority_own, "the leaf says which key signed it");
        assert_eq!(leaf.issuer(), authority.subject());
        let (validity, authority_validity) = (validity(&svid.x509_svid), validity(&svid.bundle));
        assert!(
            authority_validity.0 <= validity.0 && validity.1 <= authority_validity.1,
            "a leaf outlives its authority"
        );
        serials.push(leaf.raw_serial().to_vec());
        verify(&svid.x509_svid, &svid.bundle);
    }
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), 3, "no serial twice");
}

/// By a path validation that is not x509-parser's.
fn verify(leaf: &[u8], authority: &[u8]) {
    let (leaf, authority) = (CertificateDer::from(leaf), CertificateDer::from(authority));
    let (leaf, anchor) = (EndEntityCert::try_from(&leaf).unwrap(), anchor_from_trusted_cert(&authority).unwrap());
    for usage in [KeyUsage::client_auth(), KeyUsage::server_auth()] {
        let now = SystemClock::new().now().into();
        leaf.verify_for_usage(ALL_VERIFICATION_ALGS, std::slice::from_ref(&anchor), &[], now, usage, None, None)
            .unwrap();
    }
}
