//! The certificate of an X.509 authority, as it stands in a bundle.

use super::ProfileError;
use super::certificate::Certificate;
use crate::trust_domain::TrustDomain;

/// A certificate that has the form of an authority's (X509-SVID section 3 and 4).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Authority {
    /// The trust domain it names itself after, if it has a SPIFFE ID at all. Many upstream roots have none.
    pub trust_domain: Option<TrustDomain>,
    /// From when on it is valid, in seconds since 1970.
    pub not_before: i64,
    /// Until when it is valid, that second included, in seconds since 1970.
    pub not_after: i64,
    /// The serial number, big-endian two's complement as it stands in the certificate.
    pub serial: Vec<u8>,
    /// The subject key identifier.
    pub subject_key_id: Option<Vec<u8>>,
}

impl Authority {
    /// Reads a certificate and checks that it is fit to sign for a trust domain: cA, keyCertSign, and a URI SAN, if
    /// there is one, that is the bare ID of a trust domain. Key usage must be critical only on one with an ID, for
    /// only that one is an SVID.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub fn parse(der: &[u8]) -> Result<Self, ProfileError> {
        let certificate = Certificate::read(der)?;
        if !certificate.basic_constraints.as_ref().is_some_and(|constraints| constraints.ca) {
            return Err(ProfileError::NotCa);
        }
        let trust_domain = match certificate.sans.uris.as_slice() {
            [] => None,
            [uri] => Some(domain_of(uri)?),
            several => return Err(ProfileError::UriSans(several.len())),
        };
        let usage = certificate.key_usage.as_ref().ok_or(ProfileError::NoKeyUsage)?;
        if !usage.value.key_cert_sign() {
            return Err(ProfileError::NoKeyCertSign);
        }
        if trust_domain.is_some() && !usage.critical {
            return Err(ProfileError::KeyUsageNotCritical);
        }
        Ok(Self {
            trust_domain,
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            serial: certificate.tbs.raw_serial().to_vec(),
            subject_key_id: certificate.subject_key_id.map(<[u8]>::to_vec),
        })
    }

    /// Checks that the authority does not name another trust domain than `trust_domain`.
    ///
    /// # Errors
    /// [`ProfileError::ForeignAuthority`].
    pub fn check_domain(&self, trust_domain: &TrustDomain) -> Result<(), ProfileError> {
        match &self.trust_domain {
            Some(own) if own != trust_domain => Err(ProfileError::ForeignAuthority(own.clone())),
            _ => Ok(()),
        }
    }
}

fn domain_of(uri: &str) -> Result<TrustDomain, ProfileError> {
    uri.strip_prefix("spiffe://").and_then(|name| name.parse().ok()).ok_or(ProfileError::AuthorityId)
}
