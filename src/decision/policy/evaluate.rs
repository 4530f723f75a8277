//! One question put to Cedar. Cedar skips a policy that fails to evaluate, whichever side it is on; here a `forbid`
//! that fails forbids, and both sides' failures are told.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use cedar_policy::{AuthorizationError, Context, EntityTypeName, EntityUid, Request, Response};
use serde_json::{Map, Value};

use super::entities::{Described, chain, collect_references};
use super::value::declared;
use super::{PolicySet, uid};
use crate::decision::query::{Entity, Query};
use crate::decision::schema::{RecordType, Type};
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

impl PolicySet {
    /// Puts a question to the policies.
    ///
    /// # Errors
    /// [`EvaluateError`]: the schema does not allow such a question.
    pub fn evaluate(&self, query: &Query) -> Result<Evaluation, EvaluateError> {
        let name = query.action.name.as_str();
        let known = self.actions.get(name).zip(self.types.actions.get(name));
        let (action, types) = known.ok_or_else(|| EvaluateError::UnknownAction(printable(name, MESSAGE_LIMIT)))?;
        let principal = self.uid(&query.subject.kind, &query.subject.id)?;
        let resource = self.uid(&query.resource.kind, &query.resource.id)?;
        let (context, references) = self.context(query, &types.context)?;
        let request = Request::new(principal, action.clone(), resource, context, Some(&self.schema))
            .map_err(|error| mismatch(&chain(&error)))?;
        let entities =
            self.entities.view(self.describe(query)?, references, &self.schema).map_err(|what| mismatch(&what))?;
        Ok(self.judge(&self.authorizer.is_authorized(&request, &self.policies, &entities)))
    }

    fn judge(&self, response: &Response) -> Evaluation {
        let mut determining: BTreeSet<Arc<str>> = BTreeSet::new();
        let mut failed_forbids: BTreeSet<Arc<str>> = BTreeSet::new();
        let mut errors: BTreeSet<Arc<str>> = BTreeSet::new();
        for error in response.diagnostics().errors() {
            let AuthorizationError::PolicyEvaluationError(error) = error;
            let id = error.policy_id().to_string();
            let message = printable(&error.inner().to_string(), MESSAGE_LIMIT);
            errors.insert(format!("{id}: {message}").into());
            // A policy that is not known here can't be shown to be a permit.
            match self.effects.get(&id) {
                Some((_, cedar_policy::Effect::Permit)) => {}
                Some((id, cedar_policy::Effect::Forbid)) => drop(failed_forbids.insert(Arc::clone(id))),
                None => drop(failed_forbids.insert(id.into())),
            }
        }
        for id in response.diagnostics().reason() {
            let id = id.to_string();
            determining.insert(self.effects.get(&id).map_or_else(|| id.clone().into(), |(id, _)| Arc::clone(id)));
        }
        let (effect, policies) = match response.decision() {
            cedar_policy::Decision::Deny if !determining.is_empty() => (Effect::Forbid, determining),
            _ if !failed_forbids.is_empty() => (Effect::ForbidFailed, failed_forbids),
            cedar_policy::Decision::Allow => (Effect::Permit, determining),
            cedar_policy::Decision::Deny => (Effect::NoPermit, BTreeSet::new()),
        };
        Evaluation { effect, policies: policies.into_iter().collect(), errors: errors.into_iter().collect() }
    }

    fn kind(&self, name: &str) -> Result<&EntityTypeName, EvaluateError> {
        self.kinds.get(name).ok_or_else(|| mismatch(&format!("the schema has no entity type `{name}`")))
    }

    fn uid(&self, kind: &str, id: &str) -> Result<EntityUid, EvaluateError> {
        self.kind(kind).map(|kind| uid(kind, id))
    }

    /// The context as the action declares it, and the entities that it names. What is not declared is left out;
    /// `context.action` is what the caller says of the action, never what it says of the context.
    fn context(&self, query: &Query, types: &RecordType) -> Result<(Context, Vec<EntityUid>), EvaluateError> {
        let mut pairs = self.declared(types, &query.context, "context")?;
        pairs.retain(|(name, _)| name != "action");
        if let Some(attribute) = types.get("action")
            && let Type::Record(record) = &attribute.kind
            && (attribute.required || !query.action.properties.is_empty())
        {
            let properties = self.declared(record, &query.action.properties, "context.action")?;
            let action =
                cedar_policy::RestrictedExpression::new_record(properties).map_err(|error| mismatch(&chain(&error)))?;
            pairs.push(("action".to_owned(), action));
        }
        let names: Vec<_> = pairs.iter().map(|(name, _)| name.clone()).collect();
        let context = Context::from_pairs(pairs).map_err(|error| mismatch(&chain(&error)))?;
        let mut references = Vec::new();
        for value in names.iter().filter_map(|name| context.get(name)) {
            collect_references(&value, &mut references);
        }
        Ok((context, references))
    }

    /// All that the question says of entities, one description for each.
    fn describe(&self, query: &Query) -> Result<Vec<Described>, EvaluateError> {
        let mut described: HashMap<EntityUid, Described> = HashMap::new();
        for entity in [&query.subject, &query.resource].into_iter().chain(&query.extra) {
            let next = self.describe_one(entity)?;
            match described.entry(next.uid.clone()) {
                std::collections::hash_map::Entry::Vacant(free) => drop(free.insert(next)),
                std::collections::hash_map::Entry::Occupied(mut taken) => {
                    let first = taken.get_mut();
                    first.parents.extend(next.parents);
                    for (name, value) in next.attributes {
                        let kept = first.attributes.entry(name).or_insert_with(|| value.clone());
                        if *kept != value {
                            return Err(mismatch(&format!("the entity {entity} is described in two ways")));
                        }
                    }
                }
            }
        }
        Ok(described.into_values().collect())
    }

    fn describe_one(&self, entity: &Entity) -> Result<Described, EvaluateError> {
        let uid = self.uid(&entity.kind, &entity.id)?;
        let nothing = RecordType::new();
        let types = self.types.entities.get(entity.kind.as_str()).map_or(&nothing, |kind| &kind.attributes);
        let attributes = self.declared(types, &entity.properties, &entity.kind)?;
        let parents: Result<HashSet<_>, _> =
            entity.parents.iter().map(|parent| self.uid(&parent.kind, &parent.id)).collect();
        Ok(Described { uid, attributes: attributes.into_iter().collect(), parents: parents? })
    }

    fn declared(
        &self,
        types: &RecordType,
        given: &Map<String, Value>,
        place: &str,
    ) -> Result<Vec<(String, cedar_policy::RestrictedExpression)>, EvaluateError> {
        declared(types, given, place, &self.kinds).map_err(|error| mismatch(&error.to_string()))
    }
}

fn mismatch(what: &str) -> EvaluateError {
    EvaluateError::Schema(printable(what, MESSAGE_LIMIT))
}

#[cfg(test)]
mod tests;
