//! Who names whom in an attribute: `resource.owner == principal` read backwards, for the attributes that searches ask
//! about.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::sorted::Sorted;
use crate::decision::entity::store::{Entities, Node};
use crate::decision::entity::table::{Named, Table};
use crate::decision::entity::{Uid, UidRef};
use crate::decision::value::Value;

/// The links of one snapshot by attribute, each made when it is first asked for.
#[derive(Default)]
pub(in crate::decision::entity) struct Links(Mutex<BTreeMap<Arc<str>, Table<Link>>>);

/// Whoever has an entity as the value of the attribute, or in its set.
#[derive(Clone)]
struct Link {
    uid: Uid,
    from: Sorted,
}

impl Named for Link {
    fn uid(&self) -> &Uid {
        &self.uid
    }
}

impl Links {
    /// Whoever of `entities` names `uid` in this attribute.
    pub(in crate::decision::entity) fn from(&self, entities: &Entities, attribute: &str, uid: UidRef<'_>) -> Sorted {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains_key(attribute) {
            known.insert(attribute.into(), links(entities, attribute));
        }
        known.get(attribute).and_then(|links| links.get(uid)).map(|link| link.from.clone()).unwrap_or_default()
    }

    /// The same, to be changed.
    pub(in crate::decision::entity) fn copy(&self) -> Self {
        Self(Mutex::new(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()))
    }

    /// Follows a change of an entity.
    pub(in crate::decision::entity) fn change(&mut self, before: Option<&Node>, after: Option<&Node>) {
        for (attribute, links) in self.0.get_mut().unwrap_or_else(PoisonError::into_inner) {
            let named = |node| targets(node, attribute).cloned().collect::<Vec<_>>();
            let (old, new) = (before.map(named).unwrap_or_default(), after.map(named).unwrap_or_default());
            let Some(name) = before.or(after).map(Node::uid) else { return };
            for uid in old.iter().filter(|uid| !new.contains(uid)) {
                edit(links, uid, |from| from.remove(name));
            }
            for uid in new.iter().filter(|uid| !old.contains(uid)) {
                edit(links, uid, |from| from.insert(name));
            }
        }
    }
}

fn links(entities: &Entities, attribute: &str) -> Table<Link> {
    let mut by_target: HashMap<&Uid, Vec<Uid>> = HashMap::new();
    for node in entities.iter() {
        for target in targets(node, attribute) {
            by_target.entry(target).or_default().push(node.uid().clone());
        }
    }
    let mut links = Table::default();
    for (uid, mut from) in by_target {
        from.sort_unstable();
        links.put(Link { uid: uid.clone(), from: from.into_iter().collect() });
    }
    links
}

/// Whom an entity names in an attribute.
fn targets<'n>(node: &'n Node, attribute: &str) -> impl Iterator<Item = &'n Uid> {
    let value = node.attributes().get(attribute);
    let (one, several) = match value {
        Some(Value::Entity(uid)) => (Some(uid), None),
        Some(Value::Set(set)) => (None, Some(set.iter())),
        _ => (None, None),
    };
    let several = several.into_iter().flatten().filter_map(|value| match value {
        Value::Entity(uid) => Some(uid),
        _ => None,
    });
    one.into_iter().chain(several)
}

fn edit(links: &mut Table<Link>, uid: &Uid, change: impl FnOnce(&mut Sorted)) {
    let known = links.get(uid.as_ref()).cloned();
    let mut link = known.unwrap_or_else(|| Link { uid: uid.clone(), from: Sorted::default() });
    change(&mut link.from);
    if link.from.len() == 0 { links.remove(uid) } else { links.put(link) }
}
