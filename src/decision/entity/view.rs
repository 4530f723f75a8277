//! What one request sees of the entities: those that are stored, and what the request itself brings along.
//!
//! What is stored comes first: its attributes win over the brought ones, but for those that whoever asks was granted to
//! overlay; and its parents stay whatever is brought; brought parents are added.

use super::lineage::Lineage;
use super::store::{Entities, Node};
use super::uid::UidRef;
use crate::decision::value::{Record, Value};

/// An entity as a request describes it.
#[derive(Clone, Debug)]
pub struct Brought<'a> {
    /// Its name.
    pub uid: UidRef<'a>,
    /// What is stored of it, which is looked up but once.
    pub stored: Option<&'a Node>,
    /// What the request says of it that comes before what is stored.
    pub overlay: Record<'a>,
    /// What the request says of it that comes after what is stored.
    pub attributes: Record<'a>,
    /// A direct parent that follows from the request itself; most have one.
    pub parent: Option<UidRef<'a>>,
    /// Further ones.
    pub more_parents: Vec<UidRef<'a>>,
}

/// The entities of one request.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Those that are stored.
    pub stored: &'a Entities,
    /// The schema's actions, which are entities too.
    pub actions: &'a Entities,
    /// Those that the request brings, each once. One that is already stored adds to what is stored.
    pub brought: &'a [Brought<'a>],
}

/// What is known of one entity.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    stored: Option<&'a Node>,
    brought: Option<&'a Brought<'a>>,
}

impl<'a> Brought<'a> {
    /// The direct parents.
    pub fn parents(&self) -> impl Iterator<Item = UidRef<'a>> {
        self.parent.into_iter().chain(self.more_parents.iter().copied())
    }

    /// What the request says of an attribute.
    pub fn said(&self, name: &str) -> Option<&Value<'a>> {
        if self.overlay.is_empty() {
            return self.attributes.get(name);
        }
        self.overlay.get(name).or_else(|| self.attributes.get(name))
    }
}

impl<'a> View<'a> {
    /// What is known of the entity of this name; `None` if there is no such entity.
    pub fn get(&self, uid: UidRef<'_>) -> Option<Known<'a>> {
        self.find(uid).known()
    }

    fn find(&self, uid: UidRef<'_>) -> Found<'a> {
        let brought = self.brought(uid);
        let stored = match brought {
            Some(brought) => brought.stored,
            None => self.stored.get(uid),
        };
        let known = stored.map(|node| (self.stored, node));
        Found { brought, stored: known.or_else(|| Some((self.actions, self.actions.get(uid)?))) }
    }

    fn brought(&self, uid: UidRef<'_>) -> Option<&'a Brought<'a>> {
        self.brought.iter().find(|brought| brought.uid == uid)
    }

    /// The entity itself and all its ancestors, itself first.
    pub fn lineage(&self, uid: UidRef<'a>) -> Lineage<'a> {
        let found = self.find(uid);
        let mut lineage = Lineage::of(uid, found.known());
        found.add_parents(&mut lineage);
        let mut next = 1;
        // What is found on the way is looked at in its turn, for a request may bring parents of any of them.
        while let Some(uid) = lineage.nth(next) {
            let is_closed = lineage.is_closed(next);
            let found = if is_closed { Found { brought: self.brought(uid), stored: None } } else { self.find(uid) };
            found.add_parents(&mut lineage);
            next += 1;
        }
        lineage
    }
}

/// Where an entity is.
#[derive(Clone, Copy, Debug)]
struct Found<'a> {
    brought: Option<&'a Brought<'a>>,
    /// As it is stored, and among which it is.
    stored: Option<(&'a Entities, &'a Node)>,
}

impl<'a> Found<'a> {
    fn known(&self) -> Option<Known<'a>> {
        let stored = self.stored.map(|(_, node)| node);
        (self.brought.is_some() || stored.is_some()).then_some(Known { stored, brought: self.brought })
    }

    /// Adds those that the entity is in, and of those that are stored all that these are in.
    fn add_parents(&self, lineage: &mut Lineage<'a>) {
        if let Some(brought) = self.brought {
            brought.parents().for_each(|parent| lineage.add(parent));
        }
        if let Some((entities, node)) = self.stored {
            match entities.closed(node) {
                Some(all) => all.iter().for_each(|ancestor| lineage.add_closed(ancestor.as_ref())),
                None => node.parents().iter().for_each(|parent| lineage.add(parent.as_ref())),
            }
        }
    }
}

impl<'a> Known<'a> {
    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&'a Value<'a>> {
        let overlaid = self.brought.and_then(|brought| brought.overlay.get(name));
        let stored = || -> Option<&'a Value<'a>> { self.stored.and_then(|node| node.attributes().get(name)) };
        overlaid.or_else(stored).or_else(|| self.brought.and_then(|brought| brought.attributes.get(name)))
    }

    /// The value of a tag.
    pub fn tag(&self, name: &str) -> Option<&'a Value<'a>> {
        self.stored.and_then(|node| node.tags().get(name))
    }

    /// Attributes by name, each once.
    pub fn attributes(&self) -> impl Iterator<Item = (&'a str, &'a Value<'a>)> {
        let overlay: Option<&'a Record<'a>> = self.brought.map(|brought| &brought.overlay);
        let stored: Option<&'a Record<'a>> = self.stored.map(Node::attributes);
        let added: Option<&'a Record<'a>> = self.brought.map(|brought| &brought.attributes);
        let lacks = |record: Option<&Record<'_>>, name: &str| record.is_none_or(|record| record.get(name).is_none());
        let all = |record: Option<&'a Record<'a>>| {
            record.into_iter().flat_map(Record::iter).map(|(name, value)| (name.as_str(), value))
        };
        let own = all(stored).filter(move |(name, _)| lacks(overlay, name));
        let rest = all(added).filter(move |(name, _)| lacks(overlay, name) && lacks(stored, name));
        all(overlay).chain(own).chain(rest)
    }

    /// Tags by name.
    pub fn tags(&self) -> impl Iterator<Item = (&'a str, &'a Value<'a>)> {
        let tags: Option<&'a Record<'a>> = self.stored.map(Node::tags);
        tags.into_iter().flat_map(Record::iter).map(|(name, value)| (name.as_str(), value))
    }
}

#[cfg(test)]
mod tests;
