//! The certificate of a workload.

use super::ProfileError;
use super::certificate::{Certificate, Extension};
use crate::id::SpiffeId;

/// A certificate that has the form of a workload's X509-SVID. Whether it can be trusted is another question.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Leaf {
    /// Whom it names: its only URI SAN.
    pub id: SpiffeId,
    /// From when on it is valid, in seconds since 1970.
    pub not_before: i64,
    /// Until when it is valid, that second included, in seconds since 1970.
    pub not_after: i64,
    /// The serial number, big-endian two's complement as it stands in the certificate.
    pub serial: Vec<u8>,
    /// The subject key identifier.
    pub subject_key_id: Option<Vec<u8>>,
    /// The key identifier of the authority that signed it.
    pub authority_key_id: Option<Vec<u8>>,
    /// The DNS names, in order, as they stand in the certificate: signed, but not checked to be host names.
    pub dns_names: Vec<String>,
    has_extended_key_usage: bool,
}

impl Leaf {
    /// Reads a certificate and checks the profile (X509-SVID sections 2 to 5.2).
    ///
    /// # Errors
    /// [`ProfileError`].
    pub fn parse(der: &[u8]) -> Result<Self, ProfileError> {
        Self::check(&Certificate::read(der)?)
    }

    /// Checks that the leaf may stand for a client. The standard takes a leaf without any extended key usage for one
    /// that may do everything; we ask for clientAuth in so many words.
    ///
    /// # Errors
    /// [`ProfileError::NoExtendedKeyUsage`].
    pub const fn check_client(&self) -> Result<(), ProfileError> {
        // One that is there has clientAuth, or the leaf would not have been parsed.
        if self.has_extended_key_usage { Ok(()) } else { Err(ProfileError::NoExtendedKeyUsage) }
    }

    pub(super) fn check(certificate: &Certificate<'_>) -> Result<Self, ProfileError> {
        let [uri] = certificate.sans.uris.as_slice() else {
            return Err(ProfileError::UriSans(certificate.sans.uris.len()));
        };
        let id = uri.parse()?;
        if certificate.basic_constraints.as_ref().is_some_and(|constraints| constraints.ca) {
            return Err(ProfileError::Ca);
        }
        check_key_usage(certificate)?;
        if certificate.extended_key_usage.as_ref().is_some_and(|usage| !usage.client_auth) {
            return Err(ProfileError::NoClientAuth);
        }
        Ok(Self {
            id,
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            serial: certificate.tbs.raw_serial().to_vec(),
            subject_key_id: certificate.subject_key_id.map(<[u8]>::to_vec),
            authority_key_id: certificate.authority_key_id.map(<[u8]>::to_vec),
            dns_names: certificate.sans.dns_names.iter().map(|&name| name.to_owned()).collect(),
            has_extended_key_usage: certificate.extended_key_usage.is_some(),
        })
    }
}

fn check_key_usage(certificate: &Certificate<'_>) -> Result<(), ProfileError> {
    let Some(Extension { critical, value: usage }) = &certificate.key_usage else {
        return Err(ProfileError::NoKeyUsage);
    };
    if !critical {
        return Err(ProfileError::KeyUsageNotCritical);
    }
    if usage.key_cert_sign() {
        return Err(ProfileError::KeyCertSign);
    }
    if usage.crl_sign() {
        return Err(ProfileError::CrlSign);
    }
    if usage.digital_signature() { Ok(()) } else { Err(ProfileError::NoDigitalSignature) }
}
