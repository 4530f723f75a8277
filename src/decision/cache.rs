//! Decisions that were made before. What is cached is a function of its key: the key holds everything that can enter an
//! evaluation, so an entry is never wrong, only old, and a new policy or bundle epoch simply never finds it again.

use std::sync::Arc;
use std::time::Duration;

use moka::ops::compute::Op;

use super::policy::Evaluation;
use crate::evidence::CacheState;
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::{Digest, Hasher};
use crate::foundation::watched::Epoch;

/// What a decision depends on, in 32 bytes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct CacheKey(Digest);

/// A decision that is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct CachedDecision {
    /// What the policies said.
    pub evaluation: Evaluation,
    /// From when on it must not be used: at the latest when the leaf or token that proved the subject ends.
    pub expires_at: Timestamp,
}

/// Decisions by everything that they depend on.
#[derive(Debug)]
pub struct DecisionCache {
    decisions: moka::sync::Cache<CacheKey, Arc<CachedDecision>>,
    max_ttl: Duration,
}

impl CacheKey {
    /// The key of a question, by its [`Query::digest`](super::query::Query::digest), put to one state of the policies, by a
    /// caller verified against one state of the bundles with the leaf certificate of this digest, if there was one.
    pub fn of(query: &Digest, policy_epoch: Epoch, bundle_epoch: Epoch, leaf: Option<&Digest>) -> Self {
        let mut hasher = Hasher::new();
        hasher.field(query.as_bytes()).number(policy_epoch.number()).number(bundle_epoch.number());
        hasher.field(leaf.map_or(&[], |leaf| leaf.as_bytes()));
        Self(hasher.finish())
    }
}

impl DecisionCache {
    /// A cache of at most `capacity` decisions, none of which is used for longer than `max_ttl`. Zero for either turns
    /// it off.
    pub fn new(capacity: u64, max_ttl: Duration) -> Self {
        Self { decisions: moka::sync::Cache::new(capacity), max_ttl }
    }

    /// The decision under `key` at `now`: the one that is there, else what `compute` makes. Callers who ask for one key
    /// at once wait for the first of them and share what it gets. An error is not kept.
    ///
    /// Expiry is judged by `now` alone, so a decision and the certificate behind it live by one clock.
    pub fn decide<E: Clone + Send + Sync + 'static>(
        &self,
        key: CacheKey,
        now: Timestamp,
        compute: impl FnOnce() -> Result<CachedDecision, E>,
    ) -> (Result<Arc<CachedDecision>, E>, CacheState) {
        match self.decisions.get(&key) {
            Some(decision) if now < decision.expires_at => return (Ok(decision), CacheState::Hit),
            // Only what is still expired goes: another caller may have put a new one in its place by now.
            Some(_expired) => drop(self.decisions.entry(key).and_compute_with(|entry| match entry {
                Some(entry) if now >= entry.value().expires_at => Op::Remove,
                _ => Op::Nop,
            })),
            None => {}
        }
        let latest = now.after(self.max_ttl);
        let mut state = CacheState::Hit;
        let decided = self.decisions.try_get_with(key, || {
            state = CacheState::Miss;
            let decision = compute()?;
            Ok(Arc::new(CachedDecision { expires_at: decision.expires_at.min(latest), ..decision }))
        });
        match decided {
            Ok(decision) => (Ok(decision), state),
            Err(error) => (Err(Arc::unwrap_or_clone(error)), CacheState::Miss),
        }
    }

    /// About how many decisions are kept.
    pub fn len(&self) -> u64 {
        self.decisions.entry_count()
    }

    /// Whether about none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests;
