//! What is written down of a search.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::{Page, Search, SearchError, Sought};
use crate::decision::caller::Asker;
use crate::decision::policy::{Evaluation, PolicySet};
use crate::decision::query::{Action, Entity, Overlay, Properties, Query};
use crate::evidence::{DecisionId, Edge, SearchKind, SearchRecord};
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::foundation::telemetry::{as_printable, printable};
use crate::foundation::watched::Snapshot;

/// How much of a peer's own words goes into a record, in bytes.
const SHOWN: usize = 1024;

impl<'s> Search<'s> {
    /// What is sought, as records and metrics name it.
    pub const fn kind(&self) -> SearchKind {
        match &self.sought {
            Sought::Subjects { .. } => SearchKind::Subject,
            Sought::Resources { .. } => SearchKind::Resource,
            Sought::Actions { .. } => SearchKind::Action,
        }
    }

    /// SHA-256 over everything but what is sought, the page's begin and its length.
    pub fn digest(&self) -> Digest {
        self.query().digest()
    }

    /// The question, with an empty name in the place of what is sought.
    pub(in crate::decision) fn query(&self) -> Query<'s> {
        let open = |kind: &str, properties: &Properties<'_>, overlay: &Overlay| Entity {
            properties: properties.clone().into_owned(),
            overlay: overlay.clone(),
            ..Entity::named(kind.to_owned(), "")
        };
        let (subject, action, resource) = match &self.sought {
            Sought::Subjects { kind, properties, overlay, action, resource } => {
                (open(kind, properties, overlay), action.clone(), resource.clone())
            }
            Sought::Resources { subject, action, kind, properties, overlay } => {
                (subject.clone(), action.clone(), open(kind, properties, overlay))
            }
            Sought::Actions { subject, resource } => (subject.clone(), Action::named(""), resource.clone()),
        };
        Query { subject, action, resource, context: self.context.clone(), extra: Vec::new() }
    }
}

/// The answer before it is given.
pub(super) struct Answer<'a> {
    pub(super) id: DecisionId,
    pub(super) time: Timestamp,
    pub(super) policies: &'a Snapshot<PolicySet>,
    pub(super) result: &'a Result<Page, SearchError>,
    pub(super) took: Duration,
}

/// The record of a search and its answer.
pub(super) fn record<'a>(search: &'a Search<'_>, answer: &Answer<'_>, by: Asker<'a>) -> SearchRecord<'a> {
    let whom = |entity: &Entity<'_>| Cow::Owned(printable(&entity.to_string(), SHOWN));
    let (principal, action, resource) = match &search.sought {
        Sought::Subjects { kind, action, resource, .. } => (as_printable(kind, SHOWN), Some(action), whom(resource)),
        Sought::Resources { subject, action, kind, .. } => (whom(subject), Some(action), as_printable(kind, SHOWN)),
        Sought::Actions { subject, resource } => (whom(subject), None, whom(resource)),
    };
    let page = answer.result.as_ref();
    SearchRecord {
        decision_id: answer.id,
        time: answer.time,
        edge: Edge::Authzen,
        sought: search.kind(),
        principal,
        action: action.map(|action| as_printable(&action.name, SHOWN)).unwrap_or_default(),
        resource,
        context_digest: search.digest(),
        after: search.after.as_deref().map(|name| as_printable(name, SHOWN)),
        limit: search.limit,
        found: page.map_or(0, |page| page.names.len()),
        more: page.is_ok_and(|page| page.more),
        error: page.err().map(|error| error.name().into()),
        policy_digest: answer.policies.policy_digest(),
        entity_digest: answer.policies.entity_digest(),
        policy_epoch: answer.policies.epoch(),
        latency_us: u64::try_from(answer.took.as_micros()).unwrap_or(u64::MAX),
        request_id: by.request_id.map(|id| as_printable(id, SHOWN)),
        caller: by.caller.map(|caller| as_printable(caller.name(), SHOWN)),
        policies: None,
        policy_errors: None,
    }
}

/// Adds which policies refused the caller, and which failed when they were asked about it.
pub(super) fn add_admission(record: &mut SearchRecord<'_>, errors: &[Arc<str>], refusal: Option<&Evaluation>) {
    let texts = |texts: &mut dyn Iterator<Item = &Arc<str>>| {
        Some(texts.map(ToString::to_string).collect::<Vec<_>>()).filter(|texts| !texts.is_empty())
    };
    let (policies, later) = refusal.map_or((&[][..], &[][..]), |refusal| (&*refusal.policies, &*refusal.errors));
    record.policies = texts(&mut policies.iter());
    record.policy_errors = texts(&mut errors.iter().chain(later));
}
