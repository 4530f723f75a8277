//! Reads the body of an Access Evaluation request (Authorization API 1.0, sections 5, 6.1 and 10.1.1). Unknown members
//! are ignored; a known one of a wrong type is not, since ignoring it would answer another question than was asked.

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
    /// A member has a type that it can't have.
    #[error("`{member}` must be {expected}")]
    WrongType { member: String, expected: &'static str },
    /// A name is the empty string, which names nothing.
    #[error("`{0}` must not be empty")]
    Empty(String),
}

/// Reads the question in `body`.
pub(super) fn read(body: &[u8]) -> Result<Query<'static>, QuestionError> {
    let Value::Object(members) = json::read(body)? else { return Err(QuestionError::NotAnObject) };
    let mut question = Members { path: "", members };
    Ok(Query {
        subject: entity(question.required_object("subject")?)?,
        action: action(question.required_object("action")?)?,
        resource: entity(question.required_object("resource")?)?,
        context: question.object("context")?.unwrap_or_default().into(),
        extra: Vec::new(),
    })
}

fn entity(mut members: Members<'_>) -> Result<Entity<'static>, QuestionError> {
    let entity = Entity::named(members.name("type")?, members.name("id")?);
    Ok(Entity { properties: members.object("properties")?.unwrap_or_default().into(), ..entity })
}

fn action(mut members: Members<'_>) -> Result<Action<'static>, QuestionError> {
    let action = Action::named(members.name("name")?);
    Ok(Action { properties: members.object("properties")?.unwrap_or_default().into(), ..action })
}

/// The members of an object that have not been read yet, and where it stands in the body.
struct Members<'a> {
    path: &'a str,
    members: Map<String, Value>,
}

impl Members<'_> {
    /// A member's value. A null stands for one that is absent: senders should omit it then (section 11.5), but many
    /// libraries don't.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name).filter(|value| !value.is_null())
    }

    fn object(&mut self, name: &str) -> Result<Option<Map<String, Value>>, QuestionError> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(members)),
            Some(_) => Err(QuestionError::WrongType { member: self.member(name), expected: "an object" }),
        }
    }

    fn required_object<'n>(&mut self, name: &'n str) -> Result<Members<'n>, QuestionError> {
        let members = self.object(name)?.ok_or_else(|| QuestionError::Missing(self.member(name)))?;
        Ok(Members { path: name, members })
    }

    /// A required string that is not empty.
    fn name(&mut self, name: &str) -> Result<String, QuestionError> {
        match self.take(name) {
            None => Err(QuestionError::Missing(self.member(name))),
            Some(Value::String(text)) if text.is_empty() => Err(QuestionError::Empty(self.member(name))),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(QuestionError::WrongType { member: self.member(name), expected: "a string" }),
        }
    }

    fn member(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}
