//! Verification of a JWT-SVID that someone presents (JWT-SVID sections 2, 3 and 4.1; RFC 7515, RFC 7519).
//!
//! Stricter than most libraries, for what they forgive is what tokens are forged with: the algorithm is one of nine, and
//! of the kind of the key; the key is named, and looked for nowhere but in the bundle of the subject's own trust
//! domain; no header parameter may say anything else; and no member of the token may stand there twice.
//!
//! `jsonwebtoken` is no help here: it reads the machine's clock, knows no `ES512`, and reads a header that says more than
//! these three things. What would be left for it to do is one call of the cryptographic library.

pub(in crate::identity) mod parts;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::ParsedPublicKey;
use portcullis_spiffe::{IdError, SpiffeId, TrustDomain};
use serde_json::{Map, Value};

use self::parts::{Claims, Header, Parts};
use crate::foundation::clock::Timestamp;
use crate::foundation::json::JsonError;
use crate::identity::bundle::{Bundle, JwtAuthority};
use crate::identity::foreign::ForeignIdentities;
use crate::identity::token::Algorithm;

/// The longest token that is looked at, in bytes. One takes less than a thousand; what carries them, an HTTP header,
/// takes half of this.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// How far a clock that made a token may be ahead of ours. Not so for the end of a token: it was made to be short, and
/// whoever made it can let it overlap with the next.
const LEEWAY: Duration = Duration::from_mins(1);

/// Whom a token proves, and what else it says.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedToken {
    /// The identity: the claim `sub`.
    pub id: SpiffeId,
    /// From when on it proves nothing: the claim `exp`.
    pub expires_at: Timestamp,
    /// All claims. `aud` is a list, whichever form the token has it in.
    pub claims: Map<String, Value>,
}

/// Why a token proves nobody. The words are for who presented it: they repeat only what stands in the token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It is longer than any token.
    #[error("the token has {0} bytes, more than {MAX_TOKEN_BYTES}")]
    TooLong(usize),
    /// Not three parts in base64url, without padding, joined by dots (RFC 7515 section 7.1).
    #[error("the token is not a JWS in compact serialisation")]
    NotCompact,
    /// A part is not I-JSON.
    #[error("the {part} of the token is not valid JSON: {reason}")]
    Json {
        /// Which.
        part: &'static str,
        /// What is wrong with it.
        reason: JsonError,
    },
    /// A part is JSON, but no object.
    #[error("the {0} of the token is not a JSON object")]
    NotAnObject(&'static str),
    /// A header parameter that no JWT-SVID has (JWT-SVID section 2): `crit`, `jku`, `jwk`, `x5c` and all others.
    #[error("the token has the header parameter {0:?}; a JWT-SVID has `alg`, `kid` and `typ` only")]
    HeaderParameter(String),
    /// Not one of the nine (JWT-SVID section 2.1): `none`, a shared secret, or unknown.
    #[error("the token's algorithm is {0:?}, which no JWT-SVID is signed with")]
    Algorithm(String),
    /// The standard leaves it out, but without it any key of the bundle would have to be tried; SPIRE refuses it too.
    #[error("the token does not name its key: it has no `kid`")]
    NoKeyId,
    /// Not `JWT` or `JOSE` (JWT-SVID section 2.3).
    #[error("the token's type is {0:?} and not `JWT` or `JOSE`")]
    Type(String),
    /// A member is of another JSON type than it must be.
    #[error("`{0}` of the token is not of the right type")]
    Malformed(&'static str),
    /// A claim that must be there (JWT-SVID section 3).
    #[error("the token has no claim `{0}`")]
    Missing(&'static str),
    /// The subject is not the SPIFFE ID of a workload.
    #[error("the token's subject is not a SPIFFE ID: {0}")]
    Subject(#[from] IdError),
    /// Nobody is known who could vouch for the subject.
    #[error("there is no bundle of the trust domain `{0}`")]
    NoBundle(TrustDomain),
    /// The bundle has no such key, or has it no more.
    #[error("the bundle of `{trust_domain}` has no key {key_id:?}")]
    NoKey {
        /// Whose bundle.
        trust_domain: TrustDomain,
        /// Which key.
        key_id: String,
    },
    /// The algorithm is for keys of another kind (RFC 8725 section 3.1).
    #[error("the token's algorithm {algorithm} does not go with the kind of the key {key_id:?}")]
    KeyKind {
        /// What the token says.
        algorithm: &'static str,
        /// The key it names.
        key_id: String,
    },
    /// The key did not sign this.
    #[error("the token's signature is wrong")]
    Signature,
    /// It proves an identity of another trust domain, and not one of those that are let in.
    #[error("`{0}` is of another trust domain, and not one of its identities that are let in")]
    NotAdmitted(SpiffeId),
    /// It is made for others.
    #[error("the token is not for the audience {wanted:?} but for {found:?}")]
    Audience {
        /// Who asks.
        wanted: String,
        /// Whom it is for.
        found: Vec<String>,
    },
    /// Its time is over.
    #[error("the token expired at {0}")]
    Expired(Timestamp),
    /// Its time has not come, by `nbf`.
    #[error("the token is not valid before {0}")]
    NotYetValid(Timestamp),
    /// It says that it was made in the future, by `iat`.
    #[error("the token was issued in the future, at {0}")]
    FromTheFuture(Timestamp),
}

/// Whom `token` proves to `audience` at `now`, by the one of `bundles` that is of the subject's own trust domain.
///
/// # Errors
/// [`TokenError`]. What it says of a token whose signature was not reached is what anyone may have written there.
pub fn verify(
    token: &str,
    audience: &str,
    bundles: &[Arc<Bundle>],
    now: Timestamp,
) -> Result<VerifiedToken, TokenError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenError::TooLong(token.len()));
    }
    let parts = Parts::parse(token)?;
    let header = Header::parse(&parts.header)?;
    let claims = Claims::parse(&parts.claims)?;
    let algorithm = header.algorithm.parse().ok().filter(|algorithm: &Algorithm| algorithm.signs_svids());
    let algorithm = algorithm.ok_or(TokenError::Algorithm(header.algorithm))?;
    let id: SpiffeId = claims.subject.parse()?;
    let authority = authority(bundles, id.trust_domain(), &header.key_id, now)?;
    let mismatch = |_reason| TokenError::KeyKind { algorithm: algorithm.name(), key_id: authority.key_id.clone() };
    let key = ParsedPublicKey::new(algorithm.verification(), &authority.public_key).map_err(mismatch)?;
    key.verify_sig(parts.signed.as_bytes(), &parts.signature).map_err(|_unspecified| TokenError::Signature)?;
    check(&claims, audience, now)?;
    Ok(VerifiedToken { id, expires_at: claims.expires_at, claims: claims.all })
}

/// Whom `token` proves, as [`verify`] says, if `foreign` lets them in.
///
/// # Errors
/// [`TokenError`].
pub fn verify_admitted(
    token: &str,
    audience: &str,
    (bundles, foreign): (&[Arc<Bundle>], &ForeignIdentities),
    now: Timestamp,
) -> Result<VerifiedToken, TokenError> {
    let verified = verify(token, audience, bundles, now)?;
    if foreign.admits(&verified.id) { Ok(verified) } else { Err(TokenError::NotAdmitted(verified.id)) }
}

/// The key that vouches for subjects of `trust_domain` under the name `key_id`.
fn authority<'a>(
    bundles: &'a [Arc<Bundle>],
    trust_domain: &TrustDomain,
    key_id: &str,
    now: Timestamp,
) -> Result<&'a JwtAuthority, TokenError> {
    let bundle = bundles.iter().find(|bundle| bundle.trust_domain == *trust_domain);
    let bundle = bundle.ok_or_else(|| TokenError::NoBundle(trust_domain.clone()))?;
    let alive = |authority: &&JwtAuthority| authority.expires_at.is_none_or(|end| now < end);
    bundle
        .jwt_authorities
        .iter()
        .filter(alive)
        .find(|authority| authority.key_id == key_id)
        .ok_or_else(|| TokenError::NoKey { trust_domain: trust_domain.clone(), key_id: key_id.to_owned() })
}

/// Whether claims that are known to be genuine hold for `audience` at `now`.
fn check(claims: &Claims, audience: &str, now: Timestamp) -> Result<(), TokenError> {
    if claims.expires_at <= now {
        return Err(TokenError::Expired(claims.expires_at));
    }
    let latest = now.after(LEEWAY);
    if let Some(not_before) = claims.not_before.filter(|not_before| *not_before > latest) {
        return Err(TokenError::NotYetValid(not_before));
    }
    if let Some(issued_at) = claims.issued_at.filter(|issued_at| *issued_at > latest) {
        return Err(TokenError::FromTheFuture(issued_at));
    }
    if !claims.audience.iter().any(|name| name == audience) {
        return Err(TokenError::Audience { wanted: audience.to_owned(), found: claims.audience.clone() });
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
