//! A question as one JSON document, with all that it takes to answer it again: what the request says, and the stored
//! entities that its policies can reach.

use cedar_policy::EntityUid;
use serde_json::{Map, Value, json};

use super::PolicySet;
use super::stock::{Translator, own, references};
use crate::decision::entity::{Entities, View};
use crate::decision::query::{Action, Entity, EntityRef, Overlay, Properties, Query};

/// A document that says no question.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("what was kept of the request is no question: `{0}` is not as it must be")]
pub struct NoQuestion(&'static str);

/// A question that was kept, and the entities that were there.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The question.
    pub query: Query<'static>,
    /// The entities, in Cedar's JSON; `None` if the question did not fit the schema.
    pub entities: Option<Value>,
}

impl PolicySet {
    /// The question, and the entities that the policies it meets can reach.
    pub fn canonical(&self, query: &Query<'_>) -> Value {
        json!({
            "subject": entity(&query.subject),
            "action": {"name": query.action.name, "properties": properties(&query.action.properties)},
            "resource": entity(&query.resource),
            "context": properties(&query.context),
            "extra": query.extra.iter().map(entity).collect::<Vec<_>>(),
            "entities": self.reached(query),
        })
    }

    /// All entities that deciding this question can look at, and their ancestors' names.
    fn reached(&self, query: &Query<'_>) -> Option<Value> {
        let question = self.question(query).ok()?;
        let asked = self.ask(&question);
        let nobody = Entities::default();
        // Actions come from the schema again, and what the request brings from the request.
        let view = View { stored: &self.entities, actions: &nobody, brought: &[] };
        let (mut named, mut steps) = (question.named(), 0);
        for brought in &question.brought {
            named.extend([brought.uid].into_iter().chain(brought.parents()).map(|uid| uid.to_owned()));
            let said = brought.overlay.iter().chain(brought.attributes.iter());
            said.for_each(|(_, value)| references(value, &mut named));
        }
        for rule in asked.rules() {
            steps = steps.max(rule.steps);
            named.extend(rule.stock()?.entity_literals().iter().map(own));
        }
        let entities = Translator { view, kinds: &self.vocabulary.kinds }.entities(named, steps).ok()?;
        let mut text = Vec::new();
        entities.write_to_json(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

impl Kept {
    /// Reads what [`PolicySet::canonical`] wrote.
    ///
    /// # Errors
    /// [`NoQuestion`].
    pub fn parse(text: &str) -> Result<Self, NoQuestion> {
        let wrong = |what| move || NoQuestion(what);
        let Ok(Value::Object(mut all)) = serde_json::from_str(text) else { return Err(NoQuestion("request")) };
        let mut take = |name: &'static str| all.remove(name).ok_or_else(wrong(name));
        let Value::Object(mut action) = take("action")? else { return Err(NoQuestion("action")) };
        let Value::Array(extra) = take("extra")? else { return Err(NoQuestion("extra")) };
        let query = Query {
            subject: read_entity(take("subject")?).ok_or_else(wrong("subject"))?,
            action: Action {
                name: text_of(&mut action, "name").ok_or_else(wrong("action"))?.into(),
                properties: said(&mut action).ok_or_else(wrong("action"))?,
            },
            resource: read_entity(take("resource")?).ok_or_else(wrong("resource"))?,
            context: match take("context")? {
                Value::Object(context) => context.into(),
                _ => return Err(NoQuestion("context")),
            },
            extra: extra.into_iter().map(read_entity).collect::<Option<_>>().ok_or_else(wrong("extra"))?,
        };
        let entities = Some(take("entities")?).filter(|entities| !entities.is_null());
        Ok(Self { query, entities })
    }
}

/// The entity that a record names, `Type::"id"`.
pub fn entity_named(text: &str) -> Option<Entity<'static>> {
    let uid: EntityUid = text.parse().ok()?;
    Some(Entity::named(uid.type_name().to_string(), uid.id().unescaped().to_owned()))
}

fn entity(entity: &Entity<'_>) -> Value {
    let parents = entity.parents.iter().map(|parent| json!({"type": parent.kind, "id": parent.id}));
    let mut written = json!({
        "type": entity.kind,
        "id": entity.id,
        "properties": properties(&entity.properties),
        "parents": parents.collect::<Vec<_>>(),
    });
    let overlay: Vec<_> = entity.overlay.said(&entity.properties).collect();
    if let (false, Value::Object(members)) = (overlay.is_empty(), &mut written) {
        members.insert("overlay".to_owned(), overlay.into());
    }
    written
}

fn properties(properties: &Properties<'_>) -> Value {
    properties.clone().into()
}

fn read_entity(value: Value) -> Option<Entity<'static>> {
    let Value::Object(mut entity) = value else { return None };
    let Some(Value::Array(parents)) = entity.remove("parents") else { return None };
    let parent = |value: Value| match value {
        Value::Object(mut parent) => Some(EntityRef::new(text_of(&mut parent, "type")?, text_of(&mut parent, "id")?)),
        _ => None,
    };
    let properties = said(&mut entity)?;
    let overlay = match entity.remove("overlay") {
        None => Overlay::default(),
        Some(names) => Overlay::of(serde_json::from_value(names).ok()?),
    };
    let parents = parents.into_iter().map(parent).collect::<Option<_>>()?;
    let named = Entity::named(text_of(&mut entity, "type")?, text_of(&mut entity, "id")?);
    Some(Entity { properties, overlay, parents, ..named })
}

fn text_of(object: &mut Map<String, Value>, name: &str) -> Option<String> {
    match object.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn said(object: &mut Map<String, Value>) -> Option<Properties<'static>> {
    match object.remove("properties") {
        Some(Value::Object(said)) => Some(said.into()),
        _ => None,
    }
}
