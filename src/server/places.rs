//! Places that many share and none may take alone: connections, streams.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A number of places. Of those one `O`, which is a user of this machine unless it is said otherwise, gets a part at most:
/// whoever may connect to a socket that is open to all must not be able to lock all others out.
#[derive(Clone, Debug)]
pub struct Places<O: Copy + Eq + Hash = u32>(Arc<Inner<O>>);

#[derive(Debug)]
struct Inner<O> {
    most: usize,
    most_of_one: usize,
    taken: Mutex<Taken<O>>,
}

#[derive(Debug)]
struct Taken<O> {
    all: usize,
    by_owner: HashMap<O, usize>,
}

/// One place, given back when dropped.
#[derive(Debug)]
#[must_use = "the place is held only while this lives"]
pub struct Place<O: Copy + Eq + Hash = u32> {
    places: Places<O>,
    owner: Option<O>,
}

impl Places {
    /// `most` places, none of them taken, of which one user gets three quarters.
    pub fn new(most: usize) -> Self {
        Self::shared(most, most.saturating_sub(most / 4))
    }
}

impl<O: Copy + Eq + Hash> Places<O> {
    /// `most` places, none of them taken, of which `most_of_one` are for the same owner.
    pub(super) fn shared(most: usize, most_of_one: usize) -> Self {
        let taken = Taken { all: 0, by_owner: HashMap::new() };
        Self(Arc::new(Inner { most, most_of_one, taken: Mutex::new(taken) }))
    }

    /// A place for `owner`, if it is known who that is; `None` if there is none left for them.
    pub fn take(&self, owner: Option<O>) -> Option<Place<O>> {
        let mut taken = self.taken();
        let theirs = owner.and_then(|owner| taken.by_owner.get(&owner)).copied().unwrap_or_default();
        if taken.all >= self.0.most || theirs >= self.0.most_of_one {
            return None;
        }
        taken.all += 1;
        if let Some(owner) = owner {
            taken.by_owner.insert(owner, theirs + 1);
        }
        Some(Place { places: Self(Arc::clone(&self.0)), owner })
    }

    fn taken(&self) -> MutexGuard<'_, Taken<O>> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<O: Copy + Eq + Hash> Drop for Place<O> {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all = taken.all.saturating_sub(1);
        if let Some(Entry::Occupied(mut theirs)) = self.owner.map(|owner| taken.by_owner.entry(owner)) {
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
        assert_eq!((taken.all, taken.by_owner.len()), (0, 0));
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
