//! Trust domains, authorities and leaves for the tests.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, CustomExtension,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use crate::foundation::clock::Timestamp;
use crate::identity::bundle::Bundle;

pub(in crate::identity) const ID: &str = "spiffe://prod.example/agent/a1";

/// 2026-01-01T00:00:00Z, from when on every leaf is valid.
pub(in crate::identity) fn not_before() -> Timestamp {
    Timestamp::from_unix_seconds(1_767_225_600)
}

/// A moment at which all is valid.
pub(in crate::identity) fn noon() -> Timestamp {
    not_before().after(Duration::from_hours(12))
}

/// 2026-01-02T00:00:00Z, until when every leaf is valid.
pub(in crate::identity) fn not_after() -> Timestamp {
    not_before().after(Duration::from_hours(24))
}

/// An authority of a trust domain.
pub(in crate::identity) struct Authority {
    domain: &'static str,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// A good one.
    pub(in crate::identity) fn new(domain: &'static str) -> Self {
        Self::with(domain, |_| {})
    }

    /// A good one but for `edit`.
    pub(in crate::identity) fn with(domain: &'static str, edit: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = authority_params(domain);
        edit(&mut params);
        Self { domain, issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// One that this one has signed.
    pub(in crate::identity) fn intermediate(&self) -> Self {
        let mut params = authority_params(self.domain);
        params.distinguished_name.push(DnType::CommonName, "an intermediate");
        let key = KeyPair::generate().unwrap();
        Self { domain: self.domain, issuer: CertifiedIssuer::signed_by(params, key, &self.issuer).unwrap() }
    }

    pub(in crate::identity) fn der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// The domain's bundle, with this authority alone.
    pub(in crate::identity) fn bundle(&self, sequence: u64) -> Bundle {
        bundle(self.domain, vec![self.der()], sequence)
    }

    pub(in crate::identity) fn sign_list(
        &self,
        params: &CertificateRevocationListParams,
    ) -> CertificateRevocationListDer<'static> {
        params.signed_by(&self.issuer).unwrap().into()
    }

    /// A good leaf but for `edit`, as Envoy would show it.
    pub(in crate::identity) fn leaf(&self, edit: impl FnOnce(&mut CertificateParams)) -> String {
        present(&self.leaf_der(edit))
    }

    pub(in crate::identity) fn leaf_der(&self, edit: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = leaf_params();
        edit(&mut params);
        params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap().der().clone()
    }
}

pub(in crate::identity) fn bundle(domain: &str, authorities: Vec<CertificateDer<'static>>, sequence: u64) -> Bundle {
    Bundle::of_x509(domain.parse().unwrap(), authorities, sequence)
}

fn authority_params(domain: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(2025, 6, 1);
    params.not_after = date_time_ymd(2026, 6, 1);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "an authority");
    params.subject_alt_names = vec![uri(&format!("spiffe://{domain}"))];
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

pub(in crate::identity) fn leaf_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2026, 1, 2);
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![uri(ID)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

pub(in crate::identity) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// A second subject alternative name extension, that names `id`.
pub(in crate::identity) fn second_san(id: &str) -> CustomExtension {
    let length = u8::try_from(id.len()).unwrap();
    let mut content = vec![0x30, length + 2, 0x86, length];
    content.extend(id.as_bytes());
    CustomExtension::from_oid_content(&[2, 5, 29, 17], content)
}

/// PEM as OpenSSL writes it.
pub(in crate::identity) fn pem(der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<&str> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// The escapes that Envoy makes.
pub(in crate::identity) fn escape(text: &str) -> String {
    const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'+').add(b'/').add(b'=');
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// A certificate as Envoy shows it.
pub(in crate::identity) fn present(der: &[u8]) -> String {
    escape(&pem(der))
}
