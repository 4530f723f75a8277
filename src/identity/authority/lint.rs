//! The last look at a certificate before it leaves: what was signed is read back and held against what was meant, so
//! that a fault in the template, the library or the memory of the machine ends here. Not a verifier of what others
//! present: it knows exactly what to expect and takes nothing else.

use portcullis_spiffe::x509::{Leaf, ProfileError};
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use webpki::{EndEntityCert, aws_lc_rs as verify};
use x509_parser::asn1_rs::oid;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::oid_registry::{
    OID_PKCS1_SHA256WITHRSA, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384,
    OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER, OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_EXTENDED_KEY_USAGE,
    OID_X509_EXT_KEY_USAGE, OID_X509_EXT_SUBJECT_ALT_NAME, OID_X509_EXT_SUBJECT_KEY_IDENTIFIER, Oid,
};
use x509_parser::x509::{AlgorithmIdentifier, X509Version};

use super::keys::key_id;
use super::template::{Serial, Validity};
use crate::foundation::clock::Timestamp;

/// `id-ml-dsa-44`, `id-ml-dsa-65` (RFC 9881 section 2).
const OID_ML_DSA_44: Oid<'static> = oid!(2.16.840.1.101.3.4.3.17);
const OID_ML_DSA_65: Oid<'static> = oid!(2.16.840.1.101.3.4.3.18);

/// `digitalSignature`, `keyEncipherment`, `keyAgreement`: bits 0, 2 and 4 (RFC 5280 section 4.2.1.3).
const LEAF_KEY_USAGE: u16 = 1 | 1 << 2 | 1 << 4;

/// `keyCertSign`, `cRLSign`: bits 5 and 6.
const AUTHORITY_KEY_USAGE: u16 = 1 << 5 | 1 << 6;

/// What is wrong with a certificate that we signed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LintError {
    /// It is not one certificate in DER and nothing else.
    #[error("the certificate does not parse")]
    Malformed,
    /// We ourselves would refuse it from a client.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Only version 3 has extensions.
    #[error("the version is not 3")]
    Version,
    /// It does not say that it is signed as an authority of ours signs.
    #[error("the signature algorithm is not the authority's")]
    Algorithm,
    /// The serial number is not the one that was drawn.
    #[error("the serial number is not the one that was drawn")]
    Serial,
    /// Its issuer is not the subject of the authority.
    #[error("the issuer is not the authority")]
    Issuer,
    /// It has a subject where none is wanted, or none where one is.
    #[error("the subject is not as the profile has it")]
    Subject,
    /// Its dates are not those that were meant.
    #[error("the validity is not the one that was meant")]
    Validity,
    /// It is valid before or after its authority.
    #[error("it is valid at times at which its authority is not")]
    OutlivesAuthority,
    /// Its key is not the subject's.
    #[error("the public key is not the subject's")]
    PublicKey,
    /// An extension that the profile does not have, or has twice.
    #[error("the extension {0} is unwanted, doubled or malformed")]
    Extension(String),
    /// `basicConstraints` is missing, not critical, or says otherwise than the profile.
    #[error("basicConstraints is not as the profile has it")]
    BasicConstraints,
    /// `keyUsage` is missing, not critical, or has other bits.
    #[error("keyUsage is not as the profile has it")]
    KeyUsage,
    /// `extKeyUsage` is not exactly `serverAuth` and `clientAuth`.
    #[error("extKeyUsage is not as the profile has it")]
    ExtendedKeyUsage,
    /// The names are not exactly the one URI and the DNS names that were meant.
    #[error("subjectAltName is not exactly what was meant")]
    SubjectAltName,
    /// `subjectKeyIdentifier` is missing or not that of the key.
    #[error("subjectKeyIdentifier is not that of the key")]
    SubjectKeyId,
    /// `authorityKeyIdentifier` is missing or not that of the authority.
    #[error("authorityKeyIdentifier is not that of the authority")]
    AuthorityKeyId,
    /// The authority's key did not sign this.
    #[error("the signature does not verify")]
    Signature,
}

/// What a leaf was meant to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExpectedLeaf<'a> {
    /// Its SPIFFE ID.
    pub(super) uri: &'a str,
    /// Its DNS names, in order.
    pub(super) dns_names: &'a [String],
    pub(super) serial: &'a Serial,
    pub(super) validity: Validity,
    /// Its key, as `SubjectPublicKeyInfo` in DER.
    pub(super) public_key: &'a [u8],
    /// The certificate of its authority, DER.
    pub(super) authority: &'a [u8],
}

/// Whether `der` is exactly the X509-SVID that was meant (X509-SVID sections 3 and 4).
pub(super) fn check_leaf(der: &[u8], expected: &ExpectedLeaf<'_>) -> Result<(), LintError> {
    let leaf = parse(der)?;
    let authority = parse(expected.authority)?;
    check_envelope(&leaf, expected.public_key)?;
    ensure(leaf.raw_serial() == expected.serial.as_bytes(), LintError::Serial)?;
    ensure(leaf.issuer().as_raw() == authority.subject().as_raw(), LintError::Issuer)?;
    ensure(leaf.subject().iter().next().is_none(), LintError::Subject)?;
    let validity = validity(&leaf);
    ensure(validity == expected.validity && validity.not_before < validity.not_after, LintError::Validity)?;
    let limits = self::validity(&authority);
    let inside = limits.not_before <= validity.not_before && validity.not_after <= limits.not_after;
    ensure(inside, LintError::OutlivesAuthority)?;

    check_extension_set(
        &leaf,
        &[
            OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER,
            OID_X509_EXT_SUBJECT_ALT_NAME,
            OID_X509_EXT_KEY_USAGE,
            OID_X509_EXT_EXTENDED_KEY_USAGE,
            OID_X509_EXT_SUBJECT_KEY_IDENTIFIER,
            OID_X509_EXT_BASIC_CONSTRAINTS,
        ],
    )?;
    check_basic_constraints(&leaf, false)?;
    check_key_usage(&leaf, LEAF_KEY_USAGE)?;
    check_extended_key_usage(&leaf)?;
    check_names(&leaf, true, expected.uri, expected.dns_names)?;
    check_authority_key_id(&leaf, &key_id(authority.public_key().raw))?;
    Leaf::parse(der)?.check_client()?;
    check_signature(&leaf, &authority)
}

/// Whether `der` is an authority of the trust domain whose ID is `uri`, self-signed by `public_key`.
pub(super) fn check_authority(der: &[u8], uri: &str, public_key: &[u8]) -> Result<(), LintError> {
    let authority = parse(der)?;
    check_envelope(&authority, public_key)?;
    ensure(authority.issuer().as_raw() == authority.subject().as_raw(), LintError::Issuer)?;
    ensure(authority.subject().iter().next().is_some(), LintError::Subject)?;
    let Validity { not_before, not_after } = validity(&authority);
    ensure(not_before < not_after, LintError::Validity)?;

    check_extension_set(
        &authority,
        &[
            OID_X509_EXT_SUBJECT_ALT_NAME,
            OID_X509_EXT_KEY_USAGE,
            OID_X509_EXT_SUBJECT_KEY_IDENTIFIER,
            OID_X509_EXT_BASIC_CONSTRAINTS,
        ],
    )?;
    check_basic_constraints(&authority, true)?;
    check_key_usage(&authority, AUTHORITY_KEY_USAGE)?;
    check_names(&authority, false, uri, &[])?;
    check_signature(&authority, &authority)
}

/// From when until when the certificate `der` is valid.
pub(super) fn validity_of(der: &[u8]) -> Result<Validity, LintError> {
    parse(der).map(|certificate| validity(&certificate))
}

/// The key in the certificate `der`, as `SubjectPublicKeyInfo` in DER.
pub(super) fn public_key_of(der: &[u8]) -> Result<Vec<u8>, LintError> {
    parse(der).map(|certificate| certificate.public_key().raw.to_vec())
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, LintError> {
    match x509_parser::parse_x509_certificate(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(LintError::Malformed),
    }
}

fn ensure(holds: bool, otherwise: LintError) -> Result<(), LintError> {
    if holds { Ok(()) } else { Err(otherwise) }
}

fn validity(certificate: &X509Certificate<'_>) -> Validity {
    let validity = certificate.validity();
    Validity {
        not_before: Timestamp::from_unix_seconds(validity.not_before.timestamp()),
        not_after: Timestamp::from_unix_seconds(validity.not_after.timestamp()),
    }
}

/// What leaves and authorities have in common outside their extensions, and the key id, which depends on the key only.
fn check_envelope(certificate: &X509Certificate<'_>, public_key: &[u8]) -> Result<(), LintError> {
    ensure(certificate.version() == X509Version::V3, LintError::Version)?;
    let unique_ids = certificate.issuer_uid.is_some() || certificate.subject_uid.is_some();
    ensure(!unique_ids, LintError::Version)?;
    let (outer, inner) = (&certificate.signature_algorithm, &certificate.tbs_certificate.signature);
    ensure(outer == inner && signed_with(outer).is_some(), LintError::Algorithm)?;
    let serial = certificate.raw_serial();
    let positive = serial.iter().any(|byte| *byte != 0) && serial.first().is_some_and(|byte| byte & 0x80 == 0);
    ensure(positive && serial.len() <= 20, LintError::Serial)?;
    ensure(certificate.public_key().raw == public_key, LintError::PublicKey)?;
    let found = extension(certificate, &OID_X509_EXT_SUBJECT_KEY_IDENTIFIER);
    match found.map(|extension| (extension.critical, extension.parsed_extension())) {
        Some((false, ParsedExtension::SubjectKeyIdentifier(id))) if id.0 == key_id(public_key) => Ok(()),
        _ => Err(LintError::SubjectKeyId),
    }
}

/// Every extension is one of `wanted`, none is there twice.
fn check_extension_set(certificate: &X509Certificate<'_>, wanted: &[Oid<'_>]) -> Result<(), LintError> {
    for extension in certificate.extensions() {
        let times = certificate.extensions().iter().filter(|other| other.oid == extension.oid).count();
        let known = wanted.contains(&extension.oid) && extension.parsed_extension().error().is_none();
        ensure(known && times == 1, LintError::Extension(extension.oid.to_id_string()))?;
    }
    Ok(())
}

fn extension<'c, 'a>(certificate: &'c X509Certificate<'a>, oid: &Oid<'_>) -> Option<&'c X509Extension<'a>> {
    certificate.extensions().iter().find(|extension| extension.oid == *oid)
}

fn check_basic_constraints(certificate: &X509Certificate<'_>, ca: bool) -> Result<(), LintError> {
    let found = extension(certificate, &OID_X509_EXT_BASIC_CONSTRAINTS);
    match found.map(|extension| (extension.critical, extension.parsed_extension())) {
        Some((true, ParsedExtension::BasicConstraints(constraints)))
            if constraints.ca == ca && constraints.path_len_constraint == ca.then_some(0) =>
        {
            Ok(())
        }
        _ => Err(LintError::BasicConstraints),
    }
}

fn check_key_usage(certificate: &X509Certificate<'_>, bits: u16) -> Result<(), LintError> {
    let found = extension(certificate, &OID_X509_EXT_KEY_USAGE);
    match found.map(|extension| (extension.critical, extension.parsed_extension())) {
        Some((true, ParsedExtension::KeyUsage(usage))) if usage.flags == bits => Ok(()),
        _ => Err(LintError::KeyUsage),
    }
}

fn check_extended_key_usage(certificate: &X509Certificate<'_>) -> Result<(), LintError> {
    match extension(certificate, &OID_X509_EXT_EXTENDED_KEY_USAGE).map(X509Extension::parsed_extension) {
        Some(ParsedExtension::ExtendedKeyUsage(usage)) => {
            let more = usage.any || usage.code_signing || usage.email_protection;
            let more = more || usage.time_stamping || usage.ocsp_signing || !usage.other.is_empty();
            ensure(usage.server_auth && usage.client_auth && !more, LintError::ExtendedKeyUsage)
        }
        _ => Err(LintError::ExtendedKeyUsage),
    }
}

fn check_names(
    certificate: &X509Certificate<'_>,
    critical: bool,
    uri: &str,
    dns_names: &[String],
) -> Result<(), LintError> {
    let found = extension(certificate, &OID_X509_EXT_SUBJECT_ALT_NAME);
    let Some(ParsedExtension::SubjectAlternativeName(found_names)) = found.map(X509Extension::parsed_extension) else {
        return Err(LintError::SubjectAltName);
    };
    let wanted = std::iter::once(GeneralName::URI(uri)).chain(dns_names.iter().map(|name| GeneralName::DNSName(name)));
    let same = found_names.general_names.iter().eq(wanted.collect::<Vec<_>>().iter());
    ensure(same && found.is_some_and(|extension| extension.critical == critical), LintError::SubjectAltName)
}

fn check_authority_key_id(certificate: &X509Certificate<'_>, wanted: &[u8]) -> Result<(), LintError> {
    let found = extension(certificate, &OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER);
    match found.map(|extension| (extension.critical, extension.parsed_extension())) {
        Some((false, ParsedExtension::AuthorityKeyIdentifier(id)))
            if id.key_identifier.as_ref().is_some_and(|id| id.0 == wanted) =>
        {
            Ok(())
        }
        _ => Err(LintError::AuthorityKeyId),
    }
}

/// The signature, and that the encoding is DER: the parser above takes some that is only BER, which others refuse.
fn check_signature(certificate: &X509Certificate<'_>, by: &X509Certificate<'_>) -> Result<(), LintError> {
    let der = CertificateDer::from(certificate.as_raw());
    EndEntityCert::try_from(&der).map_err(|_refused| LintError::Malformed)?;
    let by = CertificateDer::from(by.as_raw());
    let by = EndEntityCert::try_from(&by).map_err(|_refused| LintError::Malformed)?;
    let algorithm = signed_with(&certificate.signature_algorithm).ok_or(LintError::Algorithm)?;
    let signed = certificate.tbs_certificate.as_ref();
    by.verify_signature(algorithm, signed, &certificate.signature_value.data).map_err(|refusal| match refusal {
        webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => LintError::Algorithm,
        _ => LintError::Signature,
    })
}

/// How a certificate that says this of its signature was signed; each goes with keys of one kind only.
fn signed_with(algorithm: &AlgorithmIdentifier<'_>) -> Option<&'static dyn SignatureVerificationAlgorithm> {
    let (oid, parameters) = (&algorithm.algorithm, algorithm.parameters.as_ref());
    if *oid == OID_PKCS1_SHA256WITHRSA {
        return parameters
            .is_some_and(|parameters| parameters.as_null().is_ok())
            .then_some(verify::RSA_PKCS1_2048_8192_SHA256);
    }
    let algorithm = match () {
        () if *oid == OID_SIG_ECDSA_WITH_SHA256 => verify::ECDSA_P256_SHA256,
        () if *oid == OID_SIG_ECDSA_WITH_SHA384 => verify::ECDSA_P384_SHA384,
        () if *oid == OID_ML_DSA_44 => verify::ML_DSA_44,
        () if *oid == OID_ML_DSA_65 => verify::ML_DSA_65,
        () => return None,
    };
    parameters.is_none().then_some(algorithm)
}

#[cfg(test)]
mod tests;
