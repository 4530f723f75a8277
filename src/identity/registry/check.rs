//! What an entry may say.

use std::collections::HashSet;
use std::sync::Arc;

use portcullis_spiffe::TrustDomain;

use super::{Entry, EntryTerms};
use crate::foundation::telemetry::printable;

/// The longest name in the DNS (RFC 1035 section 2.3.4), without a trailing dot.
const MAX_DNS_NAME: usize = 253;

/// The longest hint that a workload may get (SPIFFE Workload API section 5.2.1).
const MAX_HINT: usize = 1024;

/// How much of a name an error repeats.
pub(super) const MAX_SHOWN: usize = 256;

/// Why an entry is not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryProblem {
    /// The id is not one.
    #[error("`{0}`: an id has 1 to 255 letters, digits, `.`, `-` and `_`")]
    Id(String),
    /// Another entry has its id.
    #[error("the id is taken by another entry")]
    DuplicateId,
    /// Another entry grants the same identity to the same workloads under the same parent.
    #[error("similar entry already exists: `{}`", .0.id)]
    Similar(Arc<Entry>),
    /// There is no entry of this id.
    #[error("entry not found")]
    Unknown,
    /// The entry is another's to change.
    #[error("the entry is kept by the configuration; change it there")]
    KeptByConfig,
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
    /// It federates with our own trust domain.
    #[error("`{0}` is this trust domain itself")]
    FederatesWithItself(String),
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

/// What can be said of terms alone.
pub(super) fn check(terms: &EntryTerms, trust_domain: &TrustDomain) -> Result<(), EntryProblem> {
    if terms.selectors.is_empty() {
        return Err(EntryProblem::NoSelectors);
    }
    for id in [&terms.spiffe_id, &terms.parent_id] {
        if id.trust_domain() != trust_domain {
            return Err(EntryProblem::ForeignTrustDomain { id: id.to_string(), ours: trust_domain.to_string() });
        }
    }
    if terms.federates_with.contains(trust_domain) {
        return Err(EntryProblem::FederatesWithItself(trust_domain.to_string()));
    }
    if terms.spiffe_id.path().split('/').nth(1) == Some("spire") {
        return Err(EntryProblem::Reserved(terms.spiffe_id.to_string()));
    }
    check_dns_names(&terms.dns_names)?;
    if terms.hint.len() > MAX_HINT {
        return Err(EntryProblem::HintTooLong(terms.hint.len()));
    }
    Ok(())
}

/// Whether these can all stand in one certificate.
pub(in crate::identity) fn check_dns_names(dns_names: &[String]) -> Result<(), EntryProblem> {
    let mut names = HashSet::new();
    for name in dns_names {
        if !is_dns_name(name) {
            return Err(EntryProblem::DnsName(printable(name, MAX_SHOWN)));
        }
        if !names.insert(name.to_ascii_lowercase()) {
            return Err(EntryProblem::DuplicateDnsName(name.clone()));
        }
    }
    Ok(())
}

/// Whether `id` can name an entry.
pub(super) fn is_entry_id(id: &str) -> bool {
    (1..=255).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
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
