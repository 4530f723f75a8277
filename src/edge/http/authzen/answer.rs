//! Writes a verdict as an Access Evaluation response (Authorization API 1.0, section 6.2) or, if it is not a decision,
//! as an error (section 10.1.2).

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use super::super::failure::Failure;
use crate::decision::{Reason, Verdict};
use crate::evidence::{DecisionId, Outcome};

/// Names the decision on every answer that came from one; the record has the same id.
const DECISION_ID: HeaderName = HeaderName::from_static("x-portcullis-decision-id");

#[derive(Serialize)]
struct Decision<'a> {
    decision: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Context<'a>>,
}

#[derive(Serialize)]
struct Context<'a> {
    decision_id: DecisionId,
    reason: &'static str,
    policies: Vec<&'a str>,
}

/// The answer that `verdict` is; with the reason and the policies if `with_context`.
pub(super) fn response(verdict: &Verdict, with_context: bool) -> Response {
    let mut response = match verdict.outcome {
        Outcome::Allow => decision(true, verdict, with_context),
        Outcome::Deny => decision(false, verdict, with_context),
        Outcome::Error => failure(verdict.reason).into_response(),
    };
    if let Ok(id) = HeaderValue::try_from(verdict.id.to_string()) {
        response.headers_mut().insert(DECISION_ID, id);
    }
    response
}

fn decision(decision: bool, verdict: &Verdict, with_context: bool) -> Response {
    let context = with_context.then(|| Context {
        decision_id: verdict.id,
        reason: verdict.reason.name(),
        policies: verdict.policies.iter().map(AsRef::as_ref).collect(),
    });
    Json(Decision { decision, context }).into_response()
}

/// A question that can't be put to the policies is the client's fault; all else is ours.
fn failure(reason: Reason) -> Failure {
    let (status, what) = match reason {
        Reason::Undecodable => (StatusCode::BAD_REQUEST, "the question could not be decoded"),
        Reason::AuditUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "the decision could not be recorded"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "no decision could be made"),
    };
    Failure::new(status, what)
}
