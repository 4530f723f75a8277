//! Why a question is answered as it is, and what would change the answer. Far too slow to decide by: each policy is taken
//! apart and put to Cedar itself, part by part.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cedar_policy::{AuthorizationError, Authorizer, Effect as Side, Entities, Policy, PolicyId, PolicySet as Policies};
use cedar_policy::{Request, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::evaluate::{Effect, EvaluateError, Evaluation};
use super::rule::Rule;
use super::stock::{Translator, own};
use super::{PolicySet, Question};
use crate::decision::entity::View;
use crate::decision::query::Query;

/// How many of the policies that nearly applied are shown.
const MOST_NEAR: usize = 20;

/// The parts of a policy's scope.
const SCOPE: [&str; 3] = ["principal", "action", "resource"];

/// An answer, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The answer.
    pub evaluation: Evaluation,
    /// The policies that decided.
    pub reasons: Vec<Reasoned>,
    /// Those that would have changed the answer and did not apply, the nearest first: permits of a denial, forbids of a
    /// permission.
    pub near: Vec<Near>,
    /// How many more there are of these.
    pub more_near: usize,
}

/// A policy that decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Reasoned {
    /// Its id.
    pub id: Arc<str>,
    /// As it is written.
    pub text: String,
    /// What the answer would be without it.
    pub without: Effect,
}

/// A policy that did not apply.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Near {
    /// Its id.
    pub id: Arc<str>,
    /// As it is written.
    pub text: String,
    /// What kept it from applying.
    pub unmet: Vec<Unmet>,
}

/// A part of a policy that does not hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unmet {
    /// `principal`, `action` or `resource` of its scope, or what must hold by a clause of a condition, as Cedar writes it.
    pub part: String,
    /// Why it has no value, if it has none.
    pub error: Option<String>,
}

impl PolicySet {
    /// Answers a question, and says why.
    ///
    /// # Errors
    /// [`EvaluateError`]: the schema does not allow such a question, or Cedar can't take it.
    pub fn explain(&self, query: &Query<'_>) -> Result<Explanation, EvaluateError> {
        let question = self.question(query)?;
        let asked = self.ask(&question);
        let evaluation = asked.evaluate().evaluation;
        let reasoned = |id: &Arc<str>| {
            let rule = self.rules.iter().find(|(_, rule)| rule.id == *id)?.1;
            Some(Reasoned { id: Arc::clone(id), text: rule.text().to_owned(), without: asked.without(id).effect })
        };
        let reasons = evaluation.policies.iter().filter_map(reasoned).collect();
        let side = if evaluation.effect == Effect::Permit { Side::Forbid } else { Side::Permit };
        let met: BTreeSet<&str> = asked.met().map(|rule| &*rule.id).collect();
        let rules: Vec<&Rule> = self.rules.iter().map(|(_, rule)| &**rule).collect();
        let others = rules.iter().copied().filter(|rule| rule.effect == side && !met.contains(&*rule.id));
        let bench = Bench::of(self, &question, &rules).map_err(EvaluateError::Schema)?;
        let (near, more_near) = bench.near(others).map_err(EvaluateError::Schema)?;
        Ok(Explanation { evaluation, reasons, near, more_near })
    }
}

/// Where parts of policies are tried.
struct Bench {
    request: Request,
    entities: Entities,
}

/// What became of the parts, by their place.
struct Tried {
    met: BTreeSet<usize>,
    failed: HashMap<usize, String>,
}

impl Bench {
    fn of(set: &PolicySet, question: &Question<'_>, rules: &[&Rule]) -> Result<Self, String> {
        let actions = &set.vocabulary.actions.entities;
        let view = View { stored: &set.entities, actions, brought: &question.brought };
        let translator = Translator { view, kinds: &set.vocabulary.kinds };
        let literals = rules.iter().filter_map(|rule| rule.stock()).flat_map(Policy::entity_literals);
        let named = question.named().into_iter().chain(literals.map(|uid| own(&uid))).collect();
        Ok(Self { request: translator.request(question)?, entities: translator.entities(named, usize::MAX)? })
    }

    /// Those whose scope fits but for one part at most, and what of each does not hold.
    fn near<'r>(&self, rules: impl Iterator<Item = &'r Rule>) -> Result<(Vec<Near>, usize), String> {
        let (mut bodies, mut parts) = (Vec::new(), Vec::new());
        for rule in rules {
            let body = rule.stock().and_then(|policy| policy.to_json().ok());
            let Some(Value::Object(body)) = body else { return Err(format!("`{}` can't be read again", rule.id)) };
            for part in SCOPE {
                let mut scope = anything();
                scope.extend(body.get(part).map(|constraint| (part.to_owned(), constraint.clone())));
                parts.push(scope);
            }
            bodies.push((rule, body));
        }
        let tried = self.try_all(parts)?;
        let mut found = Vec::new();
        for (place, (rule, body)) in bodies.iter().enumerate() {
            let unmet = (0..).zip(SCOPE).filter(|(part, _)| !tried.met.contains(&(place * SCOPE.len() + part)));
            let unmet: Vec<_> = unmet.map(|(_, part)| Unmet { part: part.to_owned(), error: None }).collect();
            if unmet.len() <= 1 {
                found.push((unmet, rule, body));
            }
        }
        found.sort_by_key(|(unmet, rule, _)| (unmet.len(), Arc::clone(&rule.id)));
        let more = found.len().saturating_sub(MOST_NEAR);
        let near = found.into_iter().take(MOST_NEAR).map(|(mut unmet, rule, body)| {
            unmet.extend(self.unmet_clauses(body)?);
            Ok(Near { id: Arc::clone(&rule.id), text: rule.text().to_owned(), unmet })
        });
        Ok((near.collect::<Result<_, String>>()?, more))
    }

    /// The clauses that do not hold, each tried by itself.
    fn unmet_clauses(&self, body: &Map<String, Value>) -> Result<Vec<Unmet>, String> {
        let conditions = body.get("conditions").and_then(Value::as_array);
        let clauses: Vec<_> = conditions.into_iter().flatten().flat_map(clauses).collect();
        let alone = |clause: &Value| {
            let mut policy = anything();
            policy.insert("conditions".to_owned(), json!([clause]));
            policy
        };
        let mut tried = self.try_all(clauses.iter().map(alone).collect())?;
        let unmet = clauses.iter().enumerate().filter(|(place, _)| !tried.met.contains(place));
        let unmet: Vec<_> = unmet.map(|(place, clause)| (place, written(&alone(clause), clause))).collect();
        Ok(unmet.into_iter().map(|(place, part)| Unmet { part, error: tried.failed.remove(&place) }).collect())
    }

    /// Which of these, as policies that permit, apply.
    fn try_all(&self, parts: Vec<Map<String, Value>>) -> Result<Tried, String> {
        let mut policies = Policies::new();
        for (place, part) in parts.into_iter().enumerate() {
            let policy = Policy::from_json(Some(PolicyId::new(place.to_string())), Value::Object(part));
            policies.add(policy.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
        }
        let response = Authorizer::new().is_authorized(&self.request, &policies, &self.entities);
        Ok(Tried::of(&response))
    }
}

impl Tried {
    fn of(response: &Response) -> Self {
        let place = |id: &PolicyId| id.to_string().parse().ok();
        let failed = response.diagnostics().errors().filter_map(|AuthorizationError::PolicyEvaluationError(error)| {
            Some((place(error.policy_id())?, error.inner().to_string()))
        });
        Self { met: response.diagnostics().reason().filter_map(place).collect(), failed: failed.collect() }
    }
}

/// A policy that permits everything, in Cedar's JSON.
fn anything() -> Map<String, Value> {
    let all = || json!({"op": "All"});
    let parts = [("effect", json!("permit")), ("conditions", json!([]))];
    parts.into_iter().chain(SCOPE.map(|part| (part, all()))).map(|(name, part)| (name.to_owned(), part)).collect()
}

/// A condition as the clauses that all must hold: what `when` joins by `&&`, and `unless` by `||`.
fn clauses(condition: &Value) -> Vec<Value> {
    let kind = condition.get("kind").and_then(Value::as_str).unwrap_or_default();
    let join = if kind == "unless" { "||" } else { "&&" };
    let (mut clauses, mut open) = (Vec::new(), Vec::from_iter(condition.get("body")));
    while let Some(body) = open.pop() {
        match body.get(join).map(|joined| (joined.get("left"), joined.get("right"))) {
            Some((Some(left), Some(right))) => open.extend([right, left]),
            _ => clauses.push(json!({"kind": kind, "body": body})),
        }
    }
    clauses
}

/// What must hold, as Cedar writes it, or else its JSON.
fn written(policy: &Map<String, Value>, clause: &Value) -> String {
    let policy = Policy::from_json(None, Value::Object(policy.clone())).ok();
    let text = policy.and_then(|policy| policy.to_cedar());
    let condition = text.as_deref().and_then(|text| text.split_once('{')?.1.rsplit_once('}'));
    condition.map_or_else(|| clause.to_string(), |(condition, _)| condition.trim().to_owned())
}

#[cfg(test)]
mod tests;
