//! Denials and errors as the answers of JSON-RPC 2.0 (section 5) that who made a call waits for. The codes are those of the
//! `AuthZEN` working group's draft COAZ-MCP, section "Error Handling".

use serde_json::json;

use super::super::wanted::Wanted;
use super::refusal::Data;
use crate::decision::{Call, Reason, Verdict};
use crate::evidence::Outcome;

/// The policies' answer is no.
const DENIED: i32 = -32001;

/// The message is none.
const INVALID_REQUEST: i32 = -32600;

/// The message has not what the question would be made of.
const INVALID_PARAMS: i32 = -32602;

/// There is no decision.
const INTERNAL: i32 = -32603;

/// The HTTP status of a denial: clients of MCP take any that is not 200 for a failure of the transport, and many then give
/// up the session. Whether who asks was authenticated is told by HTTP itself.
pub(super) fn status(verdict: &Verdict, status: u16) -> u16 {
    if status != 401 && verdict.manner.call.as_ref().is_some_and(|call| call.in_band) { 200 } else { status }
}

/// The body. The id is the call's own, as it was read: a string or an integer.
pub(super) fn error(call: &Call, verdict: &Verdict, decision_id: &str, wanted: &Wanted) -> String {
    let reason = verdict.reason.name();
    let (code, what) = match (verdict.outcome, is_of_the_message(verdict.reason)) {
        (Outcome::Deny, false) => (DENIED, "access denied"),
        (Outcome::Deny, true) if call.id.is_none() => (INVALID_REQUEST, "invalid request"),
        (Outcome::Deny, true) => (INVALID_PARAMS, "invalid params"),
        (Outcome::Allow | Outcome::Error, _) => (INTERNAL, "no decision"),
    };
    let data = Data::of(verdict, decision_id, wanted);
    let error = json!({ "code": code, "message": format!("{what}: {reason}"), "data": data });
    json!({ "jsonrpc": "2.0", "id": call.id, "error": error }).to_string()
}

/// Whether no question could be made of the message.
const fn is_of_the_message(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::BadBody
            | Reason::BadHeader
            | Reason::BadMessage
            | Reason::BadQuery
            | Reason::MetadataMismatch
            | Reason::MissingInput
    )
}
