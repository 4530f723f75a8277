//! The one place where the straight line is written: request → principal → cache → Cedar → decision → record.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use portcullis_spiffe::SpiffeId;

use super::cache::{DecisionCache, Exact, Fresh, Lookup, MissCause};
use super::check::Check;
use super::mapping::{complete, connect_query, http_query};
use super::metrics::DecisionMetrics;
use super::policy::{Asked, Effect, Epochs, EvaluateError, Evaluation, PolicySet};
use super::query::Query;
use super::reason::Reason;
use super::request::{HttpRequest, Refusal};
use super::shadow::Shadow;
use crate::evidence::{Audit, CacheState, DecisionId, DecisionRecord, Edge, Outcome, Record};
use crate::foundation::clock::{Clock, Timestamp};
use crate::foundation::digest::Digest;
use crate::foundation::entropy::Entropy;
use crate::foundation::telemetry::{as_printable, printable};
use crate::foundation::watched::{Epoch, Snapshot, Watched};
use crate::identity::svid::{LeafFault, LeafVerifier, VerifiedLeaf};

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
    pub principal: Option<SpiffeId>,
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
}

impl Authorizer {
    /// An authorizer that has decided nothing yet.
    pub const fn new(ports: Ports, metrics: DecisionMetrics) -> Self {
        Self { ports, metrics, shadow: None }
    }

    /// The same, but a part of its decisions is put to `shadow` too.
    #[must_use]
    pub fn with_shadow(self, shadow: Option<Shadow>) -> Self {
        Self { shadow, ..self }
    }

    /// Answers a proxy's question: who asks, then what exactly; only then is it put to the policies.
    pub fn check(&self, check: &Check<'_>) -> Verdict {
        let mut question = self.begin(Edge::ExtAuthz);
        question.describe(check);
        let leaf = match self.authenticate(check, question.now) {
            Ok(leaf) => leaf,
            Err(refusal) => return self.conclude(question, Err(refusal)),
        };
        question.authenticated(&leaf);
        let request = match check.http.as_ref().map(HttpRequest::from_attributes).transpose() {
            Ok(request) => request,
            Err(refusal) => return self.conclude(question, Err(refusal)),
        };
        let policies = Arc::clone(&question.policies);
        let query = match &request {
            Some(request) => http_query(&leaf.id, request, check, policies.shape()),
            None => connect_query(&leaf.id, check, policies.shape()),
        };
        let answer = query.and_then(|query| self.decide(&query, Some(&leaf), &mut question));
        self.conclude(question, answer)
    }

    /// Answers an `AuthZEN` question about whatever subject the caller names.
    pub fn evaluate(&self, mut query: Query<'_>, request_id: Option<&str>) -> Verdict {
        let mut question = self.begin(Edge::Authzen);
        question.request_id = request_id.map(|id| as_printable(id, SHOWN));
        let answer = match complete(&mut query) {
            Ok(()) => self.decide(&query, None, &mut question),
            Err(refusal) => {
                question.asked(&query);
                Err(refusal)
            }
        };
        self.conclude(question, answer)
    }

    /// Records and answers a question that could not even be asked; `what` says what is known of it.
    pub fn refuse(&self, edge: Edge, what: &str, reason: Reason, request_id: Option<&str>) -> Verdict {
        let mut question = self.begin(edge);
        question.request_id = request_id.map(|id| as_printable(id, SHOWN));
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
            leaf: None,
            subject: Cow::default(),
            action: Cow::default(),
            resource: Cow::default(),
            context_digest: None,
            bundle_epoch: Epoch::default(),
            policies: self.ports.policies.load(),
            request_id: None,
        }
    }

    /// Envoy keeps a connection whose leaf expired or whose authority left the bundle, and reads only the first of
    /// several URIs. So the leaf is verified again, now, and must name whom the proxy names.
    fn authenticate(&self, check: &Check<'_>, now: Timestamp) -> Result<Arc<VerifiedLeaf>, Refusal> {
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
            Ok(leaf)
        } else {
            let why = format_args!("the certificate is of `{}`, but the proxy names another principal", leaf.id);
            Err(Refusal::new(Reason::PrincipalMismatch, why, check.principal))
        }
    }

    /// The cache, or else the policies.
    fn decide(
        &self,
        query: &Query<'_>,
        leaf: Option<&VerifiedLeaf>,
        question: &mut Question<'_>,
    ) -> Result<Answer, Refusal> {
        let digest = question.asked(query);
        let (policies, cache) = (&question.policies, &self.ports.cache);
        let epochs = Epochs { policies: policies.epoch(), bundles: question.bundle_epoch };
        let exact = Exact { digest, epochs, purges: cache.purges().count() };
        let (evaluation, lookup) = match cache.again(&exact, question.now) {
            Some(evaluation) => (evaluation, Lookup::Hit),
            None => self.put(query, exact, leaf, question)?,
        };
        self.metrics.looked_up(lookup);
        if let (Some(shadow), Some(id)) = (&self.shadow, question.id) {
            shadow.offer(id, query, policies, &evaluation);
        }
        Ok(Answer { evaluation, cache: lookup.into() })
    }

    /// Puts the question to the policies, and to the cache under what they can read of it.
    fn put(
        &self,
        query: &Query<'_>,
        exact: Exact,
        leaf: Option<&VerifiedLeaf>,
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
        let not_after = leaf.map_or(Timestamp::MAX, |leaf| leaf.not_after);
        Ok(cache.decide(&key, exact, question.now, not_after, keep, || self.run(&asked)))
    }

    fn run(&self, asked: &Asked<'_>) -> Fresh {
        let fresh = asked.evaluate();
        self.metrics.policies_failed(fresh.evaluation.errors.len());
        fresh
    }

    /// Records the answer, and only then gives it: what can't be recorded or named is an error.
    fn conclude(&self, question: Question<'_>, answer: Result<Answer, Refusal>) -> Verdict {
        let (reason, answer) = match answer {
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
        let (edge, principal) = (question.edge, question.principal.clone());
        let took = self.ports.clock.elapsed().saturating_sub(question.started);
        let (id, reason) = match question.id {
            None => (DecisionId::NIL, Reason::Internal),
            Some(id) => {
                let record = question.record(id, reason, &answer, took);
                match self.ports.audit.append(Record::Decision(&record)) {
                    Ok(()) => (id, reason),
                    Err(error) => {
                        tracing::error!(decision_id = %id, "a decision was not recorded, so it is an error: {error}");
                        (id, Reason::AuditUnavailable)
                    }
                }
            }
        };
        let outcome = reason.outcome();
        self.metrics.decided(edge, reason, answer.cache, took);
        Verdict { id, outcome, reason, policies: answer.evaluation.policies, cache: answer.cache, principal }
    }
}

/// What the policies said, and how it was found.
struct Answer {
    evaluation: Evaluation,
    cache: CacheState,
}

impl Answer {
    /// For a question that was never put to the policies.
    fn none() -> Self {
        let evaluation = Evaluation { effect: Effect::NoPermit, policies: Arc::new([]), errors: Arc::new([]) };
        Self { evaluation, cache: CacheState::Bypass }
    }
}

/// A question on its way, with what is known of it so far: what its record will say, wherever it ends.
struct Question<'q> {
    edge: Edge,
    now: Timestamp,
    started: Duration,
    id: Option<DecisionId>,
    principal: Option<SpiffeId>,
    leaf: Option<Digest>,
    subject: Cow<'q, str>,
    action: Cow<'q, str>,
    resource: Cow<'q, str>,
    context_digest: Option<Digest>,
    bundle_epoch: Epoch,
    policies: Arc<Snapshot<PolicySet>>,
    request_id: Option<Cow<'q, str>>,
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
    }

    fn authenticated(&mut self, leaf: &VerifiedLeaf) {
        self.principal = Some(leaf.id.clone());
        self.leaf = Some(leaf.digest);
        self.bundle_epoch = leaf.bundle_epoch;
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

    fn record(self, id: DecisionId, reason: Reason, answer: &Answer, took: Duration) -> DecisionRecord<'q> {
        let principal = match (&*self.subject, &self.principal) {
            // It was understood who asks, and not what.
            ("", Some(workload)) => Cow::Owned(named("Workload", workload.as_str())),
            _ => self.subject,
        };
        DecisionRecord {
            decision_id: id,
            time: self.now,
            edge: self.edge,
            principal,
            leaf: self.leaf,
            action: self.action,
            resource: self.resource,
            context_digest: self.context_digest,
            decision: reason.outcome(),
            reason: reason.name(),
            policies: Arc::clone(&answer.evaluation.policies),
            policy_errors: Arc::clone(&answer.evaluation.errors),
            policy_digest: Some(self.policies.policy_digest()),
            entity_digest: Some(self.policies.entity_digest()),
            policy_epoch: self.policies.epoch(),
            bundle_epoch: self.bundle_epoch,
            cache: answer.cache,
            latency_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            request_id: self.request_id,
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

const fn reason_of(effect: Effect) -> Reason {
    match effect {
        Effect::Permit => Reason::Permitted,
        Effect::NoPermit => Reason::NoPermit,
        Effect::Forbid => Reason::Forbidden,
        Effect::ForbidFailed => Reason::ForbidFailed,
    }
}

#[cfg(test)]
mod tests;
