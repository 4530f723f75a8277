//! Records as lines of JSON, in a file or on standard output: the plain sink of the audit port. It is not tamper-evident;
//! whoever may write the file may change it.
//!
//! [`JsonLines`] writes a record down as a line in a bounded queue and returns at once; one thread writes the queue to the
//! destination in order, all that is there at a time, and syncs after each. A sync costs the processor as much as dozens
//! of decisions, so under load there is a pause between two. A sink that failed once stays failed: there would be a hole where nobody could tell
//! what is missing. What is still in the queue when the process is killed is lost; what was synced is not.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use std::{fmt, io, thread};

use self::waiting::{Lines, Refused, Waiting};
use super::audit::{AppendError, Audit};
use super::record::Record;
use crate::foundation::files::PrivateFileError;
use crate::foundation::readiness::{Blocker, Readiness};

pub use metrics::Metrics;

mod file;
mod line;
mod metrics;
mod target;
mod waiting;

#[cfg(test)]
mod tests;

/// Where the lines go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Destination {
    /// Standard output, which something else keeps.
    Stdout,
    /// A file of ours in a directory that only we may enter. If it is renamed or removed, a new one is begun. What is
    /// there and not a file, such as a FIFO, is written to as it is; opening a FIFO waits for its reader.
    File(PathBuf),
}

/// How records are written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JsonLinesConfig {
    /// Where to.
    pub destination: Destination,
    /// How many records may wait to be written before further ones are refused.
    pub queue: NonZeroUsize,
}

/// Why the sink can't be opened, or failed later.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The file or its directory is not private.
    #[error(transparent)]
    NotPrivate(#[from] PrivateFileError),
    /// The file holds something else than records; writing there would spoil it.
    #[error("`{path}` is there already and does not begin with a record", path = .0.display())]
    Foreign(PathBuf),
    /// The operating system refused.
    #[error("`{path}`: {source}")]
    Io {
        /// The file, or what stands for it.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no thread to write with.
    #[error("the writing thread can't be started: {0}")]
    Thread(io::Error),
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

/// The side that records are given to.
#[derive(Debug)]
pub struct JsonLines(Arc<Shared>);

/// The side that ends it. The process holds it until nothing appends any more, then calls [`Writer::finish`]; dropping
/// it closes the sink without waiting for what is queued.
#[must_use = "dropping the writer closes the sink"]
pub struct Writer {
    shared: Arc<Shared>,
    ended: Receiver<()>,
}

#[derive(Debug)]
struct Shared {
    /// Closed at the end. Who takes then sees all that was accepted, and that it was the last.
    waiting: Waiting,
    failure: OnceLock<Failure>,
    metrics: Metrics,
}

#[derive(Debug)]
struct Failure {
    message: String,
    _not_ready: Blocker,
}

impl JsonLines {
    /// Opens the destination, repairs the end that a crash may have left, and starts the writing thread. If writing
    /// fails later, `readiness` is blocked as `audit` from then on.
    ///
    /// # Errors
    /// [`SinkError`].
    pub fn open(config: &JsonLinesConfig, readiness: Readiness, metrics: Metrics) -> Result<(Self, Writer), SinkError> {
        let target = target::Target::open(&config.destination, metrics.clone())?;
        let shared = Shared { waiting: Waiting::new(config.queue.get()), failure: OnceLock::new(), metrics };
        let shared = Arc::new(shared);
        let (ending, ended) = channel::<()>();
        let writing = Arc::clone(&shared);
        let thread = thread::Builder::new().name("audit".into()).spawn(move || {
            if catch_unwind(AssertUnwindSafe(|| write_all(&writing, target, &readiness))).is_err() {
                writing.fail("the writing thread panicked".into(), &readiness);
            }
            drop(ending);
        });
        match thread {
            Ok(_detached) => Ok((Self(Arc::clone(&shared)), Writer { shared, ended })),
            Err(error) => Err(SinkError::Thread(error)),
        }
    }
}

impl Audit for JsonLines {
    fn append(&self, record: Record<'_>) -> Result<(), AppendError> {
        let Shared { waiting, metrics, .. } = &*self.0;
        let put = LINE.with_borrow_mut(|line| {
            line.clear();
            line.shrink_to(LINE_BYTES);
            line::write(line, &record).map_err(|error| AppendError::Unwritable(error.to_string()))?;
            Ok(waiting.put(line))
        })?;
        match put {
            Ok(()) => {
                metrics.waiting.inc();
                Ok(())
            }
            Err(Refused::Full) => {
                metrics.refused_full.inc();
                Err(AppendError::Full)
            }
            Err(Refused::Closed) => {
                metrics.refused_failed.inc();
                Err(AppendError::Failed(self.0.failure_message().unwrap_or("it was closed").to_owned()))
            }
        }
    }
}

thread_local! {
    /// Where a thread writes its line before it takes the queue's lock.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// How much memory each thread keeps for its line, in bytes; few are longer.
const LINE_BYTES: usize = 4096;

impl Writer {
    /// Takes no more records, writes those that were accepted and syncs. Blocks the thread for at most `deadline`.
    ///
    /// # Errors
    /// [`FinishError`]: then some accepted records may not be written.
    pub fn finish(self, deadline: Duration) -> Result<(), FinishError> {
        self.shared.waiting.close();
        // Nothing is ever sent: the writing thread's end closes the channel.
        if let Err(RecvTimeoutError::Timeout) = self.ended.recv_timeout(deadline) {
            return Err(FinishError::Late(deadline));
        }
        match self.shared.failure_message() {
            Some(message) => Err(FinishError::Failed(message.to_owned())),
            None => Ok(()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.waiting.close();
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Writer").field(&self.shared).finish()
    }
}

impl Shared {
    fn failure_message(&self) -> Option<&str> {
        self.failure.get().map(|failure| failure.message.as_str())
    }

    fn fail(&self, message: String, readiness: &Readiness) {
        let not_ready = readiness.block("audit", message.as_str());
        let _only_one_thread_fails = self.failure.set(Failure { message, _not_ready: not_ready });
        self.waiting.close();
    }
}

/// The least time from one sync to the next. What is written is at risk for that much longer, and no answer waits for it.
const PAUSE: Duration = Duration::from_millis(10);

/// The writing thread: ends when the queue has been closed and emptied, or at the first failure.
fn write_all(shared: &Shared, mut target: target::Target, readiness: &Readiness) {
    let Shared { waiting, metrics, .. } = shared;
    let mut emptied = Lines::default();
    while let Some(lines) = waiting.take(emptied) {
        metrics.waiting.dec_by(count(lines.count));
        if let Err(error) = target.write(&lines.bytes) {
            shared.fail(error.to_string(), readiness);
            let behind = waiting.take(Lines::default()).map_or(0, |lines| lines.count);
            metrics.waiting.dec_by(count(behind));
            let lost = lines.count + behind;
            metrics.lost.inc_by(count(lost).unsigned_abs());
            tracing::error!(%error, records = lost, "the audit log failed, and these records may not be in it");
            return;
        }
        metrics.written.inc_by(count(lines.count).unsigned_abs());
        metrics.batches.inc();
        emptied = lines;
        waiting.gather(PAUSE);
    }
}

fn count(records: usize) -> i64 {
    i64::try_from(records).unwrap_or(i64::MAX)
}
