//! Fields of a JSON body: only of one that is here whole, that is called JSON, and that no reader could understand in
//! another way.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};

use super::Inputs;
use crate::decision::check::Body;
use crate::decision::reason::Reason;
use crate::decision::request::Refusal;
use crate::foundation::json;

/// The longest body that is read, in bytes. A decision takes microseconds; reading this takes some hundred of them.
pub(in crate::decision::mapping) const MAX_BYTES: usize = 64 * 1024;

/// Envoy says in it whether it sent less than there is. It takes away what a client puts there.
const PARTIAL: &str = "x-envoy-auth-partial-body";

/// Reads the body of a request, if it has no more than `max` bytes.
pub(in crate::decision::mapping) fn read(inputs: &Inputs<'_>, max: usize) -> Result<Json, Refusal> {
    let bytes = match inputs.check.http.as_ref().map(|http| http.body) {
        Some(Body::Bytes(bytes)) if !bytes.is_empty() => bytes,
        Some(Body::Text) => {
            return Err(bad("the proxy sent it as text; `with_request_body` needs `pack_as_bytes: true`"));
        }
        _ => return Err(bad("there is none, or the proxy did not send it; see `with_request_body`")),
    };
    whole(inputs, bytes)?;
    called_json(inputs)?;
    if bytes.len() > max {
        return Err(bad(&format!("it has {} bytes, more than {max}", bytes.len())));
    }
    json::read(bytes).map_err(|error| bad(&format!("it is not I-JSON: {error}")))
}

/// A part of a body says nothing of the whole.
fn whole(inputs: &Inputs<'_>, bytes: &[u8]) -> Result<(), Refusal> {
    match inputs.header(PARTIAL)? {
        Some("false") => {}
        Some("true") => return Err(bad("the proxy sent only the beginning of it; see `max_request_bytes`")),
        _ => return Err(bad("the proxy does not say whether it sent all of it")),
    }
    match inputs.header("content-length")? {
        Some(length) if length.parse() != Ok(bytes.len()) => {
            Err(bad(&format!("{} bytes of it are here, of {length}", bytes.len())))
        }
        _ => Ok(()),
    }
}

/// `application/json` or anything that ends with `+json` (RFC 6839), in UTF-8, not compressed.
fn called_json(inputs: &Inputs<'_>) -> Result<(), Refusal> {
    let said = inputs.header("content-type")?.ok_or_else(|| bad("no `content-type` says that it is JSON"))?;
    let (essence, parameters) = said.split_once(';').unwrap_or((said, ""));
    let essence = essence.trim().to_ascii_lowercase();
    let is_json = essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    let is_utf8 = |parameter: &str| match parameter.trim().split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
            value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    };
    if !is_json || !parameters.split(';').all(is_utf8) {
        return Err(bad("its `content-type` is not JSON in UTF-8"));
    }
    match inputs.header("content-encoding")? {
        None | Some("identity") => Ok(()),
        Some(_) => Err(bad("it is compressed")),
    }
}

/// The value at a path of members; `None` if there is none.
pub(in crate::decision::mapping) fn field<'b>(
    body: &'b Json,
    path: &[impl AsRef<str>],
) -> Result<Option<&'b Json>, Refusal> {
    let mut at = body;
    for name in path {
        let name = name.as_ref();
        let Json::Object(members) = at else {
            return Err(bad(&format!("something that is not an object is where `{name}` would be a member of one")));
        };
        match Spellings::of(members).get(name)? {
            Some(value) => at = value,
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

/// The largest integer that all readers take for the same (RFC 7493 section 2.2): beyond it JavaScript and others round.
const EXACT: u64 = (1 << 53) - 1;

/// A value that a question is made of, if no reader rounds an integer in it.
///
/// # Errors
/// Some do.
pub(in crate::decision::mapping) fn exact(value: &Json) -> Result<&Json, Refusal> {
    if is_exact(value) { Ok(value) } else { Err(bad("an integer beyond 2^53 is rounded by some who read it")) }
}

fn is_exact(value: &Json) -> bool {
    match value {
        Json::Number(number) => {
            let size = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            size.is_none_or(|size| size <= EXACT)
        }
        Json::Array(values) => values.iter().all(is_exact),
        Json::Object(members) => members.values().all(is_exact),
        Json::Null | Json::Bool(_) | Json::String(_) => true,
    }
}

/// The members of an object, of which only those are found whose name no other has in another case: Go's `encoding/json`
/// takes `"Amount"` for `amount`, and the last of them counts.
pub(in crate::decision::mapping) struct Spellings<'b> {
    members: &'b Map<String, Json>,
    /// How many names are the same but for case.
    folded: HashMap<String, usize>,
}

impl<'b> Spellings<'b> {
    /// Reads all names once, whatever is then looked for.
    pub(in crate::decision::mapping) fn of(members: &'b Map<String, Json>) -> Self {
        let mut folded = HashMap::with_capacity(members.len());
        for name in members.keys() {
            *folded.entry(fold(name)).or_default() += 1;
        }
        Self { members, folded }
    }

    /// The member `name`; `None` if there is none.
    ///
    /// # Errors
    /// It is there in another case, too or instead.
    pub(in crate::decision::mapping) fn get(&self, name: &str) -> Result<Option<&'b Json>, Refusal> {
        let found = self.members.get(name);
        let spellings = self.folded.get(&fold(name)).copied().unwrap_or_default();
        if spellings > usize::from(found.is_some()) {
            return Err(bad(&format!("`{name}` is there in another case too")));
        }
        Ok(found)
    }
}

fn fold(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

fn bad(why: &str) -> Refusal {
    Refusal::new(Reason::BadBody, format_args!("the body: {why}"), "")
}
