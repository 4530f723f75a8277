//! Records as a Standard Webhook (1.0.0): a message has an id that stays the same however often it is sent, the time of this
//! attempt, and a signature of both and the body, by a shared secret (`v1`) or by an Ed25519 key (`v1a`).

use std::fmt;
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::ocsf;
use super::post::Message;
use super::{Exported, SinkError};
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::foundation::files::{PrivateFileError, read_private};

/// The type of these messages.
const TYPE: &str = "portcullis.audit.records";

/// The bounds of a shared secret, in bytes.
const SECRET: std::ops::RangeInclusive<usize> = 24..=64;

/// What records are told as.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shape {
    /// As they are recorded.
    Records,
    /// As events of OCSF.
    Ocsf,
}

/// How they are told, and with which keys.
#[derive(Debug)]
pub struct Webhook {
    log: String,
    shape: Shape,
    keys: Vec<WebhookKey>,
}

/// A key that signs messages.
pub enum WebhookKey {
    /// A secret that the receiver has, too.
    Shared(Box<hmac::Key>),
    /// A key whose public half the receiver has.
    Ed25519(Ed25519KeyPair),
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum WebhookKeyError {
    /// The file can't be read, or others can.
    #[error(transparent)]
    NotPrivate(#[from] PrivateFileError),
    /// It holds something else.
    #[error("`{path}`: a key is a line `whsec_…`, of 24 to 64 bytes in base64, or `whsk_…`, an Ed25519 key", path = .0.display())]
    Malformed(PathBuf),
}

impl WebhookKey {
    /// Reads the keys in a private file, a line each. All of them sign, so that one can replace another.
    ///
    /// # Errors
    /// [`WebhookKeyError`].
    pub fn load(path: &Path) -> Result<Vec<Self>, WebhookKeyError> {
        let contents = read_private(path)?;
        let malformed = || WebhookKeyError::Malformed(path.to_owned());
        let text = str::from_utf8(&contents).map_err(|_encoding| malformed())?;
        let keys = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(Self::parse);
        let keys = keys.collect::<Option<Vec<_>>>().filter(|keys| !keys.is_empty());
        keys.ok_or_else(malformed)
    }

    fn parse(text: &str) -> Option<Self> {
        if let Some(secret) = text.strip_prefix("whsec_") {
            let secret = zeroize::Zeroizing::new(STANDARD.decode(secret).ok()?);
            return SECRET
                .contains(&secret.len())
                .then(|| Self::Shared(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &secret))));
        }
        let key = zeroize::Zeroizing::new(STANDARD.decode(text.strip_prefix("whsk_")?).ok()?);
        // The seed, and maybe the public key after it.
        let (seed, public) = key.split_at_checked(32)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let fits = public.is_empty() || public == pair.public_key().as_ref();
        fits.then_some(Self::Ed25519(pair))
    }

    pub(super) fn sign(&self, message: &[u8]) -> String {
        match self {
            Self::Shared(key) => format!("v1,{}", STANDARD.encode(hmac::sign(key, message))),
            Self::Ed25519(pair) => format!("v1a,{}", STANDARD.encode(pair.sign(message))),
        }
    }
}

impl fmt::Debug for WebhookKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookKey")
    }
}

impl Webhook {
    /// Tells the records of this log.
    pub const fn new(log: String, shape: Shape, keys: Vec<WebhookKey>) -> Self {
        Self { log, shape, keys }
    }

    /// The message that tells these records.
    pub(super) fn message(&self, records: &[Exported<'_>], now: Timestamp) -> Result<Message, SinkError> {
        let told = records.iter().map(|exported| self.told(exported)).collect::<Result<Vec<_>, _>>()?;
        let (first, last) = (records.first(), records.last());
        let index = |exported: Option<&Exported<'_>>| exported.map_or(0, |exported| exported.index);
        // Those of one log have one beginning, which says nothing to a stranger and has no full stop.
        let digest = Digest::of(self.log.as_bytes()).to_string();
        let digest = digest.get(..16).unwrap_or_default();
        let id = format!("audit_{digest}_{}_{}", index(first), index(last));
        let time = last.map_or(now, |exported| exported.record.time());
        let body = json!({"type": TYPE, "timestamp": time, "data": {"log": self.log, "records": told}});
        let body = serde_json::to_vec(&body)?;
        let timestamp = now.unix_seconds().to_string();
        let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &body].concat();
        let signatures: Vec<String> = self.keys.iter().map(|key| key.sign(&signed)).collect();
        let headers =
            vec![("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signatures.join(" "))];
        Ok(Message { headers, body })
    }

    fn told(&self, exported: &Exported<'_>) -> serde_json::Result<Value> {
        match self.shape {
            Shape::Ocsf => ocsf::event(&self.log, exported),
            Shape::Records => Ok(json!({"index": exported.index, "record": serde_json::to_value(&exported.record)?})),
        }
    }
}
