//! Tokens that others issue and we are shown: JSON Web Tokens (RFC 7519) of users, jobs and services, and JWT-SVIDs. Who
//! may issue them, by which keys, for whom and in which form is pinned; [`Tokens`] verifies them by that.
//!
//! It is as strict as RFC 8725 asks: the algorithm is of the issuer's list and of the kind of the key; the key is looked for
//! among the issuer's own and nowhere else; a token for others, of another purpose or without an end is refused; and no
//! member of it may stand there twice. Of an unverified token two claims are looked at, `iss` and of a JWT-SVID `sub`, and
//! only to find the keys by which it has to be verified.
//!
//! [`KeyFollower`] keeps the keys current, out of a [`KeySource`]: a file, or what `feeds::jwks` fetches.

mod algorithm;
mod error;
mod follow;
mod header;
mod issuer;
mod keys;
mod published;
mod single_use;
mod source;
mod uses;
mod verify;

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

pub use self::algorithm::{Algorithm, UnknownAlgorithm};
pub use self::error::{TokenError, TokenFault};
pub use self::follow::{KeyEvents, KeyFollower, KeySchedule};
pub use self::issuer::{Issuer, IssuerRules};
pub use self::keys::{KeySet, KeySetError, MAX_DOCUMENT_BYTES};
pub use self::published::PublishedKeys;
pub use self::source::{KeyFile, KeyReading, KeySource, KeySourceError};
#[cfg(test)]
pub(crate) use self::uses::memory::MemoryUses;
pub use self::uses::{UseStore, UsesError, UsesFuture};
pub use self::verify::Tokens;
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::foundation::watched::Epoch;

/// The longest token that is looked at, in bytes. Most have one or two thousand.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// What a token proves. There is no way to make one but to verify a token.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedToken {
    /// Who issued it: `iss`, as configured; of a JWT-SVID the SPIFFE ID of its trust domain.
    pub issuer: Arc<str>,
    /// Which of the verifier's issuers that is, counted from 0.
    pub issuer_index: usize,
    /// What it is for: `typ`, in lower case and without `application/`; `jwt` if it names none.
    pub kind: String,
    /// Whom it is about: `sub`, never empty.
    pub subject: String,
    /// Whom it is for: `aud`, one of ours among them.
    pub audience: Vec<String>,
    /// Its own end, `exp`. Nothing that rests on this token may be kept for longer.
    pub not_after: Timestamp,
    /// All claims, those above included.
    pub claims: Map<String, Value>,
    /// SHA-256 of the token as it was shown.
    pub digest: Digest,
    not_before: Option<Timestamp>,
    issued_at: Option<Timestamp>,
    /// Which state of the issuer's keys it was verified against.
    keys: Epoch,
}

/// What verifies tokens. The product has one, [`Tokens`].
pub trait TokenVerifier: fmt::Debug + Send + Sync {
    /// What `token`, in compact serialisation and without any prefix, proves at `now`. Takes some microseconds for one that
    /// passed before under the same keys, and one signature check else; never waits.
    ///
    /// # Errors
    /// [`TokenError`]. Its words are for the log: they may repeat what stands in the token, bounded and printable.
    fn verify(&self, token: &str, now: Timestamp) -> Result<Arc<VerifiedToken>, TokenError>;
}

#[cfg(test)]
pub(crate) mod tests;
