//! The question in `AuthZEN`'s shape (Authorization API 1.0, section 5): subject, action, resource, context. Every wire
//! is translated into this, and only this enters a policy.

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};

/// A subject or a resource: an entity as the caller describes it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Entity {
    /// The entity type, e.g. `Workload`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its id, unique within the type.
    pub id: String,
    /// What the caller says of it. What the entity store says of it comes first.
    #[serde(default)]
    pub properties: Map<String, Value>,
    /// Direct parents that follow from the request itself: a path's enclosing path, a workload's trust domain. Never
    /// taken from a caller's JSON.
    #[serde(skip)]
    pub parents: Vec<EntityRef>,
}

/// The name of an entity.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EntityRef {
    /// The entity type.
    pub kind: String,
    /// Its id.
    pub id: String,
}

/// What the subject wants to do.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Action {
    /// The name, e.g. `GET` or `can_read`.
    pub name: String,
    /// What the caller says of it; policies see it as `context.action`, if the schema has that.
    #[serde(default)]
    pub properties: Map<String, Value>,
}

/// May `subject` do `action` to `resource` under `context`?
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Query {
    /// Who.
    pub subject: Entity,
    /// What.
    pub action: Action,
    /// To what.
    pub resource: Entity,
    /// Under which circumstances.
    #[serde(default)]
    pub context: Map<String, Value>,
    /// Entities that the request brings with it beside subject and resource, such as the paths that enclose a path.
    #[serde(skip)]
    pub extra: Vec<Entity>,
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{:?}", self.kind, self.id)
    }
}

impl fmt::Display for EntityRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{:?}", self.kind, self.id)
    }
}
