//! From the annotations of one policy to its [`Guidance`]. What can't be meant is refused, so that nobody learns of it from
//! a client.

use std::sync::Arc;

use super::{AccessRequest, Guidance, Header, Obligation, Remedy, StepUp, Text, check_language, check_text};

/// Whether Envoy can answer with this status: it is one of those that it knows (`envoy.type.v3.StatusCode`), but for
/// those that mean something else than a denial to who gets them: 407 and 426 demand headers, 408 makes clients send the
/// request again.
pub(in crate::decision) const fn is_status(status: u16) -> bool {
    matches!(
        status,
        400..=406 | 409..=417 | 421..=424 | 428 | 429 | 431 | 500..=508 | 510 | 511
    )
}

/// The most headers of one policy.
const MAX_HEADERS: usize = 16;

/// The annotations that mean something here, but for headers and translations.
const NAMES: [&str; 6] = ["access_request", "advice", "deny_body", "deny_status", "obligation", "step_up"];

/// What is left of a name if it is misspelled in the usual ways. A permit whose obligation nobody reads is one without.
fn folded(name: &str) -> impl Iterator<Item = char> {
    let singular = name.strip_suffix(['s', 'S']).unwrap_or(name);
    singular.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase())
}

/// Reads the annotations of the policy `id`. Those that mean nothing here are somebody else's.
///
/// # Errors
/// What is wrong with one, with its name.
pub(in crate::decision) fn read<'p>(
    id: &Arc<str>,
    permits: bool,
    annotations: impl Iterator<Item = (&'p str, &'p str)>,
) -> Result<Option<Arc<Guidance>>, String> {
    let mut reading = Reading { permits, ..Reading::default() };
    let mut sorted: Vec<_> = annotations.collect();
    // Texts in other languages come after the text itself.
    sorted.sort_unstable();
    for (key, value) in sorted {
        reading.take(key, value).map_err(|why| format!("policy `{id}`: `@{key}`: {why}"))?;
    }
    let mut guidance = reading.guidance;
    if let Some(step_up) = &reading.remedy.step_up {
        guidance.obligations.push(Obligation::to_step_up(Arc::clone(id), step_up));
    }
    guidance.remedy = Some(reading.remedy).filter(|remedy| !remedy.is_empty());
    Ok((!guidance.is_empty()).then(|| Arc::new(guidance)))
}

#[derive(Default)]
struct Reading {
    permits: bool,
    guidance: Guidance,
    remedy: Remedy,
}

impl Reading {
    fn take(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "advice" => self.guidance.advice.push(check_text(value)?.into()),
            "obligation" => self.guidance.obligations = Obligation::read(value)?,
            "deny_status" => self.guidance.status = Some(status(self.of_forbid(value)?)?),
            "deny_body" => {
                let plain = check_text(self.of_forbid(value)?)?.into();
                self.guidance.text = Some(Text { plain, translations: Vec::new() });
            }
            "step_up" => self.remedy.step_up = Some(StepUp::read(self.of_forbid(value)?)?),
            "access_request" => self.remedy.access_request = Some(AccessRequest::read(self.of_forbid(value)?)?),
            _ => {
                if let Some(name) = key.strip_prefix("header_") {
                    return self.header(name, value);
                }
                if let Some(language) = key.strip_prefix("deny_body_") {
                    return self.translation(language, value);
                }
                if key.starts_with("deny_") {
                    return Err("there is no such annotation; there are `deny_status` and `deny_body`".to_owned());
                }
                if let Some(meant) = NAMES.into_iter().find(|name| folded(name).eq(folded(key))) {
                    return Err(format!("there is no such annotation; did you mean `{meant}`?"));
                }
            }
        }
        Ok(())
    }

    /// The value of what says something about a denial.
    fn of_forbid<'v>(&self, value: &'v str) -> Result<&'v str, String> {
        if self.permits {
            return Err("only a `forbid` can say what a denial is like".to_owned());
        }
        Ok(value)
    }

    fn header(&mut self, name: &str, value: &str) -> Result<(), String> {
        if self.guidance.headers.len() == MAX_HEADERS {
            return Err(format!("a policy can have {MAX_HEADERS} headers"));
        }
        self.guidance.headers.push(Header::read(name, value)?);
        Ok(())
    }

    fn translation(&mut self, language: &str, value: &str) -> Result<(), String> {
        let language = check_language(&language.replace('_', "-"))?;
        let translated = check_text(self.of_forbid(value)?)?;
        let text = self.guidance.text.as_mut().ok_or("`@deny_body` is missing, for all other languages")?;
        text.translations.push((language.into(), translated.into()));
        Ok(())
    }
}

fn status(text: &str) -> Result<u16, String> {
    let status = text.parse().ok().filter(|status| is_status(*status));
    status
        .filter(|_| text.len() == 3)
        .ok_or_else(|| format!("`{}` is not a status of 400 to 599 that Envoy can answer with", text.escape_debug()))
}
