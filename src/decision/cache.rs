//! Decisions that were made before. What is cached is a function of its key: the key holds all that the policies which
//! the question may meet can read of it, and nothing else. So an entry is never wrong, only old; a change of anything
//! that matters simply never finds it again, and a change of what does not matter does not lose it.

mod again;
mod key;
mod misses;
mod purge;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use self::again::Again;
pub use self::again::Exact;
pub use self::key::CacheKey;
pub use self::misses::MissCause;
use self::misses::Recent;
pub use self::purge::{Purge, Purges};
use super::policy::Evaluation;
use crate::evidence::CacheState;
use crate::foundation::clock::Timestamp;

/// The longest key that is kept, in bytes: capacity counts decisions, and a caller chooses how long the texts are that a
/// policy reads.
const LONGEST_KEY: usize = 4096;

/// In which last part of its life a decision is made anew before it ends: one eighth.
const REFRESH_SHARE: u32 = 8;

/// A decision that is kept.
#[derive(Debug)]
struct Kept {
    evaluation: Evaluation,
    /// From when on it must not be used: at the latest when the leaf or token that proved the subject ends.
    expires_at: Timestamp,
    /// From when on the next who asks makes it anew.
    refresh_at: Timestamp,
    /// Whether somebody does that already.
    refreshing: AtomicBool,
}

/// What was evaluated, and whether it may be kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fresh {
    /// What the policies said.
    pub evaluation: Evaluation,
    /// Whether it is a function of its key. Errors are not: their words tell of more than the policies read.
    pub cacheable: bool,
}

/// How the cache took a question.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lookup {
    /// The answer was there.
    Hit,
    /// The answer was there, and was made anew because it would soon have ended.
    Refreshed,
    /// It was not there, because of this.
    Miss(MissCause),
}

/// Decisions by everything that they depend on.
#[derive(Debug)]
pub struct DecisionCache {
    again: Again,
    decisions: Option<moka::sync::Cache<Box<[u8]>, Arc<Kept>, foldhash::fast::RandomState>>,
    max_ttl: Duration,
    recent: Recent,
    purges: Arc<Purges>,
}

impl DecisionCache {
    /// A cache of at most `capacity` decisions, none of which is used for longer than `max_ttl`. Zero for either turns
    /// it off. What is purged comes in by `purges`.
    pub fn new(capacity: u64, max_ttl: Duration, purges: Arc<Purges>) -> Self {
        let on = capacity > 0 && !max_ttl.is_zero();
        let decisions = on.then(|| {
            let builder = moka::sync::Cache::builder().max_capacity(capacity);
            builder.build_with_hasher(foldhash::fast::RandomState::default())
        });
        Self { again: Again::new(), decisions, max_ttl, recent: Recent::default(), purges }
    }

    /// Whether anything is ever kept.
    pub const fn is_on(&self) -> bool {
        self.decisions.is_some()
    }

    /// What was purged: it is a part of every key.
    pub fn purges(&self) -> &Purges {
        &self.purges
    }

    /// The answer to this very question, if it was given not long ago.
    pub fn again(&self, exact: &Exact, now: Timestamp) -> Option<Evaluation> {
        self.again.get(exact, now)
    }

    /// The decision under `key` at `now`: the one that is there, else what `evaluate` makes, which is kept until
    /// `not_after` or for `keep`, if that is less than the cache's own limit. It is also the answer to `exact`.
    ///
    /// Expiry is judged by `now` alone, so a decision and the certificate behind it live by one clock.
    pub fn decide(
        &self,
        key: &CacheKey,
        exact: Exact,
        now: Timestamp,
        not_after: Timestamp,
        keep: Option<Duration>,
        evaluate: impl FnOnce() -> Fresh,
    ) -> (Evaluation, Lookup) {
        let Some(decisions) = &self.decisions else { return (evaluate().evaluation, Lookup::Miss(MissCause::Never)) };
        if key.as_bytes().len() > LONGEST_KEY {
            return (evaluate().evaluation, Lookup::Miss(MissCause::Long));
        }
        let (found, expired) = match decisions.get(key.as_bytes()) {
            Some(kept) if now < kept.expires_at => (Some(kept), false),
            old => (None, old.is_some()),
        };
        if let Some(kept) = &found
            && !kept.is_due(now)
        {
            self.again.put(exact, kept);
            return (kept.evaluation.clone(), Lookup::Hit);
        }
        let fresh = evaluate();
        if fresh.cacheable {
            let expires_at = not_after.min(now.after(keep.map_or(self.max_ttl, |keep| keep.min(self.max_ttl))));
            let kept = Arc::new(Kept::new(fresh.evaluation.clone(), now, expires_at));
            self.again.put(exact, &kept);
            decisions.insert(key.as_bytes().into(), kept);
        } else {
            // What was kept under this key is not what is true now.
            decisions.invalidate(key.as_bytes());
        }
        let lookup = match found {
            Some(_) => Lookup::Refreshed,
            None if !fresh.cacheable => Lookup::Miss(MissCause::Error),
            None => Lookup::Miss(self.recent.cause(key, expired)),
        };
        (fresh.evaluation, lookup)
    }

    /// About how many decisions are kept.
    pub fn len(&self) -> u64 {
        self.decisions.as_ref().map_or(0, moka::sync::Cache::entry_count)
    }

    /// Whether about none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Kept {
    fn new(evaluation: Evaluation, now: Timestamp, expires_at: Timestamp) -> Self {
        let refresh_at = expires_at.before(expires_at.since(now) / REFRESH_SHARE);
        Self { evaluation, expires_at, refresh_at, refreshing: AtomicBool::new(false) }
    }

    /// Whether it is time to make it anew, and this caller is the first to see it.
    fn is_due(&self, now: Timestamp) -> bool {
        now >= self.refresh_at && !self.refreshing.swap(true, Ordering::Relaxed)
    }
}

impl From<Lookup> for CacheState {
    fn from(lookup: Lookup) -> Self {
        match lookup {
            Lookup::Hit | Lookup::Refreshed => Self::Hit,
            Lookup::Miss(MissCause::Never) => Self::Bypass,
            Lookup::Miss(_) => Self::Miss,
        }
    }
}

#[cfg(test)]
mod tests;
