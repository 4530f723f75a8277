//! From a [`Verdict`] to a `CheckResponse`. The three constructors below are the only ones there are: one writes an
//! allow, one a denial, one an error, and no other code can make a [`Response`].
//!
//! Envoy reads an empty response, and one whose status is 0 over a denied or error body, as an allow.
//!
//! The messages are written field by field; the tests read them with Envoy's full definitions.

mod names;
mod wire;

use std::fmt::Write as _;

use bytes::Bytes;

pub use self::names::{HeaderNames, HeaderNamesError};
use self::wire::Message;
use crate::decision::{Principal, Reason, Verdict};
use crate::evidence::Outcome;

/// Field numbers of `CheckResponse`.
const DENIED_RESPONSE: u32 = 2;
const OK_RESPONSE: u32 = 3;
const ERROR_RESPONSE: u32 = 5;

/// Codes of `google.rpc.Code`.
const OK: u8 = 0;
const PERMISSION_DENIED: u8 = 7;
const INTERNAL: u8 = 13;
const UNAVAILABLE: u8 = 14;
const UNAUTHENTICATED: u8 = 16;

/// A response that was made on purpose, as the one message of a gRPC body.
#[derive(Clone, Debug)]
pub(super) struct Response(Bytes);

impl Response {
    /// What goes on the wire.
    pub(super) fn into_bytes(self) -> Bytes {
        self.0
    }
}

/// Writes a verdict down. It is an allow only if outcome and reason both say so, and it is known for whom. `lookalikes`
/// are headers of the request that could pass for ours.
pub(super) fn answer(verdict: &Verdict, names: &HeaderNames, lookalikes: &[String]) -> Response {
    match (verdict.outcome, verdict.reason.outcome(), &verdict.principal) {
        (Outcome::Allow, Outcome::Allow, Some(principal)) => allow(verdict, principal, names, lookalikes),
        (Outcome::Deny, _, _) => deny(verdict, names),
        (Outcome::Allow | Outcome::Error, _, _) => error(verdict, names),
    }
}

/// Lets the request through, with who it is from and the decision's id in place of what a client claimed of them.
fn allow(verdict: &Verdict, principal: &Principal, names: &HeaderNames, lookalikes: &[String]) -> Response {
    response(OK, verdict, Outcome::Allow, |message, decision_id| {
        message.message(OK_RESPONSE, |ok| {
            header(ok, 2, names.identity(), principal.as_str());
            header(ok, 2, names.decision(), decision_id);
            for lookalike in lookalikes {
                ok.text(5, lookalike);
            }
            header(ok, 6, names.decision(), decision_id);
        });
    })
}

/// Sends the client away with a status, the reason and the decision's id.
fn deny(verdict: &Verdict, names: &HeaderNames) -> Response {
    let status = match http_status(verdict.reason) {
        status @ (400 | 401) => status,
        _ => 403,
    };
    let code = if status == 401 { UNAUTHENTICATED } else { PERMISSION_DENIED };
    response(code, verdict, Outcome::Deny, |message, decision_id| {
        message.message(DENIED_RESPONSE, |body| refusal(body, status, verdict, decision_id, names));
    })
}

/// Says that it is our fault. Envoy's own setting then decides whether that lets the request through.
fn error(verdict: &Verdict, names: &HeaderNames) -> Response {
    let (status, code) = match http_status(verdict.reason) {
        503 => (503, UNAVAILABLE),
        _ => (500, INTERNAL),
    };
    response(code, verdict, Outcome::Error, |message, decision_id| {
        message.message(ERROR_RESPONSE, |body| refusal(body, status, verdict, decision_id, names));
    })
}

fn response(code: u8, verdict: &Verdict, outcome: Outcome, body: impl FnOnce(&mut Message, &str)) -> Response {
    let decision_id = verdict.id.to_string();
    Response(Message::framed(|message| {
        message.message(1, |status| {
            status.varint(1, code.into());
            status.text(2, verdict.reason.name());
        });
        body(message, &decision_id);
        message.message(4, |metadata| self::metadata(metadata, verdict, outcome, &decision_id));
    }))
}

/// The HTTP status that a client sees for a reason.
const fn http_status(reason: Reason) -> u16 {
    match reason {
        Reason::Permitted => 200,
        Reason::NoPermit
        | Reason::Forbidden
        | Reason::ForbidFailed
        | Reason::UnknownAction
        | Reason::SchemaMismatch
        | Reason::NoService
        | Reason::NoRoute
        | Reason::HeadersNotRaw
        | Reason::CallerNotPermitted => 403,
        Reason::NoCertificate
        | Reason::BadCertificate
        | Reason::ExpiredCertificate
        | Reason::RevokedCertificate
        | Reason::UntrustedCertificate
        | Reason::PrincipalMismatch
        | Reason::NoToken
        | Reason::BadToken
        | Reason::ExpiredToken
        | Reason::UntrustedToken
        | Reason::ReplayedToken => 401,
        Reason::BadPrincipal
        | Reason::BadMethod
        | Reason::BadPath
        | Reason::BadHost
        | Reason::BadHeader
        | Reason::BadQuery
        | Reason::BadBody
        | Reason::MissingInput
        | Reason::Undecodable => 400,
        Reason::DeadlineExpired | Reason::Overloaded | Reason::AuditUnavailable => 503,
        Reason::Internal => 500,
    }
}

/// What a client is told: the same fields whether it is denied or we failed.
fn refusal(message: &mut Message, status: u16, verdict: &Verdict, decision_id: &str, names: &HeaderNames) {
    message.message(1, |http_status| http_status.varint(1, status.into()));
    header(message, 2, "content-type", "application/json");
    header(message, 2, names.decision(), decision_id);
    // Reason and id are words of our own, in which there is nothing to escape.
    let mut told = String::with_capacity(128);
    let reason = verdict.reason.name();
    let _infallible = write!(told, r#"{{"decision":false,"reason":"{reason}","decision_id":"{decision_id}"}}"#);
    message.text(3, &told);
}

/// A header that replaces any of that name; nothing if the value could end the line it stands in.
fn header(message: &mut Message, number: u32, name: &str, value: &str) {
    if !value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return;
    }
    message.message(number, |option| {
        option.message(1, |header| {
            header.text(1, name);
            header.text(2, value);
        });
        // OVERWRITE_IF_EXISTS_OR_ADD. Envoy 1.40 overwrites whatever this says, other versions append by default.
        option.varint(3, 2);
    });
}

/// What Envoy can put into its access log, under `envoy.filters.http.ext_authz`.
fn metadata(message: &mut Message, verdict: &Verdict, outcome: Outcome, decision_id: &str) {
    let mut text = |name: &str, value: &str| field(message, name, |kind| kind.text(3, value));
    text("decision_id", decision_id);
    text("decision", outcome.name());
    text("reason", verdict.reason.name());
    text("cache", verdict.cache.name());
    if let Some(principal) = &verdict.principal {
        text("principal", principal.as_str());
    }
    field(message, "policies", |kind| {
        kind.message(6, |list| {
            for policy in verdict.policies.iter() {
                list.message(1, |kind| kind.text(3, policy));
            }
        });
    });
}

/// A field of a `google.protobuf.Struct`; `kind` writes its value.
fn field(message: &mut Message, name: &str, kind: impl FnOnce(&mut Message)) {
    message.message(1, |entry| {
        entry.text(1, name);
        entry.message(2, kind);
    });
}

#[cfg(test)]
mod tests;
