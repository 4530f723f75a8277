//! Which entries are asked for: all that is set has to hold.

use std::collections::BTreeSet;

use portcullis_spiffe::{SpiffeId, TrustDomain};
use portcullis_spiffe_api::spire::api::server::entry::v1::{count_entries_request, list_entries_request};
use portcullis_spiffe_api::spire::api::types;
use tonic::Status;

use super::super::matching::{Relation, SelectorFault, SetMatch};
use super::super::{ids, matching, status};
use crate::identity::registry::Entry;
use crate::identity::selector::Selector;

/// The error of a question to federated trust domains.
const FEDERATES_WITH: &str = "malformed federates with filter";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Filter {
    spiffe_id: Option<SpiffeId>,
    parent_id: Option<SpiffeId>,
    selectors: Option<SetMatch<Selector>>,
    federates_with: Option<SetMatch<TrustDomain>>,
    hint: Option<String>,
    downstream: Option<bool>,
}

impl Filter {
    /// What `ListEntries` asks for.
    pub(super) fn of_list(
        filter: Option<list_entries_request::Filter>,
        trust_domain: &TrustDomain,
    ) -> Result<Self, Status> {
        let Some(filter) = filter else { return Ok(Self::default()) };
        let parent_id = filter.by_parent_id.map(|id| ids::member(trust_domain, Some(&id))).transpose();
        let spiffe_id = filter.by_spiffe_id.map(|id| ids::workload(trust_domain, Some(&id))).transpose();
        let selectors = filter.by_selectors.map(|asked| matching::selector_match(&asked)).transpose();
        Ok(Self {
            parent_id: parent_id.map_err(|fault| status::invalid("malformed parent ID filter", fault))?,
            spiffe_id: spiffe_id.map_err(|fault| status::invalid("malformed SPIFFE ID filter", fault))?,
            selectors: selectors.map_err(|fault| status::invalid("malformed selectors filter", fault))?,
            federates_with: filter.by_federates_with.map(|asked| federates_with(&asked)).transpose()?,
            // An empty one asks for nothing.
            hint: filter.by_hint.filter(|hint| !hint.is_empty()),
            downstream: filter.by_downstream,
        })
    }

    /// What `CountEntries` asks for: the same in a message of its own.
    pub(super) fn of_count(
        filter: Option<count_entries_request::Filter>,
        trust_domain: &TrustDomain,
    ) -> Result<Self, Status> {
        let filter = filter.map(|filter| list_entries_request::Filter {
            by_spiffe_id: filter.by_spiffe_id,
            by_parent_id: filter.by_parent_id,
            by_selectors: filter.by_selectors,
            by_federates_with: filter.by_federates_with,
            by_hint: filter.by_hint,
            by_downstream: filter.by_downstream,
        });
        Self::of_list(filter, trust_domain)
    }

    /// Whether `entry` is asked for.
    pub(super) fn holds(&self, entry: &Entry) -> bool {
        let terms = &entry.terms;
        self.spiffe_id.as_ref().is_none_or(|id| *id == terms.spiffe_id)
            && self.parent_id.as_ref().is_none_or(|id| *id == terms.parent_id)
            && self.selectors.as_ref().is_none_or(|asked| asked.holds(&terms.selectors))
            && self.federates_with.as_ref().is_none_or(|asked| asked.holds(&terms.federates_with))
            && self.hint.as_ref().is_none_or(|hint| *hint == terms.hint)
            && self.downstream.is_none_or(|downstream| downstream == terms.downstream)
    }
}

fn federates_with(asked: &types::FederatesWithMatch) -> Result<SetMatch<TrustDomain>, Status> {
    let domains: Result<BTreeSet<_>, _> = asked.trust_domains.iter().map(|name| ids::trust_domain(name)).collect();
    let domains = domains.map_err(|fault| status::invalid(FEDERATES_WITH, fault))?;
    if domains.is_empty() {
        return Err(status::invalid(FEDERATES_WITH, "empty trust domain set"));
    }
    let relation = Relation::of(asked.r#match);
    let relation = relation.ok_or_else(|| status::invalid(FEDERATES_WITH, SelectorFault::Relation))?;
    Ok(SetMatch { asked: domains, relation })
}
