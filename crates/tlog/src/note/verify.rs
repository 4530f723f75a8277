//! Verifies the signatures of notes.

use super::{Algorithm, KeyId, KeyName, MAX_SIGNATURES, Signature, VerifierKey};
use crate::cosignature;

/// A signature that was verified.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct VerifiedSignature<'k> {
    /// Who made it.
    pub key: &'k VerifierKey,
    /// When, in seconds since the epoch, by the clock of a cosigner. None for what is not a cosignature, and for a
    /// cosignature that says nothing of the time.
    pub time: Option<u64>,
}

/// Why a note is not to be believed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// None of the known keys has signed it.
    #[error("no known key has signed the note")]
    Unknown,
    /// A signature that is said to be by a known key is not.
    #[error("the signature of `{name}` with the key `{id}` is wrong")]
    Wrong {
        /// Whose it is said to be.
        name: KeyName,
        /// By which key.
        id: KeyId,
    },
    /// A witness has not said when it cosigned.
    #[error("the cosignature of `{name}` with the key `{id}` does not say when it was made")]
    Untimed {
        /// Whose it is.
        name: KeyName,
        /// By which key.
        id: KeyId,
    },
    /// The note would have too many signatures.
    #[error("the note would have more than {MAX_SIGNATURES} signatures")]
    TooMany,
}

/// The valid ones of the signatures of this text by `keys`.
pub(super) fn verify<'k>(
    text: &str,
    signatures: &[Signature],
    keys: &'k [VerifierKey],
) -> Result<Vec<VerifiedSignature<'k>>, VerifyError> {
    let mut verified: Vec<VerifiedSignature<'k>> = Vec::new();
    for signature in signatures {
        let mut candidates = keys.iter().filter(|key| signature.is_by(key));
        let Some(first) = candidates.next() else { continue };
        // A second line by the same key is verified too: no line in the name of a known key may be wrong.
        let valid = std::iter::once(first).chain(candidates).find_map(|key| verify_one(text, signature, key));
        let valid = valid.ok_or_else(|| VerifyError::Wrong { name: signature.name().clone(), id: signature.id() })?;
        if verified.iter().all(|earlier| earlier.key != valid.key) {
            verified.push(valid);
        }
    }
    if verified.is_empty() { Err(VerifyError::Unknown) } else { Ok(verified) }
}

fn verify_one<'k>(text: &str, signature: &Signature, key: &'k VerifierKey) -> Option<VerifiedSignature<'k>> {
    if key.algorithm() == Algorithm::Ed25519 {
        let valid = key.verify_raw(text.as_bytes(), signature.bytes());
        return valid.then_some(VerifiedSignature { key, time: None });
    }
    let time = cosignature::verify(text, signature.bytes(), key)?;
    Some(VerifiedSignature { key, time: (time > 0).then_some(time) })
}
