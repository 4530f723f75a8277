//! A value that is read by many without waiting, replaced as a whole by one, and whose every replacement has a number.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::sync::watch;

/// Counts the replacements of one [`Watched`] value, from 1. It is part of every cache key that depends on the value.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Epoch(u64);

impl Epoch {
    /// That of a value that was never replaced.
    pub const FIRST: Self = Self(1);

    /// That which a record names. It says nothing of any value of this process.
    pub const fn of_record(number: u64) -> Self {
        Self(number)
    }

    /// The number itself.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One state of a [`Watched`] value, with the epoch it belongs to. The two can't be read apart.
#[derive(Debug)]
pub struct Snapshot<T> {
    epoch: Epoch,
    value: T,
}

impl<T> Snapshot<T> {
    /// Which replacement this is.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }
}

impl<T> Deref for Snapshot<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A value swapped atomically: readers never block and never see half of a change.
#[derive(Debug)]
pub struct Watched<T> {
    current: ArcSwap<Snapshot<T>>,
    writer: Mutex<()>,
    epochs: watch::Sender<Epoch>,
}

impl<T> Watched<T> {
    /// The first value, at epoch 1.
    pub fn new(value: T) -> Self {
        let epoch = Epoch::FIRST;
        Self {
            current: ArcSwap::from_pointee(Snapshot { epoch, value }),
            writer: Mutex::new(()),
            epochs: watch::Sender::new(epoch),
        }
    }

    /// The current state.
    pub fn load(&self) -> Arc<Snapshot<T>> {
        self.current.load_full()
    }

    /// Puts `value` in place and wakes the subscribers; says which epoch it got.
    pub fn replace(&self, value: T) -> Epoch {
        let writing = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.put(self.next(value), &writing)
    }

    /// Puts `value` in place as [`Self::replace`] does, but only after `before`, which sees what is to come with the epoch
    /// that it will have. Nobody else writes meanwhile.
    ///
    /// # Errors
    /// Those of `before`; then all is as it was.
    pub fn replace_after<E>(&self, value: T, before: impl FnOnce(&Snapshot<T>) -> Result<(), E>) -> Result<Epoch, E> {
        let writing = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.next(value);
        before(&next)?;
        Ok(self.put(next, &writing))
    }

    /// Puts in place what `change` makes of the current value, if it makes anything of it. Nobody else writes meanwhile, so
    /// several writers may each own a part of the value.
    pub fn update(&self, change: impl FnOnce(&T) -> Option<T>) -> Option<Epoch> {
        let writing = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&self.current.load().value)?;
        Some(self.put(self.next(changed), &writing))
    }

    fn next(&self, value: T) -> Snapshot<T> {
        Snapshot { epoch: Epoch(self.current.load().epoch.0.saturating_add(1)), value }
    }

    fn put(&self, next: Snapshot<T>, _one_writer: &MutexGuard<'_, ()>) -> Epoch {
        let epoch = next.epoch;
        self.current.store(Arc::new(next));
        self.epochs.send_replace(epoch);
        epoch
    }

    /// A receiver that wakes after each replacement. It never lags: it only tells that there is something newer.
    pub fn subscribe(&self) -> watch::Receiver<Epoch> {
        self.epochs.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_replacement_moves_the_epoch_and_wakes_subscribers() {
        let watched = Watched::new("old");
        let mut changes = watched.subscribe();
        let before = watched.load();
        let epoch = watched.replace("new");
        changes.changed().await.unwrap();
        assert_eq!((before.value, before.epoch().number()), ("old", 1));
        assert_eq!((watched.load().value, watched.load().epoch()), ("new", epoch));
        assert_eq!(epoch.number(), 2);
    }

    #[test]
    fn what_may_not_come_changes_nothing() {
        let watched = Watched::new("old");
        let refuse = |next: &Snapshot<&'static str>| Err((next.value, next.epoch().number()));
        assert_eq!(watched.replace_after("new", refuse), Err(("new", 2)));
        assert_eq!((watched.load().value, watched.load().epoch()), ("old", Epoch::FIRST));
        assert_eq!(watched.replace_after("new", |_next| Ok::<_, ()>(())).map(Epoch::number), Ok(2));
        assert_eq!(watched.load().value, "new");
    }
}
