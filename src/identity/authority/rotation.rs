//! When authorities change places. Which of them signs is a function of their dates and of now, and is stored nowhere:
//! every process that reads the same journal comes to the same answer, also after a crash.
//!
//! ```text
//! first   |------------- signs -------------1/2------------- signs ----------5/6-- still trusted --|
//! second                                     |- trusted, does not sign yet ---|------- signs ------------ …
//! ```

use super::template::Validity;
use crate::foundation::clock::Timestamp;

/// An authority as the rules see it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Term {
    pub(super) created_at: Timestamp,
    pub(super) validity: Validity,
}

/// What the rules say at one moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Plan {
    /// The index of the one that signs; `None` if none can.
    pub(super) signer: Option<usize>,
    /// Whether a further one must be made now.
    pub(super) prepare: bool,
    /// When the rules say something else again, if nobody adds an authority before.
    pub(super) next: Timestamp,
}

impl Term {
    /// When the next one is made: at half of the life.
    pub(super) fn prepare_at(&self) -> Timestamp {
        self.point(6)
    }

    /// Whether the authority can sign at `now`.
    pub(super) fn is_valid(&self, now: Timestamp) -> bool {
        self.validity.not_before <= now && now < self.validity.not_after
    }

    /// When `successor` takes over: at 5/6 of the life, so that what was signed last can live out the rest. One that
    /// was made late, because nobody was there at half time, is first trusted for a while, since others must learn of
    /// it before they meet what it signed (spire#5317); but not beyond 11/12, where there would be no life left.
    pub(super) fn hand_over_at(&self, successor: &Self) -> Timestamp {
        let learned = successor.created_at.after(self.point(1).since(self.created_at));
        self.point(10).max(learned.min(self.point(11)))
    }

    /// The moment when `twelfths` of the life are over.
    fn point(&self, twelfths: u32) -> Timestamp {
        self.created_at.after(self.validity.not_after.since(self.created_at) / 12 * twelfths)
    }
}

/// What to do at `now` with `terms`, which are sorted by age, oldest first.
pub(super) fn plan(terms: &[Term], now: Timestamp) -> Plan {
    let mut valid = terms.iter().enumerate().filter(|(_, term)| term.is_valid(now)).peekable();
    let Some((mut signer, mut signing)) = valid.next() else {
        return Plan { signer: None, prepare: true, next: now };
    };
    while let Some((index, successor)) = valid.next_if(|(_, successor)| signing.hand_over_at(successor) <= now) {
        (signer, signing) = (index, successor);
    }
    let successor = valid.peek().map(|(_, successor)| *successor);
    let step = successor.map_or_else(|| signing.prepare_at(), |successor| signing.hand_over_at(successor));
    let expiries = terms.iter().map(|term| term.validity.not_after).filter(|expiry| now < *expiry);
    let next = expiries.fold(step, Timestamp::min);
    Plan { signer: Some(signer), prepare: successor.is_none() && signing.prepare_at() <= now, next }
}

#[cfg(test)]
mod tests;
