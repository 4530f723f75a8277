//! Entries that wait to be written: many threads put them in, one takes all that there are. What is taken counts as
//! waiting until it is said to be settled, so that the bound is one of all that a crash can lose.

use std::sync::PoisonError;
use std::time::Duration;

use portcullis_tlog::bundle::MAX_ENTRY;

use super::journal::push;
use super::sync::{Condvar, Mutex, MutexGuard};

/// How much memory is kept for entries, in bytes: more than they have under most loads. What is got anew for each batch the kernel
/// has to clear.
const USUAL_BYTES: usize = 4 << 20;

/// From how many bytes on no more is taken, however few the entries: what waits is in memory, and what is being written too.
const MOST_BYTES: usize = 256 << 20;

/// The queue, bounded in entries and in bytes.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Told when there is something to do for who takes.
    wanted: Condvar,
    limit: usize,
    /// From how many entries on it is no use to wait for more.
    many: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: Waiting,
    /// How many were put in since the beginning.
    accepted: u64,
    /// How many were taken and are not settled, and how long they are.
    unsettled: usize,
    unsettled_bytes: usize,
    is_closed: bool,
    /// Whether who takes has asked to be told of the first entry.
    is_awaited: bool,
    /// Whether someone waits for what was put in.
    is_urgent: bool,
}

impl State {
    fn entries(&self) -> usize {
        self.unsettled.saturating_add(self.waiting.count)
    }
}

/// Entries one after another, each with its length before it.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) bytes: Vec<u8>,
    pub(super) count: usize,
}

/// Why an entry is not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refused {
    Full,
    Closed,
    TooLong,
}

impl Queue {
    pub(super) fn new(limit: usize) -> Self {
        Self { state: Mutex::default(), wanted: Condvar::new(), limit, many: (limit / 4).max(1) }
    }

    /// Puts in an entry. Says the how manyth it is of all that were put in.
    pub(super) fn put(&self, entry: &[u8]) -> Result<u64, Refused> {
        if entry.len() > MAX_ENTRY {
            return Err(Refused::TooLong);
        }
        let mut state = self.state();
        if state.is_closed {
            return Err(Refused::Closed);
        }
        if state.entries() >= self.limit
            || state.unsettled_bytes.saturating_add(state.waiting.bytes.len()) >= MOST_BYTES
        {
            return Err(Refused::Full);
        }
        push(&mut state.waiting.bytes, entry);
        state.waiting.count += 1;
        state.accepted += 1;
        let place = state.accepted;
        let wake = state.is_awaited || state.waiting.count == self.many;
        state.is_awaited = false;
        drop(state);
        if wake {
            self.wanted.notify_one();
        }
        Ok(place)
    }

    /// What was put in is to be taken without a pause before that.
    pub(super) fn hasten(&self) {
        self.state().is_urgent = true;
        self.wanted.notify_one();
    }

    /// What was taken is where no crash can lose it, and makes room for more.
    pub(super) fn settle(&self, taken: &Waiting) {
        let mut state = self.state();
        state.unsettled = state.unsettled.saturating_sub(taken.count);
        state.unsettled_bytes = state.unsettled_bytes.saturating_sub(taken.bytes.len());
    }

    /// How many entries were put in that are not settled.
    pub(super) fn waiting(&self) -> usize {
        self.state().entries()
    }

    /// Takes no more entries.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.wanted.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    /// Waits for `pause` to be over, unless there are many entries before that, or [urgent](Self::hasten) ones, or it is closed.
    pub(super) fn gather(&self, pause: Duration) {
        let state = self.state();
        let few = |state: &mut State| state.waiting.count < self.many && !state.is_urgent && !state.is_closed;
        drop(self.wanted.wait_timeout_while(state, pause, few));
    }

    /// Waits for entries and takes all of them in exchange for `emptied`; `None` when it is closed and empty. They are to be
    /// [settled](Self::settle).
    pub(super) fn take(&self, mut emptied: Waiting) -> Option<Waiting> {
        emptied.bytes.clear();
        emptied.bytes.shrink_to(USUAL_BYTES);
        emptied.count = 0;
        let none = |state: &mut State| {
            state.is_awaited = state.waiting.count == 0 && !state.is_closed;
            state.is_awaited
        };
        let waited = self.wanted.wait_while(self.state(), none);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        let waiting = std::mem::replace(&mut state.waiting, emptied);
        state.is_urgent = false;
        state.unsettled = state.unsettled.saturating_add(waiting.count);
        state.unsettled_bytes = state.unsettled_bytes.saturating_add(waiting.bytes.len());
        (waiting.count > 0).then_some(waiting)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
