//! What a caller wants an entry to say: all of it, or the fields of a mask.

use std::collections::BTreeSet;
use std::time::Duration;

use portcullis_spiffe::{SpiffeId, TrustDomain};
use portcullis_spiffe_api::spire::api::types;
use portcullis_spiffe_api::spire::api::types::EntryMask;

use super::super::ids::{self, IdFault};
use super::super::matching::{self, SelectorFault};
use crate::foundation::clock::Timestamp;
use crate::identity::registry::{AdditionalAttributes, EntryTerms};
use crate::identity::selector::Selector;

/// The last second that a [`Timestamp`] can name.
const LAST_SECOND: i64 = 18_446_744_073;

/// All fields that are an author's to set.
const ALL: EntryMask = EntryMask {
    spiffe_id: true,
    parent_id: true,
    selectors: true,
    x509_svid_ttl: true,
    federates_with: true,
    admin: true,
    downstream: true,
    expires_at: true,
    dns_names: true,
    revision_number: true,
    store_svid: true,
    jwt_svid_ttl: true,
    hint: true,
    created_at: true,
    additional_attributes: true,
};

/// Fields to write; those that are `None` stay as they are.
#[derive(Clone, Debug)]
#[expect(clippy::option_option, reason = "the outer says whether to write, the inner what")]
pub(super) struct Patch {
    spiffe_id: Option<SpiffeId>,
    parent_id: Option<SpiffeId>,
    selectors: Option<BTreeSet<Selector>>,
    x509_svid_ttl: Option<Option<Duration>>,
    jwt_svid_ttl: Option<Option<Duration>>,
    federates_with: Option<BTreeSet<TrustDomain>>,
    admin: Option<bool>,
    downstream: Option<bool>,
    expires_at: Option<Option<Timestamp>>,
    dns_names: Option<Vec<String>>,
    store_svid: Option<bool>,
    hint: Option<String>,
    additional: Option<Option<AdditionalAttributes>>,
}

/// What is wrong with an entry of the wire. SPIRE's words where it has any.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum EntryFault {
    #[error("invalid parent ID: {0}")]
    Parent(IdFault),
    #[error("invalid spiffe ID: {0}")]
    SpiffeId(IdFault),
    #[error("invalid federated trust domain: {0}")]
    FederatesWith(IdFault),
    #[error("selector list is empty")]
    NoSelectors,
    #[error(transparent)]
    Selector(#[from] SelectorFault),
    #[error("{0} is negative")]
    Negative(&'static str),
    #[error("expires_at is after the year 2554")]
    TooLate,
    #[error("hint contains a NUL character")]
    Hint,
    #[error("selector types must be the same when store SVID is enabled")]
    MixedStore,
}

impl Patch {
    /// The fields of `mask`, or all.
    pub(super) fn read(
        entry: types::Entry,
        mask: Option<&EntryMask>,
        trust_domain: &TrustDomain,
    ) -> Result<Self, EntryFault> {
        let mask = mask.unwrap_or(&ALL);
        let parent = |given: Option<_>| ids::member(trust_domain, given.as_ref()).map_err(EntryFault::Parent);
        let spiffe_id = |given: Option<_>| ids::workload(trust_domain, given.as_ref()).map_err(EntryFault::SpiffeId);
        Ok(Self {
            parent_id: mask.parent_id.then(|| parent(entry.parent_id)).transpose()?,
            spiffe_id: mask.spiffe_id.then(|| spiffe_id(entry.spiffe_id)).transpose()?,
            dns_names: mask.dns_names.then_some(entry.dns_names),
            federates_with: mask.federates_with.then(|| domains(&entry.federates_with)).transpose()?,
            selectors: mask.selectors.then(|| selectors(&entry.selectors)).transpose()?,
            hint: mask.hint.then(|| hint(entry.hint)).transpose()?,
            x509_svid_ttl: mask.x509_svid_ttl.then(|| ttl(entry.x509_svid_ttl, "x509_svid_ttl")).transpose()?,
            jwt_svid_ttl: mask.jwt_svid_ttl.then(|| ttl(entry.jwt_svid_ttl, "jwt_svid_ttl")).transpose()?,
            expires_at: mask.expires_at.then(|| moment(entry.expires_at)).transpose()?,
            admin: mask.admin.then_some(entry.admin),
            downstream: mask.downstream.then_some(entry.downstream),
            store_svid: mask.store_svid.then_some(entry.store_svid),
            additional: mask.additional_attributes.then_some(entry.additional_attributes.map(|additional| {
                AdditionalAttributes {
                    disable_x509_svid_prefetch: additional.disable_x509_svid_prefetch,
                    jwt_svid_include_jti: additional.jwt_svid_include_jti,
                }
            })),
        })
    }

    /// The terms of a new entry.
    pub(super) fn into_terms(self) -> Result<EntryTerms, EntryFault> {
        let spiffe_id = self.spiffe_id.clone().ok_or(EntryFault::SpiffeId(IdFault::Absent))?;
        let parent_id = self.parent_id.clone().ok_or(EntryFault::Parent(IdFault::Absent))?;
        let mut terms = EntryTerms::new(spiffe_id, parent_id, BTreeSet::new());
        self.apply(&mut terms);
        Ok(terms)
    }

    /// Writes the fields into `terms`.
    pub(super) fn apply(&self, terms: &mut EntryTerms) {
        put(&mut terms.spiffe_id, self.spiffe_id.as_ref());
        put(&mut terms.parent_id, self.parent_id.as_ref());
        put(&mut terms.selectors, self.selectors.as_ref());
        put(&mut terms.x509_svid_ttl, self.x509_svid_ttl.as_ref());
        put(&mut terms.jwt_svid_ttl, self.jwt_svid_ttl.as_ref());
        put(&mut terms.federates_with, self.federates_with.as_ref());
        put(&mut terms.admin, self.admin.as_ref());
        put(&mut terms.downstream, self.downstream.as_ref());
        put(&mut terms.expires_at, self.expires_at.as_ref());
        put(&mut terms.dns_names, self.dns_names.as_ref());
        put(&mut terms.store_svid, self.store_svid.as_ref());
        put(&mut terms.hint, self.hint.as_ref());
        put(&mut terms.additional, self.additional.as_ref());
    }
}

/// A store of secrets is told by the type of all selectors.
pub(super) fn check_stored(terms: &EntryTerms) -> Result<(), EntryFault> {
    let mut kinds = terms.selectors.iter().map(Selector::kind);
    let first = kinds.next();
    if terms.store_svid && kinds.any(|kind| Some(kind) != first) { Err(EntryFault::MixedStore) } else { Ok(()) }
}

fn put<T: Clone>(field: &mut T, value: Option<&T>) {
    if let Some(value) = value {
        field.clone_from(value);
    }
}

fn domains(names: &[String]) -> Result<BTreeSet<TrustDomain>, EntryFault> {
    names.iter().map(|name| ids::trust_domain(name).map_err(EntryFault::FederatesWith)).collect()
}

fn selectors(list: &[types::Selector]) -> Result<BTreeSet<Selector>, EntryFault> {
    let set = matching::selectors(list)?;
    if set.is_empty() { Err(EntryFault::NoSelectors) } else { Ok(set) }
}

fn ttl(seconds: i32, field: &'static str) -> Result<Option<Duration>, EntryFault> {
    let seconds = u64::try_from(seconds).map_err(|_negative| EntryFault::Negative(field))?;
    Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
}

fn moment(seconds: i64) -> Result<Option<Timestamp>, EntryFault> {
    match seconds {
        0 => Ok(None),
        1..=LAST_SECOND => Ok(Some(Timestamp::from_unix_seconds(seconds))),
        ..0 => Err(EntryFault::Negative("expires_at")),
        _ => Err(EntryFault::TooLate),
    }
}

fn hint(text: String) -> Result<String, EntryFault> {
    if text.contains('\0') { Err(EntryFault::Hint) } else { Ok(text) }
}
