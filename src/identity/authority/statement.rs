//! What this gateway says of itself, signed with the key that signs JWT-SVIDs: a JWT whose issuer is a URL of ours. It has
//! neither subject nor audience, so it is no JWT-SVID and proves nobody.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Authority, AuthorityError, SignedToken};
use crate::foundation::clock::{Clock, Timestamp};

/// How long one is good, unless the authority ends before. One that is handed out is good for half of that at least.
const TTL: Duration = Duration::from_hours(24);

/// One statement, and its signature for as long as that is good.
pub struct Statement {
    authority: Arc<Authority>,
    clock: Arc<dyn Clock>,
    claims: Map<String, Value>,
    kept: Mutex<Option<SignedToken>>,
}

#[derive(Serialize)]
struct Signed<'a> {
    #[serde(flatten)]
    claims: &'a Map<String, Value>,
    iat: u64,
    nbf: u64,
    exp: u64,
}

impl Statement {
    /// That `claims` hold, among them `iss`.
    pub const fn new(authority: Arc<Authority>, clock: Arc<dyn Clock>, claims: Map<String, Value>) -> Self {
        Self { authority, clock, claims, kept: Mutex::new(None) }
    }

    /// The statement as a JWS in compact form. It is signed anew at half of its life, and as soon as another authority
    /// signs: who reads the bundle after that may no longer find the former.
    ///
    /// # Errors
    /// [`AuthorityError`], if it can't be signed.
    pub fn signed(&self) -> Result<String, AuthorityError> {
        let now = self.clock.now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.as_ref().filter(|kept| self.is_fresh(kept, now)) {
            return Ok(kept.token.expose().clone());
        }
        let claims = |iat, exp| Signed { claims: &self.claims, iat, nbf: iat, exp };
        let token = self.authority.sign_claims(TTL, now, claims)?;
        Ok(kept.insert(token).token.expose().clone())
    }

    fn is_fresh(&self, kept: &SignedToken, now: Timestamp) -> bool {
        let half = kept.issued_at.after(kept.not_after.since(kept.issued_at) / 2);
        let same_signer = self.authority.token_signer(now).is_some_and(|signer| signer == kept.authority);
        same_signer && kept.issued_at <= now && now < half
    }
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statement").field("claims", &self.claims).finish_non_exhaustive()
    }
}
