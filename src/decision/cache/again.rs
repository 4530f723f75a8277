//! Questions that were asked before word for word: a small table before the large cache. Who asks the same again, under the
//! same policies, entities and bundles, gets the same answer before it is worked out what of the question matters.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Kept;
use crate::decision::policy::{Epochs, Evaluation};
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;

/// How many questions there is room for; a power of two.
const PLACES: usize = 4096;

/// How often an answer is given before the large cache is asked again, so that it learns what is asked for often.
const IN_A_ROW: u32 = 64;

/// A question to the letter, and all that its answer can depend on beside it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Exact {
    /// Of the whole question.
    pub digest: Digest,
    /// What it is answered by.
    pub epochs: Epochs,
    /// How many purges there were.
    pub purges: u64,
}

/// The table. Each question has but one place, which the last of those that share it has.
#[derive(Debug)]
pub(super) struct Again(Box<[Mutex<Option<Place>>]>);

#[derive(Debug)]
struct Place {
    exact: Exact,
    kept: Arc<Kept>,
    /// How often it may still be given.
    left: u32,
}

impl Again {
    pub(super) fn new() -> Self {
        Self((0..PLACES).map(|_| Mutex::default()).collect())
    }

    /// The answer, unless it is old enough to be made anew or has been given often.
    pub(super) fn get(&self, exact: &Exact, now: Timestamp) -> Option<Evaluation> {
        let mut place = self.place(exact)?;
        let known = place.as_mut().filter(|known| known.exact == *exact && now < known.kept.refresh_at)?;
        known.left = known.left.checked_sub(1)?;
        Some(known.kept.evaluation.clone())
    }

    pub(super) fn put(&self, exact: Exact, kept: &Arc<Kept>) {
        if let Some(mut place) = self.place(&exact) {
            *place = Some(Place { exact, kept: Arc::clone(kept), left: IN_A_ROW });
        }
    }

    fn place(&self, exact: &Exact) -> Option<MutexGuard<'_, Option<Place>>> {
        let [low, high, ..] = *exact.digest.as_bytes();
        let place = self.0.get(usize::from(u16::from_le_bytes([low, high])) % PLACES)?;
        Some(place.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
