//! The permits by what they ask of one party: where a search begins, of whose parties only one is known.

use std::collections::HashMap;

use crate::decision::entity::Lineage;
use crate::decision::policy::index::{Key, Party, RuleNumber, Scope};

/// The permits by the keys of their scopes, for each party alone. It is made of all rules when the first search
/// asks for it; decisions, which know both parties, have a better index.
#[derive(Debug, Default)]
pub(in crate::decision::policy) struct Reach {
    principals: ByKey,
    resources: ByKey,
}

type ByKey = HashMap<Key, Vec<RuleNumber>, foldhash::fast::RandomState>;

impl Reach {
    /// Of permits with these numbers and scopes.
    pub(in crate::decision::policy) fn of<'r>(permits: impl Iterator<Item = (RuleNumber, &'r Scope)>) -> Self {
        let mut reach = Self::default();
        for (number, scope) in permits {
            for key in &scope.principal {
                reach.principals.entry(key.clone()).or_default().push(number);
            }
            for key in &scope.resource {
                reach.resources.entry(key.clone()).or_default().push(number);
            }
        }
        reach
    }

    /// The permits whose scope has room for an entity as the principal or the resource, each once.
    pub(super) fn permits(&self, party: Party, known: &Lineage<'_>) -> Vec<RuleNumber> {
        let by_key = match party {
            Party::Principal => &self.principals,
            Party::Resource => &self.resources,
        };
        let entity = known.entity();
        let own = [Key::Anyone, Key::Kind(entity.kind().into()), Key::Is(entity.to_owned())];
        let keys = own.into_iter().chain(known.iter().map(|uid| Key::Within(uid.to_owned())));
        let mut permits: Vec<_> = keys.filter_map(|key| by_key.get(&key)).flatten().copied().collect();
        permits.sort_unstable();
        permits.dedup();
        permits
    }
}
