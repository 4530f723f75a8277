//! One record as one line.

use std::io;

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use crate::foundation::telemetry::{is_printable, is_unprintable};

/// What every record begins with.
pub(super) const START: &[u8] = br#"{"record":""#;

/// Appends `record`, one of the log or what was made of it, to `buffer` as JSON that ends in the line's only newline.
///
/// # Errors
/// Only if the record can't be represented, which none of ours can bring about.
pub(super) fn write(buffer: &mut Vec<u8>, record: &impl Serialize) -> serde_json::Result<()> {
    record.serialize(&mut Serializer::with_formatter(&mut *buffer, Printable))?;
    buffer.push(b'\n');
    Ok(())
}

/// Compact JSON that escapes, beside what JSON demands, every character that could move a terminal's cursor, break a
/// line or turn its direction. A reader of the JSON gets the same text.
struct Printable;

impl Formatter for Printable {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if is_printable(fragment) {
            return writer.write_all(fragment.as_bytes());
        }
        fragment.chars().try_for_each(|c| {
            if is_unprintable(c) { write!(writer, "\\u{:04x}", u32::from(c)) } else { write!(writer, "{c}") }
        })
    }
}
