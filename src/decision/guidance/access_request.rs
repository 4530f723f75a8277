//! `@access_request("https://access.example.com/new")`: the denial may end if somebody is asked for access.

use std::time::Duration;

use url::Url;

/// The longest address, in bytes.
const MAX_ADDRESS: usize = 1024;

/// Where access can be asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AccessRequest {
    form_url: Box<str>,
}

impl AccessRequest {
    /// For how long after a denial it may be referred to.
    pub const VALID_FOR: Duration = Duration::from_hours(1);

    /// Reads an address.
    ///
    /// # Errors
    /// It is not one that a person can be sent to.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("`{}` {why}", text.escape_debug()));
        let Ok(url) = Url::parse(text) else { return wrong("is not a URL") };
        if url.scheme() != "https" || url.host_str().is_none() {
            return wrong("is not an `https` URL");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return wrong("has credentials in it");
        }
        // A parser drops line breaks and spaces at the ends; what is sent is what was written.
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'<' | b'>'));
        if !is_plain || text.len() > MAX_ADDRESS {
            return wrong("has characters that a URL can't have, or is too long");
        }
        Ok(Self { form_url: text.into() })
    }

    /// The page for people to go to.
    pub fn form_url(&self) -> &str {
        &self.form_url
    }
}
