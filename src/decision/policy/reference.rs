//! What plain Cedar says of a question when it is given all policies: without the index, the programs and the cache.
//! Far too slow to decide, and the measure of what does.

use std::sync::Arc;

use cedar_policy::{
    AuthorizationError, Authorizer, Decision, Effect as Side, PolicyId, PolicySet as Policies, Response,
};

use super::evaluate::{Effect, Evaluation};
use super::rules::Rules;
use super::stock::{Translator, own};
use super::{PolicySet, Question};
use crate::decision::entity::{Uid, View};
use crate::decision::query::Query;
use crate::foundation::aside::Aside;

/// All policies of one state, as Cedar has them.
#[derive(Debug)]
pub struct Reference {
    rules: Arc<Aside<Rules>>,
    policies: Policies,
    /// What the policies name.
    named: Vec<Uid>,
}

/// Cedar's answer, except that a `forbid` which fails forbids.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Opinion {
    /// What the policies say.
    pub effect: Effect,
    /// The ids of the policies that decide, sorted.
    pub policies: Vec<String>,
    /// The ids of those that fail to evaluate, sorted.
    pub failed: Vec<String>,
}

impl Reference {
    /// The policies of `set`. Takes as long as reading them all once more.
    ///
    /// # Errors
    /// What Cedar can't take of what it took before.
    pub fn of(set: &PolicySet) -> Result<Self, String> {
        let (mut policies, mut named) = (Policies::new(), Vec::new());
        for (_, rule) in set.rules.iter() {
            let policy = rule.stock().ok_or_else(|| format!("the policy `{}` can't be read again", rule.id))?;
            named.extend(policy.entity_literals().iter().map(own));
            policies.add(policy.clone()).map_err(|error| error.to_string())?;
        }
        named.sort_unstable();
        named.dedup();
        Ok(Self { rules: Arc::clone(&set.rules), policies, named })
    }

    /// Whether the policies of `set` are these.
    pub fn is_of(&self, set: &PolicySet) -> bool {
        Arc::ptr_eq(&self.rules, &set.rules)
    }

    /// Puts `query` to these policies over the entities of `set`, whose policies they are.
    ///
    /// # Errors
    /// Why the question can't be put to Cedar.
    pub fn evaluate(&self, set: &PolicySet, query: &Query<'_>) -> Result<Opinion, String> {
        let question = set.question(query).map_err(|error| error.to_string())?;
        let translator = Translator { view: view(set, &question), kinds: &set.vocabulary.kinds };
        let named = question.named().into_iter().chain(self.named.iter().cloned()).collect();
        let entities = translator.entities(named, usize::MAX)?;
        let response = Authorizer::new().is_authorized(&translator.request(&question)?, &self.policies, &entities);
        Ok(self.opinion(&response))
    }

    fn opinion(&self, response: &Response) -> Opinion {
        let mut failed: Vec<_> = response.diagnostics().errors().map(id_of_failed).collect();
        let mut reasons: Vec<_> = response.diagnostics().reason().map(ToString::to_string).collect();
        failed.sort_unstable();
        reasons.sort_unstable();
        let forbids =
            |id: &&String| self.policies.policy(&PolicyId::new(id)).is_none_or(|known| known.effect() == Side::Forbid);
        let failed_forbids: Vec<_> = failed.iter().filter(forbids).cloned().collect();
        let (effect, policies) = match response.decision() {
            Decision::Deny if !reasons.is_empty() => (Effect::Forbid, reasons),
            _ if !failed_forbids.is_empty() => (Effect::ForbidFailed, failed_forbids),
            Decision::Allow => (Effect::Permit, reasons),
            Decision::Deny => (Effect::NoPermit, Vec::new()),
        };
        Opinion { effect, policies, failed }
    }
}

impl Opinion {
    /// Whether `evaluation` says the same, whatever the words of its errors.
    pub fn agrees_with(&self, evaluation: &Evaluation) -> bool {
        let same = |ours: &[Arc<str>]| ours.iter().map(AsRef::as_ref).eq(self.policies.iter().map(String::as_str));
        self.effect == evaluation.effect && same(&evaluation.policies) && self.names_the_failures_of(evaluation)
    }

    /// Each error is `id: message`, and an id can hold anything, so the longest ids choose first.
    fn names_the_failures_of(&self, evaluation: &Evaluation) -> bool {
        let mut errors: Vec<&str> = evaluation.errors.iter().map(AsRef::as_ref).collect();
        let mut failed: Vec<&String> = self.failed.iter().collect();
        failed.sort_unstable_by_key(|id| std::cmp::Reverse(id.len()));
        let is_of = |error: &str, id: &str| error.strip_prefix(id).is_some_and(|rest| rest.starts_with(": "));
        let all = failed.iter().all(|id| {
            let place = errors.iter().position(|error| is_of(error, id));
            place.map(|place| errors.swap_remove(place)).is_some()
        });
        all && errors.is_empty()
    }
}

fn view<'a>(set: &'a PolicySet, question: &'a Question<'a>) -> View<'a> {
    View { stored: &set.entities, actions: &set.vocabulary.actions.entities, brought: &question.brought }
}

fn id_of_failed(error: &AuthorizationError) -> String {
    let AuthorizationError::PolicyEvaluationError(error) = error;
    error.policy_id().to_string()
}
