//! PKCS#10 (RFC 2986): who asks for a certificate, and with which key. Only the key and the names are taken from a request.
//! What it asks for beyond that it does not get; one that asks to be more than a workload is refused, so that nobody
//! finds out later.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, KeyUsage, ParsedExtension, X509Extension};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA,
    OID_PKCS1_SHA512WITHRSA, OID_PKCS9_EXTENSION_REQUEST, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384,
    OID_SIG_ECDSA_WITH_SHA512, OID_SIG_ED25519, Oid,
};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Version;

/// The longest request, in bytes: an RSA key of 8192 bits takes 2 KiB, a hundred DNS names 25.
const MAX_LENGTH: usize = 64 * 1024;

/// `digitalSignature`, `keyEncipherment` and `keyAgreement` (RFC 5280 section 4.2.1.3): what a workload's key is for.
const WORKLOAD_USAGE: u16 = 0b1_0101;

/// What is taken from a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct SigningRequest {
    /// The one URI SAN.
    pub(super) uri: String,
    /// The DNS SANs.
    pub(super) dns_names: Vec<String>,
    /// `SubjectPublicKeyInfo`, DER, whose private half the requester has.
    pub(super) public_key: Vec<u8>,
}

/// What is wrong with a request. SPIRE's words where it has any.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum CsrFault {
    #[error("malformed CSR: it is longer than 64 KiB")]
    TooLong,
    #[error("malformed CSR: not a PKCS#10 request in DER")]
    Malformed,
    #[error("malformed CSR: an extension is there twice")]
    Twice,
    #[error("failed to verify CSR signature")]
    Signature,
    #[error("failed to verify CSR signature: the algorithm is not supported for this key")]
    Algorithm,
    #[error("CSR URI SAN is required")]
    NoUri,
    #[error("only one URI SAN is expected")]
    SeveralUris,
    #[error("CSR asks to be an authority")]
    Authority,
    #[error("CSR asks for a key usage that a workload does not have")]
    KeyUsage,
    #[error("CSR asks for an extended key usage other than serverAuth and clientAuth")]
    ExtendedKeyUsage,
    #[error("CSR has a critical extension that is not known")]
    Critical,
}

impl SigningRequest {
    /// Reads and verifies a request.
    ///
    /// # Errors
    /// [`CsrFault`].
    pub(super) fn parse(der: &[u8]) -> Result<Self, CsrFault> {
        if der.len() > MAX_LENGTH {
            return Err(CsrFault::TooLong);
        }
        let Ok(([], request)) = X509CertificationRequest::from_der(der) else { return Err(CsrFault::Malformed) };
        if request.certification_request_info.version != X509Version::V1 {
            return Err(CsrFault::Malformed);
        }
        verify(&request)?;
        let (mut uris, mut dns_names) = (Vec::new(), Vec::new());
        for name in names(&request)? {
            match name {
                GeneralName::URI(uri) => uris.push(uri),
                GeneralName::DNSName(name) => dns_names.push((*name).to_owned()),
                _ => {}
            }
        }
        let uri = match uris.as_slice() {
            [uri] => (**uri).to_owned(),
            [] => return Err(CsrFault::NoUri),
            _ => return Err(CsrFault::SeveralUris),
        };
        Ok(Self { uri, dns_names, public_key: request.certification_request_info.subject_pki.raw.to_vec() })
    }
}

/// The names that are asked for, if nothing is that a workload can't have.
fn names<'r>(request: &'r X509CertificationRequest<'_>) -> Result<&'r [GeneralName<'r>], CsrFault> {
    let mut asked: Vec<&X509Extension<'_>> = Vec::new();
    let mut names: &[GeneralName<'_>] = &[];
    for attribute in request.certification_request_info.iter_attributes() {
        let extensions = match attribute.parsed_attribute() {
            ParsedCriAttribute::ExtensionRequest(wanted) => &wanted.extensions,
            ParsedCriAttribute::UnsupportedAttribute if attribute.oid == OID_PKCS9_EXTENSION_REQUEST => {
                return Err(CsrFault::Malformed);
            }
            ParsedCriAttribute::UnsupportedAttribute | ParsedCriAttribute::ChallengePassword(_) => continue,
        };
        for extension in extensions {
            if asked.iter().any(|other| other.oid == extension.oid) {
                return Err(CsrFault::Twice);
            }
            asked.push(extension);
            check(extension)?;
            if let ParsedExtension::SubjectAlternativeName(alternative) = extension.parsed_extension() {
                names = &alternative.general_names;
            }
        }
    }
    Ok(names)
}

fn check(extension: &X509Extension<'_>) -> Result<(), CsrFault> {
    match extension.parsed_extension() {
        ParsedExtension::BasicConstraints(constraints) if constraints.ca => Err(CsrFault::Authority),
        ParsedExtension::KeyUsage(usage) if usage.key_cert_sign() || usage.crl_sign() => Err(CsrFault::Authority),
        ParsedExtension::KeyUsage(KeyUsage { flags }) if flags & !WORKLOAD_USAGE != 0 => Err(CsrFault::KeyUsage),
        ParsedExtension::ExtendedKeyUsage(usage)
            if usage.any
                || usage.code_signing
                || usage.email_protection
                || usage.time_stamping
                || usage.ocsp_signing
                || !usage.other.is_empty() =>
        {
            Err(CsrFault::ExtendedKeyUsage)
        }
        ParsedExtension::BasicConstraints(_)
        | ParsedExtension::KeyUsage(_)
        | ParsedExtension::ExtendedKeyUsage(_)
        | ParsedExtension::SubjectAlternativeName(_) => Ok(()),
        ParsedExtension::ParseError { .. } => Err(CsrFault::Malformed),
        _ if extension.critical => Err(CsrFault::Critical),
        _ => Ok(()),
    }
}

/// That whoever asks has the private key.
fn verify(request: &X509CertificationRequest<'_>) -> Result<(), CsrFault> {
    let key = &request.certification_request_info.subject_pki;
    if request.signature_value.unused_bits != 0 {
        return Err(CsrFault::Malformed);
    }
    let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    let algorithm = algorithm(&request.signature_algorithm.algorithm, curve.as_ref()).ok_or(CsrFault::Algorithm)?;
    UnparsedPublicKey::new(algorithm, &key.subject_public_key.data)
        .verify(request.certification_request_info.raw, &request.signature_value.data)
        .map_err(|_unspecified| CsrFault::Signature)
}

/// By the algorithm that a signature names and the curve of the key. A key of another kind than the algorithm's does not
/// verify anything.
fn algorithm(named: &Oid<'_>, curve: Option<&Oid<'_>>) -> Option<&'static dyn VerificationAlgorithm> {
    let table: [(_, _, &'static dyn VerificationAlgorithm); 12] = [
        (OID_SIG_ECDSA_WITH_SHA256, Some(OID_EC_P256), &signature::ECDSA_P256_SHA256_ASN1),
        (OID_SIG_ECDSA_WITH_SHA384, Some(OID_EC_P256), &signature::ECDSA_P256_SHA384_ASN1),
        (OID_SIG_ECDSA_WITH_SHA512, Some(OID_EC_P256), &signature::ECDSA_P256_SHA512_ASN1),
        (OID_SIG_ECDSA_WITH_SHA256, Some(OID_NIST_EC_P384), &signature::ECDSA_P384_SHA256_ASN1),
        (OID_SIG_ECDSA_WITH_SHA384, Some(OID_NIST_EC_P384), &signature::ECDSA_P384_SHA384_ASN1),
        (OID_SIG_ECDSA_WITH_SHA512, Some(OID_NIST_EC_P384), &signature::ECDSA_P384_SHA512_ASN1),
        (OID_SIG_ECDSA_WITH_SHA256, Some(OID_NIST_EC_P521), &signature::ECDSA_P521_SHA256_ASN1),
        (OID_SIG_ECDSA_WITH_SHA512, Some(OID_NIST_EC_P521), &signature::ECDSA_P521_SHA512_ASN1),
        (OID_SIG_ED25519, None, &signature::ED25519),
        (OID_PKCS1_SHA256WITHRSA, None, &signature::RSA_PKCS1_2048_8192_SHA256),
        (OID_PKCS1_SHA384WITHRSA, None, &signature::RSA_PKCS1_2048_8192_SHA384),
        (OID_PKCS1_SHA512WITHRSA, None, &signature::RSA_PKCS1_2048_8192_SHA512),
    ];
    let fits = |of: &Option<Oid<'static>>| of.is_none() || of.as_ref() == curve;
    table.into_iter().find(|(name, of, _)| name == named && fits(of)).map(|(_, _, algorithm)| algorithm)
}

#[cfg(test)]
mod tests;
