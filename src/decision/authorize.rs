//! The one place where the straight line is written: request → principal → cache → Cedar → decision → record.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use portcullis_spiffe::SpiffeId;

use super::cache::{DecisionCache, Exact, Fresh, Lookup, MissCause};
use super::caller::admission::EVALUATE;
use super::caller::{Asker, Caller};
use super::check::Check;
use super::mapping::{Mapping, complete, connect_query, http_query};
use super::metrics::DecisionMetrics;
use super::policy::{Asked, Effect, Epochs, EvaluateError, Evaluation, PolicySet};
use super::principal::{Callers, Principal, Principals};
use super::query::{Entity, Query};
use super::reason::Reason;
use super::recording::{HEADER, Recording, actors};
use super::request::{HttpRequest, Refusal};
use super::shadow::Shadow;
use crate::evidence::{Audit, CacheState, DecisionId, DecisionRecord, Edge, Field, Outcome, Record, Taken, TraceId};
use crate::foundation::clock::{Clock, Timestamp};
use crate::foundation::digest::Digest;
use crate::foundation::entropy::Entropy;
use crate::foundation::telemetry::{as_printable, printable};
use crate::foundation::watched::{Epoch, Snapshot, Watched};
use crate::identity::svid::{LeafFault, LeafVerifier, VerifiedLeaf};
use crate::identity::token::VerifiedToken;

/// How much of a peer's own words goes into a record, in bytes.
const SHOWN: usize = 1024;

/// The answer to a question.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Its name.
    pub id: DecisionId,
    /// What it is. Only [`Outcome::Allow`] lets anything through.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// The policies that decided, sorted.
    pub policies: Arc<[Arc<str>]>,
    /// Whether the cache answered.
    pub cache: CacheState,
    /// Who asked, verified.
    pub principal: Option<Principal>,
    /// Its record. It may be told once that is durable: [`Verdict::settled`].
    pub taken: Taken,
}

impl Verdict {
    /// The answer as it may be told: once its record is as durable as the operator wants it, or an error instead.
    pub async fn settled(mut self) -> Self {
        if let Err(error) = std::mem::take(&mut self.taken).durable().await {
            tracing::error!(decision_id = %self.id, "a decision was not recorded, so it is an error: {error}");
            self.reason = Reason::AuditUnavailable;
            self.outcome = self.reason.outcome();
        }
        self
    }
}

/// What the authorizer works with.
#[derive(Debug)]
pub struct Ports {
    /// The policies that decide.
    pub policies: Arc<Watched<PolicySet>>,
    /// Verifies what callers show.
    pub leaves: LeafVerifier,
    /// Remembers what was decided.
    pub cache: DecisionCache,
    /// Where every decision is recorded before it is given.
    pub audit: Arc<dyn Audit>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// For the names of decisions.
    pub entropy: Arc<dyn Entropy>,
}

/// Answers questions, each with a record of it. Synchronous: it takes microseconds of CPU and never waits.
#[derive(Debug)]
pub struct Authorizer {
    pub(super) ports: Ports,
    pub(super) metrics: DecisionMetrics,
    shadow: Option<Shadow>,
    mapping: Option<Arc<Watched<Mapping>>>,
    principals: Option<Principals>,
    pub(super) recording: Option<Recording>,
}

impl Authorizer {
    /// An authorizer that has decided nothing yet.
    pub const fn new(ports: Ports, metrics: DecisionMetrics) -> Self {
        Self { ports, metrics, shadow: None, mapping: None, principals: None, recording: None }
    }

    /// The same, but a part of its decisions is put to `shadow` too.
    #[must_use]
    pub fn with_shadow(self, shadow: Option<Shadow>) -> Self {
        Self { shadow, ..self }
    }

    /// The same, but HTTP requests become what the routes of `mapping` say.
    #[must_use]
    pub fn with_mapping(self, mapping: Option<Arc<Watched<Mapping>>>) -> Self {
        Self { mapping, ..self }
    }

    /// The same, but tokens count too, by these rules. Without any, nobody's token is looked at.
    #[must_use]
    pub fn with_principals(self, principals: Option<Principals>) -> Self {
        Self { principals, ..self }
    }

    /// The same, but records keep more of the questions.
    #[must_use]
    pub fn with_recording(self, recording: Option<Recording>) -> Self {
        Self { recording, ..self }
    }

    /// Answers a proxy's question: who asks, then what exactly; only then is it put to the policies.
    pub fn check(&self, check: &Check<'_>) -> Verdict {
        let mut question = self.begin(Edge::ExtAuthz);
        question.describe(check);
        if let (Some(recording), Some(id)) = (&self.recording, question.id) {
            question.fields = recording.headers(id, check);
        }
        let answer = self.answer(check, &mut question);
        self.conclude(question, answer)
    }

    fn answer(&self, check: &Check<'_>, question: &mut Question<'_>) -> Result<Answer, Refusal> {
        let leaf = self.authenticate(check, question.now)?;
        let peer = leaf.as_ref().map(|leaf| &leaf.id);
        question.authenticated(leaf.as_deref(), self.principals.as_ref());
        let request = check.http.as_ref().map(HttpRequest::from_attributes).transpose()?;
        let token = self.token(request.as_ref(), question)?;
        let policies = Arc::clone(&question.policies);
        let mapping = self.mapping.as_ref().map(|mapping| mapping.load());
        let mut callers = match (&self.principals, peer) {
            (Some(principals), peer) => principals.settle(peer, token.as_deref(), policies.types())?,
            (None, Some(peer)) => Callers::peer(peer),
            (None, None) => return Err(no_certificate()),
        };
        let subject = callers.take_subject();
        question.settled(&subject);
        let mut query = match (&request, &mapping) {
            (Some(request), Some(mapping)) => mapping.query(subject, request, check, &policies)?.query,
            (Some(request), None) => http_query(subject, request, check, policies.shape())?,
            (None, _) => connect_query(subject, check, policies.shape())?,
        };
        callers.enter(&mut query, policies.types());
        let proofs = Proofs { leaf: leaf.as_deref(), token: token.as_deref() };
        self.decide(&query, proofs, question)
    }

    /// Answers an `AuthZEN` question about whatever subject the caller names.
    pub fn evaluate(&self, mut query: Query<'_>, by: Asker<'_>) -> Verdict {
        let mut question = self.begin(Edge::Authzen);
        question.called(by);
        let answer = self.evaluate_for(by, &mut query, &mut question);
        self.conclude(question, answer)
    }

    /// Whether the caller may ask comes first, so that it learns nothing by what it may not ask.
    fn evaluate_for(
        &self,
        by: Asker<'_>,
        query: &mut Query<'_>,
        question: &mut Question<'_>,
    ) -> Result<Answer, Refusal> {
        if question.policies.decides_on_callers() {
            self.take_down(query, question);
            if let Some(answer) = self.admit(by, EVALUATE, query, question)? {
                return Ok(answer);
            }
        }
        if let Err(refusal) = complete(query) {
            self.take_down(query, question);
            return Err(refusal);
        }
        self.decide(query, Proofs::default(), question)
    }

    /// Records and answers a question that could not even be asked; `what` says what is known of it.
    pub fn refuse(&self, edge: Edge, what: &str, reason: Reason, by: Asker<'_>) -> Verdict {
        let mut question = self.begin(edge);
        question.called(by);
        question.resource = as_printable(what, SHOWN);
        self.conclude(question, Err(Refusal::new(reason, "it could not be asked", what)))
    }

    fn begin<'q>(&self, edge: Edge) -> Question<'q> {
        let now = self.ports.clock.now();
        Question {
            edge,
            now,
            started: self.ports.clock.elapsed(),
            id: DecisionId::new(now, self.ports.entropy.as_ref()).ok(),
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
            policies: self.ports.policies.load(),
            request_id: None,
            trace_id: None,
            vouched: None,
            fields: Vec::new(),
        }
    }

    /// Envoy keeps a connection whose leaf expired or whose authority left the bundle, and reads only the first of
    /// several URIs. So the leaf is verified again, now, and must name whom the proxy names.
    ///
    /// Nothing is there to be verified if the client showed none and may, where its token says who asks.
    fn authenticate(&self, check: &Check<'_>, now: Timestamp) -> Result<Option<Arc<VerifiedLeaf>>, Refusal> {
        let is_optional = self.principals.as_ref().is_some_and(Principals::peer_is_optional);
        if is_optional && check.certificate.is_empty() && check.principal.is_empty() {
            return Ok(None);
        }
        let leaf = self.ports.leaves.verify(check.certificate, now).map_err(|error| {
            let reason = match error.fault() {
                LeafFault::Missing => Reason::NoCertificate,
                LeafFault::Bad => Reason::BadCertificate,
                LeafFault::OutOfTime => Reason::ExpiredCertificate,
                LeafFault::Revoked => Reason::RevokedCertificate,
                LeafFault::Untrusted => Reason::UntrustedCertificate,
            };
            Refusal::new(reason, error, check.principal)
        })?;
        if leaf.id.as_str() == check.principal {
            Ok(Some(leaf))
        } else {
            let why = format_args!("the certificate is of `{}`, but the proxy names another principal", leaf.id);
            Err(Refusal::new(Reason::PrincipalMismatch, why, check.principal))
        }
    }

    /// What the request's token proves now, if tokens count and it has one.
    fn token(
        &self,
        request: Option<&HttpRequest<'_>>,
        question: &mut Question<'_>,
    ) -> Result<Option<Arc<VerifiedToken>>, Refusal> {
        let Some((principals, request)) = self.principals.as_ref().zip(request) else { return Ok(None) };
        let token = principals.token(request.headers(), question.now)?;
        question.token.clone_from(&token);
        Ok(token)
    }

    /// The cache, or else the policies.
    fn decide(&self, query: &Query<'_>, proofs: Proofs<'_>, question: &mut Question<'_>) -> Result<Answer, Refusal> {
        let digest = self.take_down(query, question);
        self.settle(query, digest, proofs, question)
    }

    /// The same for a query that is not what the record is about.
    fn settle(
        &self,
        query: &Query<'_>,
        digest: Digest,
        proofs: Proofs<'_>,
        question: &Question<'_>,
    ) -> Result<Answer, Refusal> {
        let (policies, cache) = (&question.policies, &self.ports.cache);
        let epochs = Epochs { policies: policies.epoch(), bundles: question.bundle_epoch };
        let exact = Exact { digest, epochs, purges: cache.purges().count() };
        let (evaluation, lookup) = match cache.again(&exact, question.now) {
            Some(evaluation) => (evaluation, Lookup::Hit),
            None => self.put(query, exact, proofs, question)?,
        };
        self.metrics.looked_up(lookup);
        if let (Some(shadow), Some(id)) = (&self.shadow, question.id) {
            shadow.offer(id, query, policies, &evaluation);
        }
        Ok(Answer { evaluation, cache: lookup.into(), of_caller: false })
    }

    /// Writes down what is asked, as far as it is to be kept. Says the digest of it.
    fn take_down(&self, query: &Query<'_>, question: &mut Question<'_>) -> Digest {
        let digest = question.asked(query);
        if let (Some(recording), Some(id)) = (&self.recording, question.id) {
            question.fields.retain(|field| field.name.starts_with(HEADER));
            question.context_digest = recording.add(&mut question.fields, (id, digest), query, &question.policies);
        }
        digest
    }

    /// Puts the question to the policies, and to the cache under what they can read of it.
    fn put(
        &self,
        query: &Query<'_>,
        exact: Exact,
        proofs: Proofs<'_>,
        question: &Question<'_>,
    ) -> Result<(Evaluation, Lookup), Refusal> {
        let typed = question.policies.question(query).map_err(|error| match error {
            EvaluateError::UnknownAction(_) => Refusal::new(Reason::UnknownAction, error, ""),
            EvaluateError::Schema(_) => Refusal::new(Reason::SchemaMismatch, error, ""),
        })?;
        let asked = question.policies.ask(&typed);
        let (cache, keep) = (&self.ports.cache, asked.keep());
        if !cache.is_on() || keep == Some(Duration::ZERO) {
            return Ok((self.run(&asked).evaluation, Lookup::Miss(MissCause::Never)));
        }
        let key = asked.key(exact.epochs, cache.purges());
        Ok(cache.decide(&key, exact, question.now, proofs.not_after(), keep, || self.run(&asked)))
    }

    fn run(&self, asked: &Asked<'_>) -> Fresh {
        let fresh = asked.evaluate();
        self.metrics.policies_failed(fresh.evaluation.errors.len());
        fresh
    }

    /// Records the answer, and only then gives it: what can't be recorded or named is an error.
    fn conclude(&self, mut question: Question<'_>, answer: Result<Answer, Refusal>) -> Verdict {
        let (reason, answer) = match answer {
            Ok(answer) if answer.of_caller => (Reason::CallerNotPermitted, answer),
            Ok(answer) => (reason_of(answer.evaluation.effect), answer),
            Err(refusal) => {
                // At this level because any client can bring it about, as often as it likes.
                tracing::debug!(
                    reason = refusal.reason().name(),
                    subject = %question.subject,
                    resource = %question.resource,
                    "refused a question: {}",
                    refusal.detail()
                );
                (refusal.reason(), Answer::none())
            }
        };
        let (edge, principal) = (question.edge, question.principal.take());
        let took = self.ports.clock.elapsed().saturating_sub(question.started);
        let (id, reason, taken) = match question.id {
            None => (DecisionId::NIL, Reason::Internal, Taken::NOW),
            Some(id) => {
                let record = question.record((id, principal.as_ref()), reason, &answer, took);
                match self.ports.audit.append(Record::Decision(&record)) {
                    Ok(taken) => (id, reason, taken),
                    Err(error) => {
                        tracing::error!(decision_id = %id, "a decision was not recorded, so it is an error: {error}");
                        (id, Reason::AuditUnavailable, Taken::NOW)
                    }
                }
            }
        };
        let outcome = reason.outcome();
        self.metrics.decided(edge, reason, answer.cache, took);
        Verdict { id, outcome, reason, policies: answer.evaluation.policies, cache: answer.cache, principal, taken }
    }
}

/// What proves who asks: nothing that is decided by it may be kept for longer than any of it is good.
#[derive(Clone, Copy, Default)]
struct Proofs<'p> {
    leaf: Option<&'p VerifiedLeaf>,
    token: Option<&'p VerifiedToken>,
}

impl Proofs<'_> {
    fn not_after(self) -> Timestamp {
        let leaf = self.leaf.map_or(Timestamp::MAX, |leaf| leaf.not_after);
        self.token.map_or(leaf, |token| leaf.min(token.not_after))
    }
}

/// What the policies said, and how it was found.
struct Answer {
    evaluation: Evaluation,
    cache: CacheState,
    /// It says that the caller may not ask.
    of_caller: bool,
}

impl Answer {
    /// For a question that was never put to the policies.
    fn none() -> Self {
        let evaluation = Evaluation { effect: Effect::NoPermit, policies: Arc::new([]), errors: Arc::new([]) };
        Self { evaluation, cache: CacheState::Bypass, of_caller: false }
    }
}

/// A question on its way, with what is known of it so far: what its record will say, wherever it ends.
struct Question<'q> {
    edge: Edge,
    now: Timestamp,
    started: Duration,
    id: Option<DecisionId>,
    principal: Option<Principal>,
    peer: Option<SpiffeId>,
    caller: Option<Cow<'q, str>>,
    leaf: Option<Digest>,
    token: Option<Arc<VerifiedToken>>,
    subject: Cow<'q, str>,
    action: Cow<'q, str>,
    resource: Cow<'q, str>,
    context_digest: Option<Digest>,
    bundle_epoch: Epoch,
    policies: Arc<Snapshot<PolicySet>>,
    request_id: Option<Cow<'q, str>>,
    trace_id: Option<TraceId>,
    /// The authority that vouched for the leaf, and the sequence of its bundle.
    vouched: Option<(Digest, u64)>,
    /// What else is kept of it.
    fields: Vec<Field>,
}

impl<'q> Question<'q> {
    /// Takes down what the proxy says, for the record of a question that gets no further.
    fn describe(&mut self, check: &Check<'q>) {
        let Some(http) = &check.http else {
            self.action = Cow::Borrowed("connect");
            return;
        };
        self.action = as_printable(http.method, SHOWN);
        self.resource = as_printable(http.path, SHOWN);
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
    fn called(&mut self, by: Asker<'q>) {
        self.request_id = by.request_id.map(|id| as_printable(id, SHOWN));
        self.trace_id = by.traceparent.and_then(TraceId::of_traceparent);
        self.caller = by.caller.map(|caller| as_printable(caller.name(), SHOWN));
        self.bundle_epoch = by.caller.and_then(Caller::leaf).map(|leaf| leaf.bundle_epoch).unwrap_or_default();
    }

    /// The peer is the principal at once where no token can take its place.
    fn authenticated(&mut self, leaf: Option<&VerifiedLeaf>, principals: Option<&Principals>) {
        let Some(leaf) = leaf else { return };
        self.leaf = Some(leaf.digest);
        self.bundle_epoch = leaf.bundle_epoch;
        self.vouched = Some((leaf.authority, leaf.bundle_sequence));
        if principals.is_none_or(Principals::is_peer) {
            self.principal = Some(leaf.id.clone().into());
        } else {
            self.peer = Some(leaf.id.clone());
        }
    }

    fn settled(&mut self, subject: &Entity<'_>) {
        if self.principal.is_some() {
            return;
        }
        let principal = Principal::of(subject);
        self.peer = self.peer.take().filter(|peer| principal != Principal::Workload(peer.clone()));
        self.principal = Some(principal);
    }

    fn asked(&mut self, query: &Query<'_>) -> Digest {
        self.subject = Cow::Owned(named(&query.subject.kind, &query.subject.id));
        if self.action != query.action.name {
            self.action = Cow::Owned(printable(&query.action.name, SHOWN));
        }
        self.resource = Cow::Owned(named(&query.resource.kind, &query.resource.id));
        let digest = query.digest();
        self.context_digest = Some(digest);
        digest
    }

    fn record(
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
            policy_errors: Arc::clone(&answer.evaluation.errors),
            policy_digest: Some(self.policies.policy_digest()),
            entity_digest: Some(self.policies.entity_digest()),
            policy_epoch: self.policies.epoch(),
            bundle_epoch: self.bundle_epoch,
            cache: answer.cache,
            latency_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            request_id: self.request_id,
            schema_digest: Some(self.policies.schema_digest()),
            authority: self.vouched.map(|(authority, _)| authority),
            bundle_sequence: self.vouched.map(|(_, sequence)| sequence),
            actors: self.token.as_deref().and_then(actors),
            trace_id: self.trace_id,
            fields: Some(self.fields).filter(|fields| !fields.is_empty()),
        }
    }
}

fn no_certificate() -> Refusal {
    Refusal::new(Reason::NoCertificate, "the client showed no certificate", "")
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

pub(super) const fn reason_of(effect: Effect) -> Reason {
    match effect {
        Effect::Permit => Reason::Permitted,
        Effect::NoPermit => Reason::NoPermit,
        Effect::Forbid => Reason::Forbidden,
        Effect::ForbidFailed => Reason::ForbidFailed,
    }
}

mod admission;

#[cfg(test)]
mod tests;
