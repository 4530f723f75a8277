//! Certificates for the tests: a good one, bent by one edit each.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, SerialNumber, date_time_ymd,
};

/// 2026-01-01T00:00:00Z
pub(super) const NOT_BEFORE: i64 = 1_767_225_600;
/// 2026-01-02T00:00:00Z
pub(super) const NOT_AFTER: i64 = 1_767_312_000;

pub(super) const ID: &str = "spiffe://prod.example/agent/a1";

pub(super) const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
pub(super) const SUBJECT_ALT_NAME: &[u64] = &[2, 5, 29, 17];
pub(super) const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];

pub(super) const URI: u8 = 0x86;
pub(super) const DNS: u8 = 0x82;
pub(super) const EMAIL: u8 = 0x81;

/// What a good leaf is made of.
pub(super) fn leaf_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2026, 1, 2);
    params.serial_number = Some(SerialNumber::from_slice(&[0x7f; 16]));
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![uri(ID)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

/// What a good authority is made of.
pub(super) fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "prod.example");
    params.subject_alt_names = vec![uri("spiffe://prod.example")];
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// An authority that signs the leaves.
pub(super) fn authority() -> CertifiedIssuer<'static, KeyPair> {
    CertifiedIssuer::self_signed(authority_params(), KeyPair::generate().unwrap()).unwrap()
}

/// A good leaf but for `edit`.
pub(super) fn leaf(edit: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = leaf_params();
    edit(&mut params);
    params.signed_by(&KeyPair::generate().unwrap(), &authority()).unwrap().der().to_vec()
}

/// A good authority but for `edit`.
pub(super) fn authority_with(edit: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = authority_params();
    edit(&mut params);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

pub(super) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

pub(super) fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

/// An extension that the library would not write like this by itself.
pub(super) fn extension(oid: &[u64], critical: bool, content: Vec<u8>) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, content);
    extension.set_criticality(critical);
    extension
}

/// One DER element.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    match content.len() {
        short @ 0..=0x7f => der.push(u8::try_from(short).unwrap()),
        long => {
            der.push(0x82);
            der.extend(u16::try_from(long).unwrap().to_be_bytes());
        }
    }
    der.extend(content);
    der
}

/// The content of a subject alternative name extension with these names, each a tag and its bytes.
pub(super) fn san(names: &[(u8, &[u8])]) -> Vec<u8> {
    let names: Vec<u8> = names.iter().flat_map(|(tag, name)| element(*tag, name)).collect();
    element(0x30, &names)
}

/// Replaces the only place where `from` stands in `der` by `to`, of the same length.
pub(super) fn patch(der: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let places: Vec<_> = der.windows(from.len()).enumerate().filter(|(_, window)| *window == from).collect();
    assert_eq!(places.len(), 1, "the bytes to patch stand in exactly one place");
    let mut patched = der.to_vec();
    patched[places[0].0..][..to.len()].copy_from_slice(to);
    patched
}
