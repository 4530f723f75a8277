//! Entities in memory: a snapshot that is read without waiting and never changes, and shares with the next one all that
//! did not change between the two.
//!
//! The table is in parts, in two levels. A change copies the parts on its way and nothing else: of a million entities,
//! two lists of 64 and one table of about 250.

use std::fmt;
use std::sync::Arc;

use hashbrown::HashTable;

use super::uid::{Uid, UidRef};
use crate::decision::value::Record;

/// How many parts each level has.
const FANOUT: usize = 64;

/// One entity.
#[derive(Clone, Debug)]
pub struct Node {
    body: Arc<Body>,
    ancestors: Option<Arc<[Uid]>>,
}

/// What a source says of an entity; what follows from other entities is kept beside it.
#[derive(Debug, Eq, PartialEq)]
struct Body {
    uid: Uid,
    attributes: Record<'static>,
    tags: Record<'static>,
    parents: Box<[Uid]>,
    /// Which of the sources says it.
    source: u16,
}

impl Node {
    /// An entity as its source describes it. A parent that is named twice counts once.
    pub fn new(uid: Uid, attributes: Record<'static>, tags: Record<'static>, mut parents: Vec<Uid>) -> Self {
        parents.sort_unstable();
        parents.dedup();
        Self { body: Arc::new(Body { uid, attributes, tags, parents: parents.into(), source: 0 }), ancestors: None }
    }

    /// Its name.
    pub fn uid(&self) -> &Uid {
        &self.body.uid
    }

    /// Its attributes.
    pub fn attributes(&self) -> &Record<'static> {
        &self.body.attributes
    }

    /// Its tags.
    pub fn tags(&self) -> &Record<'static> {
        &self.body.tags
    }

    /// Its direct parents, sorted; an entity of that name may exist or not.
    pub fn parents(&self) -> &[Uid] {
        &self.body.parents
    }

    /// All its ancestors, without itself, if it is itself a parent of others. `None` for all others: their ancestors are
    /// their parents and the ancestors of these, one step away. So a change high up touches the groups below it and not
    /// their million members.
    pub fn ancestors(&self) -> Option<&[Uid]> {
        self.ancestors.as_deref()
    }

    /// Has the names of its parents share their memory with equal ones that `shared` knows.
    pub(super) fn share_parents(&mut self, shared: impl Fn(&Uid) -> Option<Uid>) {
        // A node that others hold already was shared when it was new.
        if let Some(body) = Arc::get_mut(&mut self.body) {
            for parent in &mut body.parents {
                if let Some(shared) = shared(parent) {
                    *parent = shared;
                }
            }
        }
    }

    /// Which of the sources says it, by its place among them.
    pub(super) fn source(&self) -> u16 {
        self.body.source
    }

    /// The same, said by `source`.
    pub(super) fn of_source(mut self, source: u16) -> Self {
        if let Some(body) = Arc::get_mut(&mut self.body) {
            body.source = source;
        }
        self
    }

    /// The same without parents.
    pub(super) fn without_parents(&self) -> Self {
        let Body { uid, attributes, tags, source, .. } = &*self.body;
        let (uid, attributes, tags) = (uid.clone(), attributes.clone(), tags.clone());
        Self::new(uid, attributes, tags, Vec::new()).of_source(*source)
    }

    /// Whether the same source says the same, whatever follows from other entities.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.body, &other.body) || self.body == other.body
    }

    /// The same entity with its ancestors known, or not.
    pub(super) fn with_ancestors(&self, ancestors: Option<Arc<[Uid]>>) -> Self {
        Self { body: Arc::clone(&self.body), ancestors }
    }
}

type Part = HashTable<Node>;
type Branch = Vec<Arc<Part>>;

/// A snapshot of all entities. Cheap to clone.
#[derive(Clone)]
pub struct Entities {
    /// Always [`FANOUT`] branches of [`FANOUT`] parts.
    branches: Arc<Vec<Arc<Branch>>>,
    len: usize,
}

impl Default for Entities {
    fn default() -> Self {
        let part = Arc::new(Part::new());
        let branch = Arc::new(vec![part; FANOUT]);
        Self { branches: Arc::new(vec![branch; FANOUT]), len: 0 }
    }
}

impl Entities {
    /// The entity of this name.
    pub fn get(&self, uid: UidRef<'_>) -> Option<&Node> {
        let (branch, part) = place(uid.hash());
        self.branches.get(branch)?.get(part)?.find(uid.hash(), |node| node.uid().as_ref() == uid)
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Node> {
        self.branches.iter().flat_map(|branch| branch.iter()).flat_map(|part| part.iter())
    }

    /// All ancestors of an entity, each once, in no order.
    pub fn ancestors(&self, node: &Node) -> Vec<Uid> {
        if let Some(closed) = node.ancestors() {
            return closed.to_vec();
        }
        let above = node.parents().iter().filter_map(|parent| self.get(parent.as_ref())?.ancestors());
        distinct(node.parents().iter().chain(above.flatten()).cloned().collect())
    }

    /// Puts an entity in the place of the one of its name, if there is one.
    pub(super) fn put(&mut self, node: Node) {
        let hash = node.uid().as_ref().hash();
        let Some(part) = self.part_mut(hash) else { return };
        if let Some(known) = part.find_mut(hash, |known| known.uid() == node.uid()) {
            *known = node;
        } else {
            part.insert_unique(hash, node, |node| node.uid().as_ref().hash());
            self.len += 1;
        }
    }

    /// Takes an entity out.
    pub(super) fn remove(&mut self, uid: &Uid) {
        let hash = uid.as_ref().hash();
        if self.get(uid.as_ref()).is_some()
            && let Some(part) = self.part_mut(hash)
            && let Ok(entry) = part.find_entry(hash, |node| node.uid() == uid)
        {
            drop(entry.remove());
            self.len -= 1;
        }
    }

    fn part_mut(&mut self, hash: u64) -> Option<&mut Part> {
        let (branch, part) = place(hash);
        let branch = Arc::make_mut(Arc::make_mut(&mut self.branches).get_mut(branch)?);
        Some(Arc::make_mut(branch.get_mut(part)?))
    }
}

impl fmt::Debug for Entities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entities").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Each name once.
pub(super) fn distinct(mut uids: Vec<Uid>) -> Vec<Uid> {
    uids.sort_unstable_by(|a, b| a.as_ref().hash().cmp(&b.as_ref().hash()).then_with(|| a.cmp(b)));
    uids.dedup();
    uids
}

/// The branch and the part within it, by other bits than the table of the part goes by.
const fn place(hash: u64) -> (usize, usize) {
    ((hash >> 40) as usize % FANOUT, (hash >> 46) as usize % FANOUT)
}

#[cfg(test)]
mod tests;
