//! The log's own keys: they sign checkpoints and nothing else, and they are no authority's keys.

use std::fmt;
use std::path::Path;

use portcullis_tlog::checkpoint::{Checkpoint, SignedCheckpoint};
use portcullis_tlog::cosignature::Cosigner;
use portcullis_tlog::note::{KeyName, NoteSigner, VerifierKey};
use zeroize::Zeroizing;

use super::{CHECKPOINT, LogError, directory};
use crate::foundation::clock::Timestamp;
use crate::foundation::entropy::{Entropy, random};
use crate::foundation::files::{PrivateFileError, read_private, write_private};

/// What a file of a key begins with, so that nobody takes it for that of another.
const ED25519: &str = "portcullis-log-key-1 ";
const ML_DSA_44: &str = "portcullis-log-ml-dsa-44-key-1 ";

/// The file of what verifies the signatures of the ML-DSA-44 key, beside the log: there is one once the log was signed so.
pub const ML_DSA_44_VERIFIER: &str = "verifier-ml-dsa-44";

/// The seed of a key.
pub(in crate::evidence) type Seed = Zeroizing<[u8; 32]>;

/// The seeds of the keys: Ed25519, and ML-DSA-44 if checkpoints are to hold against quantum computers too.
pub struct LogKey {
    ed25519: Seed,
    ml_dsa_44: Option<Seed>,
}

/// What signs the checkpoints of one log.
#[derive(Debug)]
pub(super) struct Signer {
    ed25519: NoteSigner,
    ml_dsa_44: Option<Cosigner>,
}

impl LogKey {
    /// Reads the key from a file that only we may read; makes both if there is no such file, and no checkpoint beside it.
    ///
    /// # Errors
    /// [`LogError`]: the file is not private, holds something else, or is lost.
    pub fn load_or_create(path: &Path, entropy: &dyn Entropy) -> Result<Self, LogError> {
        refuse_if_lost(path, CHECKPOINT)?;
        Ok(Self { ed25519: load_or_create(path, ED25519, entropy)?, ml_dsa_44: None })
    }

    /// The same with an ML-DSA-44 key beside it, in a file of its own. A log may get one at any time, but not a second one.
    ///
    /// # Errors
    /// As of [`Self::load_or_create`].
    pub fn with_ml_dsa_44(self, path: &Path, entropy: &dyn Entropy) -> Result<Self, LogError> {
        refuse_if_lost(path, ML_DSA_44_VERIFIER)?;
        Ok(Self { ml_dsa_44: Some(load_or_create(path, ML_DSA_44, entropy)?), ..self })
    }

    /// What verifies the checkpoints of the log of this origin.
    ///
    /// # Errors
    /// [`LogError::Origin`]: it can't be the name of a key.
    pub fn verifier(&self, origin: &str) -> Result<VerifierKey, LogError> {
        Ok(self.signer(origin)?.ed25519.verifier().clone())
    }

    /// What else verifies them, if anything does.
    ///
    /// # Errors
    /// As of [`Self::verifier`].
    pub fn ml_dsa_44_verifier(&self, origin: &str) -> Result<Option<VerifierKey>, LogError> {
        Ok(self.signer(origin)?.ml_dsa_44.map(|cosigner| cosigner.verifier().clone()))
    }

    /// What signs them.
    pub(super) fn signer(&self, origin: &str) -> Result<Signer, LogError> {
        let failed = |source| LogError::Origin { origin: origin.to_owned(), source };
        let name: KeyName = origin.parse().map_err(failed)?;
        let ml_dsa_44 = self.ml_dsa_44.as_ref().map(|seed| Cosigner::ml_dsa_44(name.clone(), seed));
        let ml_dsa_44 = ml_dsa_44.transpose().map_err(failed)?;
        Ok(Signer { ed25519: NoteSigner::from_seed(name, &self.ed25519).map_err(failed)?, ml_dsa_44 })
    }
}

impl Signer {
    /// Signs with all keys. The text says why that can't be.
    pub(super) fn sign(&self, checkpoint: &Checkpoint, now: Timestamp) -> Result<SignedCheckpoint, String> {
        let signed = SignedCheckpoint::sign(checkpoint.clone(), &self.ed25519);
        let mut signed = signed.map_err(|error| error.to_string())?;
        if let Some(cosigner) = &self.ml_dsa_44 {
            let signature = cosigner.cosign(checkpoint, now.unix_seconds()).map_err(|error| error.to_string())?;
            signed.add(signature).map_err(|error| error.to_string())?;
        }
        Ok(signed)
    }
}

/// Refuses to make a key where `sign`, beside it, shows that there was one.
fn refuse_if_lost(path: &Path, sign: &str) -> Result<(), LogError> {
    let sign = path.with_file_name(sign);
    // In this order: another process that starts at the same time makes the key first.
    if sign.exists() && !path.exists() {
        return Err(LogError::LostKey { key: path.to_owned(), sign });
    }
    Ok(())
}

/// Reads the seed in a private file that begins with `heading`; makes both if there is no such file.
pub(in crate::evidence) fn load_or_create(path: &Path, heading: &str, entropy: &dyn Entropy) -> Result<Seed, LogError> {
    if let Some(parent) = path.parent() {
        directory::create(parent)?;
    }
    // Of two processes that start at the same time, one makes the key and the other reads it.
    let _locked = directory::lock(&path.with_extension("lock"))?;
    match read_private(path) {
        Ok(contents) => parse(&contents, heading).ok_or_else(|| LogError::Key(path.to_owned())),
        Err(PrivateFileError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            let seed = Zeroizing::new(random(entropy).map_err(|error| LogError::Entropy(error.to_string()))?);
            let text = Zeroizing::new(format!("{heading}{}\n", Zeroizing::new(hex::encode(seed.as_slice())).as_str()));
            write_private(path, text.as_bytes())?;
            Ok(seed)
        }
        Err(error) => Err(error.into()),
    }
}

fn parse(contents: &[u8], heading: &str) -> Option<Seed> {
    let digits = contents.strip_prefix(heading.as_bytes())?.strip_suffix(b"\n")?;
    // There is one way to write it.
    if digits.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(digits, seed.as_mut_slice()).ok()?;
    Some(seed)
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogKey")
    }
}
