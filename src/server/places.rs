//! Places that many share and none may take alone: connections, streams.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A number of places. Of those one user of this machine gets three quarters at most: whoever may connect to a socket
/// that is open to all must not be able to lock all others out.
#[derive(Clone, Debug)]
pub struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    most_of_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_user: HashMap<u32, usize>,
}

/// One place, given back when dropped.
#[derive(Debug)]
#[must_use = "the place is held only while this lives"]
pub struct Place {
    places: Places,
    user: Option<u32>,
}

impl Places {
    /// `most` places, none of them taken.
    pub fn new(most: usize) -> Self {
        let most_of_one = most.saturating_sub(most / 4);
        Self(Arc::new(Inner { most, most_of_one, taken: Mutex::default() }))
    }

    /// A place for `user`, if it is known who that is; `None` if there is none left for them.
    pub fn take(&self, user: Option<u32>) -> Option<Place> {
        let mut taken = self.taken();
        let theirs = user.and_then(|user| taken.by_user.get(&user)).copied().unwrap_or_default();
        if taken.all >= self.0.most || theirs >= self.0.most_of_one {
            return None;
        }
        taken.all += 1;
        if let Some(user) = user {
            taken.by_user.insert(user, theirs + 1);
        }
        Some(Place { places: self.clone(), user })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all = taken.all.saturating_sub(1);
        if let Some(Entry::Occupied(mut theirs)) = self.user.map(|user| taken.by_user.entry(user)) {
            *theirs.get_mut() = theirs.get().saturating_sub(1);
            if *theirs.get() == 0 {
                theirs.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_cannot_take_all_places_and_what_is_given_back_is_free_again() {
        let places = Places::new(8);
        let mut mine: Vec<_> = (0..6).map(|_| places.take(Some(1)).unwrap()).collect();
        assert!(places.take(Some(1)).is_none());
        let theirs = places.take(Some(2)).unwrap();
        let unknown = places.take(None).unwrap();
        assert!(places.take(Some(2)).is_none() && places.take(None).is_none(), "all are taken");
        drop((mine.pop(), unknown));
        let again = places.take(Some(1)).unwrap();
        assert!(places.take(Some(1)).is_none());
        drop((mine, theirs, again));
        let taken = places.taken();
        assert_eq!((taken.all, taken.by_user.len()), (0, 0));
    }

    #[test]
    fn a_few_places_are_for_anyone() {
        for most in 1..4 {
            let places = Places::new(most);
            let all: Vec<_> = (0..most).map(|_| places.take(Some(1)).unwrap()).collect();
            assert!(places.take(Some(1)).is_none(), "{all:?}");
        }
    }
}
