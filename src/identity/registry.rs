//! Registration entries: which workload, told by its selectors, gets which identity. The shape is SPIRE's.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use portcullis_spiffe::{SpiffeId, TrustDomain};

use super::selector::Selector;
use crate::foundation::telemetry::printable;
use crate::foundation::watched::Watched;

/// The longest name in the DNS (RFC 1035 section 2.3.4), without a trailing dot.
const MAX_DNS_NAME: usize = 253;

/// The longest hint that a workload may get (SPIFFE Workload API section 5.2.1).
const MAX_HINT: usize = 1024;

/// How much of a name from the configuration an error repeats.
const MAX_SHOWN: usize = 256;

/// One registration entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Its name, unique.
    pub id: Arc<str>,
    /// The identity it grants.
    pub spiffe_id: SpiffeId,
    /// Who may hand it out. Until there are remote agents this process is the only one.
    pub parent_id: Option<SpiffeId>,
    /// A workload must have all of these.
    pub selectors: BTreeSet<Selector>,
    /// How long an X.509-SVID lives; the authority's default if `None`.
    pub x509_svid_ttl: Option<Duration>,
    /// DNS names that go into the certificate beside the URI.
    pub dns_names: Vec<String>,
    /// Foreign trust domains whose bundles the workload gets.
    pub federates_with: BTreeSet<TrustDomain>,
    /// A word for the workload to tell several identities apart.
    pub hint: String,
}

/// All entries, in the order in which a workload that matches several gets them: that of the configuration.
pub type Registry = Watched<Vec<Arc<Entry>>>;

/// Why a set of entries can't be the registry's.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("entry `{entry}`: {problem}")]
pub struct RegistryError {
    /// The entry's id, fit for a log.
    pub entry: String,
    /// What is wrong with it.
    pub problem: EntryProblem,
}

/// What is wrong with an entry.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryProblem {
    /// It has no name.
    #[error("the id is empty")]
    NoId,
    /// Another entry has its name.
    #[error("the id is taken by an earlier entry")]
    DuplicateId,
    /// Another entry says the same.
    #[error("it grants the same identity to the same workloads as entry `{0}`")]
    Duplicate(String),
    /// Nothing tells which workloads it is for.
    #[error("it has no selectors; name at least one")]
    NoSelectors,
    /// Its identity, or its parent's, is another authority's to sign.
    #[error("`{id}` is not of our trust domain `{ours}`")]
    ForeignTrustDomain {
        /// The identity.
        id: String,
        /// Ours.
        ours: String,
    },
    /// The identity belongs to the infrastructure.
    #[error("`{0}` is reserved: no workload may have an identity under `/spire`")]
    Reserved(String),
    /// It is no host name.
    #[error("`{0}` is no DNS name: labels of 1 to 63 letters, digits and `-`, no wildcard, 253 characters at most")]
    DnsName(String),
    /// A DNS name is there twice.
    #[error("the DNS name `{0}` is there twice")]
    DuplicateDnsName(String),
    /// The hint is too long.
    #[error("the hint has {0} bytes, more than 1024")]
    HintTooLong(usize),
}

/// The entries, if they may stand together in the registry of `trust_domain`. Their order is kept.
///
/// # Errors
/// [`RegistryError`], for the first entry that may not.
pub fn checked(
    trust_domain: &TrustDomain,
    entries: impl IntoIterator<Item = Entry>,
) -> Result<Vec<Arc<Entry>>, RegistryError> {
    let mut accepted = Vec::new();
    let mut ids = HashSet::new();
    let mut grants = HashMap::new();
    for entry in entries {
        let grant = (entry.spiffe_id.clone(), entry.parent_id.clone(), entry.selectors.clone());
        let checked = match grants.insert(grant, entry.id.clone()) {
            _ if !ids.insert(entry.id.clone()) => Err(EntryProblem::DuplicateId),
            Some(other) => Err(EntryProblem::Duplicate(printable(&other, MAX_SHOWN))),
            None => check(&entry, trust_domain),
        };
        checked.map_err(|problem| RegistryError { entry: printable(&entry.id, MAX_SHOWN), problem })?;
        accepted.push(Arc::new(entry));
    }
    Ok(accepted)
}

/// The entries that grant something to a workload with `selectors`, in order.
pub fn entitled<'a>(entries: &'a [Arc<Entry>], selectors: &BTreeSet<Selector>) -> Vec<&'a Arc<Entry>> {
    entries.iter().filter(|entry| !entry.selectors.is_empty() && entry.selectors.is_subset(selectors)).collect()
}

/// What can be said of an entry alone.
fn check(entry: &Entry, trust_domain: &TrustDomain) -> Result<(), EntryProblem> {
    if entry.id.is_empty() {
        return Err(EntryProblem::NoId);
    }
    if entry.selectors.is_empty() {
        return Err(EntryProblem::NoSelectors);
    }
    for id in std::iter::once(&entry.spiffe_id).chain(&entry.parent_id) {
        if id.trust_domain() != trust_domain {
            return Err(EntryProblem::ForeignTrustDomain { id: id.to_string(), ours: trust_domain.to_string() });
        }
    }
    if entry.spiffe_id.path().split('/').nth(1) == Some("spire") {
        return Err(EntryProblem::Reserved(entry.spiffe_id.to_string()));
    }
    let mut names = HashSet::new();
    for name in &entry.dns_names {
        if !is_dns_name(name) {
            return Err(EntryProblem::DnsName(printable(name, MAX_SHOWN)));
        }
        if !names.insert(name.to_ascii_lowercase()) {
            return Err(EntryProblem::DuplicateDnsName(name.clone()));
        }
    }
    if entry.hint.len() > MAX_HINT {
        return Err(EntryProblem::HintTooLong(entry.hint.len()));
    }
    Ok(())
}

/// Whether `name` is a host name (RFC 1123 section 2.1). A wildcard in a workload's certificate would let it stand in
/// for its neighbours, so there is none.
fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= MAX_DNS_NAME && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests;
