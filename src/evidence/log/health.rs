//! Whether records can be taken: not while writing fails, nor while the disk does not answer at all.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::evidence::audit::{AppendError, PATIENCE};
use crate::foundation::clock::Clock;
use crate::foundation::readiness::{Blocker, Readiness};

/// The name under which readiness is blocked, and of the notice while answers are given without a record.
const NAME: &str = "audit";

/// What stands in the place of a time while nothing is being written.
const NOTHING: u64 = 0;

/// The health of a log.
#[derive(Debug)]
pub(super) struct Health {
    clock: Arc<dyn Clock>,
    readiness: Readiness,
    /// Whether there is a failure, to be known without the lock.
    fails: AtomicBool,
    failure: Mutex<Option<Failure>>,
    /// Whether an answer was given without a record since the last write that went well.
    alarmed: AtomicBool,
    /// Since when the batch under way is being written, in nanoseconds of the clock.
    writing_since: AtomicU64,
}

#[derive(Debug)]
struct Failure {
    message: String,
    /// Whether a thread is gone, so that no write which goes well ends it.
    is_final: bool,
    _not_ready: Blocker,
}

impl Health {
    /// Good so far. While it is not, `readiness` is blocked.
    pub(super) fn new(clock: Arc<dyn Clock>, readiness: Readiness) -> Self {
        let (fails, failure, alarmed) = (AtomicBool::new(false), Mutex::default(), AtomicBool::new(false));
        Self { clock, readiness, fails, failure, alarmed, writing_since: AtomicU64::new(NOTHING) }
    }

    /// Whether nothing is taken now.
    pub(super) fn fails(&self) -> bool {
        self.fails.load(SeqCst)
    }

    /// Why nothing is taken.
    pub(super) fn error(&self) -> AppendError {
        let closed = || "it was closed".to_owned();
        AppendError::Failed(self.failure().as_ref().map_or_else(closed, |failure| failure.message.clone()))
    }

    /// Writing failed. Nothing is taken until it has [`Self::recovered`].
    pub(super) fn failed(&self, message: String) {
        self.fail(&mut self.failure(), message, false);
    }

    /// A thread is gone. Nothing is taken any more.
    pub(super) fn ended(&self, message: &str) {
        self.fail(&mut self.failure(), message.to_owned(), true);
    }

    /// Writes a batch.
    pub(super) fn watch<T>(&self, write: impl FnOnce() -> T) -> T {
        self.writing_since.store(self.now().max(NOTHING + 1), SeqCst);
        let written = write();
        self.writing_since.store(NOTHING, SeqCst);
        written
    }

    /// Whether a batch has been under way for longer than anyone waits for it. Then nothing is taken until it is written.
    pub(super) fn hangs(&self) -> bool {
        let since = self.writing_since.load(SeqCst);
        if since == NOTHING || Duration::from_nanos(self.now().saturating_sub(since)) < PATIENCE {
            return false;
        }
        let mut failure = self.failure();
        // In this order, so that it is seen by whoever ends the batch from here on.
        self.fails.store(true, SeqCst);
        if self.writing_since.load(SeqCst) == since {
            self.fail(&mut failure, format!("the disk has not answered for {PATIENCE:?}"), false);
        } else {
            self.fails.store(failure.is_some(), SeqCst);
        }
        failure.is_some()
    }

    /// An answer is given without its record.
    pub(super) fn alarm(&self, error: &AppendError) {
        self.readiness.notice(NAME, format!("answers are given without a record of them: {error}"));
        self.alarmed.store(true, SeqCst);
    }

    /// Records are written.
    pub(super) fn recovered(&self) {
        if self.alarmed.swap(false, SeqCst) {
            self.readiness.clear_notice(NAME);
            tracing::warn!("answers have a record again; those without one are counted");
        }
        if self.fails() {
            let mut failure = self.failure();
            if failure.take_if(|failure| !failure.is_final).is_some() {
                self.fails.store(false, SeqCst);
                tracing::info!("the audit log is written again");
            }
        }
    }

    fn fail(&self, failure: &mut Option<Failure>, message: String, is_final: bool) {
        if failure.as_ref().is_none_or(|known| !known.is_final && (is_final || known.message != message)) {
            tracing::error!("the audit log failed: {message}");
            let not_ready = self.readiness.block(NAME, &message);
            *failure = Some(Failure { message, is_final, _not_ready: not_ready });
        }
        self.fails.store(true, SeqCst);
    }

    fn failure(&self) -> MutexGuard<'_, Option<Failure>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
impl Health {
    pub(super) fn is_writing(&self) -> bool {
        self.writing_since.load(SeqCst) != NOTHING
    }
}
