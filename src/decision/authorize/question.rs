//! A question on its way: what is known of it so far.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use portcullis_spiffe::SpiffeId;

use super::{Answer, SHOWN};
use crate::decision::call::Call;
use crate::decision::caller::{Asker, Caller};
use crate::decision::check::Check;
use crate::decision::mapping::{OnError, Routed};
use crate::decision::policy::PolicySet;
use crate::decision::principal::{Principal, PrincipalRule, Principals};
use crate::decision::query::{Entity, Query};
use crate::decision::reason::Reason;
use crate::decision::recording::{HEADER, Recording, actors, token_claims};
use crate::evidence::{DecisionId, DecisionRecord, Edge, Field, TraceId};
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::foundation::telemetry::{as_printable, printable};
use crate::foundation::watched::{Epoch, Snapshot};
use crate::identity::svid::VerifiedLeaf;
use crate::identity::token::VerifiedToken;

/// A question on its way, with what is known of it so far: what its record will say, wherever it ends.
pub(in crate::decision) struct Question<'q> {
    pub(super) edge: Edge,
    pub(in crate::decision) now: Timestamp,
    pub(in crate::decision) started: Duration,
    pub(in crate::decision) id: Option<DecisionId>,
    pub(super) principal: Option<Principal>,
    pub(super) peer: Option<SpiffeId>,
    pub(super) caller: Option<Cow<'q, str>>,
    pub(super) leaf: Option<Digest>,
    pub(super) token: Option<Arc<VerifiedToken>>,
    pub(super) subject: Cow<'q, str>,
    pub(super) action: Cow<'q, str>,
    pub(super) resource: Cow<'q, str>,
    /// Only [`Self::take_down`] says what of it may stand in the record.
    context_digest: Option<Digest>,
    pub(super) bundle_epoch: Epoch,
    pub(in crate::decision) policies: Arc<Snapshot<PolicySet>>,
    pub(super) request_id: Option<Cow<'q, str>>,
    /// The route that it takes, and what that says.
    pub(super) route: Option<Arc<str>>,
    pub(super) rule: Option<PrincipalRule>,
    pub(super) on_error: Option<OnError>,
    pub(super) call: Option<Call>,
    pub(super) trace_id: Option<TraceId>,
    /// The authority that vouched for the leaf, and the sequence of its bundle.
    pub(super) vouched: Option<(Digest, u64)>,
    /// What went wrong in policies when they were asked whether the caller may ask.
    pub(in crate::decision) errors_of_admission: Vec<Arc<str>>,
    /// What else is kept of it.
    pub(super) fields: Vec<Field>,
}

impl<'q> Question<'q> {
    /// One of which nothing is known but that it came in at `edge`, and which policies decide on it.
    pub(super) fn new(
        edge: Edge,
        (now, started): (Timestamp, Duration),
        id: Option<DecisionId>,
        policies: Arc<Snapshot<PolicySet>>,
    ) -> Self {
        Question {
            edge,
            now,
            started,
            id,
            principal: None,
            peer: None,
            caller: None,
            leaf: None,
            token: None,
            subject: Cow::default(),
            action: Cow::default(),
            resource: Cow::default(),
            context_digest: None,
            bundle_epoch: Epoch::default(),
            policies,
            request_id: None,
            route: None,
            rule: None,
            on_error: None,
            call: None,
            trace_id: None,
            vouched: None,
            errors_of_admission: Vec::new(),
            fields: Vec::new(),
        }
    }

    /// Takes down what the proxy says, for the record of a question that gets no further. What is redacted may stand in the
    /// query of the target too, so if anything is, that is left out.
    pub(super) fn describe(&mut self, check: &Check<'q>, redacts: bool) {
        let Some(http) = &check.http else {
            self.action = Cow::Borrowed("connect");
            return;
        };
        self.action = as_printable(http.method, SHOWN);
        let path = if redacts { http.path.split(['?', '#']).next().unwrap_or_default() } else { http.path };
        self.resource = as_printable(path, SHOWN);
        let lines = http.headers.as_deref().unwrap_or_default();
        let named = lines.iter().find(|(name, _)| *name == "x-request-id");
        self.request_id = named.map(|(_, value)| match String::from_utf8_lossy(value) {
            Cow::Borrowed(id) => as_printable(id, SHOWN),
            Cow::Owned(id) => Cow::Owned(printable(&id, SHOWN)),
        });
        let mut parents = lines.iter().filter(|(name, _)| *name == "traceparent").map(|(_, value)| value);
        // One that is there twice counts for nothing (Trace Context section 3.2).
        if let (Some(parent), None) = (parents.next(), parents.next()) {
            self.trace_id = str::from_utf8(parent).ok().and_then(TraceId::of_traceparent);
        }
    }

    /// Takes down who puts the question, if that was proved, and what they call it.
    pub(super) fn called(&mut self, by: Asker<'q>) {
        self.request_id = by.request_id.map(|id| as_printable(id, SHOWN));
        self.trace_id = by.traceparent.and_then(TraceId::of_traceparent);
        self.caller = by.caller.map(|caller| as_printable(caller.name(), SHOWN));
        self.token = by.caller.and_then(Caller::delegated).cloned();
        if let Some(leaf) = by.caller.and_then(Caller::leaf) {
            self.shown(leaf);
        }
    }

    /// The peer is the principal at once where no token can take its place.
    pub(super) fn authenticated(&mut self, leaf: Option<&VerifiedLeaf>, principals: Option<&Principals>) {
        let Some(leaf) = leaf else { return };
        self.shown(leaf);
        if principals.is_none_or(|principals| principals.rule() == PrincipalRule::Svid) {
            self.principal = Some(leaf.id.clone().into());
        } else {
            self.peer = Some(leaf.id.clone());
        }
    }

    fn shown(&mut self, leaf: &VerifiedLeaf) {
        self.leaf = Some(leaf.digest);
        self.bundle_epoch = leaf.bundle_epoch;
        self.vouched = Some((leaf.authority, leaf.bundle_sequence));
    }

    /// It takes this route, which may have another principal.
    pub(super) fn takes(&mut self, routed: Option<&Routed<'_>>) {
        let Some(routed) = routed else { return };
        self.route = routed.name().cloned();
        self.on_error = routed.on_error();
        self.rule = routed.principal();
        self.call = routed.call().cloned();
        if let Some(method) = routed.method() {
            self.action = Cow::Owned(printable(method, SHOWN));
        }
        match self.rule {
            Some(PrincipalRule::Token | PrincipalRule::TokenOrSvid) => {
                if let Some(Principal::Workload(peer)) = self.principal.take() {
                    self.peer = Some(peer);
                }
            }
            Some(PrincipalRule::Svid) => {
                self.principal = self.principal.take().or_else(|| self.peer.take().map(Principal::from));
            }
            None => {}
        }
    }

    pub(super) fn settled(&mut self, subject: &Entity<'_>) {
        if self.principal.is_some() {
            return;
        }
        let principal = Principal::of(subject);
        self.peer = self.peer.take().filter(|peer| principal != Principal::Workload(peer.clone()));
        self.principal = Some(principal);
    }

    /// Writes down what is asked, as far as `recording` lets it be kept. Says the digest of it.
    pub(super) fn take_down(&mut self, query: &Query<'_>, recording: Option<&Recording>) -> Digest {
        self.subject = Cow::Owned(named(&query.subject.kind, &query.subject.id));
        if self.action != query.action.name {
            self.action = Cow::Owned(printable(&query.action.name, SHOWN));
        }
        self.resource = Cow::Owned(named(&query.resource.kind, &query.resource.id));
        let digest = query.digest();
        self.context_digest = match (recording, self.id) {
            (Some(recording), Some(id)) => {
                self.fields.retain(|field| field.name.starts_with(HEADER));
                recording.add(&mut self.fields, (id, digest), query, &self.policies)
            }
            _ => Some(digest),
        };
        digest
    }

    pub(super) fn record(
        self,
        (id, principal): (DecisionId, Option<&Principal>),
        reason: Reason,
        answer: &Answer,
        took: Duration,
    ) -> DecisionRecord<'q> {
        let principal = match (&*self.subject, principal) {
            // It was understood who asks, and not what.
            ("", Some(Principal::Workload(workload))) => Cow::Owned(named("Workload", workload.as_str())),
            ("", Some(Principal::Token(entity))) => Cow::Owned(printable(entity, SHOWN)),
            _ => self.subject,
        };
        DecisionRecord {
            decision_id: id,
            time: self.now,
            edge: self.edge,
            principal,
            leaf: self.leaf,
            peer: self.peer.map(|peer| Cow::Owned(peer.as_str().to_owned())),
            caller: self.caller,
            token: self.token.as_ref().map(|token| token.digest),
            token_issuer: self.token.as_ref().map(|token| Cow::Owned(printable(&token.issuer, SHOWN))),
            action: self.action,
            resource: self.resource,
            context_digest: self.context_digest,
            decision: reason.outcome(),
            reason: Cow::Borrowed(reason.name()),
            policies: Arc::clone(&answer.evaluation.policies),
            policy_errors: match &*self.errors_of_admission {
                [] => Arc::clone(&answer.evaluation.errors),
                before => before.iter().chain(answer.evaluation.errors.iter()).cloned().collect(),
            },
            policy_digest: Some(self.policies.policy_digest()),
            entity_digest: Some(self.policies.entity_digest()),
            policy_epoch: self.policies.epoch(),
            bundle_epoch: self.bundle_epoch,
            cache: answer.cache,
            latency_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            request_id: self.request_id,
            route: self.route,
            schema_digest: Some(self.policies.schema_digest()),
            authority: self.vouched.map(|(authority, _)| authority),
            bundle_sequence: self.vouched.map(|(_, sequence)| sequence),
            actors: self.token.as_deref().and_then(actors),
            trace_id: self.trace_id,
            fields: Some(self.fields).filter(|fields| !fields.is_empty()),
            token_claims: self.token.as_deref().map(token_claims),
        }
    }
}

/// An entity as policies write it, `Type::"id"`, fit for a record. Most ids have nothing in them to escape.
fn named(kind: &str, id: &str) -> String {
    let plain = id.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'));
    if plain && kind.len() + id.len() < SHOWN {
        printable(&[kind, "::\"", id, "\""].concat(), SHOWN)
    } else {
        printable(&format!("{kind}::{id:?}"), SHOWN)
    }
}
