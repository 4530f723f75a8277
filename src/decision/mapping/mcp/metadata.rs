//! What others say of a message: Envoy's filter `envoy.filters.http.mcp`, in its metadata, and the client, in headers by
//! which proxies and servers route. Neither may differ from the message. The filter is made to find a route for a request
//! and lets through what it does not understand: its metadata is then incomplete, or is that of something else.

use serde_json::{Map, Value as Json};

use super::message::Message;
use super::method::Target;
use crate::decision::mapping::inputs::Inputs;
use crate::decision::reason::Reason;
use crate::decision::request::Refusal;

/// What the filter calls the method of an answer, which has none.
const ANSWER: &str = "__jsonrpc_response";

/// The members that it repeats from the message.
const REPEATED: [&str; 3] = ["id", "jsonrpc", "params"];

/// Whether the filter read a message of MCP to its end.
pub(super) fn sound(metadata: &Json) -> Result<(), Refusal> {
    let is = |name: &str| metadata.get(name) == Some(&Json::Bool(true));
    if !is("is_mcp_request") {
        return Err(mismatch("it does not take this for MCP"));
    }
    if let Some(reason) = metadata.get("passthrough_reason") {
        let why = "what it says of the message: it gave up";
        return Err(Refusal::new(Reason::MetadataMismatch, why, reason.as_str().unwrap_or("not a text")));
    }
    if is("is_exceeding_limit") {
        return Err(mismatch("it read only the beginning of the body"));
    }
    match metadata.get("status").map(|status| status.as_str() == Some("mcp_ok")) {
        None | Some(true) => Ok(()),
        Some(false) => Err(mismatch("its status is not `mcp_ok`")),
    }
}

/// The message that the filter read, as far as it says.
pub(super) fn message(metadata: &Json) -> Json {
    let mut message = Map::new();
    for name in REPEATED {
        if let Some(value) = metadata.get(name) {
            message.insert(name.to_owned(), value.clone());
        }
    }
    match metadata.get("method") {
        Some(Json::String(method)) if method == ANSWER => {
            message.insert("result".to_owned(), Json::Null);
        }
        Some(method) => {
            message.insert("method".to_owned(), method.clone());
        }
        None => {}
    }
    Json::Object(message)
}

/// Whether all that the filter says of a message is so, and it says what the message is about.
pub(super) fn agree(metadata: &Json, message: &Json) -> Result<(), Refusal> {
    let method = message.get("method");
    let expected = method.map_or(Some(ANSWER), Json::as_str);
    if metadata.get("method").and_then(Json::as_str) != expected {
        return Err(mismatch("it names another method"));
    }
    for name in REPEATED {
        let says = metadata.get(name);
        if says.is_some_and(|says| !message.get(name).is_some_and(|value| is_part(says, value))) {
            return Err(mismatch(&format!("its `{name}` is another")));
        }
    }
    let target = method.and_then(Json::as_str).map_or(Target::Server, Target::of);
    let place = target.place().filter(|_| target != Target::Task);
    if place.is_some_and(|place| metadata.get("params").and_then(|params| params.get(place)).is_none()) {
        return Err(mismatch("it does not say what the message is about"));
    }
    Ok(())
}

/// Whether each value in `part` is in `whole` under the same name. All numbers of the filter's are of one type.
fn is_part(part: &Json, whole: &Json) -> bool {
    match (part, whole) {
        (Json::Object(part), Json::Object(whole)) => {
            part.iter().all(|(name, value)| whole.get(name).is_some_and(|other| is_part(value, other)))
        }
        (Json::Array(part), Json::Array(whole)) => {
            part.len() == whole.len() && part.iter().zip(whole).all(|(one, other)| is_part(one, other))
        }
        (Json::Number(one), Json::Number(other)) => match (one.as_f64(), other.as_f64()) {
            (Some(one), Some(other)) => one.total_cmp(&other).is_eq(),
            _ => false,
        },
        (one, other) => one == other,
    }
}

/// Whether `mcp-method` and `mcp-name` (MCP 2026-07-28, "Standard Request Headers") are what the message says, where a
/// client sends them.
pub(super) fn headers_agree(inputs: &Inputs<'_>, message: &Message) -> Result<(), Refusal> {
    if let Some(method) = inputs.header("mcp-method")?
        && *method != *message.method
    {
        return Err(Refusal::new(Reason::MetadataMismatch, "the header `mcp-method` names another method", method));
    }
    if let Some(name) = inputs.header("mcp-name")? {
        let said = message.target().place().and_then(|place| message.params.get(place));
        if said.and_then(Json::as_str) != Some(name) {
            return Err(Refusal::new(Reason::MetadataMismatch, "the header `mcp-name` names something else", name));
        }
    }
    Ok(())
}

pub(super) fn mismatch(why: &str) -> Refusal {
    Refusal::new(Reason::MetadataMismatch, format_args!("what the proxy's MCP filter says of the message: {why}"), "")
}
