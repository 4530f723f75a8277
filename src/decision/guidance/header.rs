//! `@header_x_tier("gold")`: a header that a policy sets.

use crate::decision::request::headers::is_token;

/// The longest value, in bytes.
const MAX_VALUE: usize = 1024;

/// Names that begin like this are Envoy's, a proxy's or ours.
const TAKEN_BEGINNINGS: [&str; 5] = ["x-portcullis-", "x-envoy-", "x-forwarded-", "proxy-", "content-"];

/// Names that say something about the message or the connection, which no policy knows, that prove who asks, or that the
/// answer has anyway.
const TAKEN: [&str; 18] = [
    "authorization",
    "connection",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "www-authenticate",
    "x-content-type-options",
    "x-request-id",
];

/// A header line, fit for any wire.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Header {
    name: Box<str>,
    value: Box<str>,
}

impl Header {
    /// Reads what follows `header_` in an annotation, with `_` for `-`, and its value.
    ///
    /// # Errors
    /// What is wrong with either.
    pub(super) fn read(name: &str, value: &str) -> Result<Self, String> {
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err("the name of the header is written in lower case".to_owned());
        }
        let name = name.replace('_', "-");
        if !is_token(&name) || name.starts_with('-') || name.ends_with('-') {
            return Err(format!("`{name}` is not the name of a header"));
        }
        if TAKEN.contains(&name.as_str()) || TAKEN_BEGINNINGS.iter().any(|taken| name.starts_with(taken)) {
            return Err(format!("the header `{name}` is not for policies to set"));
        }
        let is_plain = value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if !is_plain || value.is_empty() || value.len() > MAX_VALUE || value.trim() != value {
            return Err(format!(
                "the value must be 1 to {MAX_VALUE} visible ASCII characters, with spaces only between them"
            ));
        }
        Ok(Self { name: name.into(), value: value.into() })
    }

    /// Its name, in lower case.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its value: visible ASCII and spaces.
    pub fn value(&self) -> &str {
        &self.value
    }
}
