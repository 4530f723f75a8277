//! Lines that wait to be written: many threads put them in, one takes all that there are.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How much memory is kept for lines when few come, in bytes.
const USUAL_BYTES: usize = 1 << 20;

/// The queue, bounded in lines.
#[derive(Debug)]
pub(super) struct Waiting {
    state: Mutex<State>,
    /// Told when there is something to do for who takes.
    wanted: Condvar,
    limit: usize,
    /// From how many lines on it is no use to wait for more.
    many: usize,
}

#[derive(Debug, Default)]
struct State {
    lines: Lines,
    is_closed: bool,
    /// Whether who takes has asked to be told of the first line.
    is_awaited: bool,
}

/// Whole lines, one after another.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) bytes: Vec<u8>,
    pub(super) count: usize,
}

/// Why a line is not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refused {
    Full,
    Closed,
}

impl Waiting {
    pub(super) fn new(limit: usize) -> Self {
        Self { state: Mutex::default(), wanted: Condvar::new(), limit, many: (limit / 4).max(1) }
    }

    /// Puts in a line.
    pub(super) fn put(&self, line: &[u8]) -> Result<(), Refused> {
        let mut state = self.state();
        if state.is_closed {
            return Err(Refused::Closed);
        }
        if state.lines.count >= self.limit {
            return Err(Refused::Full);
        }
        state.lines.bytes.extend_from_slice(line);
        state.lines.count += 1;
        let wake = state.is_awaited || state.lines.count == self.many;
        state.is_awaited = false;
        drop(state);
        if wake {
            self.wanted.notify_one();
        }
        Ok(())
    }

    /// Takes no more lines.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.wanted.notify_one();
    }

    /// Waits for `pause` to be over, unless there are many lines before that or it is closed.
    pub(super) fn gather(&self, pause: Duration) {
        let state = self.state();
        let few = |state: &mut State| state.lines.count < self.many && !state.is_closed;
        drop(self.wanted.wait_timeout_while(state, pause, few));
    }

    /// Waits for lines and takes all of them in exchange for `emptied`; `None` when it is closed and empty.
    pub(super) fn take(&self, mut emptied: Lines) -> Option<Lines> {
        emptied.bytes.clear();
        emptied.bytes.shrink_to(USUAL_BYTES);
        emptied.count = 0;
        let none = |state: &mut State| {
            state.is_awaited = state.lines.count == 0 && !state.is_closed;
            state.is_awaited
        };
        let waited = self.wanted.wait_while(self.state(), none);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        let lines = std::mem::replace(&mut state.lines, emptied);
        (lines.count > 0).then_some(lines)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
