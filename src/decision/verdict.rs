//! The answer to a question, and how it is to be told.

use std::sync::Arc;

use super::call::Call;
use super::guidance::Guidance;
use super::mapping::OnError;
use super::principal::Principal;
use super::reason::Reason;
use crate::evidence::{CacheState, DecisionId, Outcome, Taken};
use crate::foundation::clock::Timestamp;

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
    /// How it is to be told.
    pub manner: Manner,
    /// Its record. It may be told once that is durable: [`Verdict::settled`].
    pub taken: Taken,
}

/// How an answer is to be told.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    /// When the decision was made.
    pub time: Timestamp,
    /// What the policies that decided want said and done; `None` for most.
    pub guidance: Option<Arc<Guidance>>,
    /// Headers that only policies may give to a backend: whatever a client sent under one of these names is taken away.
    pub backend_headers: Option<Arc<[Box<str>]>>,
    /// The call that it answers, if there is one that is answered in its own protocol.
    pub call: Option<Call>,
    /// What the route of the request says about errors; `None` if none is known.
    pub on_error: Option<OnError>,
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

    /// What the policies that decided want said and done, if it is they who decided: what they say of another answer than
    /// this is nobody's business.
    pub fn guidance(&self) -> Option<&Guidance> {
        let by_policies = matches!(self.reason, Reason::Permitted | Reason::Forbidden | Reason::ForbidFailed);
        self.manner.guidance.as_deref().filter(|_| by_policies)
    }

    /// The answer for somebody who would not learn what has to be done: a permit that demands something is none.
    #[must_use]
    pub fn without_obligations(mut self) -> Self {
        if self.outcome == Outcome::Allow && self.guidance().is_some_and(|guidance| !guidance.obligations.is_empty()) {
            self.reason = Reason::UnmetObligation;
            self.outcome = self.reason.outcome();
        }
        self
    }
}
