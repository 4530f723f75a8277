//! A hash table in parts, each shared between its clones until one of them changes it.

use std::sync::Arc;

use hashbrown::HashTable;

/// How many parts. A change copies one of them: of a hundred thousand entries about four hundred.
const SHARDS: usize = 256;

/// A hash table that is cheap to clone. The caller brings the hashes.
#[derive(Clone, Debug)]
pub(super) struct Sharded<T>(Box<[Arc<HashTable<Slot<T>>>]>);

#[derive(Clone, Debug)]
struct Slot<T> {
    hash: u64,
    value: T,
}

impl<T> Default for Sharded<T> {
    fn default() -> Self {
        Self(std::iter::repeat_with(Arc::default).take(SHARDS).collect())
    }
}

impl<T> Sharded<T> {
    /// The entry of this hash that is `same`.
    pub(super) fn find(&self, hash: u64, same: impl Fn(&T) -> bool) -> Option<&T> {
        self.0.get(shard(hash))?.find(hash, |slot| same(&slot.value)).map(|slot| &slot.value)
    }
}

impl<T: Clone> Sharded<T> {
    /// The entry of this hash that is `same`, to be changed.
    pub(super) fn find_mut(&mut self, hash: u64, same: impl Fn(&T) -> bool) -> Option<&mut T> {
        let shard = Arc::make_mut(self.0.get_mut(shard(hash))?);
        shard.find_mut(hash, |slot| same(&slot.value)).map(|slot| &mut slot.value)
    }

    /// Adds an entry that is not there yet.
    pub(super) fn insert(&mut self, hash: u64, value: T) {
        if let Some(shard) = self.0.get_mut(shard(hash)) {
            Arc::make_mut(shard).insert_unique(hash, Slot { hash, value }, |slot| slot.hash);
        }
    }

    /// Takes the entry of this hash that is `same` out.
    pub(super) fn remove(&mut self, hash: u64, same: impl Fn(&T) -> bool) {
        if let Some(shard) = self.0.get_mut(shard(hash))
            && let Ok(entry) = Arc::make_mut(shard).find_entry(hash, |slot| same(&slot.value))
        {
            drop(entry.remove());
        }
    }
}

/// By other bits than the table within uses.
const fn shard(hash: u64) -> usize {
    (hash >> 40) as usize % SHARDS
}
