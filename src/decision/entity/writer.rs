//! Changes entities, and keeps what follows from a change true: who is an ancestor of whom, and that nobody is their own.
//!
//! Only an entity that others name as a parent has its ancestors written out (see [`Entities::closed`]), so a change has
//! to look at the groups below it alone. Those are found by the links kept here, which no reader needs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::store::{Entities, Node, distinct};
use super::uid::Uid;

/// The most ancestors that an entity may have. Hierarchies are written out, so a chain of them costs its square.
pub const MOST_ANCESTORS: usize = 10_000;

/// Why an entity was not taken.
#[derive(Clone, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum HierarchyError {
    /// It would be its own ancestor.
    #[error("its parent `{0}` is also its descendant")]
    Cycle(Uid),
    /// It, or an entity below it, would have more than [`MOST_ANCESTORS`].
    #[error("`{0}` would have more than {MOST_ANCESTORS} ancestors")]
    TooManyAncestors(Uid),
}

/// The one who changes the entities.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    entities: Entities,
    /// Those that are named as a parent, whether they exist or not.
    groups: HashMap<Uid, Group>,
}

/// Who names an entity as a parent.
#[derive(Clone, Debug, Default)]
struct Group {
    /// How many do.
    members: usize,
    /// Those among them that are groups too.
    subgroups: HashSet<Uid>,
}

/// The ancestors that groups have after a change.
type Closures = HashMap<Uid, Arc<[Uid]>>;

impl Writer {
    /// The entities as they are now.
    pub fn snapshot(&self) -> Entities {
        self.entities.prepare();
        self.entities.clone()
    }

    /// The entity of this name.
    pub fn get(&self, uid: &Uid) -> Option<&Node> {
        self.entities.get(uid.as_ref())
    }

    /// Whether any entity names `uid` as a parent.
    pub(super) fn is_group(&self, uid: &Uid) -> bool {
        self.groups.contains_key(uid)
    }

    /// Whether `node` would be taken.
    ///
    /// # Errors
    /// [`HierarchyError`].
    pub fn check(&self, node: &Node) -> Result<(), HierarchyError> {
        self.close(node.uid(), node.parents()).map(drop)
    }

    /// Puts `node` in the place of the entity of its name, if there is one.
    ///
    /// # Errors
    /// [`HierarchyError`]; then nothing has changed.
    pub fn upsert(&mut self, mut node: Node) -> Result<(), HierarchyError> {
        node.share_parents(|uid| self.groups.get_key_value(uid).map(|(known, _)| known.clone()));
        let uid = node.uid();
        let known = self.entities.get(uid.as_ref());
        if let Some(known) = known
            && known.parents() == node.parents()
        {
            self.entities.put(node);
            return Ok(());
        }
        let before = known.map(|node| node.parents().to_vec()).unwrap_or_default();
        let closures = self.close(uid, node.parents())?;
        self.link(uid, &before, node.parents());
        self.entities.put(node);
        self.apply(closures);
        Ok(())
    }

    /// Takes an entity out; says whether it was there. Those that name it as a parent still do.
    pub fn remove(&mut self, uid: &Uid) -> bool {
        let Some(known) = self.entities.get(uid.as_ref()) else { return false };
        let before = known.parents().to_vec();
        // What has no parents is in no circle, and no chain grows when one of its links goes.
        let closures = self.close(uid, &[]).unwrap_or_default();
        self.link(uid, &before, &[]);
        self.entities.remove(uid);
        self.apply(closures);
        true
    }

    /// What the ancestors of `uid` and of all groups below it are once its parents are `parents`; nothing if no entity
    /// names it as a parent.
    fn close(&self, uid: &Uid, parents: &[Uid]) -> Result<Closures, HierarchyError> {
        let mut closures = Closures::new();
        if let Some(parent) = parents.iter().find(|parent| *parent == uid) {
            return Err(HierarchyError::Cycle(parent.clone()));
        }
        if !self.groups.contains_key(uid) {
            self.ancestors(uid, parents, &closures)?;
            return Ok(closures);
        }
        for parent in parents {
            let above = self.entities.get(parent.as_ref());
            let mut above = above.into_iter().flat_map(|node| self.entities.ancestors(node));
            if above.any(|ancestor| ancestor == *uid) {
                return Err(HierarchyError::Cycle(parent.clone()));
            }
        }
        // Those below come by the thousand and have few different parents.
        let mut by_parents: HashMap<&[Uid], Arc<[Uid]>> = HashMap::new();
        for group in self.below(uid) {
            let known = self.entities.get(group.as_ref());
            let parents = if group == uid { parents } else { known.map(Node::parents).unwrap_or_default() };
            let ancestors = match by_parents.get(parents) {
                Some(ancestors) => Arc::clone(ancestors),
                None => self.ancestors(group, parents, &closures)?.into(),
            };
            by_parents.insert(parents, Arc::clone(&ancestors));
            closures.insert(group.clone(), ancestors);
        }
        Ok(closures)
    }

    /// The parents and all their ancestors, which are in `closures` if they change.
    fn ancestors(&self, uid: &Uid, parents: &[Uid], closures: &Closures) -> Result<Vec<Uid>, HierarchyError> {
        let mut all = parents.to_vec();
        for parent in parents {
            if let Some(ancestors) = closures.get(parent) {
                all.extend(ancestors.iter().cloned());
            } else if let Some(node) = self.entities.get(parent.as_ref()) {
                all.extend(self.entities.ancestors(node));
            }
            if all.len() > MOST_ANCESTORS {
                all = distinct(all);
            }
            if all.len() > MOST_ANCESTORS {
                return Err(HierarchyError::TooManyAncestors(uid.clone()));
            }
        }
        Ok(distinct(all))
    }

    /// `uid` and the groups below it, each after all those above it.
    fn below<'a>(&'a self, uid: &'a Uid) -> Vec<&'a Uid> {
        let mut seen = HashSet::from([uid]);
        let mut order = Vec::new();
        let subgroups = |uid: &Uid| self.groups.get(uid).into_iter().flat_map(|group| group.subgroups.iter());
        let mut path = vec![(uid, subgroups(uid))];
        while let Some((group, rest)) = path.last_mut() {
            if let Some(next) = rest.next() {
                if seen.insert(next) {
                    path.push((next, subgroups(next)));
                }
            } else {
                order.push(*group);
                path.pop();
            }
        }
        order.reverse();
        order
    }

    /// Moves `uid` from some parents to others.
    fn link(&mut self, uid: &Uid, before: &[Uid], after: &[Uid]) {
        let is_group = self.groups.contains_key(uid);
        for parent in after.iter().filter(|parent| !before.contains(parent)) {
            if !self.groups.contains_key(parent) {
                self.promote(parent);
            }
            let group = self.groups.entry(parent.clone()).or_default();
            group.members += 1;
            if is_group {
                group.subgroups.insert(uid.clone());
            }
        }
        for parent in before.iter().filter(|parent| !after.contains(parent)) {
            let Some(group) = self.groups.get_mut(parent) else { continue };
            group.members -= 1;
            group.subgroups.remove(uid);
            if group.members == 0 {
                self.groups.remove(parent);
                self.demote(parent);
            }
        }
    }

    /// Somebody names `uid` as a parent for the first time.
    fn promote(&mut self, uid: &Uid) {
        let Some(node) = self.entities.get(uid.as_ref()).cloned() else { return };
        let ancestors = self.entities.ancestors(&node);
        self.entities.close(uid, ancestors.into());
        for parent in node.parents() {
            if let Some(group) = self.groups.get_mut(parent) {
                group.subgroups.insert(uid.clone());
            }
        }
    }

    /// Nobody names `uid` as a parent any more.
    fn demote(&mut self, uid: &Uid) {
        let Some(node) = self.entities.get(uid.as_ref()).cloned() else { return };
        self.entities.open(uid);
        for parent in node.parents() {
            if let Some(group) = self.groups.get_mut(parent) {
                group.subgroups.remove(uid);
            }
        }
    }

    fn apply(&mut self, closures: Closures) {
        for (uid, ancestors) in closures {
            self.entities.close(&uid, ancestors);
        }
    }
}

#[cfg(test)]
mod tests;
