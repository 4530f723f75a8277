//! From the bytes of a `CheckRequest` to a [`Check`] that borrows from them.
//!
//! Only the fields that a decision reads are read; the others are stepped over without a look into them, which leaves
//! metadata, nested as it may be, alone, but for that of Envoy's MCP filter. Of a body only where it lies is taken down. As
//! the format wants it, a message that comes in several parts is the sum of them, and of a text that comes twice the last
//! is taken. The tests hold all of it against prost.

mod metadata;
mod wire;

pub(super) use self::wire::DecodeError;
use self::wire::Message;
use crate::decision::{Body, Check, Extensions, HeaderLine, HttpAttributes};

/// The most header lines, and the most extensions, that are read at all: far more than a request can have that is let
/// through, and few enough that a message of two-byte entries does not become many times its size.
const MAX_ENTRIES: usize = 4096;

/// How many header lines there is room for from the start; few requests have more.
const USUAL_LINES: usize = 32;

/// Reads one message. What it leaves out is empty in the [`Check`], which policies are then not asked about.
///
/// # Errors
/// [`DecodeError`] if it is no such message, or a text in it is not UTF-8.
pub(super) fn decode(message: &[u8]) -> Result<Check<'_>, DecodeError> {
    let mut reading = Reading::default();
    let mut message = Message::new(message);
    while let Some(field) = message.next_field()? {
        if field.number == 1 {
            reading.attributes(field.message()?)?;
        }
    }
    Ok(reading.finish())
}

/// A message on its way into a [`Check`].
#[derive(Default)]
struct Reading<'a> {
    check: Check<'a>,
    extensions: Vec<(&'a str, &'a str)>,
    lines: Lines<'a>,
}

/// The header lines, in either form.
#[derive(Default)]
struct Lines<'a> {
    raw: Option<Vec<HeaderLine<'a>>>,
    /// There is something that does not come from raw lines.
    is_joined: bool,
}

impl<'a> Reading<'a> {
    /// `AttributeContext`.
    fn attributes(&mut self, mut message: Message<'a>) -> Result<(), DecodeError> {
        while let Some(field) = message.next_field()? {
            match field.number {
                1 => peer(field.message()?, &mut self.check.principal, &mut self.check.certificate)?,
                2 => peer(field.message()?, &mut self.check.destination, &mut "")?,
                4 => self.request(field.message()?)?,
                10 => push(&mut self.extensions, map_entry(field.message()?)?, field.number)?,
                11 => metadata::mcp(field, &mut self.check.mcp),
                12 => self.tls_session(field.message()?)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// `AttributeContext.TLSSession`.
    fn tls_session(&mut self, mut message: Message<'a>) -> Result<(), DecodeError> {
        while let Some(field) = message.next_field()? {
            if field.number == 1 {
                self.check.sni = field.text()?;
            }
        }
        Ok(())
    }

    /// `AttributeContext.Request`.
    fn request(&mut self, mut message: Message<'a>) -> Result<(), DecodeError> {
        while let Some(field) = message.next_field()? {
            if field.number == 2 {
                let http = self.check.http.get_or_insert_default();
                http_request(field.message()?, http, &mut self.lines)?;
            }
        }
        Ok(())
    }

    fn finish(self) -> Check<'a> {
        let Self { mut check, extensions, lines } = self;
        if let Some(http) = &mut check.http {
            http.headers = lines.raw.filter(|_| !lines.is_joined);
        }
        Check { extensions: Extensions::from(extensions), ..check }
    }
}

/// `AttributeContext.Peer`.
fn peer<'a>(mut message: Message<'a>, principal: &mut &'a str, certificate: &mut &'a str) -> Result<(), DecodeError> {
    while let Some(field) = message.next_field()? {
        match field.number {
            4 => *principal = field.text()?,
            5 => *certificate = field.text()?,
            _ => {}
        }
    }
    Ok(())
}

/// `AttributeContext.HttpRequest`.
fn http_request<'a>(
    mut message: Message<'a>,
    http: &mut HttpAttributes<'a>,
    lines: &mut Lines<'a>,
) -> Result<(), DecodeError> {
    let (mut bytes, mut is_text) = match http.body {
        Body::Bytes(bytes) => (bytes, false),
        Body::Text => (&[][..], true),
    };
    while let Some(field) = message.next_field()? {
        match field.number {
            2 => http.method = field.text()?,
            // That there is any entry of the joined map is all that we need to know.
            3 => {
                field.bytes()?;
                lines.is_joined = true;
            }
            4 => http.path = field.text()?,
            5 => http.host = field.text()?,
            6 => http.scheme = field.text()?,
            10 => http.protocol = field.text()?,
            11 => is_text |= !field.bytes()?.is_empty(),
            12 => bytes = field.bytes()?,
            13 => header_map(field.message()?, lines)?,
            _ => {}
        }
    }
    http.body = if is_text { Body::Text } else { Body::Bytes(bytes) };
    Ok(())
}

/// `core.v3.HeaderMap`.
fn header_map<'a>(mut message: Message<'a>, lines: &mut Lines<'a>) -> Result<(), DecodeError> {
    let raw = lines.raw.get_or_insert_with(|| Vec::with_capacity(USUAL_LINES));
    while let Some(field) = message.next_field()? {
        if field.number == 1 {
            let (line, value) = header_value(field.message()?)?;
            // Only joined maps have it; a raw line has its value elsewhere.
            lines.is_joined |= !value.is_empty();
            push(raw, line, field.number)?;
        }
    }
    Ok(())
}

/// `core.v3.HeaderValue`: a raw line, and what its `value` holds.
fn header_value(mut message: Message<'_>) -> Result<(HeaderLine<'_>, &[u8]), DecodeError> {
    let (mut key, mut value, mut raw_value) = ("", [].as_slice(), [].as_slice());
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => key = field.text()?,
            2 => value = field.bytes()?,
            3 => raw_value = field.bytes()?,
            _ => {}
        }
    }
    Ok(((key, raw_value), value))
}

/// An entry of a map of texts.
fn map_entry(mut message: Message<'_>) -> Result<(&str, &str), DecodeError> {
    let (mut key, mut value) = ("", "");
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => key = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    Ok((key, value))
}

fn push<T>(entries: &mut Vec<T>, entry: T, number: u32) -> Result<(), DecodeError> {
    if entries.len() == MAX_ENTRIES {
        return Err(DecodeError::Count(number));
    }
    entries.push(entry);
    Ok(())
}

#[cfg(test)]
mod tests;
