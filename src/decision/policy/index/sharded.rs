//! A hash table in parts, each shared between its clones until one of them changes it.

use std::sync::Arc;

use hashbrown::HashTable;

/// How many parts. A change copies one of them: of a hundred thousand entries about four hundred.
const SHARDS: usize = 256;

/// A hash table that is cheap to clone. The caller brings the hashes.
#[derive(Clone, Debug)]
pub(super) struct Sharded<T> {
    /// One less than there are, and the last: so that there is always one for a hash.
    shards: Box<[Shard<T>]>,
    last: Shard<T>,
}

type Shard<T> = Arc<HashTable<Slot<T>>>;

#[derive(Clone, Debug)]
struct Slot<T> {
    hash: u64,
    value: T,
}

impl<T> Default for Sharded<T> {
    fn default() -> Self {
        Self { shards: std::iter::repeat_with(Arc::default).take(SHARDS - 1).collect(), last: Arc::default() }
    }
}

impl<T> Sharded<T> {
    /// The entry of this hash that is `same`.
    pub(super) fn find(&self, hash: u64, same: impl Fn(&T) -> bool) -> Option<&T> {
        let shard = self.shards.get(place(hash)).unwrap_or(&self.last);
        shard.find(hash, |slot| same(&slot.value)).map(|slot| &slot.value)
    }
}

impl<T: Clone> Sharded<T> {
    /// The entry of this hash that is `same`, to be changed; if there is none, it is made.
    pub(super) fn entry(&mut self, hash: u64, same: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> &mut T {
        let entry = self.shard(hash).entry(hash, |slot| same(&slot.value), |slot| slot.hash);
        &mut entry.or_insert_with(|| Slot { hash, value: make() }).into_mut().value
    }

    /// Changes the entry of this hash that is `same`, and takes it out if it is `done` then.
    pub(super) fn change(&mut self, hash: u64, same: impl Fn(&T) -> bool, done: impl FnOnce(&mut T) -> bool) {
        if let Ok(mut entry) = self.shard(hash).find_entry(hash, |slot| same(&slot.value))
            && done(&mut entry.get_mut().value)
        {
            drop(entry.remove());
        }
    }

    fn shard(&mut self, hash: u64) -> &mut HashTable<Slot<T>> {
        Arc::make_mut(self.shards.get_mut(place(hash)).unwrap_or(&mut self.last))
    }
}

/// By other bits than the table within uses.
const fn place(hash: u64) -> usize {
    (hash >> 40) as usize % SHARDS
}
