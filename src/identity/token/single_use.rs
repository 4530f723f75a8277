//! Tokens that are good for one use: which of them were used (RFC 7519 section 4.1.7). The memory is bounded, and when it is
//! full nothing is forgotten to make room, for what is forgotten could be used again.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{TokenError, VerifiedToken};
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::{Digest, Hasher};
use crate::identity::svid::jwt;

/// How long after its use a token may still pass for good: what is longer is refused.
const LONGEST: Duration = Duration::from_hours(1);

/// What was used and could still pass for good.
#[derive(Debug)]
pub(super) struct SingleUse {
    capacity: usize,
    /// Of what was made before, it can't be known whether it was used.
    since: Timestamp,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    ids: HashSet<Digest>,
    by_end: BTreeSet<(Timestamp, Digest)>,
}

impl SingleUse {
    /// Remembers up to `capacity` tokens that were made after `since`, the start of the process.
    pub(super) fn new(capacity: usize, since: Timestamp) -> Self {
        Self { capacity, since, used: Mutex::default() }
    }

    /// Uses `token`, which is refused by its `exp` from `end` on.
    pub(super) fn take(&self, token: &VerifiedToken, end: Timestamp, now: Timestamp) -> Result<(), TokenError> {
        let id = token.claims.get("jti").ok_or(jwt::TokenError::Missing("jti"))?;
        let id = id.as_str().ok_or(jwt::TokenError::Malformed("jti"))?;
        let issued_at = token.issued_at.ok_or(jwt::TokenError::Missing("iat"))?;
        if issued_at.unix_seconds() <= self.since.unix_seconds() {
            return Err(TokenError::BeforeStart(issued_at));
        }
        // Or whoever issues tokens without an end fills the memory for all others.
        if end > now.after(LONGEST) {
            return Err(TokenError::LongLived(end));
        }
        let mut hasher = Hasher::new();
        let id = hasher.field(token.issuer.as_bytes()).field(id.as_bytes());
        let id = std::mem::take(id).finish();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.forget(now);
        if used.ids.contains(&id) {
            return Err(TokenError::Replayed);
        }
        if used.ids.len() >= self.capacity {
            return Err(TokenError::NoRoom(self.capacity));
        }
        used.ids.insert(id);
        used.by_end.insert((end, id));
        Ok(())
    }
}

impl Used {
    /// Forgets what is refused anyway.
    fn forget(&mut self, now: Timestamp) {
        while let Some(&(end, id)) = self.by_end.first().filter(|(end, _)| *end <= now) {
            self.by_end.remove(&(end, id));
            self.ids.remove(&id);
        }
    }
}
