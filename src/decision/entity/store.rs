//! Entities in memory: a snapshot that is read without waiting and never changes, and shares with the next one all that
//! did not change between the two.
//!
//! What follows from the hierarchy stands in a table of its own, which has an entry for each entity that is a parent of
//! others. So a change high up rewrites a small table, and leaves the large one alone that has their million members.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::order::{Links, Order};
use super::table::{Named, Table};
use super::uid::{Uid, UidRef};
use crate::decision::value::Record;

/// One entity.
#[derive(Clone, Debug)]
pub struct Node {
    body: Arc<Body>,
    /// Whether others name it as a parent.
    is_group: bool,
}

/// All ancestors of an entity that others name as a parent.
#[derive(Clone, Debug)]
struct Closure {
    uid: Uid,
    ancestors: Arc<[Uid]>,
}

/// What a source says of an entity.
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
        Self { body: Arc::new(Body { uid, attributes, tags, parents: parents.into(), source: 0 }), is_group: false }
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

    /// Has it that `source` says it. For a node that nobody else holds yet.
    pub(super) fn say_by(&mut self, source: u16) {
        if let Some(body) = Arc::get_mut(&mut self.body) {
            body.source = source;
        }
    }

    /// Whether others name it as a parent.
    pub(super) const fn is_group(&self) -> bool {
        self.is_group
    }

    /// The same without parents.
    pub(super) fn without_parents(&self) -> Self {
        let Body { uid, attributes, tags, source, .. } = &*self.body;
        let (uid, attributes, tags) = (uid.clone(), attributes.clone(), tags.clone());
        let mut bare = Self::new(uid, attributes, tags, Vec::new());
        bare.say_by(*source);
        bare
    }

    /// Whether the same source says the same, whatever follows from other entities.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.body, &other.body) || self.body == other.body
    }
}

impl Named for Node {
    fn uid(&self) -> &Uid {
        &self.body.uid
    }
}

impl Named for Closure {
    fn uid(&self) -> &Uid {
        &self.uid
    }
}

/// A snapshot of all entities. Cheap to clone.
#[derive(Clone, Default)]
pub struct Entities {
    nodes: Table<Node>,
    closures: Table<Closure>,
    /// How many there are of each type: much of what a request names is of a type that nobody stores.
    kinds: Vec<(Arc<str>, usize)>,
    /// Made when it is first asked for.
    order: Arc<OnceLock<Order>>,
    /// Who names whom in attributes, as far as anybody asked.
    links: Arc<Links>,
    /// Whether anybody ever asked for it, of this snapshot or one before.
    searched: Arc<AtomicBool>,
}

impl Entities {
    /// The entity of this name.
    pub fn get(&self, uid: UidRef<'_>) -> Option<&Node> {
        if !self.kinds.iter().any(|(kind, _)| **kind == *uid.kind()) {
            return None;
        }
        self.nodes.get(uid)
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.nodes.len()
    }

    /// How many there are of one type.
    pub fn count(&self, kind: &str) -> usize {
        self.kinds.iter().find(|(known, _)| **known == *kind).map_or(0, |(_, count)| *count)
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// The same in order. Making it takes a second for a million entities; once anybody has asked, the
    /// writer keeps it ready.
    pub fn order(&self) -> &Order {
        self.searched.store(true, Ordering::Relaxed);
        self.order.get_or_init(|| Order::of(self))
    }

    pub(super) fn links(&self) -> &Links {
        &self.links
    }

    /// Has the order ready, if searches want it.
    pub(super) fn prepare(&self) {
        if self.searched.load(Ordering::Relaxed) {
            self.order();
        }
    }

    /// All ancestors of an entity, without itself, if it is itself a parent of others. `None` for all others: their ancestors
    /// are their parents and the ancestors of these, one step away.
    pub fn closed(&self, node: &Node) -> Option<&[Uid]> {
        if !node.is_group {
            return None;
        }
        self.closures.get(node.uid().as_ref()).map(|closure| &*closure.ancestors)
    }

    /// Whether `uid` is an ancestor of an entity.
    pub fn is_within(&self, node: &Node, uid: UidRef<'_>) -> bool {
        let has = |uids: &[Uid]| uids.iter().any(|known| known.as_ref() == uid);
        if let Some(closed) = self.closed(node) {
            return has(closed);
        }
        let closed = |parent: &Uid| self.closed(self.get(parent.as_ref())?);
        has(node.parents()) || node.parents().iter().filter_map(closed).any(has)
    }

    /// All ancestors of an entity, each once, in no order.
    pub fn ancestors(&self, node: &Node) -> Vec<Uid> {
        if let Some(closed) = self.closed(node) {
            return closed.to_vec();
        }
        let above = node.parents().iter().filter_map(|parent| self.closed(self.get(parent.as_ref())?));
        distinct(node.parents().iter().chain(above.flatten()).cloned().collect())
    }

    /// Puts an entity in the place of the one of its name, if there is one. It is a parent of others if that one was.
    pub(super) fn put(&mut self, mut node: Node) {
        let known = self.get(node.uid().as_ref()).cloned();
        node.is_group = known.as_ref().is_some_and(|known| known.is_group);
        if known.is_none() {
            let kind = node.uid().shared_kind();
            match self.kinds.iter_mut().find(|(known, _)| *known == *kind) {
                Some((_, count)) => *count += 1,
                None => self.kinds.push((Arc::clone(kind), 1)),
            }
        }
        self.reorder(known.as_ref(), Some(&node));
        self.nodes.put(node);
    }

    /// Says that an entity is a parent of others, and has these ancestors.
    pub(super) fn close(&mut self, uid: &Uid, ancestors: Arc<[Uid]>) {
        let Some(node) = self.get(uid.as_ref()) else { return };
        let closure = Closure { uid: node.uid().clone(), ancestors };
        self.mark(uid, true);
        self.closures.put(closure);
    }

    /// Says that an entity is no parent of others.
    pub(super) fn open(&mut self, uid: &Uid) {
        self.mark(uid, false);
        self.closures.remove(uid);
    }

    fn mark(&mut self, uid: &Uid, is_group: bool) {
        if let Some(node) = self.get(uid.as_ref()).filter(|node| node.is_group != is_group) {
            let before = node.clone();
            let after = Node { is_group, ..before.clone() };
            self.reorder(Some(&before), Some(&after));
            self.nodes.put(after);
        }
    }

    /// Takes an entity out.
    pub(super) fn remove(&mut self, uid: &Uid) {
        if let Some(known) = self.get(uid.as_ref()).cloned() {
            self.reorder(Some(&known), None);
            if let Some(place) = self.kinds.iter().position(|(kind, _)| **kind == *uid.kind())
                && let Some((_, count)) = self.kinds.get_mut(place)
            {
                *count -= 1;
                if *count == 0 {
                    self.kinds.swap_remove(place);
                }
            }
        }
        self.nodes.remove(uid);
        self.closures.remove(uid);
    }

    /// Has order and links follow a change; snapshots keep theirs.
    fn reorder(&mut self, before: Option<&Node>, after: Option<&Node>) {
        if before.zip(after).is_none_or(|(before, after)| !before.says_the_same(after)) {
            if Arc::get_mut(&mut self.links).is_none() {
                self.links = Arc::new(self.links.copy());
            }
            if let Some(links) = Arc::get_mut(&mut self.links) {
                links.change(before, after);
            }
        }
        if Order::is_the_same(before, after) {
            return;
        }
        if Arc::get_mut(&mut self.order).is_none() {
            self.order = Arc::new(self.order.get().cloned().map_or_else(OnceLock::new, OnceLock::from));
        }
        if let Some(order) = Arc::get_mut(&mut self.order)
            && let Some(made) = order.get_mut()
        {
            made.change(before, after);
            if made.is_worn() {
                order.take();
                self.links = Arc::default();
            }
        }
    }
}

impl fmt::Debug for Entities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entities").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Each name once.
pub(super) fn distinct(mut uids: Vec<Uid>) -> Vec<Uid> {
    uids.sort_unstable_by(|a, b| a.as_ref().hash().cmp(&b.as_ref().hash()).then_with(|| a.cmp(b)));
    uids.dedup();
    uids
}
