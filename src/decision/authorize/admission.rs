//! Whether those who ask may: decided on the same line as what they ask, before it.

use super::{Answer, Asker, Authorizer, Effect, Proofs, Question};
use crate::decision::caller::admission::{self, SEARCH};
use crate::decision::query::Query;
use crate::decision::reason::Reason;
use crate::decision::request::Refusal;

impl Authorizer {
    /// Whether `by` may ask `query`, which `question` goes on with: nothing if so, or if that is everybody's to ask; else
    /// the answer that says which policies decided so. Nobody is there to do what a permit demands, so one that demands
    /// anything is none. No fault of the question for the policies is anybody's permission. Where it is nobody's to decide, no
    /// policy is asked.
    pub(super) fn admit(
        &self,
        by: Asker<'_>,
        action: &'static str,
        query: &Query<'_>,
        question: &mut Question<'_>,
    ) -> Result<Option<Answer>, Refusal> {
        if by.exempt || !question.policies.decides_on_callers() {
            return Ok(None);
        }
        let refused = |why: &dyn std::fmt::Display| Refusal::new(Reason::CallerNotPermitted, why, "");
        let Some(caller) = by.caller else { return Err(refused(&"nobody is known to ask")) };
        let asks = admission::question((caller, by), action, query, question.policies.types());
        let asks = asks.map_err(|error| refused(&error))?;
        let proofs = Proofs { leaf: caller.leaf(), token: caller.token() };
        let answer = self.settle(&asks, asks.digest(), proofs, question).map_err(|error| refused(&error))?;
        if answer.evaluation.effect == Effect::Permit && !answer.evaluation.has_obligations() {
            question.errors_of_admission.extend(answer.evaluation.errors.iter().cloned());
            return Ok(None);
        }
        Ok(Some(Answer { reason: Reason::CallerNotPermitted, ..answer }))
    }

    /// Whether `by` may search for what `query` leaves open, by the policies of `question`, which is the search.
    pub(in crate::decision) fn may_search(
        &self,
        by: Asker<'_>,
        query: &Query<'_>,
        question: &mut Question<'_>,
    ) -> bool {
        match self.admit(by, SEARCH, query, question) {
            Ok(answer) => answer.is_none(),
            Err(refusal) => {
                tracing::debug!("refused a search: {}", refusal.detail());
                false
            }
        }
    }
}
