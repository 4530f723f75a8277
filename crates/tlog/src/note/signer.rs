//! Signs notes with Ed25519 (signed-note, "Ed25519 signatures").

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

use super::{Algorithm, KeyError, KeyName, Signature, VerifierKey};

/// A private key that signs the whole text of notes: the key of a log.
pub struct NoteSigner {
    verifier: VerifierKey,
    pair: Ed25519KeyPair,
}

impl NoteSigner {
    /// The key that comes from this seed (RFC 8032 section 5.1.5): 32 bytes from a secure source, as secret as the key.
    pub fn from_seed(name: KeyName, seed: &[u8; 32]) -> Result<Self, KeyError> {
        Self::new(name, Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_rejected| KeyError::Key)?)
    }

    /// This key, under this name.
    pub fn new(name: KeyName, pair: Ed25519KeyPair) -> Result<Self, KeyError> {
        let verifier = VerifierKey::new(name, Algorithm::Ed25519, pair.public_key().as_ref())?;
        Ok(Self { verifier, pair })
    }

    /// The public half.
    pub const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    pub(super) fn sign(&self, text: &str) -> Signature {
        let signature = self.pair.sign(text.as_bytes()).as_ref().to_vec();
        Signature::new(self.verifier.name().clone(), self.verifier.id(), signature)
    }
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteSigner({})", self.verifier)
    }
}
