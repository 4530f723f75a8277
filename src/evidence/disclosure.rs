//! Fields of a record that not everyone may read: the record has a commitment, SHA-256 over a salt, the field's name and its
//! value, each with its length before it. Nobody can guess a value by it, for the salt is random to whoever lacks the
//! key. An [`Opening`] tells one field's salt and value, and whoever has the record can check that it is the one.
//!
//! The salt follows from a secret of the gateway, the decision's id and the field's name, so nothing has to be kept for
//! later. The value itself lies in the record too, sealed under a key of its own that follows in the same way: destroying
//! the secret makes what was never disclosed unreadable for ever, and leaves every proof as it is.

use std::fmt;
use std::io::ErrorKind::NotFound;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::log::{LogError, directory};
use super::record::{DecisionId, DecisionRecord, Field, Sealed};
use crate::foundation::digest::{Digest, Hasher};
use crate::foundation::entropy::{Entropy, random};
use crate::foundation::files::{PrivateFileError, private_directory, read_private, write_private};

/// What the file begins with, so that nobody takes it for anything else.
const HEADING: &str = "portcullis-disclosure-key-1 ";

/// What a commitment begins with.
const COMMITMENT: &[u8] = b"portcullis audit field v1";
/// What salts and keys are derived under.
const SALT: &[u8] = b"portcullis audit salt v1";
const SEAL: &[u8] = b"portcullis audit seal v1";

/// Sealed values have a multiple of this many bytes, so that their length does not tell `true` from `false`.
const BLOCK: usize = 64;

/// The longest value that is sealed, in bytes. A longer one is committed to, and has to come from elsewhere.
pub const MAX_SEALED: usize = 32 << 10;

/// What opens fields that are not for everyone.
pub struct DisclosureKey(hmac::Key);

/// What shows that a field had this value.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// The decision, as its record names it.
    pub decision_id: String,
    /// The field.
    pub name: String,
    /// The salt, in hexadecimal.
    pub salt: String,
    /// The value, as JSON.
    pub value: String,
}

/// Why a field can't be opened, or an opening does not hold.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DisclosureError {
    /// The record has no such field.
    #[error("the record has no field `{0}`")]
    NoField(String),
    /// It is there for everyone to read.
    #[error("the field `{0}` is in the record in plain: there is nothing to disclose")]
    Plain(String),
    /// Only the commitment is there.
    #[error("the record does not hold the value of `{0}`, only a commitment to it: give the value")]
    NotKept(String),
    /// It was sealed with another key, or is no sealed value.
    #[error("the field `{0}` is not sealed with this key")]
    OtherKey(String),
    /// The value is not what the record is committed to.
    #[error("the record is committed to another value of `{0}`")]
    OtherValue(String),
    /// The opening is of another decision.
    #[error("the opening is of the decision `{0}`")]
    OtherDecision(String),
    /// The salt is not 32 bytes in hexadecimal.
    #[error("the salt of `{0}` is not one")]
    Salt(String),
}

impl DisclosureKey {
    /// Reads the key from a file that only we may read; makes it if there is none.
    ///
    /// # Errors
    /// [`LogError`]: the file is not private, or holds something else.
    pub fn load_or_create(path: &Path, entropy: &dyn Entropy) -> Result<Self, LogError> {
        let is_missing = |error: &LogError| matches!(error, LogError::NotPrivate(PrivateFileError::Io { source, .. }) if source.kind() == NotFound);
        match Self::load(path) {
            Err(error) if is_missing(&error) => {}
            loaded => return loaded,
        }
        if let Some(parent) = path.parent() {
            private_directory(parent)?;
        }
        // Of two processes that start at the same time, one makes the key and the other reads it.
        let _locked = directory::lock(&path.with_extension("lock"))?;
        match Self::load(path) {
            Err(error) if is_missing(&error) => {}
            loaded => return loaded,
        }
        let seed = Zeroizing::new(random::<32>(entropy).map_err(|error| LogError::Entropy(error.to_string()))?);
        let digits = Zeroizing::new(hex::encode(seed.as_slice()));
        let text = Zeroizing::new(format!("{HEADING}{}\n", digits.as_str()));
        write_private(path, text.as_bytes())?;
        Self::load(path)
    }

    /// Reads the key.
    ///
    /// # Errors
    /// As [`Self::load_or_create`], and if there is no such file.
    pub fn load(path: &Path) -> Result<Self, LogError> {
        let contents = read_private(path)?;
        let mut seed = Zeroizing::new([0; 32]);
        let digits = contents.strip_prefix(HEADING.as_bytes()).and_then(|rest| rest.strip_suffix(b"\n"));
        let decoded = digits.map(|digits| hex::decode_to_slice(digits, seed.as_mut_slice()));
        match decoded {
            Some(Ok(())) => Ok(Self(hmac::Key::new(HMAC_SHA256, seed.as_slice()))),
            _ => Err(LogError::Key(path.to_owned())),
        }
    }

    /// The key of this seed.
    #[cfg(test)]
    pub(crate) fn of_seed(seed: [u8; 32]) -> Self {
        Self(hmac::Key::new(HMAC_SHA256, &seed))
    }

    /// The field `name` of a decision, for whose value there is only a commitment, and the value sealed.
    pub fn redact(&self, id: DecisionId, name: &str, value: &str) -> Field {
        let commitment = Some(commit(&self.salt(id, name), name, value));
        let sealed = if value.len() <= MAX_SEALED { self.seal(id, name, value) } else { None };
        Field { name: name.to_owned(), value: None, commitment, sealed }
    }

    /// Opens the field `name`; `value` is its value if the record does not have it.
    ///
    /// # Errors
    /// [`DisclosureError`].
    pub fn open(
        &self,
        record: &DecisionRecord<'_>,
        name: &str,
        value: Option<&str>,
    ) -> Result<Opening, DisclosureError> {
        let field = record.field(name).ok_or_else(|| DisclosureError::NoField(name.to_owned()))?;
        let commitment = field.commitment.ok_or_else(|| DisclosureError::Plain(name.to_owned()))?;
        let value = match (value, &field.sealed) {
            (Some(value), _) => value.to_owned(),
            (None, Some(sealed)) => {
                let opened = self.unseal(record.decision_id, name, sealed);
                opened.ok_or_else(|| DisclosureError::OtherKey(name.to_owned()))?
            }
            (None, None) => return Err(DisclosureError::NotKept(name.to_owned())),
        };
        let salt = self.salt(record.decision_id, name);
        if commit(&salt, name, &value) != commitment {
            return Err(DisclosureError::OtherValue(name.to_owned()));
        }
        let (decision_id, salt) = (record.decision_id.to_string(), hex::encode(salt));
        Ok(Opening { decision_id, name: name.to_owned(), salt, value })
    }

    fn salt(&self, id: DecisionId, name: &str) -> [u8; 32] {
        self.derived(SALT, id, name)
    }

    /// Unlike that of any other field of any other decision, so the nonce needs to be nothing but there.
    fn sealing(&self, id: DecisionId, name: &str) -> Option<LessSafeKey> {
        let key = Zeroizing::new(self.derived(SEAL, id, name));
        UnboundKey::new(&AES_256_GCM, key.as_slice()).ok().map(LessSafeKey::new)
    }

    fn derived(&self, purpose: &[u8], id: DecisionId, name: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in [purpose, id.as_bytes(), name.as_bytes()] {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            context.update(part);
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.sign().as_ref());
        bytes
    }

    fn seal(&self, id: DecisionId, name: &str, value: &str) -> Option<Sealed> {
        let mut bytes = value.as_bytes().to_vec();
        // The padding of ISO/IEC 7816-4: one bit, then zeros.
        bytes.push(0x80);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        self.sealing(id, name)?.seal_in_place_append_tag(nonce, Aad::from(name.as_bytes()), &mut bytes).ok()?;
        Some(Sealed(bytes))
    }

    fn unseal(&self, id: DecisionId, name: &str, sealed: &Sealed) -> Option<String> {
        let mut bytes = sealed.0.clone();
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let opened = self.sealing(id, name)?.open_in_place(nonce, Aad::from(name.as_bytes()), &mut bytes).ok()?;
        let end = opened.iter().rposition(|byte| *byte != 0).filter(|end| opened.get(*end) == Some(&0x80))?;
        String::from_utf8(opened.get(..end)?.to_vec()).ok()
    }
}

impl fmt::Debug for DisclosureKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DisclosureKey")
    }
}

impl Opening {
    /// Checks that `record`, which must itself be proved, is committed to this value.
    ///
    /// # Errors
    /// [`DisclosureError`].
    pub fn verify(&self, record: &DecisionRecord<'_>) -> Result<(), DisclosureError> {
        let name = || self.name.clone();
        if self.decision_id != record.decision_id.to_string() {
            return Err(DisclosureError::OtherDecision(self.decision_id.clone()));
        }
        let field = record.field(&self.name).ok_or_else(|| DisclosureError::NoField(name()))?;
        let commitment = field.commitment.ok_or_else(|| DisclosureError::Plain(name()))?;
        let mut salt = [0; 32];
        hex::decode_to_slice(&self.salt, &mut salt).map_err(|_length| DisclosureError::Salt(name()))?;
        // One opening has one spelling.
        if hex::encode(salt) != self.salt {
            return Err(DisclosureError::Salt(name()));
        }
        if commit(&salt, &self.name, &self.value) == commitment {
            Ok(())
        } else {
            Err(DisclosureError::OtherValue(name()))
        }
    }
}

fn commit(salt: &[u8; 32], name: &str, value: &str) -> Digest {
    let mut hasher = Hasher::new();
    hasher.field(COMMITMENT).field(salt).field(name.as_bytes()).field(value.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests;
