//! Where the private keys of authorities are: sealed in files, in memory only, or in a PKCS#11 token that never gives
//! them away.

#[cfg(feature = "pkcs11")]
mod token;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::error::Unspecified;

#[cfg(feature = "pkcs11")]
pub(super) use self::token::Token;
#[cfg(feature = "pkcs11")]
pub(super) use self::token::TokenError;

use super::keys::{KeyType, SigningKey};
use super::seal::{SealError, Vault};
use crate::foundation::entropy::Entropy;
use crate::foundation::secret::Secret;

/// Who keeps keys.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KeyCustody {
    /// Files in the data directory, sealed with the key in this file: 32 raw bytes, mode 0600, made at the first start.
    Sealed {
        /// By default `seal.key` in the data directory.
        seal_key_file: PathBuf,
    },
    /// Nobody but the process: they end with it. What they signed stays trusted until it expires.
    Memory,
    /// A PKCS#11 token. Needs the feature `pkcs11`.
    Token(TokenConfig),
}

/// Which PKCS#11 token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenConfig {
    /// The library that speaks to it.
    pub module: PathBuf,
    /// Its label.
    pub label: String,
    /// The file that has its user PIN: mode 0600.
    pub pin_file: PathBuf,
}

/// Why keys can't be had or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CustodyError {
    /// The sealed files.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The token.
    #[cfg(feature = "pkcs11")]
    #[error(transparent)]
    Token(#[from] TokenError),
    /// This build can't speak to tokens.
    #[error("this build of portcullis has no PKCS#11: build it with `--features pkcs11`")]
    NoPkcs11,
    /// The cryptography library failed, which it does only when out of memory.
    #[error("the cryptography library failed")]
    Crypto,
}

impl From<Unspecified> for CustodyError {
    fn from(Unspecified: Unspecified) -> Self {
        Self::Crypto
    }
}

/// The keeper of keys, open. Blocks on files and on the token.
#[derive(Clone)]
pub(super) enum Custody {
    Sealed(Arc<Vault>),
    /// PKCS#8 documents by id.
    Memory(Arc<Mutex<HashMap<String, Secret<Vec<u8>>>>>),
    #[cfg(feature = "pkcs11")]
    Token(Token),
}

impl Custody {
    /// Opens what `config` names, with `data_dir` for what is in files. `in_use` says whether the journal knows an
    /// authority.
    pub(super) fn open(
        config: &KeyCustody,
        data_dir: &Path,
        in_use: bool,
        entropy: &dyn Entropy,
    ) -> Result<Self, CustodyError> {
        match config {
            KeyCustody::Sealed { seal_key_file } => {
                let vault = Vault::open(data_dir.join("keys"), seal_key_file, in_use, entropy)?;
                Ok(Self::Sealed(Arc::new(vault)))
            }
            KeyCustody::Memory => Ok(Self::Memory(Arc::default())),
            #[cfg(feature = "pkcs11")]
            KeyCustody::Token(config) => Ok(Self::Token(Token::open(config)?)),
            #[cfg(not(feature = "pkcs11"))]
            KeyCustody::Token(_config) => Err(CustodyError::NoPkcs11),
        }
    }

    /// A new key, kept durably when this returns, by its id in hexadecimal. Takes seconds for a long RSA key.
    pub(super) fn make(&self, key_type: KeyType, entropy: &dyn Entropy) -> Result<(String, SigningKey), CustodyError> {
        #[cfg(feature = "pkcs11")]
        if let Self::Token(token) = self {
            return Ok(token.make(key_type)?);
        }
        let key = SigningKey::generate(key_type)?;
        let id = hex::encode(key.id());
        match self {
            Self::Sealed(vault) => vault.seal(&id, &key, entropy)?,
            Self::Memory(keys) => {
                lock(keys).insert(id.clone(), key.to_pkcs8()?);
            }
            #[cfg(feature = "pkcs11")]
            Self::Token(_) => {}
        }
        Ok((id, key))
    }

    /// The key of authority `id`; `None` if it ended with an earlier process, as was to be expected.
    pub(super) fn find(&self, id: &str) -> Result<Option<SigningKey>, CustodyError> {
        match self {
            Self::Sealed(vault) => Ok(Some(vault.unseal(id)?)),
            Self::Memory(keys) => {
                let keys = lock(keys);
                let key = keys.get(id).map(|document| SigningKey::from_pkcs8(document.expose()));
                key.transpose().map_err(|_rejected| CustodyError::Crypto)
            }
            #[cfg(feature = "pkcs11")]
            Self::Token(token) => Ok(Some(token.find(id)?)),
        }
    }

    /// Removes the key of authority `id`. Doing so twice changes nothing.
    pub(super) fn destroy(&self, id: &str) -> Result<(), CustodyError> {
        match self {
            Self::Sealed(vault) => Ok(vault.destroy(id)?),
            Self::Memory(keys) => {
                lock(keys).remove(id);
                Ok(())
            }
            #[cfg(feature = "pkcs11")]
            Self::Token(token) => Ok(token.destroy(id)?),
        }
    }

    /// The ids of all keys, whether or not an authority belongs to them.
    pub(super) fn ids(&self) -> Result<Vec<String>, CustodyError> {
        match self {
            Self::Sealed(vault) => Ok(vault.ids()?),
            Self::Memory(keys) => Ok(lock(keys).keys().cloned().collect()),
            #[cfg(feature = "pkcs11")]
            Self::Token(token) => Ok(token.ids()?),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Custody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sealed(_) => "Sealed",
            Self::Memory(_) => "Memory",
            #[cfg(feature = "pkcs11")]
            Self::Token(_) => "Token",
        })
    }
}
