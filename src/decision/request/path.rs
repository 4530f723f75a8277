//! Request targets in origin form (RFC 9112 section 3.2.1), brought to one spelling or refused.
//!
//! Escapes are decoded once. What remains is what policies see, so nothing may remain that a proxy, a framework or a
//! file system could read differently: separators in disguise, path parameters (`;`), dot segments, a second layer of
//! escapes. Letter case and Unicode forms are left alone: `/Admin` and `/admin` are two paths.

use std::iter;

/// The longest target in bytes, query included. RFC 9112 section 3 asks for at least 8000.
const MAX_LENGTH: usize = 8 * 1024;

/// The most segments of a path: each of them becomes an entity that a policy can name.
const MAX_SEGMENTS: usize = 64;

/// A path in canonical form: decoded, absolute, without empty or dot segments. A trailing slash is kept, because
/// backends tell `/a/` from `/a`; the path that encloses it is the one without.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestPath(String);

/// Why a target has no canonical form.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// There is none.
    #[error("there is no path")]
    Missing,
    /// More than 8 KiB.
    #[error("the path has {0} bytes, more than 8192")]
    TooLong(usize),
    /// More than 64 segments.
    #[error("the path has more than 64 segments")]
    TooDeep,
    /// It does not begin with a slash: `*`, an absolute URI, or an attempt to glue a path to a prefix.
    #[error("the path does not begin with `/`")]
    NotAbsolute,
    /// A character that may not stand there unescaped, or that has a meaning somewhere: `#`, `;`, `\`.
    #[error("the path has {0:?}")]
    Character(char),
    /// An escaped character that some reader takes for the real one.
    #[error("the path has an escaped {0:?}")]
    Escaped(char),
    /// `%` without two hexadecimal digits.
    #[error("the path has a `%` without two hexadecimal digits")]
    BadEscape,
    /// What an escape stands for is an escape again.
    #[error("the path is escaped twice")]
    EscapedTwice,
    /// The escapes don't stand for UTF-8; overlong forms are such.
    #[error("the escapes in the path are not UTF-8")]
    NotUtf8,
    /// `//`.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `.` or `..`, however they are spelt, with or without white space around them.
    #[error("the path has a `.` or `..` segment")]
    DotSegment,
}

impl RequestPath {
    /// Reads a target as it is sent to the backend. The second value is the query, from behind the first `?`, as sent.
    ///
    /// # Errors
    /// [`PathError`].
    pub fn parse(raw: &str) -> Result<(Self, Option<String>), PathError> {
        if raw.is_empty() {
            return Err(PathError::Missing);
        }
        if raw.len() > MAX_LENGTH {
            return Err(PathError::TooLong(raw.len()));
        }
        if !raw.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        if let Some(stranger) = raw.chars().find(|c| !c.is_ascii_graphic() || *c == '#') {
            return Err(PathError::Character(stranger));
        }
        let (path, query) = raw.split_once('?').map_or((raw, None), |(path, query)| (path, Some(query)));
        if let Some(stranger) = path.chars().find(|c| matches!(c, ';' | '\\')) {
            return Err(PathError::Character(stranger));
        }
        let path = decode(path)?;
        check_segments(&path)?;
        Ok((Self(path), query.map(str::to_owned)))
    }

    /// The path, with its leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The paths that enclose this one, from the nearest to `/`. `/` itself has none.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        iter::successors(enclosing(&self.0), |path| enclosing(path))
    }
}

fn enclosing(path: &str) -> Option<&str> {
    if path == "/" {
        return None;
    }
    path.rsplit_once('/').map(|(head, _last)| if head.is_empty() { "/" } else { head })
}

fn decode(path: &str) -> Result<String, PathError> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let byte = escaped_byte(bytes.next(), bytes.next()).ok_or(PathError::BadEscape)?;
        if matches!(byte, b'/' | b'\\' | b';' | b'?' | b'#') || byte.is_ascii_control() {
            return Err(PathError::Escaped(char::from(byte)));
        }
        decoded.push(byte);
    }
    let decoded = String::from_utf8(decoded).map_err(|_invalid| PathError::NotUtf8)?;
    if let Some(control) = decoded.chars().find(|c| c.is_control()) {
        return Err(PathError::Escaped(control));
    }
    if has_escape(&decoded) {
        return Err(PathError::EscapedTwice);
    }
    Ok(decoded)
}

fn escaped_byte(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|value| u8::try_from(value).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

fn has_escape(text: &str) -> bool {
    text.as_bytes()
        .windows(3)
        .any(|three| matches!(three, [b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()))
}

fn check_segments(path: &str) -> Result<(), PathError> {
    let mut segments = path.split('/').skip(1).peekable();
    let mut count = 0_usize;
    while let Some(segment) = segments.next() {
        count += 1;
        if count > MAX_SEGMENTS {
            return Err(PathError::TooDeep);
        }
        match segment {
            // The last one is empty behind a trailing slash, and in "/" itself.
            "" if segments.peek().is_some() => return Err(PathError::EmptySegment),
            // Windows drops spaces at the end of a name, some frameworks white space all around it.
            _ if matches!(segment.trim(), "." | "..") => return Err(PathError::DotSegment),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
