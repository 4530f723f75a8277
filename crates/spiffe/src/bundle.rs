//! Bundle documents: what a trust domain publishes for others to verify its SVIDs with (SPIFFE Trust Domain and
//! Bundle, section 4), a JWK Set (RFC 7517) with two members of SPIFFE's own.
//!
//! Pure. A document is only read and written here: that it came from whom it should, is not older than the one held,
//! and that its certificates have an authority's profile ([`Authority`](crate::x509::Authority)) is for its user.

mod jwk;
mod key;
mod map;
mod read;
mod write;

pub use jwk::{Jwk, JwkError, jwk_of, public_key_of};
pub use map::BundleMap;

/// The largest document that is read or written, in bytes. The standard has no limit.
pub const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;

/// The most keys in a document, those of unknown kinds included. The standard has no limit.
pub const MAX_DOCUMENT_KEYS: usize = 1024;

const USE_X509_SVID: &str = "x509-svid";
const USE_JWT_SVID: &str = "jwt-svid";

const MEMBER_KEYS: &str = "keys";
const MEMBER_SEQUENCE: &str = "spiffe_sequence";
const MEMBER_REFRESH_HINT: &str = "spiffe_refresh_hint";

/// What a bundle document says (SPIFFE Trust Domain and Bundle, section 4).
///
/// No authority of a kind in it means that no SVID of that kind is to be trusted (4.1.3).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct BundleDocument {
    /// Who signs X509-SVIDs, in the document's order.
    pub x509_authorities: Vec<DocumentX509Authority>,
    /// Who signs JWT-SVIDs, in the document's order. No two have the same key ID.
    pub jwt_authorities: Vec<DocumentJwtAuthority>,
    /// Grows with each change of the contents (4.1.1).
    pub sequence: Option<u64>,
    /// How often to look for changes, in seconds (4.1.2).
    pub refresh_hint: Option<u64>,
}

/// An X.509 authority (X509-SVID section 6).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DocumentX509Authority {
    /// Its certificate in DER.
    pub certificate: Vec<u8>,
    /// It is to be revoked soon, so that what it signed is to be replaced. Documents have no member for that, SPIRE's
    /// neither: it is `false` in what was read, and writing passes over it.
    pub tainted: bool,
}

/// A JWT authority (JWT-SVID section 6).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DocumentJwtAuthority {
    /// Its key ID, not empty.
    pub key_id: String,
    /// Its key as a DER `SubjectPublicKeyInfo`: RSA, or ECDSA on P-256, P-384 or P-521, for JWT-SVIDs know no other
    /// algorithm (JWT-SVID section 2.1).
    pub public_key: Vec<u8>,
    /// As [`DocumentX509Authority::tainted`].
    pub tainted: bool,
}

/// Why a bundle document can't be read or written. Numbers of keys count from 0.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleDocumentError {
    /// More than [`MAX_DOCUMENT_BYTES`].
    #[error("the bundle document has {0} bytes, more than {MAX_DOCUMENT_BYTES}")]
    TooLarge(usize),
    /// More than [`MAX_DOCUMENT_KEYS`].
    #[error("the bundle document has {0} keys, more than {MAX_DOCUMENT_KEYS}")]
    TooManyKeys(usize),
    /// Not one JSON object.
    #[error("the bundle document is not a JSON object: line {line}, column {column}")]
    NotAnObject {
        /// From 1.
        line: usize,
        /// In bytes, from 1; 0 if it is not the spot but the whole line that is wrong.
        column: usize,
    },
    /// A member stands there twice; which one counts would depend on the reader. Of a long name, its beginning.
    #[error("the bundle document has the member {0:?} twice")]
    DuplicateMember(String),
    /// No `keys` (4.1.3).
    #[error("the bundle document has no `keys`")]
    NoKeys,
    /// `keys` is not an array (4.1.3).
    #[error("`keys` of the bundle document is not an array")]
    KeysNotAnArray,
    /// `spiffe_sequence` or `spiffe_refresh_hint` is there, but not an integer of 0 to 2^64 - 1 (4.1.1, 4.1.2).
    #[error("`{0}` of the bundle document is not an unsigned integer of 64 bits")]
    NotAnInteger(&'static str),
    /// A JWT key with the key ID of an earlier, other one: a token would not say which of them signed it.
    #[error("the JWT key at {0} has the key ID of another key")]
    DuplicateKeyId(usize),
    /// A JWT authority that has an empty key ID can't be published (JWT-SVID section 6.1).
    #[error("the JWT authority at {0} has no key ID")]
    NoKeyId(usize),
    /// An X.509 authority's certificate is none.
    #[error("the X.509 authority at {0} is not an X.509 certificate in DER")]
    Certificate(usize),
    /// An X.509 authority's key has no JWK form.
    #[error("the X.509 authority at {index} can't be published: {reason}")]
    X509Key {
        /// Which authority.
        index: usize,
        /// Why not.
        reason: JwkError,
    },
    /// A JWT authority's key has no JWK form, or is not of a kind that signs JWT-SVIDs.
    #[error("the JWT authority at {index} can't be published: {reason}")]
    JwtKey {
        /// Which authority.
        index: usize,
        /// Why not.
        reason: JwkError,
    },
    /// The JSON writer failed, which it has no reason to.
    #[error("the bundle document can't be written as JSON")]
    Unwritable,
}

impl BundleDocument {
    /// Reads a document.
    ///
    /// A key of an unknown `kty` or `use`, an X.509 authority without a certificate, a JWT authority without a key ID
    /// and whatever else is no proper JWK is passed over, as the standard demands (4.2, RFC 7517 section 5): one key
    /// of tomorrow must not take away all others. So is a JWK that shows a private key, whose `x5c` holds another key
    /// than its own members, or that has a member twice. What is wrong with the document as a whole is an error.
    ///
    /// A certificate or a JWT key that stands there again is dropped. Two keys with one key ID are an error.
    ///
    /// # Errors
    /// [`BundleDocumentError`].
    pub fn parse(json: &[u8]) -> Result<Self, BundleDocumentError> {
        read::document(json)
    }

    /// The document as a bundle endpoint serves it, without white space.
    ///
    /// # Errors
    /// [`BundleDocumentError`].
    pub fn to_json(&self) -> Result<String, BundleDocumentError> {
        write::compact(&write::Document::of_bundle(self)?)
    }

    /// The document as people read it, and as SPIRE's tools print it: indented by four spaces. No newline at its end.
    ///
    /// # Errors
    /// [`BundleDocumentError`].
    pub fn to_json_pretty(&self) -> Result<String, BundleDocumentError> {
        write::indented(&write::Document::of_bundle(self)?)
    }

    /// The JWT authorities alone, as a JWK Set that has nothing of SPIFFE's own, not even `use`: what `FetchJWTBundles`
    /// of the Workload API hands out (SPIFFE Workload API section 6.2.2). Indented by four spaces, as SPIRE does.
    ///
    /// # Errors
    /// [`BundleDocumentError`].
    pub fn to_standard_jwks(&self) -> Result<String, BundleDocumentError> {
        write::indented(&write::Document::of_jwt_keys(self)?)
    }
}

#[cfg(test)]
mod tests;
