//! The one place where the straight line is written: request → principal → cache → Cedar → decision → record.

mod admission;
mod granting;
mod question;

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use portcullis_spiffe::SpiffeId;

use self::question::Question;
use super::cache::{DecisionCache, Exact, Fresh, Lookup, MissCause};
use super::caller::Asker;
use super::caller::admission::EVALUATE;
use super::check::Check;
use super::foreign::describe;
use super::guidance::in_header;
use super::mapping::{Mapping, complete, connect_query, gateway, http_query};
use super::metrics::DecisionMetrics;
use super::policy::{Asked, Effect, Epochs, EvaluateError, Evaluation, PolicySet};
use super::principal::{Callers, PrincipalRule, Principals, enter_delegation};
use super::query::Query;
use super::reason::Reason;
use super::recording::Recording;
use super::request::{HttpRequest, Refusal};
use super::shadow::Shadow;
use super::verdict::{Manner, Verdict};
use crate::evidence::{Audit, CacheState, DecisionId, Edge, Record, Taken};
use crate::foundation::clock::{Clock, Timestamp};
use crate::foundation::digest::Digest;
use crate::foundation::entropy::Entropy;
use crate::foundation::telemetry::as_printable;
use crate::foundation::watched::Watched;
use crate::identity::delegation::Delegation;
use crate::identity::svid::{LeafFault, LeafVerifier, VerifiedLeaf};
use crate::identity::token::VerifiedToken;

/// How much of a peer's own words goes into a record, in bytes.
const SHOWN: usize = 1024;

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
    forwards_obligations: bool,
    maps_questions: bool,
    pub(super) recording: Option<Recording>,
}

impl Authorizer {
    /// An authorizer that has decided nothing yet.
    pub const fn new(ports: Ports, metrics: DecisionMetrics) -> Self {
        Self {
            ports,
            metrics,
            shadow: None,
            mapping: None,
            principals: None,
            forwards_obligations: false,
            maps_questions: false,
            recording: None,
        }
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

    /// The same, but if `forwards`, what a permit demands is passed on to the backend, which is then the one to do it. A
    /// proxy can't: so without this a permit that demands anything denies.
    #[must_use]
    pub fn with_obligations_forwarded(self, forwards: bool) -> Self {
        Self { forwards_obligations: forwards, ..self }
    }

    /// The same, but if `maps`, what gateways ask about a `route` goes by the routes of the mapping, too.
    #[must_use]
    pub fn with_questions_mapped(self, maps: bool) -> Self {
        Self { maps_questions: maps, ..self }
    }

    /// The same, but records keep more of the questions.
    #[must_use]
    pub fn with_recording(self, recording: Option<Recording>) -> Self {
        Self { recording, ..self }
    }

    /// Answers a proxy's question: who asks, then what exactly; only then is it put to the policies.
    pub fn check(&self, check: &Check<'_>) -> Verdict {
        let mut question = self.begin(Edge::ExtAuthz);
        question.describe(check, self.recording.as_ref().is_some_and(Recording::redacts));
        if let (Some(recording), Some(id)) = (&self.recording, question.id) {
            question.fields = recording.headers(id, check);
        }
        // What is known of the question by then says how its answer is told, so it ends here and not at the edge.
        let answered = panic::catch_unwind(AssertUnwindSafe(|| self.answer(check, &mut question)));
        let answer = answered.unwrap_or_else(|_panic| {
            tracing::error!("a check panicked");
            Err(Refusal::new(Reason::Internal, "it panicked", ""))
        });
        self.conclude(question, answer)
    }

    fn answer(&self, check: &Check<'_>, question: &mut Question<'_>) -> Result<Answer, Refusal> {
        let leaf = self.authenticate(check, question.now)?;
        let peer = leaf.as_ref().map(|leaf| &leaf.id);
        question.authenticated(leaf.as_deref(), self.principals.as_ref());
        let request = check.http.as_ref().map(HttpRequest::from_attributes).transpose()?;
        let token = self.token(request.as_ref(), question)?;
        let delegation = self.delegation(token.as_deref(), leaf.as_deref(), question.now)?;
        let policies = Arc::clone(&question.policies);
        let mapping = self.mapping.as_ref().map(|mapping| mapping.load());
        let routed = match (&request, &mapping) {
            (Some(request), Some(mapping)) => Some(mapping.route(request, check)),
            _ => None,
        };
        question.takes(routed.as_ref().and_then(|routed| routed.as_ref().ok()));
        let rule = question.rule.unwrap_or_else(|| self.principals.as_ref().map(Principals::rule).unwrap_or_default());
        let mut callers = match (&self.principals, peer) {
            (Some(principals), peer) => principals.settle(rule, peer, token.as_deref(), policies.types())?,
            (None, _) if rule == PrincipalRule::Token => return Err(no_token()),
            (None, Some(peer)) => Callers::peer(peer),
            (None, None) => return Err(no_certificate()),
        };
        let subject = callers.take_subject();
        question.settled(&subject);
        // Only now: whoever could not say who they are is not told which routes there are.
        let mut query = match (&request, &routed.transpose()?) {
            (_, Some(routed)) => {
                let mapped = routed.query(subject, &policies)?;
                if let Err(refusal) = mapped.registered {
                    self.take_down(&mapped.query, question);
                    return Err(refusal);
                }
                mapped.query
            }
            (Some(request), None) => http_query(subject, request, check, policies.shape())?,
            (None, _) => connect_query(subject, check, policies.shape())?,
        };
        callers.enter(&mut query, policies.types());
        if let Some(delegation) = &delegation {
            enter_delegation((delegation, rule != PrincipalRule::Svid), &mut query, policies.types())?;
        }
        describe(&mut query, &self.ports.leaves.foreign(), policies.types())?;
        let proofs = Proofs { leaf: leaf.as_deref(), token: token.as_deref() };
        let answer = self.decide(&query, proofs, question)?;
        Ok(if self.forwards_obligations { answer.within_a_header() } else { answer.without_obligations() })
    }

    /// Answers an `AuthZEN` question about whatever subject the caller names.
    pub fn evaluate(&self, query: Query<'_>, by: Asker<'_>) -> Verdict {
        self.evaluated(query, by, true)
    }

    /// The same for a caller who is told nothing but yes or no: where more must be done than to let through, that is no.
    pub fn evaluate_plainly(&self, query: Query<'_>, by: Asker<'_>) -> Verdict {
        self.evaluated(query, by, false)
    }

    fn evaluated(&self, mut query: Query<'_>, by: Asker<'_>, tells_obligations: bool) -> Verdict {
        let mut question = self.begin(Edge::Authzen);
        question.called(by);
        let answer = self.evaluate_for(by, &mut query, &mut question);
        let answer = answer.map(|answer| if tells_obligations { answer } else { answer.without_obligations() });
        self.conclude(question, answer)
    }

    /// Whether the caller may ask comes first, so that it learns nothing by what it may not ask.
    fn evaluate_for(
        &self,
        by: Asker<'_>,
        query: &mut Query<'_>,
        question: &mut Question<'_>,
    ) -> Result<Answer, Refusal> {
        if let Some(answer) = self.admit_to(by, query, question)? {
            return Ok(answer);
        }
        let mapping = self.mapping.as_ref().filter(|_| self.maps(query));
        let understood = match mapping {
            Some(mapping) => {
                let policies = Arc::clone(&question.policies);
                let mapped = gateway::query(query, &mapping.load(), &policies, |found| question.takes(Some(found)));
                mapped.map(Some)
            }
            None => complete(query).map(|()| None),
        };
        match understood {
            // The caller chose the name of the route; what is decided on is what its request becomes.
            Ok(Some(mut mapped)) => match self.admit_to(by, &mapped, question)? {
                Some(answer) => Ok(answer),
                None => self.decide_on_named(&mut mapped, question),
            },
            Ok(None) => self.decide_on_named(query, question),
            Err(refusal) => {
                self.take_down(query, question);
                Err(refusal)
            }
        }
    }

    /// Decides a question about somebody who is only named.
    fn decide_on_named(&self, query: &mut Query<'_>, question: &mut Question<'_>) -> Result<Answer, Refusal> {
        let policies = Arc::clone(&question.policies);
        if let Err(refusal) = describe(query, &self.ports.leaves.foreign(), policies.types()) {
            self.take_down(query, question);
            return Err(refusal);
        }
        self.decide(query, Proofs::default(), question)
    }

    /// Whether a question goes by the routes of the mapping.
    pub(super) fn maps(&self, query: &Query<'_>) -> bool {
        self.maps_questions && self.mapping.is_some() && gateway::is_request(query)
    }

    fn admit_to(
        &self,
        by: Asker<'_>,
        query: &Query<'_>,
        question: &mut Question<'_>,
    ) -> Result<Option<Answer>, Refusal> {
        if by.exempt || !question.policies.decides_on_callers() {
            return Ok(None);
        }
        self.take_down(query, question);
        self.admit(by, EVALUATE, query, question)
    }

    /// Records and answers a question that could not even be asked; `what` says what is known of it.
    pub fn refuse(&self, edge: Edge, what: &str, reason: Reason, by: Asker<'_>) -> Verdict {
        let mut question = self.begin(edge);
        question.called(by);
        question.resource = as_printable(what, SHOWN);
        self.conclude(question, Err(Refusal::new(reason, "it could not be asked", what)))
    }

    /// Records and refuses a caller of another trust domain that is not let in, whatever it would have asked.
    pub fn refuse_caller(&self, edge: Edge, caller: &SpiffeId, by: Asker<'_>) -> Verdict {
        let mut question = self.begin(edge);
        question.called(by);
        question.caller = Some(as_printable(caller.as_str(), SHOWN));
        let why = "the caller is of another trust domain, and not one of its identities that are let in";
        self.conclude(question, Err(Refusal::new(Reason::ForeignIdentity, why, caller.as_str())))
    }

    pub(super) fn begin<'q>(&self, edge: Edge) -> Question<'q> {
        let now = self.ports.clock.now();
        let id = DecisionId::new(now, self.ports.entropy.as_ref()).ok();
        Question::new(edge, (now, self.ports.clock.elapsed()), id, self.ports.policies.load())
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
                LeafFault::Foreign => Reason::ForeignIdentity,
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

    /// What that token delegates, if anything, to whoever shows it.
    fn delegation(
        &self,
        token: Option<&VerifiedToken>,
        leaf: Option<&VerifiedLeaf>,
        now: Timestamp,
    ) -> Result<Option<Delegation>, Refusal> {
        let Some((principals, token)) = self.principals.as_ref().zip(token) else { return Ok(None) };
        let delegation = principals.delegation(token, leaf, now)?;
        // Nothing that a token says of somebody outlives what makes them somebody.
        let unknown = |delegation: &Delegation| delegation.workloads().find(|id| !self.ports.leaves.vouches_for(id));
        match delegation.as_ref().and_then(unknown) {
            Some(id) => {
                Err(Refusal::new(Reason::ForeignIdentity, "the token rests on somebody who is not let in", id.as_str()))
            }
            None => Ok(delegation),
        }
    }

    /// The cache, or else the policies.
    fn decide(&self, query: &Query<'_>, proofs: Proofs<'_>, question: &mut Question<'_>) -> Result<Answer, Refusal> {
        let digest = self.take_down(query, question);
        let answer = self.settle(query, digest, proofs, question)?;
        if let (Some(shadow), Some(id)) = (&self.shadow, question.id) {
            shadow.offer(id, query, &question.policies, &answer.evaluation);
        }
        Ok(answer)
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
        Ok(Answer { reason: reason_of(evaluation.effect), evaluation, cache: lookup.into() })
    }

    /// Writes down what is asked, as far as it is to be kept. Says the digest of it.
    fn take_down(&self, query: &Query<'_>, question: &mut Question<'_>) -> Digest {
        question.take_down(query, self.recording.as_ref())
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
        let answer = match answer {
            Ok(answer) => answer,
            Err(refusal) => {
                // At this level because any client can bring it about, as often as it likes.
                tracing::debug!(
                    reason = refusal.reason().name(),
                    subject = %question.subject,
                    resource = %question.resource,
                    "refused a question: {}",
                    refusal.detail()
                );
                Answer::none(refusal.reason())
            }
        };
        let reason = answer.reason;
        let (edge, principal) = (question.edge, question.principal.take());
        let took = self.ports.clock.elapsed().saturating_sub(question.started);
        let manner = Manner {
            time: question.now,
            guidance: answer.evaluation.guidance.clone(),
            backend_headers: question.policies.backend_headers().cloned(),
            call: question.call.take(),
            on_error: question.on_error,
        };
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
        let Answer { evaluation, cache, .. } = answer;
        Verdict { id, outcome, reason, policies: evaluation.policies, cache, principal, manner, taken }
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
    reason: Reason,
    evaluation: Evaluation,
    cache: CacheState,
}

impl Answer {
    /// For a question that was never put to the policies.
    fn none(reason: Reason) -> Self {
        let (policies, errors) = (Arc::new([]), Arc::new([]));
        let evaluation = Evaluation { effect: Effect::NoPermit, policies, errors, guidance: None };
        Self { reason, evaluation, cache: CacheState::Bypass }
    }

    /// A permit that demands something denies, if nobody is there to do it.
    fn without_obligations(self) -> Self {
        let unmet = self.reason == Reason::Permitted && self.evaluation.has_obligations();
        Self { reason: if unmet { Reason::UnmetObligation } else { self.reason }, ..self }
    }

    /// The same if what it demands is too long to be passed on.
    fn within_a_header(self) -> Self {
        let demanded = self.evaluation.guidance.as_ref().map(|guidance| guidance.obligations.as_slice());
        match demanded {
            Some(demanded) if in_header(demanded).is_none() => self.without_obligations(),
            _ => self,
        }
    }
}

fn no_token() -> Refusal {
    Refusal::new(Reason::NoToken, "the route's principal is a token's, and no issuer of tokens is believed", "")
}

fn no_certificate() -> Refusal {
    Refusal::new(Reason::NoCertificate, "the client showed no certificate", "")
}

pub(super) const fn reason_of(effect: Effect) -> Reason {
    match effect {
        Effect::Permit => Reason::Permitted,
        Effect::NoPermit => Reason::NoPermit,
        Effect::Forbid => Reason::Forbidden,
        Effect::ForbidFailed => Reason::ForbidFailed,
    }
}

#[cfg(test)]
mod tests;
