//! From a [`Verdict`] to a `CheckResponse`. The three constructors below are the only ones there are: one writes an
//! allow, one a denial, one an error, and no other code can make an [`Answer`].
//!
//! Envoy reads an empty response, and one whose status is 0 over a denied or error body, as an allow.

mod names;

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckResponse, DeniedHttpResponse, OkHttpResponse};
use envoy_types::pb::envoy::r#type::v3::{HttpStatus, StatusCode};
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{ListValue, Struct, Value};
use envoy_types::pb::google::rpc::Status;
use portcullis_spiffe::SpiffeId;
use serde::Serialize;
use tonic::Code;

pub use self::names::{HeaderNames, HeaderNamesError};
use crate::decision::{Reason, Verdict};
use crate::evidence::Outcome;

/// A response that was made on purpose.
#[derive(Clone, Debug)]
pub(super) struct Answer(CheckResponse);

impl Answer {
    /// What goes on the wire.
    pub(super) fn into_message(self) -> CheckResponse {
        self.0
    }
}

/// Writes a verdict down. It is an allow only if outcome and reason both say so, and it is known for whom. `lookalikes`
/// are headers of the request that could pass for ours.
pub(super) fn answer(verdict: &Verdict, names: &HeaderNames, lookalikes: Vec<String>) -> Answer {
    match (verdict.outcome, verdict.reason.outcome(), &verdict.principal) {
        (Outcome::Allow, Outcome::Allow, Some(principal)) => allow(verdict, principal, names, lookalikes),
        (Outcome::Deny, _, _) => deny(verdict, names),
        (Outcome::Allow | Outcome::Error, _, _) => error(verdict, names),
    }
}

/// Lets the request through, with who it is from and the decision's id in place of what a client claimed of them.
fn allow(verdict: &Verdict, principal: &SpiffeId, names: &HeaderNames, lookalikes: Vec<String>) -> Answer {
    let decision_id = verdict.id.to_string();
    let identity = header(names.identity(), principal.as_str());
    let decision = header(names.decision(), &decision_id);
    let body = HttpResponse::OkResponse(OkHttpResponse {
        headers: identity.into_iter().chain(decision.clone()).collect(),
        headers_to_remove: lookalikes,
        response_headers_to_add: decision.into_iter().collect(),
        ..OkHttpResponse::default()
    });
    Answer(response(Code::Ok, verdict, Outcome::Allow, body))
}

/// Sends the client away with a status, the reason and the decision's id.
fn deny(verdict: &Verdict, names: &HeaderNames) -> Answer {
    let status = match http_status(verdict.reason) {
        status @ (StatusCode::BadRequest | StatusCode::Unauthorized) => status,
        _ => StatusCode::Forbidden,
    };
    let code = if status == StatusCode::Unauthorized { Code::Unauthenticated } else { Code::PermissionDenied };
    Answer(response(code, verdict, Outcome::Deny, HttpResponse::DeniedResponse(refusal(status, verdict, names))))
}

/// Says that it is our fault. Envoy's own setting then decides whether that lets the request through.
fn error(verdict: &Verdict, names: &HeaderNames) -> Answer {
    let (status, code) = match http_status(verdict.reason) {
        StatusCode::ServiceUnavailable => (StatusCode::ServiceUnavailable, Code::Unavailable),
        _ => (StatusCode::InternalServerError, Code::Internal),
    };
    Answer(response(code, verdict, Outcome::Error, HttpResponse::ErrorResponse(refusal(status, verdict, names))))
}

fn response(code: Code, verdict: &Verdict, outcome: Outcome, body: HttpResponse) -> CheckResponse {
    CheckResponse {
        status: Some(Status { code: i32::from(code), message: verdict.reason.name().to_owned(), details: Vec::new() }),
        dynamic_metadata: Some(metadata(verdict, outcome)),
        http_response: Some(body),
    }
}

/// The HTTP status that a client sees for a reason.
const fn http_status(reason: Reason) -> StatusCode {
    match reason {
        Reason::Permitted => StatusCode::Ok,
        Reason::NoPermit
        | Reason::Forbidden
        | Reason::ForbidFailed
        | Reason::UnknownAction
        | Reason::SchemaMismatch
        | Reason::NoService
        | Reason::HeadersNotRaw => StatusCode::Forbidden,
        Reason::NoCertificate
        | Reason::BadCertificate
        | Reason::ExpiredCertificate
        | Reason::RevokedCertificate
        | Reason::UntrustedCertificate
        | Reason::PrincipalMismatch => StatusCode::Unauthorized,
        Reason::BadPrincipal
        | Reason::BadMethod
        | Reason::BadPath
        | Reason::BadHost
        | Reason::BadHeader
        | Reason::Undecodable => StatusCode::BadRequest,
        Reason::DeadlineExpired | Reason::AuditUnavailable => StatusCode::ServiceUnavailable,
        Reason::Internal => StatusCode::InternalServerError,
    }
}

/// What a client is told. The same fields whether it is denied or we failed.
#[derive(Serialize)]
struct Told<'a> {
    decision: bool,
    reason: &'static str,
    decision_id: &'a str,
}

fn refusal(status: StatusCode, verdict: &Verdict, names: &HeaderNames) -> DeniedHttpResponse {
    let decision_id = verdict.id.to_string();
    let told = Told { decision: false, reason: verdict.reason.name(), decision_id: &decision_id };
    let content_type = header("content-type", "application/json");
    DeniedHttpResponse {
        status: Some(HttpStatus { code: i32::from(status) }),
        headers: content_type.into_iter().chain(header(names.decision(), &decision_id)).collect(),
        body: serde_json::to_string(&told).unwrap_or_default(),
    }
}

/// A header that replaces any of that name; nothing if the value could end the line it stands in.
fn header(name: &str, value: &str) -> Option<HeaderValueOption> {
    let plain = value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    plain.then(|| HeaderValueOption {
        header: Some(HeaderValue { key: name.to_owned(), value: value.to_owned(), raw_value: Vec::new() }),
        // Envoy 1.40 overwrites whatever this says, other versions append by default.
        append_action: i32::from(HeaderAppendAction::OverwriteIfExistsOrAdd),
        ..HeaderValueOption::default()
    })
}

/// What Envoy can put into its access log, under `envoy.filters.http.ext_authz`.
fn metadata(verdict: &Verdict, outcome: Outcome) -> Struct {
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let policies = ListValue { values: verdict.policies.iter().map(|policy| text(policy)).collect() };
    let fields = [
        ("decision_id", Some(text(&verdict.id.to_string()))),
        ("decision", Some(text(outcome.name()))),
        ("reason", Some(text(verdict.reason.name()))),
        ("policies", Some(Value { kind: Some(Kind::ListValue(policies)) })),
        ("cache", Some(text(verdict.cache.name()))),
        ("principal", verdict.principal.as_ref().map(|principal| text(principal.as_str()))),
    ];
    let present = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Struct { fields: present.collect() }
}

#[cfg(test)]
mod tests;
