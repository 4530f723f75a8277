//! A question as the schema types it: every name is of a type that the schema has, every value of the type that the
//! schema gives it, and nothing is left in it that no policy could read.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::EvaluateError;
use super::actions::Actions;
use super::index::Party;
use crate::decision::entity::{Brought, Entities, UidRef, View};
use crate::decision::query::{Entity, EntityRef, Overlay, Properties, Query};
use crate::decision::schema::{ActionType, EntityType, RecordType, SchemaTypes, Type};
use crate::decision::value::read::{Place, ValueError, declared, read_property};
use crate::decision::value::{Record, Text, Value};
use crate::foundation::telemetry::printable;

/// How much of a message is kept, in bytes.
const MESSAGE_LIMIT: usize = 512;

/// How many types are kept at hand: caller and resource, and what each of the two is in.
const RECENT: usize = 4;

/// A question that fits the schema. It borrows the query's texts.
#[derive(Debug)]
pub struct Question<'a> {
    pub(super) principal: UidRef<'a>,
    /// The action's number, and its name.
    pub(super) action: usize,
    pub(super) action_uid: UidRef<'a>,
    pub(super) resource: UidRef<'a>,
    pub(super) context: Record<'a>,
    /// What the query says of entities and the store does not, each entity once.
    pub(super) brought: Vec<Brought<'a>>,
}

impl<'a> Question<'a> {
    /// Has it be about another entity of the same type, of which the query said and says nothing but the name.
    pub(super) const fn put(&mut self, party: Party, uid: UidRef<'a>) {
        match party {
            Party::Principal => self.principal = uid,
            Party::Resource => self.resource = uid,
        }
    }
}

/// What types a question.
#[derive(Debug)]
pub(super) struct Typist<'a> {
    types: &'a SchemaTypes,
    actions: &'a Actions,
    stored: &'a Entities,
    /// The types that were looked up last: the entities of a question are of few types.
    recent: Cell<[Option<&'a EntityType>; RECENT]>,
}

impl<'a> Typist<'a> {
    pub(super) const fn new(types: &'a SchemaTypes, actions: &'a Actions, stored: &'a Entities) -> Self {
        Self { types, actions, stored, recent: Cell::new([None; RECENT]) }
    }

    /// Types `query`.
    pub(super) fn question(&self, query: &'a Query<'_>) -> Result<Question<'a>, EvaluateError> {
        let name = &*query.action.name;
        let known = self.actions.named(name).zip(self.types.actions.get(name));
        let ((action, action_uid), types) =
            known.ok_or_else(|| EvaluateError::UnknownAction(printable(name, MESSAGE_LIMIT)))?;
        let subject = self.describe(&query.subject)?;
        allow(subject.uid, &types.principals, "principal", name)?;
        let resource = self.describe(&query.resource)?;
        allow(resource.uid, &types.resources, "resource", name)?;
        let mut question = Question {
            principal: subject.uid,
            action,
            action_uid,
            resource: resource.uid,
            context: context(query, types)?,
            brought: Vec::with_capacity(2 + query.extra.len()),
        };
        self.add(subject, &mut question.brought)?;
        self.add(resource, &mut question.brought)?;
        for entity in &query.extra {
            self.add(self.describe(entity)?, &mut question.brought)?;
        }
        self.complete(&question.brought)?;
        self.refuse_circles(&question.brought)?;
        Ok(question)
    }

    fn kind(&self, name: &str) -> Result<&'a EntityType, EvaluateError> {
        let recent = self.recent.get();
        if let Some(kind) = recent.into_iter().flatten().find(|kind| *kind.reference.kind == *name) {
            return Ok(kind);
        }
        let unknown = || mismatch(&format!("the schema has no entity type `{name}`"));
        let kind = self.types.entities.get(name).ok_or_else(unknown)?;
        let [first, second, third, _] = recent;
        self.recent.set([Some(kind), first, second, third]);
        Ok(kind)
    }

    fn uid(&self, kind: &str, id: &'a str) -> Result<UidRef<'a>, EvaluateError> {
        Self::uid_of(self.kind(kind)?, id)
    }

    fn uid_of(kind: &'a EntityType, id: &'a str) -> Result<UidRef<'a>, EvaluateError> {
        let kind = &kind.reference;
        if !kind.allows(id) {
            return Err(mismatch(&format!("the schema does not list {}", UidRef::new(&kind.kind, id))));
        }
        Ok(UidRef::new(&kind.kind, id))
    }

    fn describe(&self, entity: &'a Entity<'_>) -> Result<Brought<'a>, EvaluateError> {
        let kind = self.kind(&entity.kind)?;
        let uid = Self::uid_of(kind, &entity.id)?;
        let said = declared(&kind.attributes, &entity.properties, &Place::new(&entity.kind))?;
        let (overlay, attributes) = apart(said, &entity.overlay);
        let mut parents = Vec::new();
        let (parent, more) = match entity.parents.split_first() {
            Some((parent, more)) => (Some(self.parent(kind, parent)?), more),
            None => (None, &[][..]),
        };
        for parent in more {
            parents.push(self.parent(kind, parent)?);
        }
        Ok(Brought { uid, stored: self.stored.get(uid), overlay, attributes, parent, more_parents: parents })
    }

    fn parent(&self, kind: &EntityType, parent: &'a EntityRef<'_>) -> Result<UidRef<'a>, EvaluateError> {
        let uid = self.uid(&parent.kind, &parent.id)?;
        if !kind.ancestors.contains(uid.kind()) {
            let what = format!("a `{}` can't be within a `{}`", kind.reference.kind, uid.kind());
            return Err(mismatch(&what));
        }
        Ok(uid)
    }

    /// Adds what is said of an entity, if it is more than is stored. One of which nothing is known is not added either:
    /// it is not there, and a policy that reads its attributes fails.
    fn add(&self, described: Brought<'a>, brought: &mut Vec<Brought<'a>>) -> Result<(), EvaluateError> {
        let adds = match described.stored {
            None => !(described.attributes.is_empty() && described.overlay.is_empty()) || described.parent.is_some(),
            Some(node) => {
                let stored = |name: &Text<'_>| node.attributes().get(name.as_str());
                described.attributes.iter().any(|(name, _)| stored(name).is_none())
                    || described.overlay.iter().any(|(name, value)| stored(name) != Some(value))
                    || described.parents().any(|parent| !self.stored.is_within(node, parent))
            }
        };
        if !adds {
            return Ok(());
        }
        if let Some(known) = brought.iter_mut().find(|known| known.uid == described.uid) {
            return known.merge(described);
        }
        brought.push(described);
        Ok(())
    }

    /// Whether every entity that is brought has, with what is stored, all that the schema requires of it.
    fn complete(&self, brought: &[Brought<'a>]) -> Result<(), EvaluateError> {
        for entity in brought {
            let kind = self.kind(entity.uid.kind())?;
            let has = |name: &str| {
                entity.said(name).is_some() || entity.stored.is_some_and(|node| node.attributes().get(name).is_some())
            };
            let lacking = kind.attributes.iter().find(|(name, attribute)| attribute.required && !has(name));
            if let Some((name, _)) = lacking {
                return Err(mismatch(&format!("the entity {} lacks the attribute `{name}`", entity.uid)));
            }
        }
        Ok(())
    }

    /// Nothing is within itself. What is brought in the order of a path, each within the next, can't be.
    fn refuse_circles(&self, brought: &[Brought<'a>]) -> Result<(), EvaluateError> {
        let leads_on = |(place, entity): (usize, &Brought<'a>)| {
            entity.parents().all(|parent| match brought.iter().position(|other| other.uid == parent) {
                Some(later) => later > place && brought.get(later).is_some_and(|parent| parent.stored.is_none()),
                None => self.stored.get(parent).is_none(),
            })
        };
        if brought.iter().enumerate().all(leads_on) {
            return Ok(());
        }
        let (nobody, stored) = (Entities::default(), self.stored);
        let view = View { stored, actions: &nobody, brought };
        let within_itself = |entity: &Brought<'a>| entity.parents().any(|parent| view.lineage(parent).has(entity.uid));
        match brought.iter().find(|entity| within_itself(entity)) {
            Some(entity) => Err(mismatch(&format!("the entity {} is within itself", entity.uid))),
            None => Ok(()),
        }
    }
}

/// Whether the schema allows an entity of this type as the principal or the resource.
fn allow(uid: UidRef<'_>, allowed: &BTreeSet<Arc<str>>, role: &str, action: &str) -> Result<(), EvaluateError> {
    if allowed.contains(uid.kind()) {
        return Ok(());
    }
    Err(mismatch(&format!("a `{}` can't be the {role} of action `{action}`", uid.kind())))
}

impl Brought<'_> {
    /// Adds another description of the same entity.
    fn merge(&mut self, other: Self) -> Result<(), EvaluateError> {
        let mut others = other.overlay.iter().chain(other.attributes.iter());
        if others.any(|(name, value)| self.said(name.as_str()).is_some_and(|known| known != value)) {
            return Err(mismatch(&format!("the entity {} is described in two ways", self.uid)));
        }
        self.overlay = joined(&self.overlay, &other.overlay);
        self.attributes = joined(&self.attributes, &other.attributes);
        self.more_parents.extend(other.parent.into_iter().chain(other.more_parents));
        Ok(())
    }
}

/// What `overlay` covers, and the rest.
fn apart<'a>(said: Record<'a>, overlay: &Overlay) -> (Record<'a>, Record<'a>) {
    if overlay.is_empty() {
        return (Record::default(), said);
    }
    let fields = said.iter().map(|(name, value)| (name.clone(), value.clone()));
    let (covered, rest): (Vec<_>, Vec<_>) = fields.partition(|(name, _)| overlay.covers(name.as_str()));
    (covered.into_iter().collect(), rest.into_iter().collect())
}

/// All that two records have which agree where both have it.
fn joined<'a>(one: &Record<'a>, other: &Record<'a>) -> Record<'a> {
    one.iter().chain(other.iter()).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The context as the action declares it. What is not declared is left out; `context.action` is what the caller says of
/// the action, never what it says of the context.
fn context<'a>(query: &'a Query<'_>, types: &'a ActionType) -> Result<Record<'a>, EvaluateError> {
    let place = Place::new("context");
    let mut fields = Vec::with_capacity(types.context.len());
    for (name, attribute) in &types.context {
        let value = match &attribute.kind {
            Type::Record(record) if name == "action" => {
                let said = attribute.required || !query.action.properties.is_empty();
                said.then(|| action_properties(record, &query.action.properties, &place)).transpose()?
            }
            _ if name == "action" => None,
            kind => query.context.get(name).map(|said| read_property(kind, said, &place.field(name))).transpose()?,
        };
        match value {
            Some(value) => fields.push((Text::Borrowed(name), value)),
            None if attribute.required => return Err(mismatch(&format!("`context.{name}` is missing"))),
            None => {}
        }
    }
    Ok(Record::sorted(fields))
}

fn action_properties<'a>(
    record: &RecordType,
    given: &'a Properties<'_>,
    place: &Place<'_>,
) -> Result<Value<'a>, EvaluateError> {
    let properties = declared(record, given, &place.field("action"))?;
    match record.iter().find(|(name, attribute)| attribute.required && properties.get(name).is_none()) {
        Some((name, _)) => Err(mismatch(&format!("`context.action.{name}` is missing"))),
        None => Ok(Value::Record(properties)),
    }
}

impl From<ValueError> for EvaluateError {
    fn from(error: ValueError) -> Self {
        mismatch(&error.to_string())
    }
}

fn mismatch(what: &str) -> EvaluateError {
    EvaluateError::Schema(printable(what, MESSAGE_LIMIT))
}
