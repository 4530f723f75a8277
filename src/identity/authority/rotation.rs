//! When authorities of one kind change places: a function of the places that the journal has them in, of their dates and
//! of now. Every process that reads the same journal comes to the same answer, also after a crash; what is due but not
//! yet written down is done by the next maintenance of whichever comes first.
//!
//! ```text
//! first   |------------- signs -------------1/2------------- signs ----------5/6-- still trusted --|
//! second                                     |- trusted, does not sign yet ---|------- signs ------------ …
//! ```

use super::template::Validity;
use crate::foundation::clock::Timestamp;
use crate::identity::journal::AuthorityStage;

/// When an authority was made, and when it is valid.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Term {
    pub(super) created_at: Timestamp,
    pub(super) validity: Validity,
}

/// An authority as the rules see it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Standing {
    pub(super) stage: AuthorityStage,
    pub(super) tainted: bool,
    pub(super) term: Term,
}

/// What the rules say at one moment. Authorities are named by their index.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Plan {
    /// The one that signs; `None` if none can.
    pub(super) signer: Option<usize>,
    /// What must be done now. There may be more when it is done.
    pub(super) due: Option<Due>,
    /// When the rules say something else again, if nobody changes anything before.
    pub(super) next: Timestamp,
}

/// Something that the dates call for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Due {
    /// Take this one out of the bundle.
    Expire(usize),
    /// Let this one, which is prepared, sign.
    Activate(usize),
    /// Make a further one and prepare it.
    Prepare,
    /// Make one that signs at once, for there is none that could.
    Begin,
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

impl Standing {
    /// A tainted one never signs again, whatever its place.
    fn can_sign(&self, now: Timestamp) -> bool {
        self.term.is_valid(now) && !self.tainted
    }
}

/// What to do at `now` with `authorities`, which are sorted by age, oldest first.
pub(super) fn plan(authorities: &[Standing], now: Timestamp) -> Plan {
    if let Some(expired) = authorities.iter().position(|one| one.term.validity.not_after <= now) {
        let signer = signer(authorities, now);
        return Plan { signer, due: Some(Due::Expire(expired)), next: now };
    }
    let signer = signer(authorities, now);
    let at = |stage| authorities.iter().find(|one| one.stage == stage);
    let (due, step) = match signer.and_then(|index| Some((index, authorities.get(index)?))) {
        None => (Some(Due::Begin), now),
        Some((index, one)) => match (one.stage, at(AuthorityStage::Prepared)) {
            (AuthorityStage::Prepared, _) => (Some(Due::Activate(index)), now),
            (AuthorityStage::Active, Some(successor)) => (None, one.term.hand_over_at(&successor.term)),
            (AuthorityStage::Active, None) => {
                let at = one.term.prepare_at();
                ((at <= now).then_some(Due::Prepare), at)
            }
            // The clock was set back to before the active one was made, or there is none.
            (AuthorityStage::Old, None) if at(AuthorityStage::Active).is_none_or(|active| active.tainted) => {
                (Some(Due::Begin), now)
            }
            (AuthorityStage::Old, _) => (None, Timestamp::MAX),
        },
    };
    let dates = authorities.iter().flat_map(|one| [one.term.validity.not_before, one.term.validity.not_after]);
    let next = dates.filter(|date| now < *date).fold(step, Timestamp::min);
    Plan { signer, due, next: next.max(now) }
}

/// Who signs: the active one until its successor takes over; failing these an old one, which only a clock that was set
/// back leads to.
fn signer(authorities: &[Standing], now: Timestamp) -> Option<usize> {
    let usable = |stage| {
        let fits = move |one: &Standing| one.stage == stage && one.can_sign(now);
        let index = authorities.iter().rposition(fits)?;
        Some((index, authorities.get(index)?))
    };
    match (usable(AuthorityStage::Active), usable(AuthorityStage::Prepared)) {
        (Some((_, active)), Some((index, prepared))) if active.term.hand_over_at(&prepared.term) <= now => Some(index),
        (Some((index, _)), _) | (None, Some((index, _))) => Some(index),
        (None, None) => usable(AuthorityStage::Old).map(|(index, _)| index),
    }
}

#[cfg(test)]
mod tests;
