//! Tokens that are good for one use: which of them were used (RFC 7519 section 4.1.7). The memory is bounded, and when it is
//! full nothing is forgotten to make room, for what is forgotten could be used again. Where several share it, as trust
//! domains do, the last quarter is for those that have less than a quarter: none of them can fill it for all.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{TokenError, VerifiedToken};
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::identity::svid::jwt;

/// How long after its use a token may still pass for good: what is longer is refused.
const LONGEST: Duration = Duration::from_hours(1);

/// What was used and could still pass for good.
#[derive(Debug)]
pub(super) struct SingleUse {
    capacity: usize,
    /// What is left for issuers that have less than this.
    share: usize,
    /// Of what was made before, it can't be known whether it was used.
    since: Timestamp,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    ids: HashSet<Digest>,
    by_end: BTreeSet<(Timestamp, Digest, Arc<str>)>,
    /// How many there are of each issuer that has any.
    by_issuer: HashMap<Arc<str>, usize>,
}

impl SingleUse {
    /// Remembers up to `capacity` tokens that were made after `since`, the start of the process; of several issuers if it is
    /// `shared`.
    pub(super) fn new(capacity: usize, since: Timestamp, shared: bool) -> Self {
        let share = if shared { capacity / 4 } else { 0 };
        Self { capacity, share, since, used: Mutex::default() }
    }

    /// Uses `token`, which is refused by its `exp` from `end` on.
    pub(super) fn take(&self, token: &VerifiedToken, end: Timestamp, now: Timestamp) -> Result<(), TokenError> {
        let id = token.name()?;
        let issued_at = token.issued_at.ok_or(jwt::TokenError::Missing("iat"))?;
        if issued_at.unix_seconds() <= self.since.unix_seconds() {
            return Err(TokenError::BeforeStart(issued_at));
        }
        // Or whoever issues tokens without an end fills the memory for all others.
        if end > now.after(LONGEST) {
            return Err(TokenError::LongLived(end));
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.forget(now);
        if used.ids.contains(&id) {
            return Err(TokenError::Replayed);
        }
        let (all, of_issuer) = (used.ids.len(), used.by_issuer.get(&token.issuer).copied().unwrap_or(0));
        let is_left = all < self.capacity.saturating_sub(self.share);
        if !is_left && (all >= self.capacity || of_issuer >= self.share) {
            return Err(TokenError::NoRoom(self.capacity));
        }
        used.remember(id, end, &token.issuer);
        Ok(())
    }
}

impl Used {
    fn remember(&mut self, id: Digest, end: Timestamp, issuer: &Arc<str>) {
        self.ids.insert(id);
        self.by_end.insert((end, id, Arc::clone(issuer)));
        *self.by_issuer.entry(Arc::clone(issuer)).or_default() += 1;
    }

    /// Forgets what is refused anyway.
    fn forget(&mut self, now: Timestamp) {
        while self.by_end.first().is_some_and(|(end, ..)| *end <= now) {
            let Some((_, id, issuer)) = self.by_end.pop_first() else { return };
            self.ids.remove(&id);
            if let Some(count) = self.by_issuer.get_mut(&issuer) {
                *count -= 1;
                if *count == 0 {
                    self.by_issuer.remove(&issuer);
                }
            }
        }
    }
}
