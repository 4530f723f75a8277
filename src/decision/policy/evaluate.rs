//! One question put to the policies: the index finds those that it may meet, their compiled conditions are run, and
//! what these can't tell is asked of Cedar itself.
//!
//! Cedar skips a policy that fails to evaluate, whichever side it is on; here a `forbid` that fails forbids, and both
//! sides' failures are told.

use std::sync::Arc;
use std::time::Duration;

use cedar_policy::Effect as Side;
use smallvec::SmallVec;

use super::PolicySet;
use super::index::Candidates;
use super::program::Scene;
use super::question::{Question, Typist};
use super::rule::Rule;
use super::stock;
use crate::decision::cache::Fresh;
use crate::decision::entity::{Lineage, View};
use crate::decision::guidance::{self, Guidance};
use crate::decision::query::Query;
use crate::foundation::telemetry::printable;

/// How much of a message is kept, in bytes: it goes into a record of every such decision.
const MESSAGE_LIMIT: usize = 512;

/// What the policies say.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Effect {
    /// A policy permits, and none forbids or fails to.
    Permit,
    /// No policy permits.
    NoPermit,
    /// A policy forbids.
    Forbid,
    /// A forbidding policy failed to evaluate, which forbids.
    ForbidFailed,
}

/// What the policies say, and which of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Evaluation {
    /// What they say. Only [`Effect::Permit`] lets anything through.
    pub effect: Effect,
    /// The ids of the policies that decided, sorted; none for [`Effect::NoPermit`].
    pub policies: Arc<[Arc<str>]>,
    /// The policies that failed to evaluate, as `id: message`, sorted.
    pub errors: Arc<[Arc<str>]>,
    /// What the policies that decided want said and done.
    pub guidance: Option<Arc<Guidance>>,
}

impl Evaluation {
    /// What must be done by whoever enforces it; nothing, for most.
    pub fn has_obligations(&self) -> bool {
        self.guidance.as_ref().is_some_and(|guidance| !guidance.obligations.is_empty())
    }
}

/// The question can't be put to the policies. It must be answered with no.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EvaluateError {
    /// The schema has no such action.
    #[error("the schema has no action `{0}`")]
    UnknownAction(String),
    /// A type is unknown, or something is not of the type that the schema gives it.
    #[error("{0}")]
    Schema(String),
}

/// A question with all that it takes to answer it.
#[derive(Debug)]
pub struct Asked<'a> {
    set: &'a PolicySet,
    question: &'a Question<'a>,
    view: View<'a>,
    principal: Lineage<'a>,
    action: Lineage<'a>,
    resource: Lineage<'a>,
    candidates: Candidates,
}

/// The rules that apply and those that fail.
#[derive(Debug, Default)]
struct Judgement<'a> {
    permits: SmallVec<[&'a Rule; 4]>,
    forbids: SmallVec<[&'a Rule; 4]>,
    failed_forbids: Vec<&'a Rule>,
    errors: Vec<Arc<str>>,
}

impl PolicySet {
    /// Puts a question to the policies.
    ///
    /// # Errors
    /// [`EvaluateError`]: the schema does not allow such a question.
    pub fn evaluate(&self, query: &Query<'_>) -> Result<Evaluation, EvaluateError> {
        Ok(self.ask(&self.question(query)?).evaluate().evaluation)
    }

    /// The question as the schema types it.
    ///
    /// # Errors
    /// [`EvaluateError`]: the schema does not allow such a question.
    pub fn question<'a>(&'a self, query: &'a Query<'_>) -> Result<Question<'a>, EvaluateError> {
        let (types, actions) = (&self.vocabulary.types, &self.vocabulary.actions);
        Typist::new(types, actions, &self.entities).question(query)
    }

    /// Finds the policies that the question may meet.
    pub fn ask<'a>(&'a self, question: &'a Question<'a>) -> Asked<'a> {
        let actions = &self.vocabulary.actions.entities;
        let view = View { stored: &self.entities, actions, brought: &question.brought };
        let (principal, resource) = (view.lineage(question.principal), view.lineage(question.resource));
        let mut candidates = Candidates::new();
        self.rules.index().candidates(&principal, question.action, &resource, &mut candidates);
        let action = view.lineage(question.action_uid);
        Asked { set: self, question, view, principal, action, resource, candidates }
    }
}

impl<'a> Asked<'a> {
    /// The answer.
    pub fn evaluate(&self) -> Fresh {
        self.judged(|_| true)
    }

    /// What the answer would be if there were no policy of this id.
    pub(super) fn without(&self, id: &str) -> Evaluation {
        self.judged(|rule| *rule.id != *id).evaluation
    }

    /// Those that apply.
    pub(super) fn met(&self) -> impl Iterator<Item = &'a Rule> {
        let judgement = self.judgement(|_| true).0;
        judgement.permits.into_iter().chain(judgement.forbids)
    }

    fn judged(&self, counts: impl Fn(&Rule) -> bool) -> Fresh {
        let (judgement, told) = self.judgement(counts);
        let cacheable = judgement.errors.is_empty() && told;
        Fresh { evaluation: judgement.evaluation(), cacheable }
    }

    /// What becomes of the rules that count, and whether the key has all that it depends on.
    fn judgement(&self, counts: impl Fn(&Rule) -> bool) -> (Judgement<'a>, bool) {
        let scene = self.scene();
        let mut judgement = Judgement::default();
        let mut unsure: SmallVec<[&'a Rule; 4]> = SmallVec::new();
        for rule in self.rules().filter(|rule| counts(rule)) {
            match scene.all(rule.conditions.iter().map(AsRef::as_ref)) {
                Ok(true) => judgement.met(rule),
                Ok(false) => {}
                Err(_gave_up) => unsure.push(rule),
            }
        }
        if !unsure.is_empty() {
            self.consult(&unsure, &mut judgement);
        }
        // What Cedar was asked about can depend on more than the key has, unless the key has everything.
        (judgement, unsure.iter().all(|rule| rule.reads.anything))
    }

    /// For how long the answer may be kept by what the policies themselves say, which can be not at all; `None` if they
    /// do not say.
    pub fn keep(&self) -> Option<Duration> {
        self.rules().filter_map(|rule| rule.keep).min()
    }

    /// How many ancestors subject and resource have.
    pub(super) const fn ancestors(&self) -> usize {
        self.principal.len() + self.resource.len() - 2
    }

    pub(super) const fn question(&self) -> &'a Question<'a> {
        self.question
    }

    /// The rules that the question may meet.
    pub(super) fn rules(&self) -> impl Iterator<Item = &'a Rule> {
        let set = self.set;
        self.candidates.iter().filter_map(move |number| set.rules.get(*number))
    }

    pub(super) fn scene<'s>(&'s self) -> Scene<'s>
    where
        'a: 's,
    {
        Scene {
            principal: &self.principal,
            action: &self.action,
            resource: &self.resource,
            context: &self.question.context,
            entities: self.view,
        }
    }

    fn consult(&self, unsure: &[&'a Rule], judgement: &mut Judgement<'a>) {
        let advice = stock::consult(unsure, self.question, self.view, &self.set.vocabulary.kinds);
        advice.met.iter().filter_map(|rule| unsure.get(*rule)).for_each(|rule| judgement.met(rule));
        for (rule, message) in &advice.failed {
            if let Some(rule) = unsure.get(*rule) {
                judgement.failed(rule, message);
            }
        }
    }
}

impl<'a> Judgement<'a> {
    fn met(&mut self, rule: &'a Rule) {
        match rule.effect {
            Side::Permit => self.permits.push(rule),
            Side::Forbid => self.forbids.push(rule),
        }
    }

    fn failed(&mut self, rule: &'a Rule, message: &str) {
        let message = printable(message, MESSAGE_LIMIT);
        self.errors.push(format!("{}: {message}", rule.id).into());
        if rule.effect == Side::Forbid {
            self.failed_forbids.push(rule);
        }
    }

    fn evaluation(mut self) -> Evaluation {
        let (effect, rules) = if !self.forbids.is_empty() {
            (Effect::Forbid, &*self.forbids)
        } else if !self.failed_forbids.is_empty() {
            (Effect::ForbidFailed, &*self.failed_forbids)
        } else if !self.permits.is_empty() {
            (Effect::Permit, &*self.permits)
        } else {
            (Effect::NoPermit, &[][..])
        };
        let said = rules.iter().map(|rule| (&rule.id, rule.guidance.as_ref()));
        // What could not be evaluated might deny whatever the user does.
        let is_remediable = effect == Effect::Forbid && !self.permits.is_empty() && self.failed_forbids.is_empty();
        let guidance = guidance::merge(said, is_remediable);
        let policies = match rules {
            [] => Arc::default(),
            [rule] => Arc::clone(&rule.alone),
            _ => ids(rules),
        };
        self.errors.sort_unstable();
        Evaluation { effect, policies, errors: self.errors.into(), guidance }
    }
}

fn ids(rules: &[&Rule]) -> Arc<[Arc<str>]> {
    let mut ids: Vec<_> = rules.iter().map(|rule| Arc::clone(&rule.id)).collect();
    ids.sort_unstable();
    ids.into()
}

#[cfg(test)]
mod tests;
