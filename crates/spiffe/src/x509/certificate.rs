//! One certificate, taken apart: the fields that the profile looks at, each there at most once and read to its end.

use x509_parser::asn1_rs::{Any, FromDer, Oid};
use x509_parser::certificate::{X509Certificate, X509CertificateParser};
use x509_parser::error::X509Error;
use x509_parser::extensions::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, GeneralName, KeyIdentifier, KeyUsage,
    SubjectAlternativeName, X509Extension,
};
use x509_parser::nom::Parser as _;
use x509_parser::oid_registry::{
    OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER, OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_EXTENDED_KEY_USAGE,
    OID_X509_EXT_KEY_USAGE, OID_X509_EXT_NAME_CONSTRAINTS, OID_X509_EXT_SUBJECT_ALT_NAME,
    OID_X509_EXT_SUBJECT_KEY_IDENTIFIER,
};
use x509_parser::x509::X509Version;

use super::ProfileError;

/// What the profile reads of a certificate.
#[derive(Debug)]
pub(super) struct Certificate<'a> {
    pub(super) tbs: X509Certificate<'a>,
    pub(super) sans: Sans<'a>,
    pub(super) key_usage: Option<Extension<KeyUsage>>,
    pub(super) extended_key_usage: Option<ExtendedKeyUsage<'a>>,
    pub(super) basic_constraints: Option<BasicConstraints>,
    pub(super) subject_key_id: Option<&'a [u8]>,
    pub(super) authority_key_id: Option<&'a [u8]>,
}

/// An extension whose criticality the profile has a word on.
#[derive(Debug)]
pub(super) struct Extension<T> {
    pub(super) critical: bool,
    pub(super) value: T,
}

/// The subject alternative names, by kind.
#[derive(Debug, Default)]
pub(super) struct Sans<'a> {
    pub(super) uris: Vec<&'a str>,
    pub(super) dns_names: Vec<&'a str>,
    /// How many of any other kind there are.
    pub(super) others: usize,
}

impl<'a> Certificate<'a> {
    /// Takes `der` apart.
    pub(super) fn read(der: &'a [u8]) -> Result<Self, ProfileError> {
        // Extensions are parsed below instead: the parser's own way drops what follows a value inside an extension.
        let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
        let (rest, tbs) = parser.parse(der).map_err(|_reason| ProfileError::Malformed)?;
        if !rest.is_empty() {
            return Err(ProfileError::TrailingBytes(rest.len()));
        }
        if tbs.version() != X509Version::V3 {
            return Err(ProfileError::Version);
        }
        check_structure(der)?;
        if tbs.validity.not_before.timestamp() > tbs.validity.not_after.timestamp() {
            return Err(ProfileError::Validity);
        }
        check_extensions(tbs.extensions())?;
        let san = find::<SubjectAlternativeName<'_>>(&tbs, &OID_X509_EXT_SUBJECT_ALT_NAME)?;
        let subject_is_empty = tbs.subject().iter_rdn().next().is_none();
        if subject_is_empty && san.as_ref().is_some_and(|san| !san.critical) {
            return Err(ProfileError::SanNotCritical);
        }
        let aki = find::<AuthorityKeyIdentifier<'_>>(&tbs, &OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER)?;
        Ok(Self {
            sans: san.map_or_else(|| Ok(Sans::default()), |san| Sans::sort(san.value))?,
            key_usage: find(&tbs, &OID_X509_EXT_KEY_USAGE)?,
            extended_key_usage: find(&tbs, &OID_X509_EXT_EXTENDED_KEY_USAGE)?.map(|usage| usage.value),
            basic_constraints: find(&tbs, &OID_X509_EXT_BASIC_CONSTRAINTS)?.map(|constraints| constraints.value),
            subject_key_id: find::<KeyIdentifier<'_>>(&tbs, &OID_X509_EXT_SUBJECT_KEY_IDENTIFIER)?.map(|id| id.value.0),
            authority_key_id: aki.and_then(|aki| aki.value.key_identifier).map(|id| id.0),
            tbs,
        })
    }

    /// From when on it is valid, in seconds since 1970.
    pub(super) fn not_before(&self) -> i64 {
        self.tbs.validity.not_before.timestamp()
    }

    /// Until when it is valid, that second included, in seconds since 1970.
    pub(super) fn not_after(&self) -> i64 {
        self.tbs.validity.not_after.timestamp()
    }
}

impl<'a> Sans<'a> {
    fn sort(names: SubjectAlternativeName<'a>) -> Result<Self, ProfileError> {
        let mut sans = Self::default();
        for name in names.general_names {
            match name {
                GeneralName::URI(uri) => sans.uris.push(text(uri)?),
                GeneralName::DNSName(name) => sans.dns_names.push(text(name)?),
                GeneralName::RFC822Name(address) => {
                    text(address)?;
                    sans.others += 1;
                }
                GeneralName::Invalid(..) => return Err(ProfileError::MalformedSan),
                _ => sans.others += 1,
            }
        }
        Ok(sans)
    }
}

/// An `IA5String`: ASCII, which the parser does not check, and for us without a NUL.
fn text(name: &str) -> Result<&str, ProfileError> {
    if name.contains('\0') {
        Err(ProfileError::NulInSan)
    } else if name.is_ascii() {
        Ok(name)
    } else {
        Err(ProfileError::MalformedSan)
    }
}

/// The one extension of that kind, if there is one, read to its end.
fn find<'a, T: FromDer<'a, X509Error>>(
    certificate: &X509Certificate<'a>,
    oid: &Oid<'_>,
) -> Result<Option<Extension<T>>, ProfileError> {
    let Some(extension) = certificate.iter_extensions().find(|extension| extension.oid == *oid) else {
        return Ok(None);
    };
    match T::from_der(extension.value) {
        Ok(([], value)) => Ok(Some(Extension { critical: extension.critical, value })),
        _ => Err(ProfileError::MalformedExtension(oid.to_id_string())),
    }
}

/// No extension twice, none critical that neither we nor path validation understand.
fn check_extensions(extensions: &[X509Extension<'_>]) -> Result<(), ProfileError> {
    let understood = [
        OID_X509_EXT_BASIC_CONSTRAINTS,
        OID_X509_EXT_EXTENDED_KEY_USAGE,
        OID_X509_EXT_KEY_USAGE,
        OID_X509_EXT_NAME_CONSTRAINTS,
        OID_X509_EXT_SUBJECT_ALT_NAME,
    ];
    for (index, extension) in extensions.iter().enumerate() {
        if extensions.iter().take(index).any(|earlier| earlier.oid == extension.oid) {
            return Err(ProfileError::DuplicateExtension(extension.oid.to_id_string()));
        }
        if extension.critical && !understood.contains(&extension.oid) {
            return Err(ProfileError::CriticalExtension(extension.oid.to_id_string()));
        }
    }
    Ok(())
}

/// Nothing but the known fields, in the certificate and in its signed part (RFC 5280 section 4.1): the parser steps
/// over whatever follows the last field it knows. The unique identifiers that version 3 still allows are refused too;
/// section 4.1.2.8 says that nobody makes them.
fn check_structure(der: &[u8]) -> Result<(), ProfileError> {
    const CERTIFICATE: usize = 3;
    const SIGNED_PART: usize = 8;
    let fields = children(der)?;
    let signed = children(fields.first().copied().unwrap_or_default())?;
    if fields.len() == CERTIFICATE && signed.len() == SIGNED_PART { Ok(()) } else { Err(ProfileError::Malformed) }
}

/// The elements inside one constructed element, each with its header. Stops counting beyond what any field list has.
fn children(der: &[u8]) -> Result<Vec<&[u8]>, ProfileError> {
    const ENOUGH: usize = 16;
    let malformed = |_reason| ProfileError::Malformed;
    let (_rest, parent) = Any::from_der(der).map_err(malformed)?;
    let mut content = parent.data;
    let mut elements = Vec::new();
    while !content.is_empty() && elements.len() < ENOUGH {
        let (rest, _element) = Any::from_der(content).map_err(malformed)?;
        elements.push(content.get(..content.len() - rest.len()).unwrap_or_default());
        content = rest;
    }
    Ok(elements)
}
