//! The checkpoints on the disk: the latest, to which witnesses' cosignatures are added while it is the latest, and the
//! latest that enough witnesses have cosigned, for those who believe no other.

use std::path::{Path, PathBuf};

use portcullis_tlog::checkpoint::SignedCheckpoint;
use portcullis_tlog::policy::{Policy, UntrustedError};

use super::{LogError, directory};

/// The name of the latest checkpoint, below the log's directory.
pub(super) const CHECKPOINT: &str = "checkpoint";

/// That of the latest which enough witnesses have cosigned.
const WITNESSED: &str = "checkpoint.witnessed";

/// That of the lock under which both are written: the one who publishes and the one who gathers cosignatures may be of
/// two processes.
const LOCK: &str = "checkpoint.lock";

/// The checkpoints of the log in a directory.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    directory: PathBuf,
}

impl Checkpoints {
    /// Those of the log in `directory`.
    pub fn of(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The latest; `None` if there is none yet. Nobody has verified it.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn latest(&self) -> Result<Option<SignedCheckpoint>, LogError> {
        self.read(CHECKPOINT)
    }

    /// The latest that enough witnesses had cosigned when it was kept; `None` if there never was one.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn witnessed(&self) -> Result<Option<SignedCheckpoint>, LogError> {
        self.read(WITNESSED)
    }

    /// That which `policy` believes: the latest, unless only an earlier one is cosigned by enough witnesses. `None` if there is
    /// none yet.
    ///
    /// # Errors
    /// [`LogError`]: it can't be read, or is not believed.
    pub fn believed(&self, policy: &Policy) -> Result<Option<SignedCheckpoint>, LogError> {
        let Some(latest) = self.latest()? else { return Ok(None) };
        let refused = |error: UntrustedError| LogError::Checkpoint {
            path: self.directory.join(CHECKPOINT),
            why: error.to_string(),
        };
        match policy.verify(&latest).map(drop) {
            Ok(()) => Ok(Some(latest)),
            Err(error @ UntrustedError::Quorum { .. }) => {
                let enough = self.witnessed()?.filter(|witnessed| policy.verify(witnessed).is_ok());
                enough.map(Some).ok_or_else(|| refused(error))
            }
            Err(error) => Err(refused(error)),
        }
    }

    /// Puts a checkpoint in the place of the latest, which is on the disk when this returns.
    pub(super) fn publish(&self, signed: &SignedCheckpoint) -> Result<(), LogError> {
        let _locked = self.lock()?;
        self.write(CHECKPOINT, signed)
    }

    /// Adds the signatures of `signed` to the latest, if it is still the same checkpoint.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn add_signatures(&self, signed: &SignedCheckpoint) -> Result<(), LogError> {
        let _locked = self.lock()?;
        let Some(mut latest) = self.latest()? else { return Ok(()) };
        if latest.unverified() != signed.unverified() {
            return Ok(());
        }
        let failed = |why: String| LogError::Checkpoint { path: self.directory.join(CHECKPOINT), why };
        for signature in signed.signatures() {
            latest.add(signature.clone()).map_err(|error| failed(error.to_string()))?;
        }
        self.write(CHECKPOINT, &latest)
    }

    /// Keeps a checkpoint that enough witnesses have cosigned, unless a later one is kept.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn keep_witnessed(&self, signed: &SignedCheckpoint) -> Result<(), LogError> {
        let _locked = self.lock()?;
        let kept = self.witnessed()?.map(|kept| kept.unverified().head().size);
        if kept.is_some_and(|size| size > signed.unverified().head().size) {
            return Ok(());
        }
        self.write(WITNESSED, signed)
    }

    fn lock(&self) -> Result<std::fs::File, LogError> {
        directory::lock(&self.directory.join(LOCK))
    }

    fn read(&self, name: &str) -> Result<Option<SignedCheckpoint>, LogError> {
        let path = self.directory.join(name);
        let Some(bytes) = directory::read(&path)? else { return Ok(None) };
        let read = SignedCheckpoint::parse(&bytes);
        read.map(Some).map_err(|error| LogError::Checkpoint { path, why: error.to_string() })
    }

    fn write(&self, name: &str, signed: &SignedCheckpoint) -> Result<(), LogError> {
        directory::write_through(&self.directory.join(name), signed.to_string().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use portcullis_tlog::checkpoint::Checkpoint;
    use portcullis_tlog::cosignature::Cosigner;
    use portcullis_tlog::leaf_hash;
    use portcullis_tlog::note::NoteSigner;
    use portcullis_tlog::tree::TreeHead;

    use super::*;

    fn signed(size: u64, root: &str, by: &[u8]) -> SignedCheckpoint {
        let head = TreeHead { size, root: leaf_hash(root.as_bytes()) };
        let checkpoint = Checkpoint::new("log.example", head).unwrap();
        let key = NoteSigner::from_seed("log.example".parse().unwrap(), &[1; 32]).unwrap();
        let mut signed = SignedCheckpoint::sign(checkpoint.clone(), &key).unwrap();
        for seed in by {
            let witness = Cosigner::ed25519(format!("witness/{seed}").parse().unwrap(), &[*seed; 32]).unwrap();
            signed.add(witness.cosign(&checkpoint, 7).unwrap()).unwrap();
        }
        signed
    }

    #[test]
    fn cosignatures_are_added_to_the_checkpoint_that_they_are_of_and_to_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(directory.path());
        assert!(checkpoints.latest().unwrap().is_none());
        checkpoints.add_signatures(&signed(3, "a", &[2])).unwrap();
        assert!(checkpoints.latest().unwrap().is_none(), "nothing is published by that");
        checkpoints.publish(&signed(3, "a", &[])).unwrap();
        checkpoints.add_signatures(&signed(3, "a", &[2])).unwrap();
        checkpoints.add_signatures(&signed(3, "a", &[3])).unwrap();
        assert_eq!(checkpoints.latest().unwrap().unwrap().signatures().len(), 3);
        checkpoints.publish(&signed(4, "b", &[])).unwrap();
        for other in [signed(3, "a", &[2]), signed(4, "c", &[2])] {
            checkpoints.add_signatures(&other).unwrap();
            assert_eq!(checkpoints.latest().unwrap(), Some(signed(4, "b", &[])));
        }
    }

    #[test]
    fn what_was_witnessed_never_goes_back() {
        let directory = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(directory.path());
        assert!(checkpoints.witnessed().unwrap().is_none());
        for (given, kept) in [(3, 3), (7, 7), (5, 7), (8, 8)] {
            checkpoints.keep_witnessed(&signed(given, "a", &[2])).unwrap();
            assert_eq!(checkpoints.witnessed().unwrap(), Some(signed(kept, "a", &[2])));
        }
    }
}
