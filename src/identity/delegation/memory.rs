//! A store of revocations in memory, for tests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use super::{KeptRevocations, Revocation, RevocationFuture, RevocationStore, Revoked};
use crate::foundation::clock::Timestamp;

/// Keeps revocations as long as it lives.
#[derive(Debug, Default)]
pub(crate) struct MemoryRevocations(Mutex<(BTreeMap<Revoked, Revocation>, u64)>);

impl MemoryRevocations {
    fn kept(&self) -> MutexGuard<'_, (BTreeMap<Revoked, Revocation>, u64)> {
        self.0.lock().unwrap()
    }
}

impl RevocationStore for MemoryRevocations {
    fn load(&self) -> RevocationFuture<'_, KeptRevocations> {
        Box::pin(async {
            let (kept, sequence) = &*self.kept();
            Ok(KeptRevocations { revocations: kept.values().cloned().collect(), sequence: *sequence })
        })
    }

    fn sequence(&self) -> RevocationFuture<'_, u64> {
        Box::pin(async { Ok(self.kept().1) })
    }

    fn put<'a>(&'a self, revocation: &'a Revocation, now: Timestamp) -> RevocationFuture<'a, u64> {
        Box::pin(async move {
            let (kept, sequence) = &mut *self.kept();
            kept.retain(|_, known| known.holds(now));
            kept.insert(revocation.revoked.clone(), revocation.clone());
            *sequence += 1;
            Ok(*sequence)
        })
    }

    fn delete<'a>(&'a self, revoked: &'a Revoked) -> RevocationFuture<'a, u64> {
        Box::pin(async move {
            let (kept, sequence) = &mut *self.kept();
            kept.remove(revoked);
            *sequence += 1;
            Ok(*sequence)
        })
    }

    fn wait(&self) -> RevocationFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}
