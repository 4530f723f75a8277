//! Another witness, as we ask it to cosign a checkpoint of our log.

use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_tlog::checkpoint::SignedCheckpoint;
use portcullis_tlog::note::{VerifierKey, parse_signatures};
use portcullis_tlog::proof;
use portcullis_tlog::tree::{TreeHead, TreeReader};
use portcullis_tlog::witness::{AddCheckpoint, SIZE_CONTENT_TYPE, parse_size};
use tokio::task::spawn_blocking;

use super::{Reply, WitnessPort};
use crate::evidence::log::Tiles;
use crate::evidence::record::WitnessFinding;
use crate::foundation::backoff::Backoff;
use crate::foundation::entropy::Entropy;
use crate::foundation::telemetry::printable;

/// How often a witness may say that it has another size than we thought before it is left alone for a while.
const ATTEMPTS: usize = 3;

/// How long one that failed is left alone, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// How much of what it says is shown, in bytes.
const SHOWN: usize = 200;

/// A witness.
#[derive(Debug)]
pub struct Peer {
    name: String,
    keys: Vec<VerifierKey>,
    port: Box<dyn WitnessPort>,
    /// The size of the tree that it has cosigned last, as far as we know.
    cosigned: u64,
    backoff: Backoff,
    /// Until when it is left alone, by the clock's elapsed time.
    until: Option<Duration>,
    /// Why it has not cosigned the last checkpoint that it was given.
    pub(super) trouble: Option<String>,
}

/// Why a witness has not cosigned.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Trouble {
    /// It has cosigned a larger tree of this log than the checkpoint is of.
    Ahead(u64),
    /// It says that the tree is not the continuation of the one that it has cosigned, which has this size.
    Inconsistent(u64),
    /// Anything else.
    Failed(String),
}

impl Peer {
    /// The witness with these keys, reached by `port`. The name of its first key is its own.
    pub fn new(keys: Vec<VerifierKey>, port: Box<dyn WitnessPort>) -> Self {
        let name = keys.first().map_or_else(String::new, |key| key.name().to_string());
        let backoff = Backoff::new(PAUSE.0, PAUSE.1);
        Self { name, keys, port, cosigned: 0, backoff, until: None, trouble: None }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What verifies its cosignatures.
    pub(super) fn keys(&self) -> &[VerifierKey] {
        &self.keys
    }

    /// Whether it is to be asked now about a tree of this size.
    pub(super) fn is_due(&self, size: u64, now: Duration) -> bool {
        let lacks = self.cosigned != size || self.trouble.is_some();
        lacks && self.until.is_none_or(|until| until <= now)
    }

    /// When it is to be asked again, if it was left alone.
    pub(super) const fn until(&self) -> Option<Duration> {
        self.until
    }

    /// Leaves it alone for a while.
    pub(super) fn leave(&mut self, now: Duration, entropy: &dyn Entropy) {
        self.until = Some(now.saturating_add(self.backoff.pause(entropy)));
    }

    /// It has cosigned.
    pub(super) fn settled(&mut self) {
        self.backoff.reset();
        (self.until, self.trouble) = (None, None);
    }

    /// Asks it to cosign `signed`, a checkpoint of the log in `directory`, and returns that with its cosignatures.
    pub(super) async fn ask(
        &mut self,
        directory: &Path,
        mut signed: SignedCheckpoint,
    ) -> Result<SignedCheckpoint, Trouble> {
        let size = signed.unverified().head().size;
        for _ in 0..ATTEMPTS {
            // It is to see a tree that is smaller than it was, too: that is what it is there for.
            let old = self.cosigned.min(size);
            let body = body(directory.to_owned(), old, signed.clone()).await.map_err(Trouble::Failed)?;
            let reply = self.port.send(body).await.map_err(Trouble::Failed)?;
            match reply.status {
                200 => {
                    let answer = parse_signatures(&reply.body);
                    let answer = answer.map_err(|error| Trouble::Failed(format!("its answer: {error}")))?;
                    let added = signed.add_cosignatures(answer, &self.keys).map(drop);
                    added.map_err(|error| Trouble::Failed(format!("its answer: {error}")))?;
                    self.cosigned = size;
                    return Ok(signed);
                }
                409 => {
                    self.cosigned = other_size(&reply, old).ok_or_else(|| failed(&reply))?;
                    if self.cosigned > size {
                        return Err(Trouble::Ahead(self.cosigned));
                    }
                }
                422 => return Err(Trouble::Inconsistent(self.cosigned)),
                _ => return Err(failed(&reply)),
            }
        }
        Err(Trouble::Failed(format!("it has another size each time, at last {}", self.cosigned)))
    }
}

/// The size that a witness has, which is not the one that it was told.
fn other_size(reply: &Reply, told: u64) -> Option<u64> {
    let content_type = reply.content_type.as_deref().and_then(|kind| kind.split(';').next());
    parse_size(&reply.body).filter(|size| content_type == Some(SIZE_CONTENT_TYPE) && *size != told)
}

impl Trouble {
    /// The name in metrics.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Ahead(_) => "ahead",
            Self::Inconsistent(_) => "inconsistent",
            Self::Failed(_) => "failed",
        }
    }

    /// What it says of our log, and the size of the tree that it says it of.
    pub(super) const fn finding(&self) -> Option<(WitnessFinding, u64)> {
        match self {
            Self::Ahead(size) => Some((WitnessFinding::Shrunk, *size)),
            Self::Inconsistent(size) => Some((WitnessFinding::Inconsistent, *size)),
            Self::Failed(_) => None,
        }
    }

    /// What is the matter with a checkpoint of `head`.
    pub(super) fn text(&self, head: &TreeHead) -> String {
        let ours = head.size;
        match self {
            Self::Ahead(size) => format!("it has cosigned {size} entries of this log, which has {ours}"),
            Self::Inconsistent(size) => format!(
                "it says that the tree of {ours} entries does not continue the one of {size} that it has cosigned"
            ),
            Self::Failed(why) => why.clone(),
        }
    }
}

fn failed(reply: &Reply) -> Trouble {
    let said = printable(String::from_utf8_lossy(&reply.body).trim_end(), SHOWN);
    Trouble::Failed(format!("it answered with {}: {said}", reply.status))
}

/// The request that takes the witness from a tree of `old` entries to the checkpoint.
async fn body(directory: PathBuf, old: u64, signed: SignedCheckpoint) -> Result<String, String> {
    let prove = move || -> Result<String, String> {
        let tiles = Tiles(&directory);
        let mut tree = TreeReader::new(signed.unverified().head().size, &tiles).map_err(|error| error.to_string())?;
        let proof = proof::consistency(&mut tree, old).map_err(|error| error.to_string())?;
        Ok(AddCheckpoint { old_size: old, proof, checkpoint: signed }.to_string())
    };
    spawn_blocking(prove).await.map_err(|error| error.to_string())?
}
