//! Writes verdicts as decisions (Authorization API 1.0, sections 6.2 and 7.2) or, if one is not a decision, as an error
//! (section 10.1.2).

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use super::super::failure::{ErrorBody, Failure};
use crate::decision::guidance::{AccessRequest, Guidance, Obligation};
use crate::decision::{Reason, Verdict};
use crate::edge::receipts::ReceiptTold;
use crate::evidence::{DecisionId, Outcome};
use crate::foundation::clock::Timestamp;

/// Names the decision on every answer that came from one; the record has the same id.
const DECISION_ID: HeaderName = HeaderName::from_static("x-portcullis-decision-id");

/// A decision on the wire.
#[derive(Debug, Serialize)]
pub(super) struct Decision {
    decision: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Context>,
}

/// What is said beside it.
#[derive(Debug, Default, Serialize)]
struct Context {
    #[serde(flatten)]
    why: Option<Why>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<ReceiptTold>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorBody>,
}

/// Why it is what it is.
#[derive(Debug, Serialize)]
struct Why {
    decision_id: DecisionId,
    reason: &'static str,
    policies: Arc<[Arc<str>]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<Vec<Arc<str>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    obligations: Option<Vec<Obligation>>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    remediable: Option<Remediable>,
}

/// What a client needs to ask for access (Access Request and Approval Profile, draft 1).
#[derive(Debug, Serialize)]
struct Remediable {
    evaluation_id: DecisionId,
    evaluated_at: Timestamp,
    access_request: Requestable,
}

#[derive(Debug, Serialize)]
struct Requestable {
    form_url: String,
    expires_at: Timestamp,
}

impl Why {
    fn of(verdict: &Verdict) -> Self {
        let guidance = verdict.guidance();
        let some = |list: &[_]| (!list.is_empty()).then(|| list.to_vec());
        Self {
            decision_id: verdict.id,
            reason: verdict.reason.name(),
            policies: Arc::clone(&verdict.policies),
            advice: guidance.and_then(|guidance| some(&guidance.advice)),
            obligations: guidance
                .filter(|guidance| !guidance.obligations.is_empty())
                .map(|guidance| guidance.obligations.clone()),
            remediable: guidance.and_then(|guidance| Remediable::of(guidance, verdict)),
        }
    }
}

impl Remediable {
    fn of(guidance: &Guidance, verdict: &Verdict) -> Option<Self> {
        let request = guidance.remedy.as_ref()?.access_request.as_ref()?;
        let evaluated_at = verdict.manner.time;
        let expires_at = evaluated_at.after(AccessRequest::VALID_FOR);
        let access_request = Requestable { form_url: request.form_url().to_owned(), expires_at };
        Some(Self { evaluation_id: verdict.id, evaluated_at, access_request })
    }
}

impl Decision {
    /// What `verdict` decides; with the reason and the policies if `with_context`.
    ///
    /// # Errors
    /// The answer to give if the verdict is none.
    pub(super) fn of(verdict: &Verdict, with_context: bool) -> Result<Self, Failure> {
        if verdict.reason == Reason::CallerNotPermitted {
            return Err(not_permitted().with_header(decision_id(verdict.id)));
        }
        let decision = match verdict.outcome {
            Outcome::Allow => true,
            Outcome::Deny => false,
            Outcome::Error => return Err(failure(verdict.reason).with_header(decision_id(verdict.id))),
        };
        let why = with_context.then(|| Why::of(verdict));
        Ok(Self { decision, context: why.map(|why| Context { why: Some(why), ..Context::default() }) })
    }

    /// The same of an item of a batch. One that its caller may not ask is denied and says so, whatever the others are.
    ///
    /// # Errors
    /// As those of [`Self::of`].
    pub(super) fn of_item(verdict: &Verdict, with_context: bool) -> Result<Self, Failure> {
        if verdict.reason != Reason::CallerNotPermitted {
            return Self::of(verdict, with_context);
        }
        let why = with_context.then(|| Why::of(verdict));
        let context = Context { why, error: Some(not_permitted().into_body()), ..Context::default() };
        Ok(Self { decision: false, context: Some(context) })
    }

    /// The denial that `verdict` records of an item of a batch that asks nothing, for `fault` (section 7.2.1).
    ///
    /// # Errors
    /// As those of [`Self::of`].
    pub(super) fn of_bad_item(verdict: &Verdict, fault: &impl ToString, with_context: bool) -> Result<Self, Failure> {
        let mut denial = Self::of(verdict, with_context)?;
        denial.decision = false;
        if let Some(context) = &mut denial.context {
            context.error = Some(Failure::bad_request(fault).into_body());
        }
        Ok(denial)
    }

    /// The same with what is said of its receipt, if that was asked for.
    pub(super) fn with_receipt(mut self, told: Option<ReceiptTold>) -> Self {
        if told.is_some() {
            self.context.get_or_insert_default().receipt = told;
        }
        self
    }

    pub(super) const fn permits(&self) -> bool {
        self.decision
    }
}

/// The answer that one verdict is, with what is said of its receipt.
pub(super) fn response(verdict: &Verdict, with_context: bool, receipt: Option<ReceiptTold>) -> Response {
    match Decision::of(verdict, with_context) {
        Err(failure) => failure.into_response(),
        Ok(decision) => named(verdict.id, Json(decision.with_receipt(receipt)).into_response()),
    }
}

/// The same answer under the name of its decision.
pub(super) fn named(id: DecisionId, mut response: Response) -> Response {
    let (name, value) = decision_id(id);
    response.headers_mut().insert(name, value);
    response
}

fn decision_id(id: DecisionId) -> (HeaderName, HeaderValue) {
    let value = HeaderValue::try_from(id.to_string()).unwrap_or(HeaderValue::from_static(""));
    (DECISION_ID, value)
}

/// A question that can't be put to the policies is the client's fault; all else is ours.
fn failure(reason: Reason) -> Failure {
    match reason {
        Reason::Undecodable => Failure::new(StatusCode::BAD_REQUEST, "the question could not be decoded"),
        Reason::AuditUnavailable => unrecorded(),
        _ => Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "no decision could be made"),
    }
}

/// Nothing is answered that is not on record.
pub(super) fn unrecorded() -> Failure {
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, "the decision could not be recorded")
}

/// The client is known, and may ask nothing, as `verdict` records.
pub(super) fn not_admitted(verdict: &Verdict) -> Failure {
    let refused = if verdict.outcome == Outcome::Error { failure(verdict.reason) } else { not_permitted() };
    refused.with_header(decision_id(verdict.id))
}

/// The client is known, and may not ask this.
pub(super) fn not_permitted() -> Failure {
    Failure::new(StatusCode::FORBIDDEN, "the caller may not ask this")
}
