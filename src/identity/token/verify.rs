//! Verifies tokens by the issuers that are believed, and remembers those that passed.

use std::fmt;
use std::sync::Arc;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use serde_json::Value;

use super::{Issuer, MAX_TOKEN_BYTES, TokenError, TokenVerifier, VerifiedToken};
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::foundation::telemetry::printable;
use crate::identity::svid::jwt::parts::{Claims, Parts};

/// How much of a token's own words an error repeats, in bytes.
const SHOWN: usize = 128;

/// Issuers that are believed, and the tokens of theirs that passed.
pub struct Tokens {
    issuers: Vec<Issuer>,
    /// By the digest of the whole token, so that nothing that can't be kept from others is kept.
    verified: Cache<Digest, Arc<VerifiedToken>, foldhash::fast::RandomState>,
}

impl Tokens {
    /// Believes `issuers`, no two of which have the same name, and remembers up to `capacity` tokens.
    pub fn new(issuers: Vec<Issuer>, capacity: u64) -> Self {
        let builder = Cache::builder().max_capacity(capacity).eviction_policy(EvictionPolicy::lru());
        Self { issuers, verified: builder.build_with_hasher(foldhash::fast::RandomState::default()) }
    }

    fn verify_anew(&self, token: &str, now: Timestamp) -> Result<VerifiedToken, TokenError> {
        let parts = Parts::parse(token)?;
        let claims = Claims::parse(&parts.claims)?;
        let (index, issuer) = self.issuer(&claims)?;
        issuer.verify(token, (&parts, claims), index, now)
    }

    /// Whose keys must have signed it. This is all that is taken from claims before they are known to be genuine.
    fn issuer(&self, claims: &Claims) -> Result<(usize, &Issuer), TokenError> {
        let named = claims.all.get("iss");
        let of = |spiffe: bool| {
            let mut issuers = self.issuers.iter().enumerate();
            issuers.find(|(_, issuer)| issuer.is_spiffe() == spiffe && issuer.is_of(named, &claims.subject))
        };
        of(false).or_else(|| of(true)).ok_or_else(|| {
            TokenError::UnknownIssuer(printable(named.and_then(Value::as_str).unwrap_or_default(), SHOWN))
        })
    }
}

impl TokenVerifier for Tokens {
    fn verify(&self, token: &str, now: Timestamp) -> Result<Arc<VerifiedToken>, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong(token.len()));
        }
        let digest = Digest::of(token.as_bytes());
        let vouches = |token: &Arc<VerifiedToken>| {
            self.issuers.get(token.issuer_index).is_some_and(|issuer| issuer.still_vouches(token, now))
        };
        let verified = if let Some(verified) = self.verified.get(&digest).filter(vouches) {
            verified
        } else {
            let verified = Arc::new(self.verify_anew(token, now)?);
            self.verified.insert(digest, Arc::clone(&verified));
            verified
        };
        if let Some(issuer) = self.issuers.get(verified.issuer_index) {
            issuer.take(&verified, now)?;
        }
        Ok(verified)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let remembered = self.verified.entry_count();
        f.debug_struct("Tokens").field("issuers", &self.issuers).field("remembered", &remembered).finish()
    }
}
