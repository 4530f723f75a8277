//! Which agents this process stands in for. Entries name a parent: the agent that may hand their identity out.

use std::collections::BTreeSet;

use portcullis_spiffe::SpiffeId;

use crate::identity::selector::Selector;

/// The agents that this process stands in for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Parents {
    /// Every one: it is the only agent.
    #[default]
    Any,
    /// These. See [`Parents::these`].
    These {
        /// Their SPIFFE IDs.
        ids: BTreeSet<SpiffeId>,
        /// What is true of them as nodes: `spiffe_id:ID` for each.
        selectors: BTreeSet<Selector>,
    },
}

impl Parents {
    /// The agents with these SPIFFE IDs. As nodes they have no selectors but `spiffe_id:ID`, since nobody attested them;
    /// that is what the alias of a join token names.
    pub fn these(ids: impl IntoIterator<Item = SpiffeId>) -> Self {
        let ids: BTreeSet<_> = ids.into_iter().collect();
        let selectors = ids.iter().map(|id| Selector::new("spiffe_id", id.as_str())).collect();
        Self::These { ids, selectors }
    }

    /// Whether `id` is one of them.
    pub(super) fn include(&self, id: &SpiffeId) -> bool {
        match self {
            Self::Any => true,
            Self::These { ids, .. } => ids.contains(id),
        }
    }

    /// Whether an alias for nodes with `wanted` is an alias of them.
    pub(super) fn have(&self, wanted: &BTreeSet<Selector>) -> bool {
        match self {
            Self::Any => true,
            Self::These { selectors, .. } => !wanted.is_empty() && wanted.is_subset(selectors),
        }
    }
}
