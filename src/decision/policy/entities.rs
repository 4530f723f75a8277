//! The entities of the policy directory, and the view of them that one question needs: what the question describes, and
//! what can be reached from there. Its cost does not grow with the store.
//!
//! Cedar's own `Entities` would do, but adding one entity to a million takes it seconds.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use cedar_policy::{Entities, Entity, EntityUid, EvalResult, RestrictedExpression, Schema};

use super::problem::Problem;
use super::source::Sources;

mod parse;

/// The entities of a directory.
#[derive(Debug)]
pub(super) struct EntityStore {
    /// All of them with the schema's actions: for a question that adds nothing.
    all: Entities,
    stored: HashMap<EntityUid, Stored>,
    /// What the conditions of policies name, and so can reach whatever the question is.
    named: Vec<EntityUid>,
}

#[derive(Debug)]
struct Stored {
    entity: Entity,
    attributes: HashMap<String, RestrictedExpression>,
    tags: Vec<(String, RestrictedExpression)>,
    ancestors: HashSet<EntityUid>,
    /// Ancestors, and what attributes and tags refer to.
    links: Vec<EntityUid>,
}

/// An entity as a question describes it.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) uid: EntityUid,
    pub(super) attributes: HashMap<String, RestrictedExpression>,
    pub(super) parents: HashSet<EntityUid>,
}

impl EntityStore {
    /// Reads the entity files.
    pub(super) fn load(
        sources: &Sources,
        schema: &Schema,
        policies: &cedar_policy::PolicySet,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let parsed = parse::entities(sources, schema, problems);
        let all = Entities::from_entities(parsed, Some(schema)).unwrap_or_else(|error| {
            problems.push(Problem::new(sources.directory(), chain(&error)));
            Entities::empty()
        });
        let mut stored = HashMap::new();
        for entity in all.iter().filter(|entity| entity.uid().type_name().basename() != "Action") {
            match Stored::of(entity) {
                Some(kept) => drop(stored.insert(entity.uid(), kept)),
                None => problems.push(Problem::new(sources.directory(), format!("can't keep entity {}", entity.uid()))),
            }
        }
        let conditional = policies.policies().filter(|policy| policy.has_non_scope_constraint());
        let named: HashSet<_> = conditional.flat_map(cedar_policy::Policy::entity_literals).collect();
        let named = named.into_iter().filter(|uid| stored.contains_key(uid)).collect();
        Self { all, stored, named }
    }

    /// What a question sees. What is stored comes first: its attributes win over the described ones, and its parents
    /// stay whatever is described; described parents are added.
    ///
    /// `references` are the entities that the question's context names.
    pub(super) fn view(
        &self,
        described: Vec<Described>,
        references: Vec<EntityUid>,
        schema: &Schema,
    ) -> Result<Cow<'_, Entities>, String> {
        let (adding, known): (Vec<_>, Vec<_>) = described.into_iter().partition(|entity| self.adds(entity));
        if adding.is_empty() {
            return Ok(Cow::Borrowed(&self.all));
        }
        let mut seen: HashSet<_> = adding.iter().map(|entity| entity.uid.clone()).collect();
        let mut wanted = references;
        wanted.extend(known.into_iter().map(|entity| entity.uid));
        wanted.extend(self.named.iter().cloned());
        let mut entities = Vec::with_capacity(adding.len());
        for entity in adding {
            let entity = self.merge(entity)?;
            if !self.stored.is_empty() {
                wanted.extend(links(&entity));
            }
            entities.push(entity);
        }
        while let Some(uid) = wanted.pop() {
            if let Some(stored) = self.stored.get(&uid)
                && seen.insert(uid)
            {
                wanted.extend(stored.links.iter().cloned());
                entities.push(stored.entity.clone());
            }
        }
        Entities::from_entities(entities, Some(schema)).map(Cow::Owned).map_err(|error| chain(&error))
    }

    /// Whether an entity as described is more than what is stored. One of which nothing is known adds nothing either:
    /// it is not there, and a policy that reads its attributes fails.
    fn adds(&self, described: &Described) -> bool {
        match self.stored.get(&described.uid) {
            Some(stored) => {
                described.attributes.keys().any(|name| !stored.attributes.contains_key(name))
                    || !described.parents.is_subset(&stored.ancestors)
            }
            None => !described.attributes.is_empty() || !described.parents.is_empty(),
        }
    }

    fn merge(&self, described: Described) -> Result<Entity, String> {
        let Described { uid, mut attributes, mut parents } = described;
        let mut tags = Vec::new();
        if let Some(stored) = self.stored.get(&uid) {
            attributes.extend(stored.attributes.iter().map(|(name, value)| (name.clone(), value.clone())));
            parents.extend(stored.ancestors.iter().cloned());
            tags.clone_from(&stored.tags);
        }
        Entity::new_with_tags(uid, attributes, parents, tags).map_err(|error| chain(&error))
    }
}

impl Stored {
    fn of(entity: &Entity) -> Option<Self> {
        let (_, attributes, ancestors) = entity.clone().into_inner();
        let mut tags = Vec::new();
        for (name, value) in entity.tags() {
            tags.push((name.to_owned(), restricted(value.ok()?)?));
        }
        Some(Self { links: links(entity), entity: entity.clone(), attributes, tags, ancestors })
    }
}

fn links(entity: &Entity) -> Vec<EntityUid> {
    let (_, _, ancestors) = entity.clone().into_inner();
    let mut links: Vec<_> = ancestors.into_iter().collect();
    let attributes = entity.attrs().filter_map(|(_, value)| value.ok());
    let tags = entity.tags().filter_map(|(_, value)| value.ok());
    for value in attributes.chain(tags) {
        collect_references(&value, &mut links);
    }
    links
}

/// The entities that a value names.
pub(super) fn collect_references(value: &EvalResult, found: &mut Vec<EntityUid>) {
    match value {
        EvalResult::EntityUid(uid) => found.push(uid.clone()),
        EvalResult::Set(set) => set.iter().for_each(|value| collect_references(value, found)),
        EvalResult::Record(record) => record.iter().for_each(|(_, value)| collect_references(value, found)),
        EvalResult::Bool(_) | EvalResult::Long(_) | EvalResult::String(_) | EvalResult::ExtensionValue(_) => {}
    }
}

/// A value as an expression again: Cedar gives tags back only as values.
fn restricted(value: EvalResult) -> Option<RestrictedExpression> {
    Some(match value {
        EvalResult::Bool(value) => RestrictedExpression::new_bool(value),
        EvalResult::Long(value) => RestrictedExpression::new_long(value),
        EvalResult::String(value) => RestrictedExpression::new_string(value),
        EvalResult::EntityUid(value) => RestrictedExpression::new_entity_uid(value),
        EvalResult::ExtensionValue(call) => call.parse().ok()?,
        EvalResult::Set(set) => {
            let values: Option<Vec<_>> = set.iter().cloned().map(restricted).collect();
            RestrictedExpression::new_set(values?)
        }
        EvalResult::Record(record) => {
            let fields = record.iter().map(|(name, value)| Some((name.clone(), restricted(value.clone())?)));
            let fields: Option<Vec<_>> = fields.collect();
            RestrictedExpression::new_record(fields?).ok()?
        }
    })
}

/// An error with its causes: Cedar often says only in a cause what is really wrong.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let inner = error.to_string();
        if !text.contains(&inner) {
            text = format!("{text}: {inner}");
        }
        cause = error.source();
    }
    text
}
