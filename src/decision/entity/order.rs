//! The stored entities in order, and who is directly in whom: what a search needs, and no decision.
//!
//! It is made when the first search asks for it, and from then on kept true with each change, which costs a copy of the
//! parts that change. Nobody who never searches pays for it.

mod links;
mod sorted;

use std::collections::HashMap;
use std::fmt;

pub(super) use self::links::Links;
use self::sorted::Sorted;
use super::store::{Entities, Node};
use super::table::{Named, Table};
use super::uid::{Uid, UidRef};

/// Names in the order of their bytes.
pub type Names<'a> = Box<dyn Iterator<Item = UidRef<'a>> + 'a>;

/// More changes than this, and more than a part of all there is, are not worth following one by one.
const MANY_CHANGES: usize = 1000;

/// The order of one snapshot. Cheap to clone.
#[derive(Clone, Default)]
pub struct Order {
    all: Sorted,
    groups: Table<Group>,
    /// How many changes were followed since it was made.
    changes: usize,
}

/// Whoever names an entity as a parent.
#[derive(Clone)]
struct Group {
    uid: Uid,
    members: Sorted,
    /// Those of them who are parents of others.
    subgroups: Sorted,
}

impl Named for Group {
    fn uid(&self) -> &Uid {
        &self.uid
    }
}

impl Order {
    /// All of one type, after `after`.
    pub fn of_kind<'a>(&'a self, kind: &'a str, after: Option<&'a str>) -> Names<'a> {
        part(&self.all, kind, after)
    }

    /// Those of one type that have `group` as a parent, after `after`.
    pub fn members<'a>(&'a self, group: UidRef<'_>, kind: &'a str, after: Option<&'a str>) -> Names<'a> {
        match self.groups.get(group) {
            Some(group) => part(&group.members, kind, after),
            None => Box::new(std::iter::empty()),
        }
    }

    /// Those that have `group` as a parent and are parents of others.
    pub fn subgroups(&self, group: UidRef<'_>) -> impl Iterator<Item = UidRef<'_>> {
        let group = self.groups.get(group);
        group.into_iter().flat_map(|group| group.subgroups.iter().map(Uid::as_ref))
    }

    pub(super) fn of(entities: &Entities) -> Self {
        let mut nodes: Vec<(UidRef<'_>, &Node)> = entities.iter().map(|node| (node.uid().as_ref(), node)).collect();
        nodes.sort_unstable_by_key(|(uid, _)| *uid);
        let mut groups: HashMap<&Uid, (Vec<Uid>, Vec<Uid>)> = HashMap::new();
        for (_, node) in &nodes {
            for parent in node.parents() {
                let (members, subgroups) = groups.entry(parent).or_default();
                members.push(node.uid().clone());
                subgroups.extend(node.is_group().then(|| node.uid().clone()));
            }
        }
        let mut order = Self { all: nodes.iter().map(|(_, node)| node.uid().clone()).collect(), ..Self::default() };
        for (uid, (members, subgroups)) in groups {
            let (members, subgroups) = (members.into_iter().collect(), subgroups.into_iter().collect());
            order.groups.put(Group { uid: uid.clone(), members, subgroups });
        }
        order
    }

    /// Whether making it anew is less work than it was to follow the changes.
    pub(super) const fn is_worn(&self) -> bool {
        self.changes > MANY_CHANGES && self.changes > self.all.len() / 4
    }

    /// Whether a change of an entity from `before` to `after` is none of the order's.
    pub(super) fn is_the_same(before: Option<&Node>, after: Option<&Node>) -> bool {
        let same = |(before, after): (&Node, &Node)| {
            before.is_group() == after.is_group() && before.parents() == after.parents()
        };
        before.zip(after).is_some_and(same)
    }

    /// Follows a change of an entity from `before` to `after`.
    pub(super) fn change(&mut self, before: Option<&Node>, after: Option<&Node>) {
        self.changes += 1;
        match (before, after) {
            (None, Some(new)) => self.all.insert(new.uid()),
            (Some(gone), None) => self.all.remove(gone.uid()),
            _ => {}
        }
        let Some(uid) = before.or(after).map(Node::uid) else { return };
        let parents = |node: Option<&'_ Node>| node.map(|node| node.parents().to_vec()).unwrap_or_default();
        let (old, new) = (parents(before), parents(after));
        for parent in old.iter().filter(|parent| !new.contains(parent)) {
            self.edit(parent, |group| {
                group.members.remove(uid);
                group.subgroups.remove(uid);
            });
        }
        let is_group = after.is_some_and(Node::is_group);
        for parent in &new {
            self.edit(parent, |group| {
                group.members.insert(uid);
                if is_group { group.subgroups.insert(uid) } else { group.subgroups.remove(uid) }
            });
        }
    }

    fn edit(&mut self, uid: &Uid, change: impl FnOnce(&mut Group)) {
        let known = self.groups.get(uid.as_ref()).cloned();
        let mut group = known.unwrap_or_else(|| Group {
            uid: uid.clone(),
            members: Sorted::default(),
            subgroups: Sorted::default(),
        });
        change(&mut group);
        if group.members.len() == 0 { self.groups.remove(uid) } else { self.groups.put(group) }
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order").field("len", &self.all.len()).finish_non_exhaustive()
    }
}

impl Entities {
    /// Those of one type that name `uid` in an attribute, as its value or in its set, after `after`.
    pub fn naming<'a>(&'a self, attribute: &str, uid: UidRef<'_>, kind: &'a str, after: Option<&'a str>) -> Names<'a> {
        let from = self.links().from(self, attribute, uid).into_since(is_before(kind, after));
        let stored = move |uid: Uid| self.get(uid.as_ref()).map(|node| node.uid().as_ref());
        Box::new(from.take_while(move |uid| uid.kind() == kind).filter_map(stored))
    }
}

/// Those of one type, after `after`.
fn part<'a>(names: &'a Sorted, kind: &'a str, after: Option<&'a str>) -> Names<'a> {
    let names = names.since(is_before(kind, after)).map(Uid::as_ref);
    Box::new(names.take_while(move |uid| uid.kind() == kind))
}

fn is_before<'a>(kind: &'a str, after: Option<&'a str>) -> impl Fn(UidRef<'_>) -> bool + use<'a> {
    move |uid| match after {
        None => uid.kind() < kind,
        Some(after) => (uid.kind(), uid.id()) <= (kind, after),
    }
}

#[cfg(test)]
mod tests;
