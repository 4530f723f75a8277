//! What a token endpoint answers (RFC 6749 sections 5.1 and 5.2), read strictly: a token that could break out of a header, or
//! that is no bearer token (RFC 6750), is none.

use std::time::Duration;

use serde_json::Value;

use super::port::TokenAnswer;
use crate::foundation::json;
use crate::foundation::secret::Secret;
use crate::foundation::telemetry::printable;

/// The longest token, in bytes: more fits into no header.
const MAX_TOKEN: usize = 16 << 10;

/// How long a token is held whose server does not say how long it lives.
const UNSAID: Duration = Duration::from_mins(1);

/// No token is held longer, whatever its server says.
const LONGEST: Duration = Duration::from_hours(24);

/// How much of a server's words is shown, in bytes.
const MAX_SHOWN: usize = 256;

/// A token.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The token itself.
    pub token: Secret<String>,
    /// How long it lives, counted from before it was asked for.
    pub lives: Duration,
    /// Its scope, if the server says so. Sanitised.
    pub scope: Option<String>,
}

/// An answer that is no token.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The server says no. Sanitised.
    #[error("refused with {status}: {error}{}{description}", if .description.is_empty() { "" } else { ": " })]
    Error {
        /// The HTTP status.
        status: u16,
        /// `error`.
        error: String,
        /// `error_description`, or nothing.
        description: String,
    },
    /// It says something else.
    #[error("answered with {status}, and not as an authorization server does")]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// It is not what it should be.
    #[error("the answer can't be used: {0}")]
    Malformed(&'static str),
}

impl Refusal {
    /// Whether the server itself decided so, and would again.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Error { status, .. } if !is_passing(*status))
    }
}

/// Whether a status says that it may go better later.
pub const fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..)
}

impl Granted {
    /// The token in an answer.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn read(answer: &TokenAnswer) -> Result<Self, Refusal> {
        let status = answer.status;
        let body = json::read(answer.body.expose()).ok();
        let text = |name: &str| body.as_ref().and_then(|body| body.get(name)).and_then(Value::as_str);
        if status != 200 {
            let error = text("error").ok_or(Refusal::Status { status })?;
            let (error, description) = (shown(error), text("error_description").map(shown).unwrap_or_default());
            return Err(Refusal::Error { status, error, description });
        }
        if body.is_none() {
            return Err(Refusal::Malformed("it is not JSON"));
        }
        let token = text("access_token").ok_or(Refusal::Malformed("it has no `access_token`"))?;
        if !is_bearer_token(token) {
            return Err(Refusal::Malformed("its `access_token` can't stand in a header"));
        }
        if !text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("Bearer")) {
            return Err(Refusal::Malformed("its `token_type` is not `Bearer`"));
        }
        let lives = match body.as_ref().and_then(|body| body.get("expires_in")) {
            None => UNSAID,
            Some(said) => seconds(said).ok_or(Refusal::Malformed("its `expires_in` is no number of seconds"))?,
        };
        Ok(Self { token: Secret::new(token.to_owned()), lives: lives.min(LONGEST), scope: text("scope").map(shown) })
    }
}

/// Some servers write the number as a text.
fn seconds(said: &Value) -> Option<Duration> {
    let number = said.as_u64().or_else(|| said.as_str()?.parse().ok())?;
    (number > 0).then(|| Duration::from_secs(number))
}

/// `b64token` (RFC 6750 section 2.1).
fn is_bearer_token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    !body.is_empty() && token.len() <= MAX_TOKEN && body.bytes().all(is_plain)
}

fn shown(words: &str) -> String {
    printable(words, MAX_SHOWN)
}
