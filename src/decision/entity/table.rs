//! A table by name of which each version is cheap to keep: it is in parts, in two levels, and a change copies the parts on
//! its way and nothing else: of a million entries, two lists of 64 and one table of about 250.

use std::sync::Arc;

use hashbrown::HashTable;

use super::uid::{Uid, UidRef};

/// How many parts each level has.
const FANOUT: usize = 64;

/// What is found by a name.
pub(super) trait Named {
    fn uid(&self) -> &Uid;
}

type Part<T> = HashTable<T>;
type Branch<T> = Vec<Arc<Part<T>>>;

/// The table. Cheap to clone.
#[derive(Clone)]
pub(super) struct Table<T> {
    /// Always [`FANOUT`] branches of [`FANOUT`] parts.
    branches: Arc<Vec<Arc<Branch<T>>>>,
    len: usize,
}

impl<T: Clone> Default for Table<T> {
    fn default() -> Self {
        let part = Arc::new(Part::new());
        let branch = Arc::new(vec![part; FANOUT]);
        Self { branches: Arc::new(vec![branch; FANOUT]), len: 0 }
    }
}

impl<T: Clone + Named> Table<T> {
    /// What has this name.
    pub(super) fn get(&self, uid: UidRef<'_>) -> Option<&T> {
        let (branch, part) = place(uid.hash());
        self.branches.get(branch)?.get(part)?.find(uid.hash(), |known| known.uid().as_ref() == uid)
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// All of them, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.branches.iter().flat_map(|branch| branch.iter()).flat_map(|part| part.iter())
    }

    /// Puts `new` in the place of what has its name, if there is anything.
    pub(super) fn put(&mut self, new: T) {
        let hash = new.uid().as_ref().hash();
        let Some(part) = self.part_mut(hash) else { return };
        if let Some(known) = part.find_mut(hash, |known| known.uid() == new.uid()) {
            *known = new;
        } else {
            part.insert_unique(hash, new, |known| known.uid().as_ref().hash());
            self.len += 1;
        }
    }

    /// Takes out what has this name.
    pub(super) fn remove(&mut self, uid: &Uid) {
        let hash = uid.as_ref().hash();
        if self.get(uid.as_ref()).is_some()
            && let Some(part) = self.part_mut(hash)
            && let Ok(entry) = part.find_entry(hash, |known| known.uid() == uid)
        {
            drop(entry.remove());
            self.len -= 1;
        }
    }

    fn part_mut(&mut self, hash: u64) -> Option<&mut Part<T>> {
        let (branch, part) = place(hash);
        let branch = Arc::make_mut(Arc::make_mut(&mut self.branches).get_mut(branch)?);
        Some(Arc::make_mut(branch.get_mut(part)?))
    }
}

/// The branch and the part within it, by other bits than the table of the part goes by.
const fn place(hash: u64) -> (usize, usize) {
    ((hash >> 40) as usize % FANOUT, (hash >> 46) as usize % FANOUT)
}

#[cfg(test)]
mod tests;
