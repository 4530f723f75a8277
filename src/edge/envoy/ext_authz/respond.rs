//! From a [`Verdict`] to a `CheckResponse`. The three constructors below are the only ones there are: one writes an
//! allow, one a denial, one an error, and no other code can make a [`Response`].
//!
//! Envoy reads an empty response, and one whose status is 0 over a denied or error body, as an allow.
//!
//! The messages are written field by field; the tests read them with Envoy's full definitions.

mod jsonrpc;
mod names;
mod refusal;
mod wire;

use bytes::Bytes;

pub use self::names::{HeaderNames, HeaderNamesError};
use self::refusal::{Body, challenge};
use self::wire::Message;
use super::ExtAuthzConfig;
use super::wanted::Wanted;
use crate::decision::guidance::{Guidance, in_header};
use crate::decision::{Principal, Verdict};
use crate::edge::receipts::ReceiptTold;
use crate::evidence::Outcome;

/// Where a backend finds what it must do, if obligations are passed on.
pub(super) const OBLIGATIONS: &str = "x-portcullis-obligations";

const CACHE_CONTROL: &str = "cache-control";

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

/// What of a request the answer to it depends on, beside the decision.
#[derive(Clone, Debug, Default)]
pub(super) struct Requested {
    /// Headers that a backend could take for what only we say.
    pub(super) removed: Vec<String>,
    pub(super) wanted: Wanted,
    /// What is said of the decision's receipt, if that was asked for.
    pub(super) receipt: Option<ReceiptTold>,
}

/// Writes a verdict down. It is an allow only if outcome and reason both say so, and it is known for whom.
pub(super) fn answer(verdict: &Verdict, config: &ExtAuthzConfig, requested: &Requested) -> Response {
    match (verdict.outcome, verdict.reason.outcome(), &verdict.principal) {
        (Outcome::Allow, Outcome::Allow, Some(principal)) if all_is_told(verdict, config) => {
            allow(verdict, principal, config, requested)
        }
        (Outcome::Deny, _, _) => deny(verdict, config, requested),
        (Outcome::Allow | Outcome::Error, _, _) => error(verdict, config, requested),
    }
}

/// Whether a backend learns of all that it must do.
fn all_is_told(verdict: &Verdict, config: &ExtAuthzConfig) -> bool {
    verdict.guidance().is_none_or(|guidance| {
        guidance.obligations.is_empty() || (config.forwards_obligations && obligations(guidance).is_some())
    })
}

/// Lets the request through, with who it is from and the decision's id in place of what a client claimed of them.
fn allow(verdict: &Verdict, principal: &Principal, config: &ExtAuthzConfig, requested: &Requested) -> Response {
    let names = &config.headers;
    response(OK, verdict, (Outcome::Allow, requested), |message, decision_id| {
        message.message(OK_RESPONSE, |ok| {
            header(ok, 2, names.identity(), principal.as_str());
            header(ok, 2, names.decision(), decision_id);
            if let Some(guidance) = verdict.guidance() {
                for line in guidance.headers.iter().filter(|line| !names.is_ours(line.name())) {
                    header(ok, 2, line.name(), line.value());
                }
                if let Some(obligations) = obligations(guidance) {
                    header(ok, 2, OBLIGATIONS, &obligations);
                }
            }
            for name in &requested.removed {
                ok.text(5, name);
            }
            header(ok, 6, names.decision(), decision_id);
        });
    })
}

/// What a backend must do; nothing if there is nothing.
fn obligations(guidance: &Guidance) -> Option<String> {
    if guidance.obligations.is_empty() { None } else { in_header(&guidance.obligations) }
}

/// Sends the client away with a status, the reason and the decision's id.
fn deny(verdict: &Verdict, config: &ExtAuthzConfig, requested: &Requested) -> Response {
    let status = refusal::status(verdict);
    let status = if status < 400 { 403 } else { status };
    let code = if status == 401 { UNAUTHENTICATED } else { PERMISSION_DENIED };
    let status = jsonrpc::status(verdict, status);
    response(code, verdict, (Outcome::Deny, requested), |message, decision_id| {
        message.message(DENIED_RESPONSE, |body| told(body, status, verdict, decision_id, config, requested));
    })
}

/// Says that it is our fault. Envoy's own setting then decides whether that lets the request through, unless the route
/// says that it must not: then it is a denial to Envoy, and an error to the client.
fn error(verdict: &Verdict, config: &ExtAuthzConfig, requested: &Requested) -> Response {
    let status = refusal::status(verdict);
    let status = if status < 500 { 500 } else { status };
    let code = if status == 503 { UNAVAILABLE } else { INTERNAL };
    let is_closed = verdict.manner.on_error.is_some_and(|on_error| on_error.is_closed);
    let body = if is_closed { DENIED_RESPONSE } else { ERROR_RESPONSE };
    response(code, verdict, (Outcome::Error, requested), |message, decision_id| {
        message.message(body, |body| told(body, status, verdict, decision_id, config, requested));
    })
}

fn response(
    code: u8,
    verdict: &Verdict,
    (outcome, requested): (Outcome, &Requested),
    body: impl FnOnce(&mut Message, &str),
) -> Response {
    let decision_id = verdict.id.to_string();
    Response(Message::framed(|message| {
        message.message(1, |status| {
            status.varint(1, code.into());
            status.text(2, verdict.reason.name());
        });
        body(message, &decision_id);
        message.message(4, |metadata| {
            self::metadata(metadata, verdict, outcome, &decision_id);
            requested.receipt.iter().for_each(|told| receipt(metadata, told));
        });
    }))
}

/// What a client is told: the same fields whether it is denied or we failed.
fn told(
    message: &mut Message,
    status: u16,
    verdict: &Verdict,
    decision_id: &str,
    config: &ExtAuthzConfig,
    requested: &Requested,
) {
    let (text, content_type, language) = if let Some(call) = &verdict.manner.call {
        (jsonrpc::error(call, verdict, decision_id, &requested.wanted), "application/json", None)
    } else {
        let body = Body::of(verdict, status, decision_id, &config.answers, &requested.wanted);
        (body.text, body.form.content_type(), body.language)
    };
    message.message(1, |http_status| http_status.varint(1, status.into()));
    header(message, 2, "content-type", content_type);
    header(message, 2, config.headers.decision(), decision_id);
    if let Some(language) = &language {
        header(message, 2, "content-language", language);
    }
    if status == 401 {
        header(message, 2, "www-authenticate", &challenge(verdict, &config.answers));
    }
    let lines = verdict.guidance().map_or(&[][..], |guidance| &guidance.headers);
    for line in lines.iter().filter(|line| !config.headers.is_ours(line.name())) {
        header(message, 2, line.name(), line.value());
    }
    // What is denied now may not be in a minute, and what it says depends on who asks.
    if lines.iter().all(|line| line.name() != CACHE_CONTROL) {
        header(message, 2, CACHE_CONTROL, "no-store");
    }
    message.text(3, &text);
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

/// Where the receipt of the decision is, and the receipt itself if there is one.
fn receipt(message: &mut Message, told: &ReceiptTold) {
    field(message, "receipt_url", |kind| kind.text(3, &told.url));
    if let Some(proof) = &told.proof {
        field(message, "receipt", |kind| kind.text(3, proof));
    }
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
