//! Checkpoints with their signatures, as a log serves them.

use std::fmt;

use super::{Checkpoint, CheckpointError};
use crate::note::{Note, NoteError, NoteSigner, Signature, VerifiedSignature, VerifierKey, VerifyError};

/// A note whose text is a checkpoint. The signatures have not been verified: see [`crate::policy::Policy`]. Text form:
/// that of the note.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedCheckpoint {
    note: Note,
    checkpoint: Checkpoint,
}

/// Why bytes are not a checkpoint with signatures.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SignedCheckpointError {
    /// They are not a note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text of the note is not a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl SignedCheckpoint {
    /// The checkpoint with the signature of its log.
    pub fn sign(checkpoint: Checkpoint, signer: &NoteSigner) -> Result<Self, SignedCheckpointError> {
        Ok(Self { note: Note::sign(&checkpoint.to_string(), signer)?, checkpoint })
    }

    /// Reads a note whose text is a checkpoint.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignedCheckpointError> {
        let note = Note::parse(bytes)?;
        let checkpoint = note.text().parse()?;
        Ok(Self { note, checkpoint })
    }

    /// What it says, whoever may have signed it.
    pub const fn unverified(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Who is said to have signed it.
    pub fn signatures(&self) -> &[Signature] {
        self.note.signatures()
    }

    /// The same checkpoint with the signatures alone that are said to be the log's: a log's keys are named as it is. What a
    /// log gives to its witnesses need be no longer.
    #[must_use]
    pub fn of_the_log(mut self) -> Self {
        let origin = self.checkpoint.origin();
        self.note.retain(|signature| signature.name().as_str() == origin);
        self
    }

    /// Adds a signature, in place of an earlier one by the same key.
    pub fn add(&mut self, signature: Signature) -> Result<(), NoteError> {
        self.note.add(signature)
    }

    /// Adds the cosignatures of a witness's answer that are by `keys`, which are the witness's, and returns them. What is
    /// by other keys is passed over.
    ///
    /// Fails, and adds nothing, if there is none, if one in the name of `keys` is wrong or does not say when it was
    /// made, and if there would be too many signatures.
    pub fn add_cosignatures<'k>(
        &mut self,
        answer: Vec<Signature>,
        keys: &'k [VerifierKey],
    ) -> Result<Vec<VerifiedSignature<'k>>, VerifyError> {
        let verified = self.note.verify_others(&answer, keys)?;
        let mut note = self.note.clone();
        let known = |signature: &Signature| verified.iter().any(|valid| signature.is_by(valid.key));
        for signature in answer.into_iter().filter(known) {
            note.add(signature).map_err(|_full| VerifyError::TooMany)?;
        }
        if let Some(untimed) = verified.iter().find(|cosignature| cosignature.time.is_none()) {
            let (name, id) = (untimed.key.name().clone(), untimed.key.id());
            return Err(VerifyError::Untimed { name, id });
        }
        self.note = note;
        Ok(verified)
    }

    /// The valid signatures by `keys`, as [`Note::verify`]. Says nothing about whose log it is.
    pub fn verify<'k>(&self, keys: &'k [VerifierKey]) -> Result<Vec<VerifiedSignature<'k>>, VerifyError> {
        self.note.verify(keys)
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}
