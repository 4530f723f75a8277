//! Raw header lines. Read one by one and never joined: a joined value is not what the backend sees, and hiding one line
//! behind another of the same name has undone many a policy (CVE-2021-32777, CVE-2026-26308).

use crate::decision::check::HeaderLine;

/// The most lines. Envoy's own default is 100; this leaves room for a proxy that was given more.
const MAX_LINES: usize = 256;

/// The most bytes of all names and values together. Envoy's own default is 60 KiB.
const MAX_BYTES: usize = 128 * 1024;

/// The pseudo-headers that a request can have (RFC 9113 section 8.3.1, RFC 8441 section 4).
const PSEUDO: [&str; 5] = [":method", ":path", ":authority", ":scheme", ":protocol"];

/// The header lines of one request: bounded, with sane names, none of them with a line break or NUL in it.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a>(&'a [HeaderLine<'a>]);

/// A request's wish to leave HTTP for another protocol on this connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Upgrade {
    /// To which protocol, in lower case, e.g. `websocket`. `None` if the request says only that it wants to.
    pub protocol: Option<String>,
}

/// Why header lines can't be relied on.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// More than 256.
    #[error("there are {0} header lines, more than 256")]
    TooMany(usize),
    /// More than 128 KiB.
    #[error("the header lines have more than 131072 bytes")]
    TooLarge,
    /// A name that is no token, or a pseudo-header that no request has.
    #[error("a header has a name that is not one")]
    Name,
    /// CR, LF or NUL in a value.
    #[error("the header `{0}` has a line break or NUL")]
    Break(String),
    /// More than one line of that name.
    #[error("the header `{0}` is there more than once")]
    Duplicate(String),
    /// A line that many backends can't tell from the real one (oauth2-proxy CVE-2025-64484).
    #[error("the header `{0}` is there with another character in place of `-`")]
    Lookalike(String),
    /// Bytes that have no one meaning as text (CVE-2026-73552: UTF-8 or Latin-1), or spaces at an end.
    #[error("the header `{0}` is not plain visible ASCII")]
    NotText(String),
}

impl<'a> Headers<'a> {
    /// Checks what holds of all lines together.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub fn parse(lines: &'a [HeaderLine<'a>]) -> Result<Self, HeaderError> {
        if lines.len() > MAX_LINES {
            return Err(HeaderError::TooMany(lines.len()));
        }
        if lines.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > MAX_BYTES {
            return Err(HeaderError::TooLarge);
        }
        for (name, value) in lines {
            if !is_token(name) && !PSEUDO.contains(name) {
                return Err(HeaderError::Name);
            }
            // All of it is looked at whatever is found, which compiles to a few wide instructions.
            if value.iter().fold(false, |found, byte| found | matches!(byte, b'\r' | b'\n' | 0)) {
                return Err(HeaderError::Break((*name).to_owned()));
            }
        }
        Ok(Self(lines))
    }

    /// The value of an ordinary header that may be there once at most; its name in any case. A pseudo-header is never
    /// found by this.
    ///
    /// # Errors
    /// [`HeaderError`] if there is more than one line that a backend could take for it, or the value is not plain text.
    pub fn unique(&self, name: &str) -> Result<Option<&'a str>, HeaderError> {
        let mut found = None;
        for (line, value) in self.0.iter().filter(|(line, _value)| looks_like(line, name) && is_token(line)) {
            if !line.eq_ignore_ascii_case(name) {
                return Err(HeaderError::Lookalike(name.to_owned()));
            }
            if found.replace(value).is_some() {
                return Err(HeaderError::Duplicate(name.to_owned()));
            }
        }
        found.map(|value| text(name, value)).transpose()
    }

    /// The value of a pseudo-header, its colon included in the name.
    ///
    /// # Errors
    /// [`HeaderError`] if it is there twice or is not text.
    pub fn pseudo(&self, name: &str) -> Result<Option<&'a str>, HeaderError> {
        let mut lines = self.0.iter().filter(|(line, _value)| *line == name);
        let Some((_name, value)) = lines.next() else { return Ok(None) };
        if lines.next().is_some() {
            return Err(HeaderError::Duplicate(name.to_owned()));
        }
        text(name, value).map(Some)
    }

    /// Whether the request wants to leave HTTP: an `upgrade` header (RFC 9110 section 7.8), that option in `connection`,
    /// or `:protocol` (RFC 8441).
    ///
    /// # Errors
    /// [`HeaderError`] if it wants two things at once.
    pub fn upgrade(&self) -> Result<Option<Upgrade>, HeaderError> {
        let wished = match (self.pseudo(":protocol")?, self.unique("upgrade")?) {
            (Some(_), Some(_)) => return Err(HeaderError::Duplicate("upgrade".to_owned())),
            (one, other) => one.or(other).map(str::to_ascii_lowercase),
        };
        let wants = wished.is_some() || self.connection_says_upgrade();
        Ok(wants.then_some(Upgrade { protocol: wished.filter(|protocol| !protocol.is_empty()) }))
    }

    fn connection_says_upgrade(&self) -> bool {
        let lines = self.0.iter().filter(|(line, _value)| looks_like(line, "connection"));
        let mut options = lines.flat_map(|(_line, value)| value.split(|byte| *byte == b','));
        options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    }
}

/// RFC 9110 section 5.6.2.
pub(in crate::decision) fn is_token(text: &str) -> bool {
    const fn is_of_token(byte: u8) -> bool {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
    }
    !text.is_empty() && text.bytes().all(is_of_token)
}

/// Whether a backend could take `line` for `name`: CGI and its heirs see both in upper case with `_` for `-`, and some
/// (lighttpd, old Apaches) with `_` for whatever is neither letter nor digit.
pub fn looks_like(line: &str, name: &str) -> bool {
    let folded = |byte: u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'_' };
    line.len() == name.len() && line.bytes().map(folded).eq(name.bytes().map(folded))
}

fn text<'a>(name: &str, value: &'a [u8]) -> Result<&'a str, HeaderError> {
    let plain = value.iter().all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t'));
    match str::from_utf8(value) {
        Ok(text) if plain && text.trim_ascii() == text => Ok(text),
        _ => Err(HeaderError::NotText(name.to_owned())),
    }
}

#[cfg(test)]
mod tests;
