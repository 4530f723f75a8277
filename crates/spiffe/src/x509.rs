//! The X509-SVID profile: what a certificate must be, beyond a valid chain, to name a workload or to vouch for one.
//!
//! Pure checks of one certificate's contents. Signatures, chains and the current time are path validation (RFC 5280
//! section 6), which belongs to whoever holds the trust bundle; nothing here makes a certificate trusted.

mod authority;
mod certificate;
mod leaf;

pub use authority::Authority;
pub use leaf::Leaf;

use crate::id::IdError;

/// Why a certificate is not what the profile asks for. Sections are those of X509-SVID, unless another is named.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// It can't be read as X.509, or holds more than an X.509 certificate does.
    #[error("this is not an X.509 certificate in DER")]
    Malformed,
    /// Bytes follow the certificate.
    #[error("{0} bytes follow the certificate")]
    TrailingBytes(usize),
    /// Not version 3, so it has no extensions.
    #[error("the certificate is not of version 3")]
    Version,
    /// The validity ends before it begins.
    #[error("the certificate's validity ends before it begins")]
    Validity,
    /// An extension stands there twice (RFC 5280 section 4.2); which one counts would depend on the reader.
    #[error("the certificate has the extension {0} twice")]
    DuplicateExtension(String),
    /// An extension that the profile reads can't be read whole.
    #[error("the certificate's extension {0} is malformed")]
    MalformedExtension(String),
    /// A critical extension that we don't know (RFC 5280 section 4.2).
    #[error("the certificate has the critical extension {0}, which is not understood")]
    CriticalExtension(String),
    /// Not exactly one URI among the subject alternative names (section 2).
    #[error("the certificate has {0} URI SANs, but an X509-SVID has exactly one")]
    UriSans(usize),
    /// A subject alternative name that can't be read.
    #[error("the certificate has a malformed SAN")]
    MalformedSan,
    /// A NUL in a name: readers that stop at it would see another name.
    #[error("the certificate has a SAN with a NUL byte")]
    NulInSan,
    /// The subject is empty, so the alternative name must be critical (section 2, RFC 5280 section 4.2.1.6).
    #[error("the certificate has an empty subject, but its SAN is not critical")]
    SanNotCritical,
    /// The URI is not the SPIFFE ID of a workload.
    #[error(transparent)]
    Id(#[from] IdError),
    /// A workload's certificate that is a CA (section 4.1).
    #[error("the certificate is a CA's, which must not be used to authenticate")]
    Ca,
    /// No key usage extension (section 4.3).
    #[error("the certificate has no key usage")]
    NoKeyUsage,
    /// The key usage is not critical (section 4.3).
    #[error("the certificate's key usage is not critical")]
    KeyUsageNotCritical,
    /// A workload's key that may not sign handshakes (section 4.3).
    #[error("the certificate's key usage lacks digitalSignature")]
    NoDigitalSignature,
    /// A workload's key that may sign certificates (section 4.3).
    #[error("the certificate's key usage has keyCertSign")]
    KeyCertSign,
    /// A workload's key that may sign revocation lists (section 4.3).
    #[error("the certificate's key usage has cRLSign")]
    CrlSign,
    /// There is an extended key usage, but without clientAuth (section 4.4).
    #[error("the certificate's extended key usage lacks clientAuth")]
    NoClientAuth,
    /// There is no extended key usage. The standard lets it be absent; we don't, for a client.
    #[error("the certificate has no extended key usage, but a client's must have clientAuth")]
    NoExtendedKeyUsage,
    /// An authority that is not a CA (section 4.1).
    #[error("the authority's certificate is not a CA's")]
    NotCa,
    /// An authority whose key may not sign certificates (section 4.3).
    #[error("the authority's key usage lacks keyCertSign")]
    NoKeyCertSign,
    /// An authority whose URI SAN is not the bare ID of a trust domain (section 3).
    #[error("the authority's URI SAN is not the ID of a trust domain")]
    AuthorityId,
    /// An authority that names another trust domain than the one it is to vouch for.
    #[error("the authority is of the trust domain `{0}`")]
    ForeignAuthority(crate::TrustDomain),
}

#[cfg(test)]
mod tests;
