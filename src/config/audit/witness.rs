//! The sections `audit.witnesses` and `audit.witness`: who cosigns our log, and whose logs we cosign.

use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_tlog::note::{Algorithm, KeyName, VerifierKey};

use super::super::node::{Node, Value};
use super::super::reader::{Section, Setting};
use super::super::values::text;
use crate::feeds::fetch::{FeedUrl, FetchConfig};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

/// The most that a witness may answer, in bytes: many cosignatures.
const MAX_ANSWER: usize = 256 << 10;

/// The section `audit.witnesses`.
#[derive(Clone, Debug)]
pub struct Witnesses {
    /// How many must have cosigned a checkpoint for it to be kept as witnessed.
    pub quorum: usize,
    /// The pause between two checkpoints that they are given.
    pub every: Duration,
    /// How they are reached.
    pub fetch: FetchConfig,
    /// They.
    pub of: Vec<WitnessAt>,
}

/// One of `audit.witnesses.of`.
#[derive(Clone, Debug)]
pub struct WitnessAt {
    /// Its submission prefix.
    pub url: FeedUrl,
    /// Its keys, all of one name.
    pub keys: Vec<VerifierKey>,
}

/// The section `audit.witness`.
#[derive(Clone, Debug)]
pub struct Witness {
    /// Where it is kept what was cosigned.
    pub directory: PathBuf,
    /// The name under which we cosign; `None` if it is to follow from those of the trust domain and the gateway.
    pub name: Option<KeyName>,
    /// The keys of the logs that we cosign, each named as its log is.
    pub logs: Vec<VerifierKey>,
}

impl Witnesses {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let quorum = section.bounded::<usize>("quorum", "1", (1, 100));
        let every = section.bounded("every", "1s", (SECOND / 100, HOUR));
        let timeout = section.bounded("timeout", "5s", (SECOND / 10, 60 * SECOND));
        let ca_file = section.value("ca_file", "/etc/ssl/certs/ca-certificates.crt");
        let of = section.mappings("of", |section| {
            let url = section.required::<WitnessUrl>("url");
            let keys = section.required_list::<WitnessKeySetting>("keys");
            let (url, keys) = (url?.0, keys?);
            let keys: Vec<VerifierKey> = keys.into_iter().map(|key| key.0).collect();
            let Some(first) = keys.first() else {
                section.fault("keys", "must not be empty: what nobody can verify is no cosignature");
                return None;
            };
            if keys.iter().any(|key| key.name() != first.name()) {
                section.fault("keys", "must have one name: they are those of one witness");
                return None;
            }
            Some(WitnessAt { url, keys })
        });
        let (quorum, of) = (quorum?, of?);
        if !of.is_empty() && quorum > of.len() {
            section.fault("quorum", format!("{quorum} is more than the {} witnesses", of.len()));
        }
        for (index, witness) in of.iter().enumerate() {
            let name = |witness: &WitnessAt| witness.keys.first().map(|key| key.name().clone());
            if of.iter().take(index).any(|other| name(other) == name(witness)) {
                section.fault("of", "two of them have the same name, and would count as one");
            }
        }
        let fetch = FetchConfig { timeout: timeout?, max_bytes: MAX_ANSWER, ca_file: ca_file?, token_file: None };
        Some(Self { quorum, every: every?, fetch, of })
    }
}

impl Witness {
    pub(super) fn read(section: &mut Section<'_>, data_dir: &Path) -> Option<Self> {
        let directory = section.value_or("directory", Value::Text(format!("{}/witness", data_dir.display())));
        let name = section.optional::<Name>("name").valid();
        let logs = section.list::<LogKeySetting>("logs", "[]");
        let (name, logs) = (name?.map(|name| name.0), logs?.into_iter().map(|key| key.0).collect());
        Some(Self { directory: directory?, name, logs })
    }
}

struct WitnessUrl(FeedUrl);

struct Name(KeyName);

/// A key that cosigns.
struct WitnessKeySetting(VerifierKey);

/// A key of a log.
struct LogKeySetting(VerifierKey);

impl Setting for WitnessUrl {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let text = text(node, "the URL of a witness")?;
        FeedUrl::parse_signed(text).map(Self).map_err(|error| format!("`{text}`: {error}"))
    }
}

impl Setting for Name {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let text = text(node, "the name of a witness")?;
        text.parse().map(Self).map_err(|error| format!("`{text}`: {error}"))
    }
}

impl Setting for WitnessKeySetting {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let key = key(node, "the key of a witness: NAME+ID+KEY")?;
        if key.algorithm() == Algorithm::Ed25519 {
            return Err(format!("`{key}` is the key of a log, not that of a witness"));
        }
        Ok(Self(key))
    }
}

impl Setting for LogKeySetting {
    fn read(node: &Node, _base: &Path) -> Result<Self, String> {
        let key = key(node, "the key of a log: ORIGIN+ID+KEY")?;
        if key.algorithm() == Algorithm::Ed25519Cosignature {
            return Err(format!("`{key}` is the key of a witness, not that of a log"));
        }
        Ok(Self(key))
    }
}

fn key(node: &Node, expected: &str) -> Result<VerifierKey, String> {
    let text = text(node, expected)?;
    text.parse().map_err(|error| format!("`{text}`: {error}"))
}
