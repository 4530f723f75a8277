//! The kinds of value that keys hold, and how each is read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderName;
use portcullis_spiffe::{SpiffeId, TrustDomain};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::node::{Node, Value};
use super::reader::{Bound, Setting};
use crate::edge::envoy::ext_authz::HeaderNames;
use crate::edge::envoy::sds::UnknownNames;
use crate::foundation::clock::Timestamp;
use crate::foundation::telemetry::LogFormat;
use crate::identity::selector::{KNOWN_KINDS, Selector};

/// The units of a duration, longest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// The text in `node`, or a message that says what should stand there.
pub(super) fn text<'a>(node: &'a Node, expected: &str) -> Result<&'a str, String> {
    match &node.value {
        Value::Text(text) => Ok(text),
        other => Err(mismatch(expected, other)),
    }
}

fn mismatch(expected: &str, found: &Value) -> String {
    format!("expected {expected}, found {}", found.kind())
}

/// `path` as text that can stand in `config show`.
pub(super) fn absolute(base: &Path, path: &str) -> PathBuf {
    base.join(path)
}

impl Setting for bool {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        match node.value {
            Value::Flag(value) => Ok(value),
            ref other => Err(mismatch("`true` or `false`", other)),
        }
    }
}

impl Setting for u64 {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        match node.value {
            Value::Number(value) => Ok(value),
            Value::Odd(_) => Err("expected a whole number that is not negative".to_owned()),
            ref other => Err(mismatch("a whole number", other)),
        }
    }
}

impl Setting for usize {
    fn read(node: &Node, base: &Path) -> Result<Self, String> {
        let value = u64::read(node, base)?;
        Self::try_from(value).map_err(|_| format!("{value} is more than this machine can count to"))
    }
}

impl Setting for u32 {
    fn read(node: &Node, base: &Path) -> Result<Self, String> {
        let value = u64::read(node, base)?;
        Self::try_from(value).map_err(|_| format!("{value} is more than {}", Self::MAX))
    }
}

impl Setting for String {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        text(node, "a text").map(str::to_owned)
    }
}

/// A whole number and a unit: `500ms`, `90s`, `15m`, `24h`, `30d`.
impl Setting for Duration {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let expected = "a duration such as `500ms`, `90s`, `15m`, `24h` or `30d`";
        let text = text(node, expected)?;
        let wrong = || format!("`{text}` is not {expected}");
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(digits);
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        number.checked_mul(*millis).map(Self::from_millis).ok_or_else(|| format!("`{text}` is too long to measure"))
    }
}

impl Setting for PathBuf {
    fn read(node: &Node, base: &Path) -> Result<Self, String> {
        match text(node, "a path")? {
            "" => Err("the path is empty".to_owned()),
            path if path.contains('\0') => Err("the path has a NUL character".to_owned()),
            path => Ok(absolute(base, path)),
        }
    }

    fn shown(&self, _written: &Node) -> Value {
        Value::Text(self.display().to_string())
    }
}

impl Setting for TrustDomain {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let text = text(node, "a trust domain such as `example.org`")?;
        text.parse().map_err(|error| format!("`{text}`: {error}"))
    }
}

impl Setting for SpiffeId {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let text = text(node, "a SPIFFE ID such as `spiffe://example.org/web`")?;
        text.parse().map_err(|error| format!("`{text}`: {error}"))
    }
}

impl Setting for Selector {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let text = text(node, "a selector such as `unix:uid:1000`")?;
        let selector: Self = text.parse().map_err(|error| format!("`{text}`: {error}"))?;
        if !KNOWN_KINDS.contains(&selector.kind()) {
            return Err(format!(
                "`{text}`: there is no attestor of this type; known are `{}`",
                KNOWN_KINDS.join("`, `")
            ));
        }
        if selector.kind() == "unix" {
            check_unix(&selector).map_err(|reason| format!("`{text}`: {reason}"))?;
        }
        Ok(selector)
    }
}

/// A selector that attestation can never report would leave its entry dead without a word, so it is an error.
fn check_unix(selector: &Selector) -> Result<(), &'static str> {
    let (fact, value) = selector.value().split_once(':').unwrap_or((selector.value(), ""));
    let number = || value.parse::<u32>().is_ok_and(|number| number.to_string() == value);
    match fact {
        "uid" | "gid" if number() => Ok(()),
        "uid" | "gid" => Err("a uid or gid is a plain decimal number"),
        "user" | "group" if !value.is_empty() => Ok(()),
        "user" | "group" => Err("the name is empty"),
        "path" if value.starts_with('/') => Ok(()),
        "path" => Err("the path of an executable is absolute"),
        "sha256" if value.len() == 64 && value.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) => Ok(()),
        "sha256" => Err("a SHA-256 digest has 64 lower-case hexadecimal digits"),
        _ => Err("known are `unix:uid`, `unix:gid`, `unix:user`, `unix:group`, `unix:path` and `unix:sha256`"),
    }
}

/// A moment as RFC 3339 has it, not before 1970.
impl Setting for Timestamp {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let expected = "a time such as `2027-01-31T18:00:00Z`";
        let text = text(node, expected)?;
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp_nanos);
        // As columns hold it: until the year 2262.
        let nanos = moment.and_then(|nanos| i64::try_from(nanos).ok()).and_then(|nanos| u64::try_from(nanos).ok());
        nanos.map(Self::from_unix_nanos).ok_or_else(|| format!("`{text}` is not {expected}"))
    }
}

impl Setting for HeaderName {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let text = text(node, "the name of a header")?;
        let name = Self::from_bytes(text.as_bytes()).map_err(|_| format!("`{text}` is not the name of a header"))?;
        if HeaderNames::is_reserved(&name) {
            return Err(format!("`{name}` means something to HTTP or Envoy already"));
        }
        Ok(name)
    }

    fn shown(&self, _written: &Node) -> Value {
        Value::Text(self.as_str().to_owned())
    }
}

impl Setting for LogFormat {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        match text(node, "`json` or `text`")? {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            other => Err(format!("`{other}` is neither `json` nor `text`")),
        }
    }
}

impl Setting for UnknownNames {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        match text(node, "`wait` or `refuse`")? {
            "wait" => Ok(Self::Wait),
            "refuse" => Ok(Self::Refuse),
            other => Err(format!("`{other}` is neither `wait` nor `refuse`")),
        }
    }
}

impl Bound for Duration {
    /// With the longest unit that leaves no fraction.
    fn spoken(&self) -> String {
        let millis = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        let whole = UNITS.iter().find(|(_, unit)| millis >= *unit && millis.is_multiple_of(*unit));
        let (name, unit) = whole.unwrap_or(&("ms", 1));
        format!("{}{name}", millis / unit)
    }
}

impl Bound for u64 {
    fn spoken(&self) -> String {
        self.to_string()
    }
}

impl Bound for u32 {
    fn spoken(&self) -> String {
        self.to_string()
    }
}

impl Bound for usize {
    fn spoken(&self) -> String {
        self.to_string()
    }
}

#[cfg(test)]
mod tests;
