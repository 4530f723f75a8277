//! The schema's actions, numbered.

use std::collections::HashMap;

use cedar_policy::{EntityUid, Schema};

use crate::decision::entity::{Entities, Node, Uid, UidRef, Writer};
use crate::decision::value::Record;

/// All actions of a schema.
#[derive(Debug)]
pub(super) struct Actions {
    /// Their numbers, by the name that a question uses.
    numbers: HashMap<String, usize, foldhash::fast::RandomState>,
    uids: Vec<Uid>,
    /// The same as entities, which are in groups.
    pub(super) entities: Entities,
}

impl Actions {
    /// The actions of a schema.
    ///
    /// # Errors
    /// What is wrong with the groups, which Cedar's own reading of the schema refuses before.
    pub(super) fn of(schema: &Schema) -> Result<Self, String> {
        let mut actions: Vec<_> = schema.actions().collect();
        actions.sort_unstable();
        let numbers = actions.iter().enumerate().map(|(number, action)| (action_name(action), number));
        let mut writer = Writer::default();
        for entity in schema.action_entities().map_err(|error| error.to_string())? {
            let (uid, _, ancestors) = entity.into_inner();
            let node = Node::new(own(&uid), Record::default(), Record::default(), ancestors.iter().map(own).collect());
            writer.upsert(node).map_err(|error| error.to_string())?;
        }
        let (numbers, uids) = (numbers.collect(), actions.into_iter().map(own).collect());
        Ok(Self { numbers, uids, entities: writer.snapshot() })
    }

    /// The number and the entity of the action that a question calls `name`.
    pub(super) fn named(&self, name: &str) -> Option<(usize, UidRef<'_>)> {
        let number = *self.numbers.get(name)?;
        Some((number, self.uids.get(number)?.as_ref()))
    }

    /// All actions by number.
    pub(super) fn uids(&self) -> &[Uid] {
        &self.uids
    }
}

fn own(uid: &EntityUid) -> Uid {
    Uid::new(uid.type_name().to_string().into(), uid.id().unescaped())
}

/// `GET` for `Action::"GET"`, `Shop::buy` for `Shop::Action::"buy"`.
fn action_name(action: &EntityUid) -> String {
    let id = action.id().unescaped();
    let namespace = action.type_name().namespace();
    if namespace.is_empty() { id.to_owned() } else { format!("{namespace}::{id}") }
}
