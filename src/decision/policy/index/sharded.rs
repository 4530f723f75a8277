//! A hash table in parts, each shared between its clones until one of them changes it. Most of what is looked for is not
//! there, and a filter says so at the price of one bit.

use std::sync::Arc;

use hashbrown::HashTable;

/// How many parts. A change copies one of them: of a hundred thousand entries about four hundred.
const SHARDS: usize = 256;

/// A hash table that is cheap to clone. The caller brings the hashes.
#[derive(Clone, Debug)]
pub(super) struct Sharded<T> {
    filter: Filter,
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
        Self {
            filter: Filter::default(),
            shards: std::iter::repeat_with(Arc::default).take(SHARDS - 1).collect(),
            last: Arc::default(),
        }
    }
}

impl<T> Sharded<T> {
    /// The entry of this hash that is `same`.
    pub(super) fn find(&self, hash: u64, same: impl Fn(&T) -> bool) -> Option<&T> {
        if !self.filter.may_have(hash) {
            return None;
        }
        let shard = self.shards.get(place(hash)).unwrap_or(&self.last);
        shard.find(hash, |slot| same(&slot.value)).map(|slot| &slot.value)
    }
}

impl<T: Clone> Sharded<T> {
    /// The entry of this hash that is `same`, to be changed; if there is none, it is made.
    pub(super) fn entry(&mut self, hash: u64, same: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> &mut T {
        if self.filter.is_full() {
            let known: usize = self.shards.iter().chain([&self.last]).map(|shard| shard.len()).sum();
            let mut larger = Filter::with_room_for(known);
            let shards = self.shards.iter().chain([&self.last]);
            shards.flat_map(|shard| shard.iter()).for_each(|slot| larger.add(slot.hash));
            self.filter = larger;
        }
        self.filter.add(hash);
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

/// Which hashes there may be. What is taken out stays in it until it is made anew.
#[derive(Clone, Debug, Default)]
struct Filter {
    /// A power of two of them, or none.
    words: Arc<Vec<u64>>,
    added: usize,
}

/// How many bits there are at least for each hash: of those that are not there one in 16 passes.
const BITS_EACH: usize = 16;

impl Filter {
    fn with_room_for(hashes: usize) -> Self {
        // Twice of what there is, so that it is made anew seldom.
        let words = (hashes.max(64) * 2 * BITS_EACH / 64).next_power_of_two();
        Self { words: Arc::new(vec![0; words]), added: 0 }
    }

    fn may_have(&self, hash: u64) -> bool {
        let (word, bit) = self.place(hash);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    fn is_full(&self) -> bool {
        self.added * BITS_EACH >= self.words.len() * 64
    }

    fn add(&mut self, hash: u64) {
        let (word, bit) = self.place(hash);
        if self.words.get(word).is_some_and(|word| word & bit == 0)
            && let Some(word) = Arc::make_mut(&mut self.words).get_mut(word)
        {
            *word |= bit;
        }
        self.added += 1;
    }

    /// By other bits again.
    fn place(&self, hash: u64) -> (usize, u64) {
        ((hash >> 14) as usize & self.words.len().wrapping_sub(1), 1 << (hash >> 8 & 63))
    }
}

/// By other bits than the table within uses.
const fn place(hash: u64) -> usize {
    (hash >> 40) as usize % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that are spread as hashes are.
    fn hash(number: u64) -> u64 {
        (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    #[test]
    fn what_was_put_in_is_found_whatever_comes_and_goes_and_little_else_is_looked_for() {
        let mut table = Sharded::default();
        for number in 0..20_000_u64 {
            assert_eq!(*table.entry(hash(number), |known| *known == number, || number), number);
            if number % 3 == 0 {
                table.change(hash(number / 2), |known| *known == number / 2, |_| true);
            }
        }
        let before = table.clone();
        let is_there = |table: &Sharded<u64>, number| table.find(hash(number), |known| *known == number).is_some();
        for number in 0..20_000 {
            let gone = number < 10_000 && (0..20_000).step_by(3).any(|taker| taker / 2 == number);
            assert_eq!(is_there(&table, number), !gone, "{number}");
        }
        table.entry(hash(90_000), |known| *known == 90_000, || 90_000);
        assert!(is_there(&table, 90_000) && !is_there(&before, 90_000));
        let passed = (100_000..110_000).filter(|number| before.filter.may_have(hash(*number))).count();
        assert!(passed < 1_000, "{passed} of 10,000");
    }
}
