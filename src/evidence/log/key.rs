//! The log's own key, Ed25519: it signs checkpoints and nothing else, and it is no authority's key.

use std::fmt;
use std::path::Path;

use portcullis_tlog::note::{KeyName, NoteSigner, VerifierKey};
use zeroize::Zeroizing;

use super::{LogError, directory};
use crate::foundation::entropy::{Entropy, random};
use crate::foundation::files::{PrivateFileError, read_private, write_private};

/// What the file begins with, so that nobody takes it for anything else.
const HEADING: &str = "portcullis-log-key-1 ";

/// The seed of the key.
pub struct LogKey(Zeroizing<[u8; 32]>);

impl LogKey {
    /// Reads the key from a file that only we may read; makes both if there is no such file.
    ///
    /// # Errors
    /// [`LogError`]: the file is not private, or holds something else.
    pub fn load_or_create(path: &Path, entropy: &dyn Entropy) -> Result<Self, LogError> {
        if let Some(parent) = path.parent() {
            directory::create(parent)?;
        }
        // Of two processes that start at the same time, one makes the key and the other reads it.
        let lock = path.with_extension("lock");
        let locked = directory::open_to_append(&lock)?;
        locked.lock().map_err(LogError::at(&lock))?;
        match read_private(path) {
            Ok(contents) => Self::parse(&contents).ok_or_else(|| LogError::Key(path.to_owned())),
            Err(PrivateFileError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                let seed = Zeroizing::new(random(entropy).map_err(|error| LogError::Entropy(error.to_string()))?);
                let text =
                    Zeroizing::new(format!("{HEADING}{}\n", Zeroizing::new(hex::encode(seed.as_slice())).as_str()));
                write_private(path, text.as_bytes())?;
                Ok(Self(seed))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn parse(contents: &[u8]) -> Option<Self> {
        let digits = contents.strip_prefix(HEADING.as_bytes())?.strip_suffix(b"\n")?;
        let mut seed = Zeroizing::new([0; 32]);
        hex::decode_to_slice(digits, seed.as_mut_slice()).ok()?;
        Some(Self(seed))
    }

    /// What verifies the checkpoints of the log of this origin.
    ///
    /// # Errors
    /// [`LogError::Origin`]: it can't be the name of a key.
    pub fn verifier(&self, origin: &str) -> Result<VerifierKey, LogError> {
        Ok(self.signer(origin)?.verifier().clone())
    }

    /// What signs them.
    pub(super) fn signer(&self, origin: &str) -> Result<NoteSigner, LogError> {
        let failed = |source| LogError::Origin { origin: origin.to_owned(), source };
        let name: KeyName = origin.parse().map_err(failed)?;
        NoteSigner::from_seed(name, &self.0).map_err(failed)
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogKey")
    }
}
