//! Workloads of other trust domains in the terms of policies: each has the attribute `foreign`, a record of what is known
//! here of its domain, and one of our own has none. It is there only where the schema declares it, and in it only what the
//! schema declares.

use std::iter;

use portcullis_spiffe::SpiffeId;

use super::mapping::WORKLOAD;
use super::query::{Entity, Properties, Query};
use super::reason::Reason;
use super::request::Refusal;
use super::schema::{RecordType, SchemaTypes, Type};
use crate::identity::foreign::ForeignIdentities;

/// The attribute.
const FOREIGN: &str = "foreign";

/// Says of the workloads that `query` brings with it what they are here. Whatever else was said of that is taken back: who
/// asks over `AuthZEN` has no say in it.
///
/// # Errors
/// [`Refusal`] if one of them is of another trust domain and not let in.
pub(super) fn describe(query: &mut Query<'_>, foreign: &ForeignIdentities, types: &SchemaTypes) -> Result<(), Refusal> {
    describe_subject(query, foreign, types)?;
    describe_resource(query, foreign, types)
}

/// The same of the subject, and of whom else the query brings, alone.
pub(super) fn describe_subject(
    query: &mut Query<'_>,
    foreign: &ForeignIdentities,
    types: &SchemaTypes,
) -> Result<(), Refusal> {
    let brought = iter::once(&mut query.subject).chain(&mut query.extra);
    brought.filter(|entity| entity.kind == WORKLOAD).try_for_each(|workload| enter(workload, foreign, types))
}

/// The same of the resource alone, which need not have a workload's name: it may be open, in a search.
pub(super) fn describe_resource(
    query: &mut Query<'_>,
    foreign: &ForeignIdentities,
    types: &SchemaTypes,
) -> Result<(), Refusal> {
    let resource = &mut query.resource;
    if resource.kind == WORKLOAD {
        resource.properties.retain(|name| name != FOREIGN);
        if resource.id.parse::<SpiffeId>().is_ok() {
            enter(resource, foreign, types)?;
        }
    }
    Ok(())
}

fn enter(workload: &mut Entity<'_>, foreign: &ForeignIdentities, types: &SchemaTypes) -> Result<(), Refusal> {
    workload.properties.retain(|name| name != FOREIGN);
    if foreign.is_ours(&workload.id) {
        return Ok(());
    }
    let id: SpiffeId = workload.id.parse().map_err(|why| Refusal::new(Reason::BadPrincipal, why, &workload.id))?;
    if !foreign.admits(&id) {
        let why = "it is of another trust domain, and not one of its identities that are let in";
        return Err(Refusal::new(Reason::ForeignIdentity, why, id.as_str()));
    }
    if let Some(declared) = declared(types) {
        let facts = declared.keys().filter_map(|name| Some((name.clone(), foreign.fact(id.trust_domain(), name)?)));
        let mut known = Properties::with_capacity(declared.len());
        facts.for_each(|(name, value)| known.insert(name, value));
        workload.properties.insert(FOREIGN, known);
    }
    Ok(())
}

/// What the schema has room for. One that calls something else by this name has none.
fn declared(types: &SchemaTypes) -> Option<&RecordType> {
    match &types.entities.get(WORKLOAD)?.attributes.get(FOREIGN)?.kind {
        Type::Record(declared) => Some(declared),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
