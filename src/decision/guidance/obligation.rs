//! `@obligation("{…}")`: what whoever enforces the decision must do (AuthZEN Obligations Profile, draft 1).

use std::fmt::Write as _;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use super::StepUp;
use crate::foundation::json;

/// What the obligations of one policy may take as JSON, in bytes.
const MAX_OF_POLICY: usize = 2048;

/// What the obligations of one decision may take in a header, in bytes.
pub const MAX_OBLIGATIONS_BYTES: usize = 8192;

/// The type of an obligation to authenticate anew.
const STEP_UP: &str = "step-up";

/// The longest id or type, in bytes.
const MAX_NAME: usize = 256;

/// One thing that must be done.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Obligation {
    /// Its name.
    pub id: Arc<str>,
    /// What kind of thing it is: `notification`, `session_termination`, `custom` or what the enforcer knows.
    #[serde(rename = "type")]
    pub kind: Arc<str>,
    /// What has to be known to do it.
    pub properties: Arc<Map<String, Value>>,
}

impl Obligation {
    /// Reads one, or a list of them.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(text: &str) -> Result<Vec<Self>, String> {
        if text.len() > MAX_OF_POLICY {
            return Err(format!("there may be {MAX_OF_POLICY} bytes of obligations"));
        }
        let value = json::read(text.as_bytes()).map_err(|error| format!("it is not JSON: {error}"))?;
        let all = match value {
            Value::Array(all) => all,
            one => vec![one],
        };
        if all.is_empty() {
            return Err("the list is empty".to_owned());
        }
        all.into_iter().map(Self::of).collect()
    }

    /// The obligation that a step-up is; `id` is that of the policy that wants it.
    pub(super) fn to_step_up(id: Arc<str>, step_up: &StepUp) -> Self {
        let mut properties = Map::new();
        if let Some(best) = step_up.acr_values.first() {
            properties.insert("acr_value".to_owned(), best.as_ref().into());
        }
        if !step_up.amr_values.is_empty() {
            let values = step_up.amr_values.iter().map(|value| Value::from(value.as_ref())).collect();
            properties.insert("amr_values".to_owned(), Value::Array(values));
        }
        if let Some(max_age) = step_up.max_age {
            properties.insert("max_age".to_owned(), max_age.as_secs().into());
        }
        Self { id, kind: STEP_UP.into(), properties: Arc::new(properties) }
    }

    /// Whether it is that.
    pub(super) fn is_step_up(&self) -> bool {
        *self.kind == *STEP_UP
    }

    fn of(value: Value) -> Result<Self, String> {
        let Value::Object(mut members) = value else { return Err("an obligation is an object".to_owned()) };
        let id = name(&mut members, "id")?;
        let kind = name(&mut members, "type")?;
        let Some(Value::Object(properties)) = members.remove("properties") else {
            return Err("`properties` must be an object".to_owned());
        };
        if let Some(stranger) = members.keys().next() {
            return Err(format!("an obligation has `id`, `type` and `properties`, and no `{stranger}`"));
        }
        if *kind == *STEP_UP {
            return Err("`@step_up` is the way to say `step-up`".to_owned());
        }
        Ok(Self { id, kind, properties: Arc::new(properties) })
    }
}

/// `obligations` as JSON in ASCII, for a header; `None` if that would be too long.
pub fn in_header(obligations: &[Obligation]) -> Option<String> {
    let json = serde_json::to_string(obligations).ok()?;
    let mut ascii = String::with_capacity(json.len());
    let mut units = [0; 2];
    // What is not ASCII stands within strings, where every UTF-16 unit has an escape (RFC 8259 section 7).
    for character in json.chars() {
        if character.is_ascii() && !character.is_ascii_control() {
            ascii.push(character);
        } else {
            for unit in character.encode_utf16(&mut units) {
                let _infallible = write!(ascii, "\\u{unit:04x}");
            }
        }
    }
    (ascii.len() <= MAX_OBLIGATIONS_BYTES).then_some(ascii)
}

fn name(members: &mut Map<String, Value>, key: &str) -> Result<Arc<str>, String> {
    match members.remove(key) {
        Some(Value::String(name)) if (1..=MAX_NAME).contains(&name.len()) => Ok(name.into()),
        _ => Err(format!("`{key}` must be a string of 1 to {MAX_NAME} bytes")),
    }
}
