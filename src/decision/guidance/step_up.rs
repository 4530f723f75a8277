//! `@step_up("acr=urn:example:mfa, max_age=300")`: the denial ends if the user authenticates anew, and so (RFC 9470).

use std::time::Duration;

/// The most authentication contexts that are named.
const MAX_VALUES: usize = 8;

/// The longest name of one, in bytes.
const MAX_VALUE: usize = 256;

/// How a user has to authenticate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StepUp {
    /// Authentication context classes, any of which will do, the best first. Never empty.
    pub acr_values: Vec<Box<str>>,
    /// Authentication methods (RFC 8176) that are wanted.
    pub amr_values: Vec<Box<str>>,
    /// How long ago that may have been.
    pub max_age: Option<Duration>,
}

impl StepUp {
    /// Reads `acr=…`, `amr=…` and `max_age=…`, with commas between them and spaces between several values.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let (mut acr, mut amr, mut max_age) = (None, None, None);
        for part in text.split(',') {
            let (key, value) = part.split_once('=').ok_or("it is written `acr=…, max_age=…`")?;
            let (key, value) = (key.trim(), value.trim());
            let is_new = match key {
                "acr" => acr.replace(values(value)?).is_none(),
                "amr" => amr.replace(values(value)?).is_none(),
                "max_age" => max_age.replace(seconds(value)?).is_none(),
                _ => return Err(format!("`{key}` is none of `acr`, `amr` and `max_age`")),
            };
            if !is_new {
                return Err(format!("`{key}` is there twice"));
            }
        }
        let acr_values = acr.ok_or("`acr` is missing: how is the user to authenticate?")?;
        Ok(Self { acr_values, amr_values: amr.unwrap_or_default(), max_age })
    }

    /// What is enough for both, if anything is.
    pub(super) fn and(self, other: &Self) -> Option<Self> {
        let Self { mut acr_values, mut amr_values, max_age } = self;
        acr_values.retain(|value| other.acr_values.contains(value));
        amr_values
            .extend(other.amr_values.iter().filter(|value| !amr_values.contains(value)).cloned().collect::<Vec<_>>());
        let max_age = [max_age, other.max_age].into_iter().flatten().min();
        (!acr_values.is_empty()).then_some(Self { acr_values, amr_values, max_age })
    }
}

fn values(text: &str) -> Result<Vec<Box<str>>, String> {
    let mut found: Vec<Box<str>> = Vec::new();
    for value in text.split_ascii_whitespace() {
        // What may stand within the quotes of a challenge (RFC 9110 section 11.2) without an escape.
        let is_plain = value.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b','));
        if !is_plain || value.len() > MAX_VALUE {
            return Err(format!("`{value}` can't stand in a challenge"));
        }
        if found.iter().any(|known| **known == *value) {
            return Err(format!("`{value}` is there twice"));
        }
        found.push(value.into());
    }
    if found.is_empty() || found.len() > MAX_VALUES {
        return Err(format!("there must be 1 to {MAX_VALUES} values"));
    }
    Ok(found)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let is_number = !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = text.parse().ok().filter(|_| is_number);
    seconds.map(Duration::from_secs).ok_or_else(|| format!("`max_age` is a number of seconds, not `{text}`"))
}
