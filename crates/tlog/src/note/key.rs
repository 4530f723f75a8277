//! The keys that verify notes and cosignatures (signed-note, "Verifier keys"; tlog-cosignature, "Format").

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::signature::{ED25519, ML_DSA_44, ParsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How a key signs.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Algorithm {
    /// Ed25519 over the text of a note: type 0x01.
    Ed25519,
    /// Ed25519 over a checkpoint and a time, `cosignature/v1`: type 0x04.
    Ed25519Cosignature,
    /// ML-DSA-44 over the cosigner's name, a time and the first three lines of a checkpoint, `subtree/v1`: type 0x06.
    MlDsa44Cosignature,
}

/// The name of a key: not empty, without white space, `+` and control characters.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KeyName(Arc<str>);

/// Tells the keys of one name apart: four bytes of a hash of name, type and key. An identifier, not a fingerprint: who
/// wants a key with a certain id can make one. Text form: eight digits in hex.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KeyId([u8; Self::LENGTH]);

/// A public key with its name. Text form: `<name>+<id in hex>+<base64 of type and key>`, known as a vkey.
#[derive(Clone)]
pub struct VerifierKey {
    name: KeyName,
    id: KeyId,
    algorithm: Algorithm,
    bytes: Arc<[u8]>,
    key: ParsedPublicKey,
}

/// Why something is not a key or the name of one.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not `<name>+<id>+<key>` in the one spelling that it has.
    #[error("a verifier key is `<name>+<id in hex>+<base64 of type and key>`")]
    Form,
    /// An empty name, or a character that no name may have.
    #[error("the name of a key is not empty and has no white space, `+` or control character")]
    Name,
    /// The name of an ML-DSA-44 cosigner has more than 255 bytes.
    #[error("the name of an ML-DSA-44 cosigner has at most 255 bytes, this one has {0}")]
    NameTooLong(usize),
    /// A type that is not known here.
    #[error("the signature type 0x{0:02x} is not known")]
    Algorithm(u8),
    /// The bytes are not a key of that type.
    #[error("the bytes are not a key of that type")]
    Key,
    /// The id belongs to another name, type or key.
    #[error("the id of the key is {found}, but name and key make {computed}")]
    Id {
        /// What was written.
        found: KeyId,
        /// What it must be.
        computed: KeyId,
    },
}

impl Algorithm {
    const ALL: [Self; 3] = [Self::Ed25519, Self::Ed25519Cosignature, Self::MlDsa44Cosignature];

    /// Its type byte.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::Ed25519Cosignature => 0x04,
            Self::MlDsa44Cosignature => 0x06,
        }
    }

    /// The length of a public key.
    const fn key_length(self) -> usize {
        match self {
            Self::Ed25519 | Self::Ed25519Cosignature => 32,
            Self::MlDsa44Cosignature => 1312,
        }
    }

    fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Ed25519 | Self::Ed25519Cosignature => &ED25519,
            Self::MlDsa44Cosignature => &ML_DSA_44,
        }
    }
}

impl KeyName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = KeyError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let stranger = |c: char| c < ' ' || c == '+' || c.is_whitespace();
        if name.is_empty() || name.contains(stranger) { Err(KeyError::Name) } else { Ok(Self(name.into())) }
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl KeyId {
    const LENGTH: usize = 4;

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// SHA-256(name || 0x0A || type || key)[:4].
    fn of(name: &KeyName, algorithm: Algorithm, key: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(name.as_str().as_bytes());
        context.update(&[b'\n', algorithm.byte()]);
        context.update(key);
        Self(context.finish().as_ref().first_chunk().copied().unwrap_or_default())
    }
}

impl From<[u8; Self::LENGTH]> for KeyId {
    fn from(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl VerifierKey {
    /// A public key: 32 bytes for Ed25519 (RFC 8032), 1312 for ML-DSA-44 (FIPS 204).
    pub fn new(name: KeyName, algorithm: Algorithm, key: &[u8]) -> Result<Self, KeyError> {
        if algorithm == Algorithm::MlDsa44Cosignature && name.as_str().len() > usize::from(u8::MAX) {
            return Err(KeyError::NameTooLong(name.as_str().len()));
        }
        if key.len() != algorithm.key_length() {
            return Err(KeyError::Key);
        }
        let parsed = ParsedPublicKey::new(algorithm.verification(), key).map_err(|_rejected| KeyError::Key)?;
        let id = KeyId::of(&name, algorithm, key);
        Ok(Self { name, id, algorithm, bytes: key.into(), key: parsed })
    }

    /// Whose key it is.
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// Which of that name's keys it is.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// How it signs.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public key.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the key made this signature of this message, without the time of a cosignature.
    pub(crate) fn verify_raw(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(vkey: &str) -> Result<Self, Self::Err> {
        let (name, rest) = vkey.split_once('+').ok_or(KeyError::Form)?;
        let (id, key) = rest.split_once('+').ok_or(KeyError::Form)?;
        let found = u32::from_str_radix(id, 16).map(|id| KeyId(id.to_be_bytes())).map_err(|_digits| KeyError::Form)?;
        let typed = STANDARD.decode(key).map_err(|_base64| KeyError::Form)?;
        let (byte, key) = typed.split_first().ok_or(KeyError::Form)?;
        let known = Algorithm::ALL.into_iter().find(|algorithm| algorithm.byte() == *byte);
        let verifier = Self::new(name.parse()?, known.ok_or(KeyError::Algorithm(*byte))?, key)?;
        if verifier.id != found {
            return Err(KeyError::Id { found, computed: verifier.id });
        }
        // The digits of the id have a length and a case.
        if verifier.to_string() == vkey { Ok(verifier) } else { Err(KeyError::Form) }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let typed = [&[self.algorithm.byte()], self.bytes()].concat();
        write!(f, "{}+{}+{}", self.name, self.id, STANDARD.encode(typed))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({} {} {:?})", self.name, self.id, self.algorithm)
    }
}

impl PartialEq for VerifierKey {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.algorithm == other.algorithm && self.bytes == other.bytes
    }
}

impl Eq for VerifierKey {}
