//! One message of JSON-RPC 2.0 as MCP has them: a call, a notification or an answer, and never several at once. The JSON
//! has been read strictly; what is refused here is what servers could still understand in two ways.

use serde_json::{Map, Value as Json};

use super::method::{RESPOND, Target};
use crate::decision::mapping::inputs::body;
use crate::decision::reason::Reason;
use crate::decision::request::Refusal;

/// The members that a message can have.
const MEMBERS: [&str; 6] = ["error", "id", "jsonrpc", "method", "params", "result"];

/// The longest id, in bytes.
const MAX_ID: usize = 256;

/// The longest method, in bytes.
const MAX_METHOD: usize = 256;

/// A message that a client posted.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::decision::mapping) struct Message {
    /// Its method; of an answer, the name that this has as an action.
    pub(in crate::decision::mapping) method: Box<str>,
    /// Whether its sender waits for an answer.
    pub(super) is_call: bool,
    /// An object.
    pub(in crate::decision::mapping) params: Json,
}

impl Message {
    /// Understands one.
    pub(super) fn parse(json: Json) -> Result<Self, Refusal> {
        let mut members = match json {
            Json::Object(members) => members,
            Json::Array(_) => return Err(bad("it is a batch, of which MCP has none")),
            _ => return Err(bad("it is not an object")),
        };
        if let Some(other) = members.keys().find(|name| !MEMBERS.contains(&name.as_str())) {
            return Err(Refusal::new(Reason::BadMessage, "the message has a member that no message has", other));
        }
        if members.get("jsonrpc").and_then(Json::as_str) != Some("2.0") {
            return Err(bad("`jsonrpc` is not \"2.0\""));
        }
        let id = members.get("id");
        if id.is_some_and(|id| !is_id(id)) {
            return Err(bad("`id` is neither an integer nor a string of 256 bytes at most"));
        }
        let is_call = id.is_some();
        let answers = usize::from(members.contains_key("result")) + usize::from(members.contains_key("error"));
        match (members.remove("method"), members.remove("params"), answers) {
            (Some(Json::String(method)), params, 0) => {
                if method.is_empty() || method.len() > MAX_METHOD || method.chars().any(char::is_control) {
                    return Err(bad("`method` has 1 to 256 bytes and no control characters"));
                }
                let params = params.unwrap_or_else(|| Json::Object(Map::new()));
                if !params.is_object() {
                    return Err(bad("`params` is not an object"));
                }
                Ok(Self { method: method.into(), is_call, params })
            }
            (None, None, 1) if is_call => {
                Ok(Self { method: RESPOND.into(), is_call: false, params: Json::Object(Map::new()) })
            }
            _ => Err(bad("it is neither a call, nor a notification, nor an answer")),
        }
    }

    /// What it is about.
    pub(super) fn target(&self) -> Target {
        Target::of(&self.method)
    }

    /// A parameter that must be a string.
    pub(super) fn text(&self, path: &[&str]) -> Result<&str, Refusal> {
        match body::field(&self.params, path)? {
            Some(Json::String(text)) => Ok(text),
            Some(_) => {
                let what = format_args!("`params.{}` is not a string", path.join("."));
                Err(Refusal::new(Reason::BadMessage, what, ""))
            }
            None => {
                let what = format_args!("`{}` has no `params.{}`", self.method, path.join("."));
                Err(Refusal::new(Reason::MissingInput, what, ""))
            }
        }
    }
}

/// The id of a call, even if not all of it can be understood.
pub(super) fn id_of(json: &Json) -> Option<Json> {
    let is_call = json.get("jsonrpc").and_then(Json::as_str) == Some("2.0") && json.get("method").is_some();
    json.get("id").filter(|id| is_call && is_id(id)).cloned()
}

/// MCP allows no `null`, and no fraction has one spelling.
fn is_id(id: &Json) -> bool {
    match id {
        Json::String(text) => text.len() <= MAX_ID,
        Json::Number(number) => number.is_i64() || number.is_u64(),
        _ => false,
    }
}

fn bad(why: &str) -> Refusal {
    Refusal::new(Reason::BadMessage, format_args!("the message: {why}"), "")
}
