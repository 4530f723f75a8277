//! What several policies say together. The order is that of their ids, so that it does not depend on how they were found;
//! only the one with the highest status comes before all others.

use std::sync::Arc;

use super::{Guidance, Obligation, Remedy, StepUp};

/// What the policies that decided say, each with its id, in any order. `is_remediable` says whether the answer would be a
/// permit without them.
pub(in crate::decision) fn merge<'g>(
    deciding: impl Iterator<Item = (&'g Arc<str>, Option<&'g Arc<Guidance>>)> + Clone,
    is_remediable: bool,
) -> Option<Arc<Guidance>> {
    if deciding.clone().all(|(_, guidance)| guidance.is_none()) {
        return None;
    }
    let mut alone = deciding.clone();
    if let (Some((_, Some(guidance))), None) = (alone.next(), alone.next())
        && (is_remediable || guidance.remedy.is_none())
    {
        return Some(Arc::clone(guidance));
    }
    let mut ordered: Vec<_> = deciding.collect();
    ordered.sort_unstable_by_key(|(id, guidance)| {
        (std::cmp::Reverse(guidance.and_then(|guidance| guidance.status)), Arc::clone(id))
    });
    let mut merged = Guidance::default();
    for guidance in ordered.iter().filter_map(|(_, guidance)| *guidance) {
        merged.add(guidance);
    }
    if is_remediable {
        merged.remedy = common_remedy(&ordered);
    }
    if let (Some((id, _)), Some(step_up)) =
        (ordered.first(), merged.remedy.as_ref().and_then(|remedy| remedy.step_up.as_ref()))
    {
        merged.obligations.push(Obligation::to_step_up(Arc::clone(id), step_up));
    }
    (!merged.is_empty()).then(|| Arc::new(merged))
}

impl Guidance {
    /// Adds what `next` says, as far as it is not said yet, but for its remedy.
    fn add(&mut self, next: &Self) {
        self.status = self.status.or(next.status);
        if self.text.is_none() {
            self.text.clone_from(&next.text);
        }
        for advice in &next.advice {
            if !self.advice.contains(advice) {
                self.advice.push(Arc::clone(advice));
            }
        }
        for header in &next.headers {
            if self.headers.iter().all(|known| known.name() != header.name()) {
                self.headers.push(header.clone());
            }
        }
        for obligation in next.obligations.iter().filter(|obligation| !obligation.is_step_up()) {
            if !self.obligations.contains(obligation) {
                self.obligations.push(obligation.clone());
            }
        }
    }
}

/// What helps against all of them: a remedy for one is none while another still denies.
fn common_remedy(all: &[(&Arc<str>, Option<&Arc<Guidance>>)]) -> Option<Remedy> {
    let mut remedies = all.iter().map(|(_, guidance)| guidance.and_then(|guidance| guidance.remedy.as_ref()));
    let mut common = remedies.next()??.clone();
    for remedy in remedies {
        let remedy = remedy?;
        common.step_up = common.step_up.zip(remedy.step_up.as_ref()).and_then(|(one, other)| StepUp::and(one, other));
        common.access_request = common.access_request.filter(|_| remedy.access_request.is_some());
    }
    (!common.is_empty()).then_some(common)
}
