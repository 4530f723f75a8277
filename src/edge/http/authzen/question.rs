//! Reads questions (Authorization API 1.0, sections 5, 6.1 and 10.1.1). Unknown members are ignored; a known one of a
//! wrong type is not, since ignoring it would answer another question than was asked.

use serde_json::{Map, Value};

use crate::decision::{Action, Entity, Query};
use crate::foundation::json::{self, JsonError};

/// The body does not hold a question.
#[derive(Debug, thiserror::Error)]
pub(super) enum QuestionError {
    /// It is not JSON, or JSON that two readers may understand differently.
    #[error("the body is not valid JSON: {0}")]
    Json(#[from] JsonError),
    /// It is JSON, but something else than an object.
    #[error("the body must be a JSON object")]
    NotAnObject,
    /// A required member is not there.
    #[error("`{0}` is missing")]
    Missing(String),
    /// A member has a type or a value that it can't have.
    #[error("`{member}` must be {expected}")]
    Wrong { member: String, expected: &'static str },
    /// A name is the empty string, which names nothing.
    #[error("`{0}` must not be empty")]
    Empty(String),
}

/// The members of the object that `body` is.
pub(super) fn object(body: &[u8]) -> Result<Members<'static>, QuestionError> {
    let Value::Object(members) = json::read(body)? else { return Err(QuestionError::NotAnObject) };
    Ok(Members::new(members))
}

/// The question that these members ask.
pub(super) fn query(mut members: Members<'_>) -> Result<Query<'static>, QuestionError> {
    Ok(Query {
        subject: entity(members.required_object("subject")?)?,
        action: action(members.required_object("action")?)?,
        resource: entity(members.required_object("resource")?)?,
        context: members.object("context")?.unwrap_or_default().into(),
        extra: Vec::new(),
    })
}

/// An entity that is named.
pub(super) fn entity(mut members: Members<'_>) -> Result<Entity<'static>, QuestionError> {
    let entity = Entity::named(members.name("type")?, members.name("id")?);
    Ok(Entity { properties: members.object("properties")?.unwrap_or_default().into(), ..entity })
}

/// An entity of which only the type is known. An `id` is ignored, whatever it is (section 8).
pub(super) fn nameless(mut members: Members<'_>) -> Result<Entity<'static>, QuestionError> {
    let entity = Entity::named(members.name("type")?, "");
    Ok(Entity { properties: members.object("properties")?.unwrap_or_default().into(), ..entity })
}

/// An action that is named.
pub(super) fn action(mut members: Members<'_>) -> Result<Action<'static>, QuestionError> {
    let action = Action::named(members.name("name")?);
    Ok(Action { properties: members.object("properties")?.unwrap_or_default().into(), ..action })
}

/// The members of an object that have not been read yet, and where it stands in the body.
#[derive(Debug)]
pub(super) struct Members<'a> {
    path: &'a str,
    members: Map<String, Value>,
}

impl Members<'_> {
    /// Those of a whole question.
    pub(super) const fn new(members: Map<String, Value>) -> Members<'static> {
        Members { path: "", members }
    }

    /// All of them.
    pub(super) const fn all(&self) -> &Map<String, Value> {
        &self.members
    }

    /// A member's value. A null stands for one that is absent: senders should omit it then (section 11.5), but many
    /// libraries don't.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn object(&mut self, name: &str) -> Result<Option<Map<String, Value>>, QuestionError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(members)),
            Some(_) => Err(self.wrong(name, "an object")),
        }
    }

    pub(super) fn optional_object<'n>(&mut self, name: &'n str) -> Result<Option<Members<'n>>, QuestionError> {
        Ok(self.object(name)?.map(|members| Members { path: name, members }))
    }

    pub(super) fn required_object<'n>(&mut self, name: &'n str) -> Result<Members<'n>, QuestionError> {
        self.optional_object(name)?.ok_or_else(|| QuestionError::Missing(self.member(name)))
    }

    /// A required string that is not empty.
    pub(super) fn name(&mut self, name: &str) -> Result<String, QuestionError> {
        match self.take(name) {
            None => Err(QuestionError::Missing(self.member(name))),
            Some(Value::String(text)) if text.is_empty() => Err(QuestionError::Empty(self.member(name))),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(self.wrong(name, "a string")),
        }
    }

    /// The member `name` is not what it must be.
    pub(super) fn wrong(&self, name: &str, expected: &'static str) -> QuestionError {
        QuestionError::Wrong { member: self.member(name), expected }
    }

    fn member(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}
