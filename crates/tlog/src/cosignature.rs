//! Cosignatures: "I have seen this checkpoint, at this time, and it is consistent with all I saw before"
//! (tlog-cosignature).

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, ML_DSA_44_SIGNING, PqdsaKeyPair};

use crate::checkpoint::Checkpoint;
use crate::note::{Algorithm, KeyError, KeyName, Signature, VerifierKey};

/// What an ML-DSA-44 cosignature begins with, so that it can't be taken for anything else.
const SUBTREE: &[u8] = b"subtree/v1\n\0";
/// The length of an ML-DSA-44 signature.
const ML_DSA_44_LENGTH: usize = 2420;
/// The last time that can be signed.
const MAX_TIME: u64 = i64::MAX as u64;

/// A private key that cosigns checkpoints: that of a witness, or a log's own against quantum computers.
pub struct Cosigner {
    verifier: VerifierKey,
    pair: Pair,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    MlDsa44(Box<PqdsaKeyPair>),
}

/// Why a checkpoint could not be cosigned.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CosignError {
    /// The time is beyond what the format can hold.
    #[error("{0} is not a time in seconds")]
    Time(u64),
    /// ML-DSA-44 cosignatures do not cover the extension lines, so that anybody could change them.
    #[error("an ML-DSA-44 cosignature would not cover the extension lines of the checkpoint")]
    Extensions,
    /// ML-DSA-44 cosignatures hold no longer origin.
    #[error("the origin has {0} bytes, more than 255")]
    Origin(usize),
    /// The empty tree has one root, and this is not it.
    #[error("the checkpoint of the empty tree has another root than that")]
    EmptyRoot,
    /// The library could not sign.
    #[error("the key could not be used")]
    Key,
}

impl Cosigner {
    /// The Ed25519 key that comes from this seed: 32 bytes from a secure source, as secret as the key. It must sign
    /// nothing else, and for no other name: the name is not in what is signed.
    pub fn ed25519(name: KeyName, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_rejected| KeyError::Key)?;
        let verifier = VerifierKey::new(name, Algorithm::Ed25519Cosignature, pair.public_key().as_ref())?;
        Ok(Self { verifier, pair: Pair::Ed25519(pair) })
    }

    /// The ML-DSA-44 key that comes from this seed (FIPS 204 section 5.1): 32 bytes from a secure source, as secret as
    /// the key.
    pub fn ml_dsa_44(name: KeyName, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let pair = PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, seed).map_err(|_rejected| KeyError::Key)?;
        let verifier = VerifierKey::new(name, Algorithm::MlDsa44Cosignature, pair.public_key().as_ref())?;
        Ok(Self { verifier, pair: Pair::MlDsa44(Box::new(pair)) })
    }

    /// The public half.
    pub const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs that at `time`, in seconds since the epoch, this was the largest tree seen of this log, and consistent
    /// with all that were seen before. Whoever calls this has made sure of it.
    pub fn cosign(&self, checkpoint: &Checkpoint, time: u64) -> Result<Signature, CosignError> {
        let message = message(&self.verifier, checkpoint, time)?;
        let signature = match &self.pair {
            Pair::Ed25519(pair) => pair.sign(&message).as_ref().to_vec(),
            Pair::MlDsa44(pair) => {
                let mut signature = vec![0; ML_DSA_44_LENGTH];
                pair.sign(&message, &mut signature).map_err(|_unspecified| CosignError::Key)?;
                signature
            }
        };
        let timestamped = [time.to_be_bytes().as_slice(), &signature].concat();
        Ok(Signature::new(self.verifier.name().clone(), self.verifier.id(), timestamped))
    }
}

impl fmt::Debug for Cosigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cosigner({:?})", self.verifier)
    }
}

/// The time of a cosignature of the checkpoint that `text` is; none if the key did not make it.
pub(crate) fn verify(text: &str, timestamped: &[u8], key: &VerifierKey) -> Option<u64> {
    let (time, signature) = timestamped.split_first_chunk()?;
    let time = u64::from_be_bytes(*time);
    let message = message(key, &text.parse().ok()?, time).ok()?;
    key.verify_raw(&message, signature).then_some(time)
}

/// What a key signs.
fn message(key: &VerifierKey, checkpoint: &Checkpoint, time: u64) -> Result<Vec<u8>, CosignError> {
    if time > MAX_TIME {
        return Err(CosignError::Time(time));
    }
    if !checkpoint.head().is_possible() {
        return Err(CosignError::EmptyRoot);
    }
    match key.algorithm() {
        Algorithm::Ed25519Cosignature => Ok(format!("cosignature/v1\ntime {time}\n{checkpoint}").into_bytes()),
        Algorithm::MlDsa44Cosignature => subtree_message(key.name(), checkpoint, time),
        // A note's own key makes no cosignatures.
        Algorithm::Ed25519 => Err(CosignError::Key),
    }
}

/// The `cosigned_message` of the whole tree.
fn subtree_message(name: &KeyName, checkpoint: &Checkpoint, time: u64) -> Result<Vec<u8>, CosignError> {
    if !checkpoint.extensions().is_empty() {
        return Err(CosignError::Extensions);
    }
    let origin = checkpoint.origin();
    let mut message = SUBTREE.to_vec();
    push_short(&mut message, name.as_str())?;
    message.extend(time.to_be_bytes());
    push_short(&mut message, origin)?;
    message.extend(0_u64.to_be_bytes());
    message.extend(checkpoint.head().size.to_be_bytes());
    message.extend(checkpoint.head().root.as_bytes());
    Ok(message)
}

/// Bytes with their length before them, in one byte.
fn push_short(message: &mut Vec<u8>, text: &str) -> Result<(), CosignError> {
    message.push(u8::try_from(text.len()).map_err(|_long| CosignError::Origin(text.len()))?);
    message.extend(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests;
