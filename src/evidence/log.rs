//! The transparency log: every record is a leaf of one Merkle tree (RFC 6962 section 2), in the files of a tiled log (C2SP
//! tlog-tiles) that any static server can serve, under signed checkpoints (C2SP tlog-checkpoint). Whoever has the log's public key
//! can tell that a record is in it and that none was changed or taken out, and needs nothing else from us.
//!
//! A record becomes bytes in the thread that brings it, and waits in a bounded `queue`. One thread appends all that wait
//! to the `journal`, with one sync. Another makes entry bundles, tiles and checkpoints of the journal, off the path of
//! any answer. What a crash can take is what waited in the queue: with [`Durability::Strict`] nobody was told of it.

mod archive;
mod checkpoints;
pub(in crate::evidence) mod directory;
mod error;
mod health;
mod journal;
pub(in crate::evidence) mod key;
mod metrics;
mod publishing;
mod queue;
mod reading;
mod retention;
mod sync;
mod tree;
mod writing;

use std::cell::RefCell;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use portcullis_tlog::bundle::MAX_ENTRY;
use tokio::sync::watch;

pub use self::archive::{Archive, CertificateKeeper, Shelf};
use self::checkpoints::CHECKPOINT;
pub use self::checkpoints::Checkpoints;
pub use self::error::LogError;
use self::health::Health;
use self::journal::Journal;
pub use self::key::{LogKey, ML_DSA_44_VERIFIER};
pub use self::metrics::LogMetrics;
use self::publishing::Publisher;
use self::queue::{Queue, Refused};
pub use self::reading::{Entries, LogReader};
pub use self::retention::{Hold, Plan, Retention, RetentionError};
pub use self::tree::{Tiles, Tree};
use super::audit::{AppendError, Audit, Progress, Taken};
use super::record::Record;
use super::record::encoding::{self, Writer};
use super::record::shorten::shortened;
use crate::foundation::clock::Clock;
use crate::foundation::readiness::Readiness;

/// How the log is kept.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Where: a directory of our own.
    pub directory: PathBuf,
    /// The log's name, unique in the world: the first line of its checkpoints.
    pub origin: String,
    /// Who writes the records.
    pub writer: Writer,
    /// How many records may wait to be written before further ones are refused.
    pub queue: NonZeroUsize,
    /// When an answer may follow its record.
    pub durability: Durability,
    /// What becomes of answers whose records can't be taken.
    pub unavailable: Unavailable,
    /// With [`Durability::Group`], how long records wait for others to be written with them: a sync costs the processor as much as
    /// dozens of decisions. One that comes alone is written at once.
    pub sync_every: Duration,
    /// How long after a record there is at latest a checkpoint that has it.
    pub checkpoint_every: Duration,
}

/// When an answer may follow its record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Durability {
    /// As soon as the record waits to be written. A crash loses what waited.
    Group,
    /// Once the record is on the disk.
    Strict,
}

/// What becomes of answers whose records can't be taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unavailable {
    /// They become errors.
    Refuse,
    /// They are given, counted, and the gateway says so. The operator must have chosen this.
    Alarm,
}

/// The side that records are given to.
#[derive(Debug)]
pub struct Log(Arc<Shared>);

/// The side that ends it. The process holds it until nothing appends any more, then calls [`Keeper::finish`]; dropping
/// it closes the log without waiting for what is queued.
#[must_use = "dropping the keeper closes the log"]
pub struct Keeper {
    shared: Arc<Shared>,
    ended: Receiver<()>,
}

#[derive(Debug)]
struct Shared {
    config: LogConfig,
    /// Closed at the end. Who takes then sees all that was accepted, and that it was the last.
    queue: Arc<Queue>,
    progress: watch::Sender<Progress>,
    /// How many entries are under a checkpoint.
    published: watch::Sender<u64>,
    health: Health,
    readiness: Readiness,
    metrics: LogMetrics,
}

/// Why not all records were written when the end came.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// Writing had failed.
    #[error("the audit log failed: {0}")]
    Failed(String),
    /// Writing took longer than it may.
    #[error("the audit log was not written out within {0:?}")]
    Late(Duration),
}

impl Log {
    /// Opens the log, cuts off what a crash left unfinished, and starts the threads that write it. While writing fails,
    /// `readiness` is blocked as `audit`.
    ///
    /// # Errors
    /// [`LogError`]: what is there is not a consistent end of what was published.
    pub fn open(
        config: LogConfig,
        key: &LogKey,
        clock: Arc<dyn Clock>,
        readiness: Readiness,
        metrics: LogMetrics,
    ) -> Result<(Self, Keeper), LogError> {
        directory::create(&config.directory)?;
        let (size, journal) = open_files(&config, key)?;
        let publisher = Publisher::new(&config, key, Arc::clone(&clock))?;
        let queue = Arc::new(Queue::new(config.queue.get()));
        metrics.taken.watch(&queue);
        let shared = Arc::new(Shared {
            queue,
            progress: watch::Sender::default(),
            published: watch::Sender::new(size),
            health: Health::new(clock, readiness.clone()),
            readiness,
            metrics,
            config,
        });
        let (ending, ended) = channel::<()>();
        let (teller, news) = publishing::news();
        writing::start(Arc::clone(&shared), journal, teller, ending.clone())?;
        publishing::start(Arc::clone(&shared), publisher, news, ending)?;
        Ok((Self(Arc::clone(&shared)), Keeper { shared, ended }))
    }

    /// Takes a record that must be on the disk before what it speaks of is done, however answers are given.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn append_strictly(&self, record: &Record<'_>) -> Result<Taken, AppendError> {
        let place = self.0.append(record)?;
        self.0.queue.hasten();
        Ok(Taken::at(place, self.0.progress.subscribe()))
    }

    /// How many entries are under a checkpoint, and when that changes.
    pub fn published(&self) -> watch::Receiver<u64> {
        self.0.published.subscribe()
    }
}

/// The size of the tree, and the journal that goes on from there. A process that hands over to this one may publish
/// meanwhile, and take away what is published.
fn open_files(config: &LogConfig, key: &LogKey) -> Result<(u64, Journal), LogError> {
    let verifier = key.verifier(&config.origin)?;
    let mut before = None;
    loop {
        let size = Tree::open(&config.directory, &config.origin, &verifier)?.size();
        match Journal::open(&config.directory.join(JOURNAL), size) {
            Err(LogError::Missing { .. }) if before != Some(size) => before = Some(size),
            opened => return Ok((size, opened?)),
        }
    }
}

impl Audit for Log {
    fn append(&self, record: Record<'_>) -> Result<Taken, AppendError> {
        match self.0.append(&record) {
            Err(error) if self.0.config.unavailable == Unavailable::Alarm => {
                self.0.metrics.unrecorded.inc();
                self.0.health.alarm(&error);
                Ok(Taken::NOW)
            }
            Err(error) => Err(error),
            Ok(place) => Ok(match self.0.config.durability {
                Durability::Group => Taken::NOW,
                Durability::Strict => Taken::at(place, self.0.progress.subscribe()),
            }),
        }
    }
}

thread_local! {
    /// Where a thread writes its record before it takes the queue's lock.
    static ENTRY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// How much memory each thread keeps for its record, in bytes; few are longer.
const ENTRY_BYTES: usize = 4096;

/// The name of the journal, below the log's directory.
const JOURNAL: &str = "journal";

impl Shared {
    /// Says the how manyth it is of all that were taken.
    fn append(&self, record: &Record<'_>) -> Result<u64, AppendError> {
        // Who would wait for a disk that hangs is told at once; else it is tried as long as there is room.
        if self.health.fails() || self.config.durability == Durability::Strict && self.health.hangs() {
            self.metrics.refused_failed.inc();
            return Err(self.health.error());
        }
        let put = ENTRY.with_borrow_mut(|entry| {
            entry.clear();
            entry.shrink_to(ENTRY_BYTES);
            self.write(entry, record)?;
            if entry.len() > MAX_ENTRY {
                entry.clear();
                shortened(record, |short| self.write(entry, short))?;
            }
            Ok(self.queue.put(entry))
        })?;
        put.map_err(|refused| self.refused(refused))
    }

    /// Counts a record that the queue does not take, and says why it does not.
    fn refused(&self, why: Refused) -> AppendError {
        let metrics = &self.metrics;
        let counter = if why == Refused::Full { &metrics.refused_full } else { &metrics.refused_failed };
        counter.inc();
        match why {
            Refused::Full if self.health.hangs() => self.health.error(),
            Refused::Full => AppendError::Full,
            Refused::TooLong => AppendError::Unwritable("it is too long".to_owned()),
            Refused::Closed => self.health.error(),
        }
    }

    fn write(&self, entry: &mut Vec<u8>, record: &Record<'_>) -> Result<(), AppendError> {
        let written = encoding::write(entry, &self.config.writer, record);
        written.map_err(|error| AppendError::Unwritable(error.to_string()))
    }

    /// Nothing is taken any more: a thread is gone.
    fn ended(&self, message: &str) {
        self.health.ended(message);
        self.queue.close();
    }

    fn published(&self, size: u64) {
        self.metrics.size.set(i64::try_from(size).unwrap_or(i64::MAX));
        self.published.send_replace(size);
    }
}

impl Keeper {
    /// Takes no more records, writes those that were accepted, and publishes them. Blocks the thread for at most
    /// `deadline`.
    ///
    /// # Errors
    /// [`FinishError`]: then some accepted records may not be written.
    pub fn finish(self, deadline: Duration) -> Result<(), FinishError> {
        self.shared.queue.close();
        // Nothing is ever sent: the end of both threads closes the channel.
        if let Err(RecvTimeoutError::Timeout) = self.ended.recv_timeout(deadline) {
            return Err(FinishError::Late(deadline));
        }
        match self.shared.health.error() {
            AppendError::Failed(why) if self.shared.health.fails() => Err(FinishError::Failed(why)),
            _ => Ok(()),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keeper").field(&self.shared).finish()
    }
}

#[cfg(test)]
mod interleavings;
#[cfg(test)]
pub(in crate::evidence) mod tests;
