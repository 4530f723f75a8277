//! Authority keys at rest: AES-256-GCM under a sealing key that lives in a file of its own, so that it can come from
//! elsewhere (a mounted secret, a TPM) than the data directory and its backups.
//!
//! A sealed file is one version byte, a nonce of 12 bytes, then ciphertext and tag. The version and the authority's id
//! are authenticated with it, so a file that was renamed to another's name does not open.

use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use zeroize::Zeroizing;

use super::keys::SigningKey;
use crate::foundation::entropy::{Entropy, EntropyError, random};
use crate::foundation::files::{PrivateFileError, private_directory, read_private, write_private};

const VERSION: u8 = 1;
const EXTENSION: &str = "sealed";

/// Why a sealed key can't be had or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// A file or directory can't be used.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// The sealing key is missing although there are keys that were sealed with it.
    #[error(
        "the sealing key `{path}` is missing, but there are keys that it sealed: restore it from where it was kept; \
         without it these authorities are lost, and a new one would cut off all that trust them"
    )]
    NoSealingKey {
        /// Where it should be.
        path: PathBuf,
    },
    /// The sealing key is no AES-256 key.
    #[error("the sealing key `{path}` has {length} bytes, but must have exactly 32, raw")]
    SealingKeyLength {
        /// Where it is.
        path: PathBuf,
        /// How many bytes are there.
        length: usize,
    },
    /// The file of a key is missing.
    #[error(
        "authority {id} is in the journal, but its key `{path}` is missing: restore the file from where the data \
         directory was kept; a new authority would cut off all that trust this one"
    )]
    NoKey {
        /// The authority.
        id: String,
        /// Where its key should be.
        path: PathBuf,
    },
    /// The file was changed, swapped, or sealed under another key.
    #[error(
        "`{path}` does not open under the sealing key: one of the two was changed or swapped for another; restore \
         both as they were kept together"
    )]
    Tampered {
        /// The sealed file.
        path: PathBuf,
    },
    /// The file is of a later version of this program.
    #[error("`{path}` has the format {version}, which this version of portcullis does not know")]
    Version {
        /// The sealed file.
        path: PathBuf,
        /// Its format.
        version: u8,
    },
    /// No randomness for a nonce or a sealing key.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The cryptography library failed, which it does only when out of memory.
    #[error("the cryptography library failed")]
    Crypto,
}

impl From<Unspecified> for SealError {
    fn from(Unspecified: Unspecified) -> Self {
        Self::Crypto
    }
}

/// The directory of sealed keys, with what opens them.
pub(super) struct Vault {
    directory: PathBuf,
    key: LessSafeKey,
}

impl Vault {
    /// Opens the vault in `directory`. The sealing key is made if nothing can have been sealed yet: `in_use` says
    /// whether the journal knows an authority.
    pub(super) fn open(
        directory: PathBuf,
        key_file: &Path,
        in_use: bool,
        entropy: &dyn Entropy,
    ) -> Result<Self, SealError> {
        private_directory(&directory)?;
        let bytes = match read_private(key_file) {
            Ok(bytes) => bytes,
            Err(PrivateFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                if in_use || !sealed_ids(&directory)?.is_empty() {
                    return Err(SealError::NoSealingKey { path: key_file.to_owned() });
                }
                let bytes = Zeroizing::new(random::<32>(entropy)?.to_vec());
                write_private(key_file, &bytes)?;
                bytes
            }
            Err(error) => return Err(error.into()),
        };
        let key = UnboundKey::new(&AES_256_GCM, &bytes)
            .map_err(|Unspecified| SealError::SealingKeyLength { path: key_file.to_owned(), length: bytes.len() })?;
        Ok(Self { directory, key: LessSafeKey::new(key) })
    }

    /// Seals the key of authority `id`; when this returns it is on the disk, durably.
    pub(super) fn seal(&self, id: &str, key: &SigningKey, entropy: &dyn Entropy) -> Result<(), SealError> {
        let nonce = random::<NONCE_LEN>(entropy)?;
        let mut sealed = Zeroizing::new(key.to_pkcs8()?.expose().clone());
        self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad(id), &mut *sealed)?;
        let contents = [&[VERSION], nonce.as_slice(), sealed.as_slice()].concat();
        Ok(write_private(&self.path(id), &contents)?)
    }

    /// The key of authority `id`.
    pub(super) fn unseal(&self, id: &str) -> Result<SigningKey, SealError> {
        let path = self.path(id);
        let contents = match read_private(&path) {
            Err(PrivateFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(SealError::NoKey { id: id.to_owned(), path });
            }
            contents => contents?,
        };
        match contents.first() {
            Some(&VERSION) => {}
            Some(&version) => return Err(SealError::Version { path, version }),
            None => return Err(SealError::Tampered { path }),
        }
        self.open_sealed(id, &contents).ok_or(SealError::Tampered { path })
    }

    fn open_sealed(&self, id: &str, contents: &[u8]) -> Option<SigningKey> {
        let (nonce, sealed) = contents.get(1..)?.split_first_chunk::<NONCE_LEN>()?;
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let document =
            self.key.open_in_place(Nonce::assume_unique_for_key(*nonce), aad(id), sealed.as_mut_slice()).ok()?;
        let key = SigningKey::from_pkcs8(document).ok()?;
        (hex::encode(key.id()) == id).then_some(key)
    }

    /// Removes the key of an authority that has expired.
    pub(super) fn destroy(&self, id: &str) -> Result<(), SealError> {
        let path = self.path(id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|source| PrivateFileError::Io { path, source }.into()),
        }
    }

    /// The ids of all keys in the vault, whether or not an authority belongs to them.
    pub(super) fn ids(&self) -> Result<Vec<String>, SealError> {
        sealed_ids(&self.directory)
    }

    fn path(&self, id: &str) -> PathBuf {
        self.directory.join(format!("{id}.{EXTENSION}"))
    }
}

fn aad(id: &str) -> Aad<Vec<u8>> {
    Aad::from([b"portcullis authority key\0".as_slice(), &[VERSION], id.as_bytes()].concat())
}

fn sealed_ids(directory: &Path) -> Result<Vec<String>, SealError> {
    let failed = |source| PrivateFileError::Io { path: directory.to_owned(), source };
    let mut ids = Vec::new();
    for file in fs::read_dir(directory).map_err(failed)? {
        let path = file.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            ids.extend(path.file_stem().map(|id| id.to_string_lossy().into_owned()));
        }
    }
    Ok(ids)
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("directory", &self.directory).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
