//! The question in `AuthZEN`'s shape (Authorization API 1.0, section 5): subject, action, resource, context. Every wire
//! is translated into this, and only this enters a policy. It borrows its texts from the wire where it can.

mod digest;
mod overlay;
mod properties;

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use smallvec::SmallVec;

pub use self::overlay::Overlay;
pub use self::properties::{Properties, Property};

/// A subject or a resource: an entity as the caller describes it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Entity<'a> {
    /// The entity type, e.g. `Workload`.
    #[serde(rename = "type")]
    pub kind: Cow<'a, str>,
    /// Its id, unique within the type.
    pub id: Cow<'a, str>,
    /// What the caller says of it. What the entity store says of it comes first, unless `overlay` covers the name.
    #[serde(default)]
    pub properties: Properties<'a>,
    /// Which of the properties come before what is stored. Never taken from a caller's JSON.
    #[serde(skip)]
    pub overlay: Overlay,
    /// Direct parents that follow from the request itself: a path's enclosing path, a workload's trust domain. Never
    /// taken from a caller's JSON.
    #[serde(skip)]
    pub parents: SmallVec<[EntityRef<'a>; 1]>,
}

/// The name of an entity.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EntityRef<'a> {
    /// The entity type.
    pub kind: Cow<'a, str>,
    /// Its id.
    pub id: Cow<'a, str>,
}

/// What the subject wants to do.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Action<'a> {
    /// The name, e.g. `GET` or `can_read`.
    pub name: Cow<'a, str>,
    /// What the caller says of it; policies see it as `context.action`, if the schema has that.
    #[serde(default)]
    pub properties: Properties<'a>,
}

/// May `subject` do `action` to `resource` under `context`?
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Query<'a> {
    /// Who.
    pub subject: Entity<'a>,
    /// What.
    pub action: Action<'a>,
    /// To what.
    pub resource: Entity<'a>,
    /// Under which circumstances.
    #[serde(default)]
    pub context: Properties<'a>,
    /// Entities that the request brings with it beside subject and resource, such as the paths that enclose a path.
    #[serde(skip)]
    pub extra: Vec<Entity<'a>>,
}

impl<'a> Entity<'a> {
    /// An entity of which only the name is known.
    pub fn named(kind: impl Into<Cow<'a, str>>, id: impl Into<Cow<'a, str>>) -> Self {
        let (properties, overlay) = (Properties::default(), Overlay::default());
        Self { kind: kind.into(), id: id.into(), properties, overlay, parents: SmallVec::new() }
    }

    /// The same, borrowing nothing.
    pub fn into_owned<'o>(self) -> Entity<'o> {
        Entity {
            kind: owned(self.kind),
            id: owned(self.id),
            properties: self.properties.into_owned(),
            overlay: self.overlay,
            parents: self.parents.into_iter().map(EntityRef::into_owned).collect(),
        }
    }
}

impl<'a> EntityRef<'a> {
    /// The entity of this type and id.
    pub fn new(kind: impl Into<Cow<'a, str>>, id: impl Into<Cow<'a, str>>) -> Self {
        Self { kind: kind.into(), id: id.into() }
    }

    fn into_owned<'o>(self) -> EntityRef<'o> {
        EntityRef { kind: owned(self.kind), id: owned(self.id) }
    }
}

impl<'a> Action<'a> {
    /// An action of which the caller says nothing but its name.
    pub fn named(name: impl Into<Cow<'a, str>>) -> Self {
        Self { name: name.into(), properties: Properties::default() }
    }
}

impl Query<'_> {
    /// The same question, borrowing nothing.
    pub fn into_owned<'o>(self) -> Query<'o> {
        Query {
            subject: self.subject.into_owned(),
            action: Action { name: owned(self.action.name), properties: self.action.properties.into_owned() },
            resource: self.resource.into_owned(),
            context: self.context.into_owned(),
            extra: self.extra.into_iter().map(Entity::into_owned).collect(),
        }
    }
}

fn owned<'o>(text: Cow<'_, str>) -> Cow<'o, str> {
    Cow::Owned(text.into_owned())
}

impl fmt::Display for Entity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{:?}", self.kind, self.id)
    }
}

impl fmt::Display for EntityRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{:?}", self.kind, self.id)
    }
}

#[cfg(test)]
mod tests;
