//! One record as one line.

use std::io;

use serde::Serialize as _;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::super::record::Record;

/// Appends `record` to `buffer` as JSON that ends in the line's only newline.
///
/// # Errors
/// Only if the record can't be represented, which none of ours can bring about.
pub(super) fn write(buffer: &mut Vec<u8>, record: &Record) -> serde_json::Result<()> {
    record.serialize(&mut Serializer::with_formatter(&mut *buffer, Printable))?;
    buffer.push(b'\n');
    Ok(())
}

/// Compact JSON that escapes, beside what JSON demands, every character that could move a terminal's cursor, break a
/// line or turn its direction. A reader of the JSON gets the same text.
struct Printable;

impl Formatter for Printable {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if !fragment.contains(unprintable) {
            return writer.write_all(fragment.as_bytes());
        }
        fragment.chars().try_for_each(|c| {
            if unprintable(c) { write!(writer, "\\u{:04x}", u32::from(c)) } else { write!(writer, "{c}") }
        })
    }
}

/// The same set that [`crate::foundation::telemetry::printable`] escapes in log lines; all of it is in the BMP.
fn unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
