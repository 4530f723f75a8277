//! Keeps the keys of one issuer what the issuer says. While it can't be asked, its last good keys stand, until they are
//! too old to be relied on.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::keys::KeySet;
use super::published::PublishedKeys;
use super::source::{KeySource, KeySourceError};
use crate::foundation::clock::Clock;
use crate::foundation::shutdown::ShutdownSignal;

/// Who wants to know what becomes of an issuer's keys. Called from its task, so it must not block for long.
pub trait KeyEvents: Send + Sync {
    /// It answered; these are its keys. `changed` says whether they were others before.
    fn read(&self, issuer: &str, keys: Option<usize>, changed: bool);

    /// It could not be asked, or what it said can't be used; the keys it had before stand for now.
    fn failed(&self, issuer: &str, error: &KeySourceError);
}

/// How often an issuer is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeySchedule {
    /// As long as all is well.
    pub refresh: Duration,
    /// At most, whatever happens: for a key that is unknown, and after a failure, when it doubles each time up to
    /// `refresh`.
    pub pause: Duration,
}

/// Follows one issuer.
pub struct KeyFollower {
    issuer: Arc<str>,
    keys: Arc<PublishedKeys>,
    source: Box<dyn KeySource>,
    schedule: KeySchedule,
    clock: Arc<dyn Clock>,
    events: Arc<dyn KeyEvents>,
    /// Whether the next reading must be of the whole document.
    whole: bool,
    /// How often in a row it failed.
    failures: u32,
}

impl fmt::Debug for KeyFollower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFollower").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl KeyFollower {
    /// Follows `issuer` for `keys`.
    pub fn new(
        (issuer, keys): (Arc<str>, Arc<PublishedKeys>),
        source: Box<dyn KeySource>,
        schedule: KeySchedule,
        clock: Arc<dyn Clock>,
        events: Arc<dyn KeyEvents>,
    ) -> Self {
        Self { issuer, keys, source, schedule, clock, events, whole: true, failures: 0 }
    }

    /// Asks once. If that fails, nobody's token by this issuer is believed until it succeeds.
    pub async fn read(&mut self) {
        match self.ask().await {
            Ok(changed) => {
                (self.whole, self.failures) = (false, 0);
                let count = self.keys.usable(self.clock.now()).map(|keys| keys.len());
                self.events.read(&self.issuer, count, changed);
            }
            Err(error) => {
                (self.whole, self.failures) = (true, self.failures.saturating_add(1));
                self.events.failed(&self.issuer, &error);
            }
        }
    }

    /// Follows it until the drain starts.
    pub async fn run(mut self, mut signal: ShutdownSignal) {
        loop {
            let (keys, pause) = (Arc::clone(&self.keys), self.schedule.pause);
            let wanted = async {
                sleep(pause).await;
                keys.wanted().await;
            };
            tokio::select! {
                () = signal.draining() => return,
                () = sleep(self.wait()) => {}
                () = wanted => {}
            }
            self.read().await;
        }
    }

    fn wait(&self) -> Duration {
        let KeySchedule { refresh, pause } = self.schedule;
        match self.failures {
            0 => refresh,
            failures => pause.saturating_mul(2u32.saturating_pow(failures - 1)).min(refresh),
        }
    }

    async fn ask(&mut self) -> Result<bool, KeySourceError> {
        // Before the question, so that keys are never taken for younger than they are.
        let now = self.clock.now();
        if let Some(document) = self.source.read(self.whole).await? {
            return Ok(self.keys.publish(KeySet::parse(&document)?, now));
        }
        self.keys.confirm(now);
        Ok(false)
    }
}
