//! Questions put to Cedar itself: those that the compiled form can't answer, and whole ones to compare.

use std::collections::HashSet;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Entities, Entity, EntityUid, PolicyId, PolicySet, Request, Response,
};

use super::question::Question;
use super::rule::Rule;
use crate::decision::entity::stock::Kinds;
use crate::decision::entity::{Known, Uid, View};
use crate::decision::value::Value;

/// What Cedar says of some rules, by their place in the list that it was asked about.
#[derive(Debug, Default)]
pub(super) struct Advice {
    /// Those that decide: of a permit and a forbid that both apply, only the forbid.
    pub(super) met: Vec<usize>,
    /// Those that fail, with Cedar's words for it.
    pub(super) failed: Vec<(usize, String)>,
}

/// Asks Cedar about `rules` alone. If even that fails, each of them has failed.
pub(super) fn consult(rules: &[&Rule], question: &Question<'_>, view: View<'_>, kinds: &Kinds) -> Advice {
    ask(rules, question, Translator { view, kinds }).unwrap_or_else(|why| Advice {
        met: Vec::new(),
        failed: (0..rules.len()).map(|rule| (rule, why.clone())).collect(),
    })
}

fn ask(rules: &[&Rule], question: &Question<'_>, translator: Translator<'_>) -> Result<Advice, String> {
    let mut policies = PolicySet::new();
    let mut named = question.named();
    for (number, rule) in rules.iter().enumerate() {
        let policy = rule.stock().ok_or("the policy can't be read again")?;
        named.extend(policy.entity_literals().iter().map(own));
        policies.add(policy.new_id(PolicyId::new(number.to_string()))).map_err(|error| error.to_string())?;
    }
    let steps = rules.iter().map(|rule| rule.steps).max().unwrap_or(0);
    let entities = translator.entities(named, steps)?;
    let response = Authorizer::new().is_authorized(&translator.request(question)?, &policies, &entities);
    advice(&response)
}

fn advice(response: &Response) -> Result<Advice, String> {
    let number = |id: &PolicyId| id.to_string().parse::<usize>().map_err(|error| error.to_string());
    let met: Result<_, _> = response.diagnostics().reason().map(number).collect();
    let failed = response.diagnostics().errors().map(|AuthorizationError::PolicyEvaluationError(error)| {
        Ok((number(error.policy_id())?, error.inner().to_string()))
    });
    Ok(Advice { met: met?, failed: failed.collect::<Result<_, String>>()? })
}

impl Question<'_> {
    /// The entities that it names.
    pub(super) fn named(&self) -> Vec<Uid> {
        let mut named: Vec<_> = [self.principal, self.action_uid, self.resource].map(|uid| uid.to_owned()).into();
        self.context.iter().for_each(|(_, value)| references(value, &mut named));
        named
    }
}

/// From our form of a question to Cedar's.
#[derive(Clone, Copy)]
pub(super) struct Translator<'a> {
    pub(super) view: View<'a>,
    pub(super) kinds: &'a Kinds,
}

/// The schema rules this out.
const FOREIGN: &str = "a value that Cedar does not have";

impl Translator<'_> {
    pub(super) fn request(&self, question: &Question<'_>) -> Result<Request, String> {
        let fields = question.context.iter().map(|(name, value)| self.kinds.field(name.as_str(), value));
        let context = Context::from_pairs(fields.collect::<Option<Vec<_>>>().ok_or(FOREIGN)?);
        let uid = |uid| self.kinds.uid(uid).ok_or(FOREIGN);
        let (principal, action) = (uid(question.principal)?, uid(question.action_uid)?);
        let context = context.map_err(|error| error.to_string())?;
        Request::new(principal, action, uid(question.resource)?, context, None).map_err(|error| error.to_string())
    }

    /// The entities that can be reached from `named` in so many steps.
    pub(super) fn entities(&self, named: Vec<Uid>, steps: usize) -> Result<Entities, String> {
        let (mut entities, mut seen, mut reached) = (Vec::new(), HashSet::new(), named);
        for _ in 0..=steps {
            if reached.is_empty() {
                break;
            }
            let mut next = Vec::new();
            for uid in reached {
                if let Some(known) = self.view.get(uid.as_ref())
                    && seen.insert(uid.clone())
                {
                    known.attributes().chain(known.tags()).for_each(|(_, value)| references(value, &mut next));
                    entities.push(self.entity(&uid, &known).ok_or(FOREIGN)?);
                }
            }
            reached = next;
        }
        Entities::from_entities(entities, None).map_err(|error| error.to_string())
    }

    fn entity(&self, uid: &Uid, known: &Known<'_>) -> Option<Entity> {
        let lineage = self.view.lineage(uid.as_ref());
        let attributes = known.attributes().map(|(name, value)| self.kinds.field(name, value)).collect::<Option<_>>();
        let tags = known.tags().map(|(name, value)| self.kinds.field(name, value)).collect::<Option<_>>();
        self.kinds.entity(uid.as_ref(), lineage.iter().skip(1), attributes?, tags?)
    }
}

pub(super) fn own(uid: &EntityUid) -> Uid {
    Uid::new(uid.type_name().to_string().into(), uid.id().unescaped())
}

pub(super) fn references(value: &Value<'_>, found: &mut Vec<Uid>) {
    match value {
        Value::Entity(uid) => found.push(uid.clone()),
        Value::Set(set) => set.iter().for_each(|value| references(value, found)),
        Value::Record(record) => record.iter().for_each(|(_, value)| references(value, found)),
        Value::Bool(_) | Value::Long(_) | Value::Text(_) | Value::Extension(_) => {}
    }
}
