//! What an issuer publishes its keys in: a JWK Set (RFC 7517 section 5). What in it is no key to verify tokens with is
//! passed over, as the standard wants it; what could be read in two ways refuses the whole of it.

use std::collections::HashSet;

use portcullis_spiffe::bundle::{Jwk, public_key_of};
use serde_json::{Map, Value};

use super::Algorithm;
use crate::foundation::json::{self, JsonError};
use crate::foundation::telemetry::printable;

/// The largest document that is read, in bytes. The largest of the well-known issuers has some ten thousand.
pub const MAX_DOCUMENT_BYTES: usize = 256 * 1024;

/// The most keys in a document.
const MAX_KEYS: usize = 256;

/// How much of a key's name an error repeats, in bytes.
const SHOWN: usize = 64;

/// The keys that an issuer signs with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KeySet(Vec<Key>);

/// One key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Key {
    /// Its name, never empty.
    id: Option<String>,
    /// The only algorithm that it is for, if it says so.
    pub(super) algorithm: Option<Algorithm>,
    /// A `SubjectPublicKeyInfo`, DER.
    pub(super) spki: Vec<u8>,
}

/// Why a document is no JWK Set, or one that can't be relied on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeySetError {
    /// More than [`MAX_DOCUMENT_BYTES`].
    #[error("it has {0} bytes, more than {MAX_DOCUMENT_BYTES}")]
    TooLarge(usize),
    /// Not I-JSON.
    #[error("it is not valid JSON: {0}")]
    Json(#[from] JsonError),
    /// JSON, but not an object with a list of objects in `keys`.
    #[error("it is not a JWK Set: an object with a list `keys` of objects")]
    NotAKeySet,
    /// More than 256.
    #[error("it has {0} keys, more than {MAX_KEYS}")]
    TooManyKeys(usize),
    /// Which of the two a token means can't be told.
    #[error("it has two different keys with the `kid` `{0}`")]
    Twice(String),
}

impl KeySet {
    /// Reads a document.
    ///
    /// # Errors
    /// [`KeySetError`].
    pub fn parse(document: &[u8]) -> Result<Self, KeySetError> {
        if document.len() > MAX_DOCUMENT_BYTES {
            return Err(KeySetError::TooLarge(document.len()));
        }
        let Value::Object(mut members) = json::read(document)? else { return Err(KeySetError::NotAKeySet) };
        let Some(Value::Array(found)) = members.remove("keys") else { return Err(KeySetError::NotAKeySet) };
        if found.len() > MAX_KEYS {
            return Err(KeySetError::TooManyKeys(found.len()));
        }
        let (mut keys, mut names) = (Vec::with_capacity(found.len()), HashSet::new());
        for jwk in found {
            let Value::Object(jwk) = jwk else { return Err(KeySetError::NotAKeySet) };
            let Some(key) = Key::read(jwk) else { continue };
            if keys.contains(&key) {
                continue;
            }
            if let Some(id) = &key.id
                && !names.insert(id.clone())
            {
                return Err(KeySetError::Twice(printable(id, SHOWN)));
            }
            keys.push(key);
        }
        Ok(Self(keys))
    }

    /// How many keys tokens can be verified with.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no token can be verified.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key that a token means: that of the name it gives. One that gives none means the only one there is.
    pub(super) fn find(&self, key_id: Option<&str>) -> Option<&Key> {
        match (key_id, self.0.as_slice()) {
            (Some(name), keys) => keys.iter().find(|key| key.id.as_deref() == Some(name)),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}

impl Key {
    /// `None` if it is not for verifying signatures (RFC 7517 sections 4.2 to 4.4), is of a kind or for an algorithm that
    /// is unknown here, or shows its private part.
    fn read(jwk: Map<String, Value>) -> Option<Self> {
        let text = |name: &str| jwk.get(name).map(Value::as_str);
        // SPIFFE's bundle documents say `jwt-svid` where others say `sig`.
        if !matches!(text("use"), None | Some(Some("sig" | "jwt-svid"))) {
            return None;
        }
        let operations = jwk.get("key_ops").map(|operations| operations.as_array().map(Vec::as_slice));
        if operations.is_some_and(|known| !known.unwrap_or_default().iter().any(|name| name == "verify")) {
            return None;
        }
        let algorithm = match text("alg") {
            None => None,
            Some(name) => Some(name?.parse().ok()?),
        };
        let id = match text("kid") {
            None => None,
            Some(name) => Some(name.filter(|name| !name.is_empty())?.to_owned()),
        };
        let jwk: Jwk = serde_json::from_value(Value::Object(jwk)).ok()?;
        Some(Self { id, algorithm, spki: public_key_of(&jwk).ok()? })
    }
}
