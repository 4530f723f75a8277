//! The check of a certificate that we issued ourselves, after it was signed and before it leaves: stricter than what
//! we take from others, and against what was asked for.

use super::ProfileError;
use super::certificate::Certificate;
use super::leaf::Leaf;
use crate::id::SpiffeId;

/// What a new certificate was meant to be.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Whom it names.
    pub id: &'a SpiffeId,
    /// The DNS names beside the ID, in order.
    pub dns_names: &'a [String],
    /// From when on it is valid, in seconds since 1970.
    pub not_before: i64,
    /// Until when it is valid, in seconds since 1970.
    pub not_after: i64,
    /// The workload's public key: a DER `SubjectPublicKeyInfo` (RFC 5280 section 4.1.2.7).
    pub public_key: &'a [u8],
    /// The subject key identifier of the authority that signs.
    pub authority_key_id: &'a [u8],
}

/// How a certificate differs from what it was meant to be.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IssuedError {
    /// It is no X509-SVID at all.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// It names someone else.
    #[error("the certificate names `{0}`")]
    Id(SpiffeId),
    /// Its DNS names are not those asked for.
    #[error("the certificate has the DNS names {0:?}")]
    DnsNames(Vec<String>),
    /// It has names of a kind nobody asked for.
    #[error("the certificate has {0} SANs that are neither a URI nor a DNS name")]
    OtherSans(usize),
    /// Its validity is not the one asked for.
    #[error("the certificate is valid from {not_before} to {not_after}")]
    Validity {
        /// Its beginning, in seconds since 1970.
        not_before: i64,
        /// Its end, in seconds since 1970.
        not_after: i64,
    },
    /// It certifies another key.
    #[error("the certificate is for another public key")]
    PublicKey,
    /// The serial number is not positive or has more than 20 octets (RFC 5280 section 4.1.2.2).
    #[error("the certificate's serial number is not a positive one of at most 20 octets")]
    Serial,
    /// There is no explicit statement that it is not a CA.
    #[error("the certificate has no basic constraints")]
    NoBasicConstraints,
    /// The extended key usage is not exactly serverAuth and clientAuth.
    #[error("the certificate's extended key usage is not exactly serverAuth and clientAuth")]
    ExtendedKeyUsage,
    /// There is no subject key identifier.
    #[error("the certificate has no subject key identifier")]
    NoSubjectKeyId,
    /// The authority key identifier is missing or not that of the authority.
    #[error("the certificate's authority key identifier is not that of the authority")]
    AuthorityKeyId,
}

/// Checks that the certificate `der` is an X509-SVID and exactly what was `expected`. Says nothing of its signature.
///
/// # Errors
/// [`IssuedError`]: the first difference.
pub fn check_issued(der: &[u8], expected: &Expected<'_>) -> Result<Leaf, IssuedError> {
    let certificate = Certificate::read(der)?;
    let leaf = Leaf::check(&certificate)?;
    check_names(&leaf, certificate.sans.others, expected)?;
    if (leaf.not_before, leaf.not_after) != (expected.not_before, expected.not_after) {
        return Err(IssuedError::Validity { not_before: leaf.not_before, not_after: leaf.not_after });
    }
    if certificate.tbs.public_key().raw != expected.public_key {
        return Err(IssuedError::PublicKey);
    }
    if !is_positive_serial(&leaf.serial) {
        return Err(IssuedError::Serial);
    }
    if certificate.basic_constraints.is_none() {
        return Err(IssuedError::NoBasicConstraints);
    }
    check_extended_key_usage(&certificate)?;
    if leaf.subject_key_id.is_none() {
        return Err(IssuedError::NoSubjectKeyId);
    }
    if leaf.authority_key_id.as_deref() != Some(expected.authority_key_id) {
        return Err(IssuedError::AuthorityKeyId);
    }
    Ok(leaf)
}

fn check_names(leaf: &Leaf, others: usize, expected: &Expected<'_>) -> Result<(), IssuedError> {
    if leaf.id != *expected.id {
        return Err(IssuedError::Id(leaf.id.clone()));
    }
    if leaf.dns_names != expected.dns_names {
        return Err(IssuedError::DnsNames(leaf.dns_names.clone()));
    }
    if others == 0 { Ok(()) } else { Err(IssuedError::OtherSans(others)) }
}

fn check_extended_key_usage(certificate: &Certificate<'_>) -> Result<(), IssuedError> {
    let exact = certificate.extended_key_usage.as_ref().is_some_and(|usage| {
        let more = usage.any
            || usage.code_signing
            || usage.email_protection
            || usage.time_stamping
            || usage.ocsp_signing
            || !usage.other.is_empty();
        usage.server_auth && usage.client_auth && !more
    });
    if exact { Ok(()) } else { Err(IssuedError::ExtendedKeyUsage) }
}

/// Whether these content octets of an INTEGER are a positive number of at most 20 octets, shortest form.
fn is_positive_serial(octets: &[u8]) -> bool {
    match octets {
        [] | [0] | [0x80..=0xff, ..] | [0, 0..=0x7f, ..] => false,
        _ => octets.len() <= 20,
    }
}
