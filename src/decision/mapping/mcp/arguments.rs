//! What the context of a question has of a message by itself: the arguments of a tool or a prompt, and a few things of the
//! protocol, as far as the schema declares them.

use serde_json::{Map, Value as Json};

use crate::decision::mapping::inputs::body::Spellings;
use crate::decision::mapping::inputs::{Inputs, body};
use crate::decision::query::Properties;
use crate::decision::reason::Reason;
use crate::decision::request::Refusal;
use crate::decision::schema::{RecordType, Type};

/// The attributes of a context that follow from a message.
pub(in crate::decision::mapping) const SUPPLIED: [&str; 4] = ["arguments", "level", "protocol_version", "session"];

/// The method in which a client says which version of the protocol it wants.
const INITIALIZE: &str = "initialize";

/// Enters those that are declared.
pub(super) fn enter<'q>(
    context: &mut Properties<'q>,
    declared: &RecordType,
    inputs: &Inputs<'q>,
) -> Result<(), Refusal> {
    let params = inputs.message.as_ref().map(|message| &message.params);
    let param = |name: &'static str| params.map_or(Ok(None), |params| body::field(params, &[name]));
    let is_initialize = inputs.message.as_ref().is_some_and(|message| &*message.method == INITIALIZE);
    for name in SUPPLIED {
        let Some(attribute) = declared.get(name) else { continue };
        match (name, &attribute.kind) {
            ("arguments", Type::Record(record)) => match param("arguments")? {
                Some(Json::Object(given)) => {
                    context.insert(name, Json::Object(members(record, given)?));
                }
                Some(_) => {
                    let why = "`params.arguments` is not an object";
                    return Err(Refusal::new(Reason::BadMessage, why, ""));
                }
                None if attribute.required => context.insert(name, Json::Object(Map::new())),
                None => {}
            },
            ("level", _) => {
                if let Some(level) = param("level")? {
                    context.insert(name, level.clone());
                }
            }
            ("protocol_version", _) => {
                // Only there does it mean anything: elsewhere servers go by the header alone.
                let proposed = if is_initialize { param("protocolVersion")?.cloned() } else { None };
                let said = inputs.header("mcp-protocol-version")?.map(Json::from);
                if let Some(version) = proposed.or(said) {
                    context.insert(name, version);
                }
            }
            ("session", _) => {
                if let Some(session) = inputs.header("mcp-session-id")? {
                    context.insert(name, session);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The members that a record declares, of those that there are.
fn members(declared: &RecordType, given: &Map<String, Json>) -> Result<Map<String, Json>, Refusal> {
    let (mut found, given) = (Map::new(), Spellings::of(given));
    for (name, attribute) in declared {
        let value = match (&attribute.kind, given.get(name)?) {
            (_, None) => continue,
            (Type::Record(record), Some(Json::Object(inner))) => Json::Object(members(record, inner)?),
            (_, Some(value)) => body::exact(value)?.clone(),
        };
        found.insert(name.clone(), value);
    }
    Ok(found)
}
