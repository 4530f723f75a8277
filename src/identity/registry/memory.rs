//! A store of entries in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Changed, Entry, Registered, RegistryStore, StoreError, StoreFuture, Write};

/// Keeps entries as long as it lives.
#[derive(Debug, Default)]
pub(crate) struct MemoryRegistry(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    sequence: u64,
    entries: HashMap<Arc<str>, Entry>,
    log: Vec<(u64, Arc<str>)>,
}

impl MemoryRegistry {
    /// Forgets an entry, as a database does that failed over before the change reached it; its number is used again.
    pub(crate) fn forget(&self, id: &str) {
        self.kept().entries.remove(id);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RegistryStore for MemoryRegistry {
    fn load(&self) -> StoreFuture<'_, Registered> {
        Box::pin(async {
            let kept = self.kept();
            Ok(Registered { entries: kept.entries.values().cloned().collect(), sequence: kept.sequence })
        })
    }

    fn apply(&self, expected: u64, writes: Vec<Write>) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            let mut kept = self.kept();
            if kept.sequence != expected {
                return Err(StoreError::Raced);
            }
            for write in writes {
                kept.sequence += 1;
                let (sequence, id) = match write {
                    Write::Put(entry) => {
                        let id = Arc::clone(&entry.id);
                        kept.entries.insert(Arc::clone(&id), Entry::clone(&entry));
                        (kept.sequence, id)
                    }
                    Write::Delete(id) => {
                        kept.entries.remove(&id);
                        (kept.sequence, id)
                    }
                };
                kept.log.push((sequence, id));
            }
            Ok(kept.sequence)
        })
    }

    fn changes_since(&self, sequence: u64) -> StoreFuture<'_, Option<Changed>> {
        Box::pin(async move {
            let kept = self.kept();
            let mut changed = Changed { sequence: kept.sequence, ..Changed::default() };
            for (_, id) in kept.log.iter().filter(|(at, _)| *at > sequence) {
                match kept.entries.get(id) {
                    Some(entry) => changed.put.push(entry.clone()),
                    None => changed.deleted.push(Arc::clone(id)),
                }
            }
            Ok(Some(changed))
        })
    }

    fn wait(&self) -> StoreFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}
