//! Keeps the entities of one source what the source says. While it can't be read, what it said last stands, and that is
//! told.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::catalog::{Applied, SourceIndex};
use super::intake::{Intake, IntakeError};
use super::progress::{Progress, Unseen};
use super::reading::Readers;
use super::source::{EntitySource, Extent, SourceError};
use super::watched::{EntityStore, Outdated};
use crate::foundation::shutdown::ShutdownSignal;
use crate::foundation::watched::Epoch;

/// How long after a failure a source is tried again: twice as long each time.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(1));

/// Who wants to know what becomes of a source. Called from its task, so it must not block for long.
pub trait EntityEvents: Send + Sync + 'static {
    /// It was read; this is what stands now, at this epoch. Told after each reading that found anything new, and after the
    /// first that went well after one that did not.
    fn read(&self, source: &str, applied: &Applied, epoch: Epoch);

    /// It could not be read; what it said before stands.
    fn failed(&self, source: &str, error: &SourceError);

    /// It answered, whether there was anything new or not.
    fn reached(&self, source: &str);
}

/// Follows one source.
pub struct Follower {
    name: Arc<str>,
    index: SourceIndex,
    source: Box<dyn EntitySource>,
    store: Arc<EntityStore>,
    readers: watch::Receiver<Readers>,
    events: Arc<dyn EntityEvents>,
    /// Whether the next reading is of all there is.
    whole: bool,
    /// Whether another schema is in force since it was told last what stands.
    renewed: bool,
    /// How often in a row it failed.
    failures: u32,
}

impl Follower {
    /// Follows `source`, which has the place `index` in `store`.
    pub fn new(
        (name, index): (Arc<str>, SourceIndex),
        source: Box<dyn EntitySource>,
        store: Arc<EntityStore>,
        events: Arc<dyn EntityEvents>,
    ) -> Self {
        let readers = store.readers();
        Self { name, index, source, store, readers, events, whole: true, renewed: false, failures: 0 }
    }

    /// Reads all of it for the first time, however often that has to be tried: to decide without it would be to decide
    /// something else.
    pub async fn load(&mut self, progress: Arc<dyn Progress>) {
        while !self.read(Arc::clone(&progress)).await {
            sleep(self.pause()).await;
        }
    }

    /// Follows it until the drain starts.
    pub async fn run(mut self, mut signal: ShutdownSignal) {
        loop {
            let pause = self.pause();
            tokio::select! {
                () = signal.draining() => return,
                // Its sender lives in the store that we hold.
                _ = self.readers.changed() => self.renewed = true,
                waited = self.source.wait(), if self.failures == 0 => if let Err(error) = waited {
                    self.fail(&error).await;
                    continue;
                },
                () = sleep(pause), if self.failures > 0 => {}
            }
            self.read(Arc::new(Unseen)).await;
        }
    }

    /// Reads what there is to read; says whether that went well.
    async fn read(&mut self, progress: Arc<dyn Progress>) -> bool {
        loop {
            self.renewed |= self.readers.has_changed().unwrap_or(false);
            let readers = self.readers.borrow_and_update().clone();
            self.whole |= readers.owed.contains(&self.index);
            let mut intake = Intake::new(readers, Arc::clone(&progress));
            let extent = match self.source.read(self.whole, &mut intake).await {
                Ok(extent) => extent,
                Err(error) => return self.fail(&error).await,
            };
            if extent != Extent::Nothing || self.failures > 0 || self.renewed {
                let (store, index) = (Arc::clone(&self.store), self.index);
                match spawn_blocking(move || store.apply(index, intake, extent)).await {
                    Ok(Ok(applied)) => self.events.read(&self.name, &applied, self.store.load().epoch()),
                    Ok(Err(Outdated)) => {
                        self.whole = true;
                        continue;
                    }
                    Err(_panic) => return self.fail(&IntakeError::Fault.into()).await,
                }
            }
            self.events.reached(&self.name);
            (self.whole, self.renewed, self.failures) = (false, false, 0);
            return true;
        }
    }

    async fn fail(&mut self, error: &SourceError) -> bool {
        self.failures = self.failures.saturating_add(1);
        let (store, index, told) = (Arc::clone(&self.store), self.index, error.to_string());
        // If even that fails, the policy set that waits goes on waiting.
        let _noted = spawn_blocking(move || store.failed(index, &told)).await;
        self.events.failed(&self.name, error);
        false
    }

    fn pause(&self) -> Duration {
        let (least, most) = PAUSE;
        least.saturating_mul(1 << self.failures.saturating_sub(1).min(10)).min(most)
    }
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("name", &self.name).field("source", &self.source).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
