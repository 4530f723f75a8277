//! Being a witness: what we have cosigned last of each log, on the disk, and what we say to a new checkpoint of it.
//!
//! Of each log there is a directory, named by the SHA-256 of the log's name. `checkpoint` is what we have cosigned last,
//! with the log's signature and ours; it is replaced, and on the disk, before the cosignature leaves. `conflict` is a
//! checkpoint that the log has signed and that can't be true if the other is: together they prove a fork. Whoever looks
//! and writes holds the lock of that directory, so several processes are one witness.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis_tlog::Hash;
use portcullis_tlog::checkpoint::SignedCheckpoint;
use portcullis_tlog::cosignature::Cosigner;
use portcullis_tlog::note::VerifierKey;
use portcullis_tlog::tree::TreeHead;
use portcullis_tlog::witness::{AddCheckpoint, KnownLog, Refusal, RequestError, decide};

use super::alarms::Alarms;
use super::{WitnessKey, WitnessMetrics};
use crate::evidence::backlog::Backlog;
use crate::evidence::log::{LogError, directory};
use crate::evidence::record::{WitnessFinding, WitnessRecord};
use crate::foundation::clock::Clock;
use crate::foundation::digest::Digest;
use crate::foundation::readiness::Readiness;

const CHECKPOINT: &str = "checkpoint";
const CONFLICT: &str = "conflict";
const LOCK: &str = "lock";

/// The name of the notice while a log that we watch is not what it should be.
const NOTICE: &str = "witness";

/// For how long checkpoints of a log may come with proofs that fail, and none that is proved, before that is an alarm. Anyone
/// can send a log's checkpoint with nonsense beside it; a log that can prove it does so at its next one.
const UNPROVED: Duration = Duration::from_mins(10);

/// The logs that we cosign.
#[derive(Debug)]
pub struct Book {
    directory: PathBuf,
    name: String,
    cosigners: Vec<Cosigner>,
    /// By their names, the keys of which one must have signed.
    logs: BTreeMap<String, Vec<VerifierKey>>,
    /// Logs that showed a smaller tree the last time: a request that came late looks the same, once.
    smaller: Mutex<BTreeMap<String, u64>>,
    /// Logs of which a checkpoint came with a proof that fails, and when the first did since one was cosigned.
    unproved: Mutex<BTreeMap<String, Duration>>,
    clock: Arc<dyn Clock>,
    alarms: Alarms,
    metrics: WitnessMetrics,
}

/// Why we can't be a witness.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// A file, or a key.
    #[error(transparent)]
    File(#[from] LogError),
    /// What we have cosigned last is not there as it was written.
    #[error(
        "`{path}` is not a checkpoint that `{origin}` has signed: {why}. Restore it: without it the log could be rolled back"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The log.
        origin: String,
        /// What is wrong.
        why: String,
    },
}

/// Why a checkpoint is not cosigned.
#[derive(Debug, thiserror::Error)]
pub enum Declined {
    /// The request is none.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The protocol has it so.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// A fault of ours.
    #[error(transparent)]
    Failed(#[from] BookError),
    /// A fault of ours: the key could not be used.
    #[error("the checkpoint can't be cosigned: {0}")]
    Unsigned(String),
}

impl Book {
    /// Opens the book in `directory`, as the witness of this name, of the logs that these keys are of: the name of a log's
    /// key is that of the log.
    ///
    /// # Errors
    /// [`BookError`]: what was cosigned last can't be read. To begin anew would be to forget it.
    pub fn open(
        directory: &Path,
        (name, key): (&str, &WitnessKey),
        keys: &[VerifierKey],
        (clock, backlog): (Arc<dyn Clock>, Backlog),
        (readiness, metrics): (Readiness, WitnessMetrics),
    ) -> Result<Self, BookError> {
        let mut logs = BTreeMap::<String, Vec<VerifierKey>>::new();
        for key in keys {
            logs.entry(key.name().to_string()).or_default().push(key.clone());
        }
        let alarms = Alarms::new(NOTICE, backlog, readiness, metrics.clone());
        let (directory, name) = (directory.to_owned(), name.to_owned());
        let (cosigners, smaller, unproved) = (key.cosigners(&name)?, Mutex::default(), Mutex::default());
        let book = Self { directory, name, cosigners, logs, smaller, unproved, clock, alarms, metrics };
        for origin in book.logs.keys() {
            directory::create(&book.of(origin))?;
            let latest = book.latest(origin)?;
            if let (Some(latest), Some(conflict)) = (latest, directory::read(&book.of(origin).join(CONFLICT))?)
                && let Ok(conflict) = SignedCheckpoint::parse(&conflict)
            {
                book.alarm(WitnessFinding::Forked, &conflict, Some(latest.unverified().head()));
            }
        }
        Ok(book)
    }

    /// What verifies our cosignatures.
    pub fn verifiers(&self) -> impl Iterator<Item = &VerifierKey> {
        self.cosigners.iter().map(Cosigner::verifier)
    }

    /// Answers the body of an `add-checkpoint` request: with our cosignatures, a line each. Blocks the thread.
    ///
    /// # Errors
    /// [`Declined`].
    pub fn add_checkpoint(&self, body: &[u8]) -> Result<String, Declined> {
        let request = AddCheckpoint::parse(body).inspect_err(|_| self.metrics.answered(None, "malformed"))?;
        let origin = request.checkpoint.unverified().origin();
        let answer = match self.logs.get_key_value(origin) {
            None => Err(Refusal::UnknownLog.into()),
            Some((origin, keys)) => self.judge(origin, keys, &request),
        };
        let known = self.logs.contains_key(origin).then_some(origin);
        self.metrics.answered(known, answer.as_ref().map_or_else(Declined::name, |_lines| "cosigned"));
        answer
    }

    /// What we have cosigned last of the log whose name has this SHA-256 in lower-case hexadecimal; `None` if nothing.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn checkpoint(&self, origin_digest: &str) -> Result<Option<Vec<u8>>, BookError> {
        let known = self.logs.keys().find(|origin| Digest::of(origin.as_bytes()).to_string() == origin_digest);
        known.map_or(Ok(None), |origin| Ok(directory::read(&self.of(origin).join(CHECKPOINT))?))
    }

    fn judge(&self, origin: &str, keys: &[VerifierKey], request: &AddCheckpoint) -> Result<String, Declined> {
        let place = self.of(origin);
        let _locked = directory::lock(&place.join(LOCK)).map_err(BookError::from)?;
        let latest = self.latest(origin)?.map(|latest| *latest.unverified().head());
        let known = KnownLog { origin, keys, latest: latest.unwrap_or_else(TreeHead::empty) };
        match decide(request, Some(&known)) {
            Ok(_) => {
                let (note, lines) = self.cosign(keys, &request.checkpoint)?;
                directory::write_through(&place.join(CHECKPOINT), note.as_bytes()).map_err(BookError::from)?;
                self.smaller.lock().unwrap_or_else(PoisonError::into_inner).remove(origin);
                self.unproved.lock().unwrap_or_else(PoisonError::into_inner).remove(origin);
                self.alarms.clear(origin, &self.name);
                Ok(lines)
            }
            Err(refusal) => {
                if let (true, Some(latest)) = (request.checkpoint.verify(keys).is_ok(), latest) {
                    self.suspect(&request.checkpoint, &latest, &refusal)?;
                }
                Err(refusal.into())
            }
        }
    }

    /// The checkpoint with the log's signatures and ours, and ours alone.
    fn cosign(&self, keys: &[VerifierKey], signed: &SignedCheckpoint) -> Result<(String, String), Declined> {
        let checkpoint = signed.unverified();
        let is_theirs = |key: &VerifierKey, name: &str| key.name().as_str() == name;
        let theirs = signed.signatures().iter().filter(|signature| {
            keys.iter().any(|key| is_theirs(key, signature.name().as_str()) && key.id() == signature.id())
        });
        let theirs: Vec<String> = theirs.map(|signature| format!("{signature}\n")).collect();
        let now = self.clock.now().unix_seconds();
        let mut ours = Vec::new();
        for cosigner in &self.cosigners {
            let signature = cosigner.cosign(checkpoint, now).map_err(|error| Declined::Unsigned(error.to_string()))?;
            ours.push(format!("{signature}\n"));
        }
        let lines = ours.concat();
        let note = format!("{checkpoint}\n{}{lines}", theirs.concat());
        Ok((note, lines))
    }

    /// What the log has signed is not the continuation of `latest`.
    fn suspect(&self, signed: &SignedCheckpoint, latest: &TreeHead, refusal: &Refusal) -> Result<(), BookError> {
        let head = signed.unverified().head();
        let origin = signed.unverified().origin();
        if head.size == latest.size && head.root != latest.root {
            let path = self.of(origin).join(CONFLICT);
            if directory::read(&path)?.is_none() {
                directory::write_through(&path, signed.to_string().as_bytes())?;
            }
            self.alarm(WitnessFinding::Forked, signed, Some(latest));
        } else if matches!(refusal, Refusal::Inconsistent(_)) {
            let now = self.clock.elapsed();
            let mut unproved = self.unproved.lock().unwrap_or_else(PoisonError::into_inner);
            let since = *unproved.entry(origin.to_owned()).or_insert(now);
            drop(unproved);
            tracing::debug!(log = origin, size = head.size, "a checkpoint came with a proof that fails: {refusal}");
            if now.saturating_sub(since) >= UNPROVED {
                self.alarm(WitnessFinding::Inconsistent, signed, Some(latest));
            }
        } else if head.size < latest.size {
            let mut smaller = self.smaller.lock().unwrap_or_else(PoisonError::into_inner);
            let again = smaller.insert(origin.to_owned(), head.size).is_some();
            drop(smaller);
            if again {
                self.alarm(WitnessFinding::Shrunk, signed, Some(latest));
            }
        }
        Ok(())
    }

    fn alarm(&self, finding: WitnessFinding, signed: &SignedCheckpoint, latest: Option<&TreeHead>) {
        let (origin, head) = (signed.unverified().origin(), signed.unverified().head());
        let cosigned = latest.map_or(0, |latest| latest.size);
        let text = match finding {
            WitnessFinding::Forked => {
                let place = self.of(origin);
                let place = place.display();
                format!("`{origin}` has signed two different trees of {} entries: `{place}` has both", head.size)
            }
            WitnessFinding::Inconsistent => format!(
                "nobody has proved for {UNPROVED:?} that the tree of {} entries, which `{origin}` has signed, continues the \
                 one of {cosigned} that was cosigned",
                head.size
            ),
            WitnessFinding::Shrunk => format!(
                "`{origin}` shows a tree of {} entries, and one of {cosigned} was cosigned: it was cut back, or someone \
                 sends old checkpoints again",
                head.size
            ),
        };
        let record = WitnessRecord {
            time: self.clock.now(),
            log: origin.to_owned(),
            witness: self.name.clone(),
            finding,
            size: head.size,
            root: digest(&head.root),
            cosigned_size: latest.map(|latest| latest.size),
            cosigned_root: latest.map(|latest| digest(&latest.root)),
        };
        self.alarms.raise(record, text);
    }

    /// What was cosigned last of this log.
    fn latest(&self, origin: &str) -> Result<Option<SignedCheckpoint>, BookError> {
        let path = self.of(origin).join(CHECKPOINT);
        let Some(bytes) = directory::read(&path)? else { return Ok(None) };
        let ours: Vec<VerifierKey> = self.verifiers().cloned().collect();
        let damaged = |why: String| BookError::Damaged { path: path.clone(), origin: origin.to_owned(), why };
        let signed = SignedCheckpoint::parse(&bytes).map_err(|error| damaged(error.to_string()))?;
        if signed.unverified().origin() != origin {
            return Err(damaged("it is of another log".to_owned()));
        }
        // By our own signature: the log's keys may have been replaced since.
        signed.verify(&ours).map_err(|error| damaged(error.to_string()))?;
        Ok(Some(signed))
    }

    fn of(&self, origin: &str) -> PathBuf {
        self.directory.join(Digest::of(origin.as_bytes()).to_string())
    }
}

impl Declined {
    /// The name in metrics.
    const fn name(&self) -> &'static str {
        match self {
            Self::Refusal(Refusal::UnknownLog) => "unknown_log",
            Self::Refusal(Refusal::Signature(_)) => "bad_signature",
            Self::Request(_) | Self::Refusal(Refusal::OldSize { .. }) => "malformed",
            Self::Refusal(Refusal::Conflict { .. }) => "conflict",
            Self::Refusal(_) => "inconsistent",
            Self::Failed(_) | Self::Unsigned(_) => "failed",
        }
    }
}

/// A hash of a tree as records have it.
pub(super) const fn digest(hash: &Hash) -> Digest {
    Digest::from_bytes(*hash.as_bytes())
}
