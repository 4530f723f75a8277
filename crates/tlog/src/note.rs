//! Signed notes: text and the signatures below it (signed-note).

mod key;
mod parse;
mod signature;
mod signer;
mod verify;

pub use key::{Algorithm, KeyError, KeyId, KeyName, VerifierKey};
pub use signature::Signature;
pub use signer::NoteSigner;
pub use verify::{VerifiedSignature, VerifyError};

use std::fmt;

use parse::SEPARATOR;

/// The longest note that is read, in bytes.
pub const MAX_LENGTH: usize = 1 << 20;
/// The most signatures on a note that is read.
pub const MAX_SIGNATURES: usize = 100;

/// A note whose signatures have not been verified: see [`Note::verify`]. Text form: the text, an empty line, and a line
/// for each signature.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// Why bytes are not a note, or a text can't be signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// Too long.
    #[error("the note has {0} bytes, more than {MAX_LENGTH}")]
    TooLong(usize),
    /// Not UTF-8, or a control character other than the newline.
    #[error("a note is UTF-8 without control characters")]
    Character,
    /// The text does not end in a newline.
    #[error("the text of a note ends in a newline")]
    Text,
    /// There is no empty line, or nothing below it.
    #[error("a note is text, an empty line and signatures")]
    Unsigned,
    /// A line below the text is not a signature.
    #[error("line {0} below the text is not a signature")]
    Signature(usize),
    /// Too many signatures.
    #[error("the note has more than {MAX_SIGNATURES} signatures")]
    TooMany,
}

impl Note {
    /// A note with this text, which ends in a newline, signed by `signer`.
    pub fn sign(text: &str, signer: &NoteSigner) -> Result<Self, NoteError> {
        parse::check_text(text)?;
        Ok(Self { text: text.to_owned(), signatures: vec![signer.sign(text)] })
    }

    /// Reads a note. Nobody vouches for what it says until [`Self::verify`] was asked.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        parse::parse(bytes)
    }

    /// What it says, with the newline at its end.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Who is said to have signed it.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Adds a signature, in place of an earlier one by the same key.
    pub fn add(&mut self, signature: Signature) -> Result<(), NoteError> {
        self.signatures.retain(|other| !other.same_key(&signature));
        if self.signatures.len() >= MAX_SIGNATURES {
            return Err(NoteError::TooMany);
        }
        self.signatures.push(signature);
        Ok(())
    }

    /// The same note without the signatures that are not to be kept.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Signature) -> bool) {
        self.signatures.retain(keep);
    }

    /// The valid signatures by `keys`, the first of each key. Signatures by other keys are passed over.
    ///
    /// Fails if there is none, and if a signature by one of `keys` is wrong, even beside a right one.
    pub fn verify<'k>(&self, keys: &'k [VerifierKey]) -> Result<Vec<VerifiedSignature<'k>>, VerifyError> {
        verify::verify(&self.text, &self.signatures, keys)
    }

    /// As [`Self::verify`], of signatures that are not below the note.
    pub(crate) fn verify_others<'k>(
        &self,
        signatures: &[Signature],
        keys: &'k [VerifierKey],
    ) -> Result<Vec<VerifiedSignature<'k>>, VerifyError> {
        verify::verify(&self.text, signatures, keys)
    }
}

/// Reads signature lines that stand alone, as a witness gives them.
pub fn parse_signatures(lines: &[u8]) -> Result<Vec<Signature>, NoteError> {
    parse::parse_signatures(parse::characters(lines)?)
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        f.write_str(SEPARATOR)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

#[cfg(test)]
mod tests;
