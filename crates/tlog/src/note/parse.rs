//! Reads notes (signed-note, "Format").

use super::{MAX_LENGTH, MAX_SIGNATURES, Note, NoteError, Signature};

/// What is between the text, with its newline, and the signatures.
pub(super) const SEPARATOR: &str = "\n";

pub(super) fn parse(bytes: &[u8]) -> Result<Note, NoteError> {
    let note = characters(bytes)?;
    // The last empty line: the text may have others.
    let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Unsigned)?;
    let signatures = parse_signatures(signatures)?;
    Ok(Note { text: format!("{text}\n"), signatures })
}

/// One signature or more, a line each.
pub(super) fn parse_signatures(lines: &str) -> Result<Vec<Signature>, NoteError> {
    let lines = lines.strip_suffix('\n').ok_or(NoteError::Unsigned)?;
    let mut signatures = Vec::new();
    for (number, line) in (1..).zip(lines.split('\n')) {
        if number > MAX_SIGNATURES {
            return Err(NoteError::TooMany);
        }
        signatures.push(Signature::parse(line).ok_or(NoteError::Signature(number))?);
    }
    Ok(signatures)
}

/// The characters that may stand in a note.
pub(super) fn characters(bytes: &[u8]) -> Result<&str, NoteError> {
    if bytes.len() > MAX_LENGTH {
        return Err(NoteError::TooLong(bytes.len()));
    }
    let control = |byte: &u8| *byte < b' ' && *byte != b'\n';
    let text = str::from_utf8(bytes).map_err(|_encoding| NoteError::Character)?;
    if bytes.iter().any(control) { Err(NoteError::Character) } else { Ok(text) }
}

/// What may be signed.
pub(super) fn check_text(text: &str) -> Result<(), NoteError> {
    characters(text.as_bytes())?;
    if text.ends_with('\n') { Ok(()) } else { Err(NoteError::Text) }
}
