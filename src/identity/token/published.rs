//! The keys of one issuer as they are known now: who follows them puts them here, who verifies takes them from here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::keys::KeySet;
use crate::foundation::clock::Timestamp;
use crate::foundation::watched::{Snapshot, Watched};

/// An issuer's keys, and since when they are known to be its keys.
#[derive(Debug)]
pub struct PublishedKeys {
    current: Watched<KeySet>,
    /// When the issuer last said that these are its keys, in nanoseconds since 1970; 0 if it never did.
    confirmed: AtomicU64,
    max_stale: Duration,
    /// Somebody was shown a token by a key that is not here.
    wanted: Notify,
}

impl PublishedKeys {
    /// No keys yet. Those that will come are good for `max_stale` after the issuer last said so.
    pub fn new(max_stale: Duration) -> Self {
        let confirmed = AtomicU64::new(0);
        Self { current: Watched::new(KeySet::default()), confirmed, max_stale, wanted: Notify::new() }
    }

    /// The issuer says at `now` that these are its keys. Says whether they are others than before; only then does the epoch
    /// move, and with it all that was verified before is verified again.
    pub fn publish(&self, keys: KeySet, now: Timestamp) -> bool {
        let changed = self.current.update(|current| (*current != keys).then_some(keys)).is_some();
        self.confirm(now);
        changed
    }

    /// The issuer says at `now` that its keys are what they were.
    pub fn confirm(&self, now: Timestamp) {
        self.confirmed.store(now.unix_nanos(), Ordering::Release);
    }

    /// Ends when a key was asked for that is not here, at once if one has been since this ended last.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Has whoever follows the issuer look for new keys as soon as it may.
    pub(super) fn want(&self) {
        self.wanted.notify_one();
    }

    /// The keys; `None` if there never were any, or nobody has vouched for them for too long.
    pub(super) fn usable(&self, now: Timestamp) -> Option<Arc<Snapshot<KeySet>>> {
        let confirmed = self.confirmed.load(Ordering::Acquire);
        let good = confirmed > 0 && now.since(Timestamp::from_unix_nanos(confirmed)) <= self.max_stale;
        good.then(|| self.current.load())
    }
}
