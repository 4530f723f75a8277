//! The line of a signature (signed-note, "Signatures").

use std::fmt;

use base64::Engine as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;

use super::{KeyId, KeyName, VerifierKey};

const DASH: &str = "\u{2014} ";

/// A signature and the key that is said to have made it; nothing of it has been verified. Text form: its line, without
/// the newline.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Signature {
    name: KeyName,
    id: KeyId,
    bytes: Vec<u8>,
}

impl Signature {
    pub(crate) const fn new(name: KeyName, id: KeyId, bytes: Vec<u8>) -> Self {
        Self { name, id, bytes }
    }

    /// Whose it is said to be.
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// Which of that name's keys is said to have made it.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// What the algorithm made, for a cosignature with the time before it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn same_key(&self, other: &Self) -> bool {
        self.name == other.name && self.id == other.id
    }

    /// Whether it is said to be by this key.
    pub(crate) fn is_by(&self, key: &VerifierKey) -> bool {
        self.name == *key.name() && self.id == key.id()
    }

    pub(super) fn parse(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix(DASH)?.split_once(' ')?;
        let decoded = STANDARD.decode(encoded).ok()?;
        let (id, bytes) = decoded.split_first_chunk()?;
        let signature = Self { name: name.parse().ok()?, id: KeyId::from(*id), bytes: bytes.to_vec() };
        (!bytes.is_empty()).then_some(signature)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [self.id.as_bytes(), self.bytes.as_slice()].concat();
        write!(f, "{DASH}{} {}", self.name, Base64Display::new(&blob, &STANDARD))
    }
}
