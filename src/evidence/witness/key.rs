//! The keys that we cosign with, as a witness of other logs. They are not those of our own log.

use std::fmt;
use std::path::Path;

use portcullis_tlog::cosignature::Cosigner;
use portcullis_tlog::note::KeyName;

use crate::evidence::log::LogError;
use crate::evidence::log::key::{Seed, load_or_create};
use crate::foundation::entropy::Entropy;

/// What the files begin with.
const ED25519: &str = "portcullis-witness-key-1 ";
const ML_DSA_44: &str = "portcullis-witness-ml-dsa-44-key-1 ";

/// The seeds of the keys.
pub struct WitnessKey {
    ed25519: Seed,
    ml_dsa_44: Option<Seed>,
}

impl WitnessKey {
    /// Reads the key from a file that only we may read; makes both if there is no such file.
    ///
    /// # Errors
    /// [`LogError`]: the file is not private, or holds something else.
    pub fn load_or_create(path: &Path, entropy: &dyn Entropy) -> Result<Self, LogError> {
        Ok(Self { ed25519: load_or_create(path, ED25519, entropy)?, ml_dsa_44: None })
    }

    /// The same with an ML-DSA-44 key beside it.
    ///
    /// # Errors
    /// As of [`Self::load_or_create`].
    pub fn with_ml_dsa_44(self, path: &Path, entropy: &dyn Entropy) -> Result<Self, LogError> {
        Ok(Self { ml_dsa_44: Some(load_or_create(path, ML_DSA_44, entropy)?), ..self })
    }

    /// What cosigns under this name.
    ///
    /// # Errors
    /// [`LogError::Origin`]: it can't be the name of a key.
    pub(super) fn cosigners(&self, name: &str) -> Result<Vec<Cosigner>, LogError> {
        let failed = |source| LogError::Origin { origin: name.to_owned(), source };
        let parsed: KeyName = name.parse().map_err(failed)?;
        let mut cosigners = vec![Cosigner::ed25519(parsed.clone(), &self.ed25519).map_err(failed)?];
        if let Some(seed) = &self.ml_dsa_44 {
            cosigners.push(Cosigner::ml_dsa_44(parsed, seed).map_err(failed)?);
        }
        Ok(cosigners)
    }
}

impl fmt::Debug for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WitnessKey")
    }
}
