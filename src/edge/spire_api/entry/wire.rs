//! Entries as they go over the wire.

use std::time::Duration;

use portcullis_spiffe_api::spire::api::types;
use portcullis_spiffe_api::spire::api::types::entry::AdditionalAttributes;

use super::super::{ids, matching};
use crate::foundation::clock::Timestamp;
use crate::identity::registry::Entry;

/// `entry` with the fields of `mask`, or all; its id is always there.
pub(super) fn masked(entry: &Entry, mask: Option<&types::EntryMask>) -> types::Entry {
    let full = full(entry);
    let Some(mask) = mask else { return full };
    types::Entry {
        id: full.id,
        spiffe_id: full.spiffe_id.filter(|_| mask.spiffe_id),
        parent_id: full.parent_id.filter(|_| mask.parent_id),
        selectors: kept(full.selectors, mask.selectors),
        x509_svid_ttl: kept(full.x509_svid_ttl, mask.x509_svid_ttl),
        federates_with: kept(full.federates_with, mask.federates_with),
        admin: kept(full.admin, mask.admin),
        downstream: kept(full.downstream, mask.downstream),
        expires_at: kept(full.expires_at, mask.expires_at),
        dns_names: kept(full.dns_names, mask.dns_names),
        revision_number: kept(full.revision_number, mask.revision_number),
        store_svid: kept(full.store_svid, mask.store_svid),
        jwt_svid_ttl: kept(full.jwt_svid_ttl, mask.jwt_svid_ttl),
        hint: kept(full.hint, mask.hint),
        created_at: kept(full.created_at, mask.created_at),
        additional_attributes: full.additional_attributes.filter(|_| mask.additional_attributes),
    }
}

fn full(entry: &Entry) -> types::Entry {
    let terms = &entry.terms;
    types::Entry {
        id: entry.id.to_string(),
        spiffe_id: Some(ids::to_wire(&terms.spiffe_id)),
        parent_id: Some(ids::to_wire(&terms.parent_id)),
        selectors: matching::to_wire(&terms.selectors),
        x509_svid_ttl: seconds(terms.x509_svid_ttl),
        federates_with: terms.federates_with.iter().map(ToString::to_string).collect(),
        admin: terms.admin,
        downstream: terms.downstream,
        expires_at: terms.expires_at.map_or(0, unix),
        dns_names: terms.dns_names.clone(),
        revision_number: i64::try_from(entry.revision).unwrap_or(i64::MAX),
        store_svid: terms.store_svid,
        jwt_svid_ttl: seconds(terms.jwt_svid_ttl),
        hint: terms.hint.clone(),
        created_at: unix(entry.created_at),
        additional_attributes: terms.additional.map(|additional| AdditionalAttributes {
            disable_x509_svid_prefetch: additional.disable_x509_svid_prefetch,
            jwt_svid_include_jti: additional.jwt_svid_include_jti,
        }),
    }
}

fn kept<T: Default>(value: T, wanted: bool) -> T {
    if wanted { value } else { T::default() }
}

fn seconds(ttl: Option<Duration>) -> i32 {
    ttl.map_or(0, |ttl| i32::try_from(ttl.as_secs()).unwrap_or(i32::MAX))
}

fn unix(time: Timestamp) -> i64 {
    i64::try_from(time.unix_seconds()).unwrap_or(i64::MAX)
}
