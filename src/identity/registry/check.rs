//! What an entry may say: one rule a function, so that whoever reads entries field by field can say where the fault is.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use portcullis_spiffe::{SpiffeId, TrustDomain};

use super::{Entry, EntryTerms};
use crate::foundation::telemetry::printable;
use crate::identity::selector::Selector;

/// The longest name in the DNS (RFC 1035 section 2.3.4), without a trailing dot.
const MAX_DNS_NAME: usize = 253;

/// The longest hint that a workload may get (SPIFFE Workload API section 5.2.1).
const MAX_HINT: usize = 1024;

/// The longest id of an entry: SPIRE's.
const MAX_ID: usize = 255;

/// How much of a name an error repeats.
pub(super) const MAX_SHOWN: usize = 256;

/// How many selectors, trust domains and DNS names an entry may have, of each: no certificate takes more names.
const MAX_OF_EACH: usize = 100;

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
    #[error("an entry without selectors would fit every workload; name at least one")]
    NoSelectors,
    /// A selector is none.
    #[error("`{0}` is no selector: it has the form `type:value`, both not empty, the type without `:`")]
    Selector(String),
    /// Its identity, or its parent's, is another authority's to sign.
    #[error("`{id}` is not of the trust domain `{ours}`")]
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
    #[error(
        "`{0}` is no DNS name: labels of 1 to 63 letters, digits and `-`, the last not a number, no wildcard, 253 characters at most"
    )]
    DnsName(String),
    /// It has more of something than is any use.
    #[error("it has {count} {what}, more than 100")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
    },
    /// A DNS name is there twice.
    #[error("the DNS name `{0}` is there twice")]
    DuplicateDnsName(String),
    /// The hint is too long.
    #[error("the hint has {0} bytes, more than 1024")]
    HintTooLong(usize),
    /// The hint would make a mess of a terminal or a log.
    #[error("the hint has control characters")]
    HintNotPrintable,
}

/// What can be said of terms alone.
pub(super) fn check(terms: &EntryTerms, trust_domain: &TrustDomain) -> Result<(), EntryProblem> {
    for (what, count) in [
        ("selectors", terms.selectors.len()),
        ("federated trust domains", terms.federates_with.len()),
        ("DNS names", terms.dns_names.len()),
    ] {
        if count > MAX_OF_EACH {
            return Err(EntryProblem::TooMany { what, count });
        }
    }
    check_selectors(&terms.selectors)?;
    check_spiffe_id(&terms.spiffe_id, trust_domain)?;
    check_parent_id(&terms.parent_id, trust_domain)?;
    check_federates_with(&terms.federates_with, trust_domain)?;
    check_dns_names(&terms.dns_names)?;
    check_hint(&terms.hint)
}

/// Whether `id` can name an entry.
///
/// # Errors
/// [`EntryProblem::Id`].
pub fn check_id(id: &str) -> Result<(), EntryProblem> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let good = (1..=MAX_ID).contains(&id.len()) && id.bytes().all(plain);
    if good { Ok(()) } else { Err(EntryProblem::Id(printable(id, MAX_SHOWN))) }
}

/// Whether an entry of `trust_domain` may grant `spiffe_id`.
///
/// # Errors
/// [`EntryProblem::ForeignTrustDomain`], [`EntryProblem::Reserved`].
pub fn check_spiffe_id(spiffe_id: &SpiffeId, trust_domain: &TrustDomain) -> Result<(), EntryProblem> {
    check_ours(spiffe_id, trust_domain)?;
    if spiffe_id.path().split('/').nth(1) == Some("spire") {
        return Err(EntryProblem::Reserved(spiffe_id.to_string()));
    }
    Ok(())
}

/// Whether `parent_id` can be the parent of an entry of `trust_domain`.
///
/// # Errors
/// [`EntryProblem::ForeignTrustDomain`].
pub fn check_parent_id(parent_id: &SpiffeId, trust_domain: &TrustDomain) -> Result<(), EntryProblem> {
    check_ours(parent_id, trust_domain)
}

fn check_ours(id: &SpiffeId, ours: &TrustDomain) -> Result<(), EntryProblem> {
    if id.trust_domain() == ours {
        return Ok(());
    }
    Err(EntryProblem::ForeignTrustDomain { id: id.to_string(), ours: ours.to_string() })
}

/// Whether these tell whom an entry is for.
///
/// # Errors
/// [`EntryProblem::NoSelectors`], [`EntryProblem::Selector`].
pub fn check_selectors(selectors: &BTreeSet<Selector>) -> Result<(), EntryProblem> {
    let is_one = |selector: &&Selector| {
        !selector.kind().is_empty() && !selector.kind().contains(':') && !selector.value().is_empty()
    };
    match selectors.iter().find(|selector| !is_one(selector)) {
        Some(selector) => Err(EntryProblem::Selector(printable(&selector.to_string(), MAX_SHOWN))),
        None if selectors.is_empty() => Err(EntryProblem::NoSelectors),
        None => Ok(()),
    }
}

/// Whether an entry of `trust_domain` can federate with `foreign`.
///
/// # Errors
/// [`EntryProblem::FederatesWithItself`].
pub fn check_federates_with(foreign: &BTreeSet<TrustDomain>, trust_domain: &TrustDomain) -> Result<(), EntryProblem> {
    if foreign.contains(trust_domain) {
        return Err(EntryProblem::FederatesWithItself(trust_domain.to_string()));
    }
    Ok(())
}

/// Whether these can all stand in one certificate.
///
/// # Errors
/// [`EntryProblem::DnsName`], [`EntryProblem::DuplicateDnsName`].
pub fn check_dns_names(dns_names: &[String]) -> Result<(), EntryProblem> {
    let mut names = HashSet::new();
    for name in dns_names {
        check_dns_name(name)?;
        if !names.insert(name.to_ascii_lowercase()) {
            return Err(EntryProblem::DuplicateDnsName(name.clone()));
        }
    }
    Ok(())
}

/// Whether `name` is a host name (RFC 1123 section 2.1), and no IP address, which ends in a number. A wildcard in a
/// workload's certificate would let it stand in for its neighbours, so there is none.
///
/// # Errors
/// [`EntryProblem::DnsName`].
pub fn check_dns_name(name: &str) -> Result<(), EntryProblem> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let ends_in_a_number = name.rsplit('.').next().is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    if name.len() <= MAX_DNS_NAME && name.split('.').all(is_label) && !ends_in_a_number {
        Ok(())
    } else {
        Err(EntryProblem::DnsName(printable(name, MAX_SHOWN)))
    }
}

/// Whether a workload can be given this hint.
///
/// # Errors
/// [`EntryProblem::HintTooLong`], [`EntryProblem::HintNotPrintable`].
pub fn check_hint(hint: &str) -> Result<(), EntryProblem> {
    if hint.len() > MAX_HINT {
        Err(EntryProblem::HintTooLong(hint.len()))
    } else if hint.contains(char::is_control) {
        Err(EntryProblem::HintNotPrintable)
    } else {
        Ok(())
    }
}
