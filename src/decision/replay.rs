//! A recorded decision, made again: the question as its record has it, put to the policies that were in force then. What
//! the record does not have can't be made up, so a replay always says how much of it is certain.

use std::path::Path;
use std::thread;

use serde::Serialize;
use serde_json::{Map, Value};

use super::authorize::reason_of;
use super::mapping::complete;
use super::policy::canonical::{Kept, entity_named};
use super::policy::explain::Explanation;
use super::policy::source::Sources;
use super::policy::{EvaluateError, LoadError, PolicySet};
use super::query::{Action, Query};
use super::reason::Reason;
use super::recording::{CONTEXT_DIGEST, REQUEST};
use crate::evidence::disclosure::DisclosureError;
use crate::evidence::log::{Archive, LogError, Shelf};
use crate::evidence::{DecisionRecord, DisclosureKey};
use crate::foundation::digest::Digest;

/// The stack that the longest policy which loads may need, in bytes.
const STACK: usize = 64 << 20;

/// How much of the question is what was asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// The record has all of it.
    Recorded,
    /// It was put together from the record's fields, and its digest is the record's: nothing is missing.
    Rebuilt,
    /// It was put together from what the record has, and something is missing.
    Incomplete,
}

/// How much of the entities is what was there.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Entities {
    /// The record has all that the decision could look at.
    Recorded,
    /// Those of the policy directory, as they were. What other sources had then is not kept.
    Directory,
    /// None: not even those of the policy directory are kept any more.
    Missing,
}

/// A decision that was made again.
#[derive(Debug)]
pub struct Replay {
    /// How much of the question is what was asked.
    pub request: Request,
    /// How much of the entities is what was there.
    pub entities: Entities,
    /// What comes out, and why; or why the question can't be put to the policies.
    pub explanation: Result<Explanation, EvaluateError>,
    /// Whether it is what was recorded: the same reason by the same policies.
    pub agrees: bool,
}

/// Why a decision can't be made again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It was not made by policies.
    #[error("no policy was asked: the question was refused before, as `{0}`")]
    NotAsked(String),
    /// Policies decided about whoever asked. What they were asked about that is not in the record.
    #[error(
        "the policies did not let whoever asked ask this, so none was asked the question itself; what they were asked          about the caller is not recorded"
    )]
    Caller,
    /// The policies are gone.
    #[error("the policy set {0} is not kept any more")]
    NoPolicies(Digest),
    /// What is kept is not what it was.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The policies can't be compiled by this program, or the entities do not fit them.
    #[error("the policy set can't be compiled again: {0}")]
    Policies(#[from] LoadError),
    /// A redacted field can't be opened.
    #[error(transparent)]
    Sealed(#[from] DisclosureError),
    /// The question is not the one that the record's digest is of.
    #[error("the recorded question is not the one that the recorded digest is of")]
    OtherQuestion,
    /// The question can't be read.
    #[error("{0}")]
    NoQuestion(String),
    /// It failed within.
    #[error("the replay failed within")]
    Fault,
}

/// Makes the decision of `record`, which must itself be proved, again. `key` opens what is redacted.
///
/// # Errors
/// [`ReplayError`].
pub fn replay(
    record: &DecisionRecord<'_>,
    archive: &Archive,
    key: Option<&DisclosureKey>,
) -> Result<Replay, ReplayError> {
    let work = || Replayed { record, archive, key }.run();
    thread::scope(|scope| {
        let started = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        started.ok().and_then(|thread| thread.join().ok()).unwrap_or(Err(ReplayError::Fault))
    })
}

struct Replayed<'r> {
    record: &'r DecisionRecord<'r>,
    archive: &'r Archive,
    key: Option<&'r DisclosureKey>,
}

impl Replayed<'_> {
    fn run(&self) -> Result<Replay, ReplayError> {
        let asked = [
            Reason::Permitted,
            Reason::NoPermit,
            Reason::Forbidden,
            Reason::ForbidFailed,
            Reason::UnknownAction,
            Reason::SchemaMismatch,
            // They permit, on conditions that could not be met.
            Reason::UnmetObligation,
        ];
        if self.record.reason == Reason::CallerNotPermitted.name() {
            return Err(ReplayError::Caller);
        }
        if !asked.iter().any(|reason| reason.name() == self.record.reason) {
            return Err(ReplayError::NotAsked(self.record.reason.clone().into_owned()));
        }
        let (query, request, recorded) = self.question()?;
        let (set, entities) = self.policies(recorded.as_ref())?;
        let explanation = set.explain(&query);
        let (reason, policies) = match &explanation {
            Ok(found) => (reason_of(found.evaluation.effect), &*found.evaluation.policies),
            Err(EvaluateError::UnknownAction(_)) => (Reason::UnknownAction, &[][..]),
            Err(EvaluateError::Schema(_)) => (Reason::SchemaMismatch, &[][..]),
        };
        let was = match &*self.record.reason {
            unmet if unmet == Reason::UnmetObligation.name() => Reason::Permitted.name(),
            other => other,
        };
        let agrees = reason.name() == was && *policies == *self.record.policies;
        Ok(Replay { request, entities, explanation, agrees })
    }

    /// The question, how much of it is what was asked, and the entities if they are recorded with it.
    fn question(&self) -> Result<(Query<'static>, Request, Option<Value>), ReplayError> {
        let digest = self.digest()?;
        if let Some(text) = self.value(REQUEST)? {
            let kept = Kept::parse(&text).map_err(|error| ReplayError::NoQuestion(error.to_string()))?;
            if digest.is_some_and(|digest| digest != kept.query.digest()) {
                return Err(ReplayError::OtherQuestion);
            }
            return Ok((kept.query, Request::Recorded, kept.entities));
        }
        let query = self.rebuilt()?;
        let request = if digest == Some(query.digest()) { Request::Rebuilt } else { Request::Incomplete };
        Ok((query, request, None))
    }

    /// A question of what the record has.
    fn rebuilt(&self) -> Result<Query<'static>, ReplayError> {
        let named = |text: &str| {
            entity_named(text).ok_or_else(|| ReplayError::NoQuestion(format!("`{text}` does not name an entity")))
        };
        let mut context = Map::new();
        for field in self.record.fields.iter().flatten() {
            if let Some(path) = field.name.strip_prefix("context.")
                && let Some(text) = self.value(&field.name)?
                && let Ok(value) = serde_json::from_str(&text)
            {
                insert(&mut context, path, value);
            }
        }
        let mut query = Query {
            subject: named(&self.record.principal)?,
            action: Action::named(self.record.action.clone().into_owned()),
            resource: named(&self.record.resource)?,
            context: context.into(),
            extra: Vec::new(),
        };
        complete(&mut query).map_err(|refusal| ReplayError::NoQuestion(refusal.detail().to_owned()))?;
        Ok(query)
    }

    /// The digest of the question, if it is there to be read.
    fn digest(&self) -> Result<Option<Digest>, ReplayError> {
        if self.record.context_digest.is_some() {
            return Ok(self.record.context_digest);
        }
        let text = self.value(CONTEXT_DIGEST)?.and_then(|text| serde_json::from_str::<String>(&text).ok());
        let mut bytes = [0; 32];
        let decoded = text.map(|text| hex::decode_to_slice(text, &mut bytes));
        Ok(decoded.and_then(Result::ok).map(|()| Digest::from_bytes(bytes)))
    }

    /// The value of a field, if it is there and can be read with what we have.
    fn value(&self, name: &str) -> Result<Option<String>, ReplayError> {
        let Some(field) = self.record.field(name) else { return Ok(None) };
        match (&field.value, &field.sealed, self.key) {
            (Some(value), ..) => Ok(Some(value.clone())),
            (None, Some(_), Some(key)) => Ok(Some(key.open(self.record, name, None)?.value)),
            _ => Ok(None),
        }
    }

    /// The policies as they were, over these entities, or else over those of their directory.
    fn policies(&self, recorded: Option<&Value>) -> Result<(PolicySet, Entities), ReplayError> {
        let digest = self.record.policy_digest.ok_or_else(|| ReplayError::NotAsked(self.record.reason.to_string()))?;
        let policies = self.archive.find(Shelf::Policies, &digest)?.ok_or(ReplayError::NoPolicies(digest))?;
        let own = self.record.entity_digest.map(|digest| self.archive.find(Shelf::Entities, &digest)).transpose()?;
        let own = own.flatten();
        let entities = match (recorded, &own) {
            (Some(_), _) => Entities::Recorded,
            (None, Some(_)) => Entities::Directory,
            (None, None) => Entities::Missing,
        };
        let name = format!("{}/{digest}", Shelf::Policies.name());
        let archives = [&*policies, own.as_deref().unwrap_or_default()];
        let sources = Sources::of_archives(Path::new(&name), &archives).ok_or(ReplayError::NoPolicies(digest))?;
        let sources = match recorded {
            Some(entities) => sources.with_entities(&entities.to_string()),
            None => sources,
        };
        Ok((PolicySet::compile(&sources)?, entities))
    }
}

/// Puts a value where a path of names leads.
fn insert(object: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => drop(object.insert(path.to_owned(), value)),
        Some((first, rest)) => {
            let inner = object.entry(first).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
