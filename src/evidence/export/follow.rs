//! Follows the log for a sink.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};

use super::{Exported, Sink, SinkError};
use crate::evidence::log::LogReader;
use crate::evidence::record::encoding;
use crate::foundation::files::{PrivateFileError, read_private, write_private};
use crate::foundation::readiness::Readiness;

/// How long after a failure it is tried again, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// The sinks that follow a log.
pub struct Exports {
    tasks: JoinSet<()>,
    finish: watch::Sender<bool>,
    reader: LogReader,
    published: watch::Receiver<u64>,
    readiness: Readiness,
}

/// How far a sink has come, kept in a file.
#[derive(Debug)]
pub struct Position {
    path: PathBuf,
    next: u64,
}

impl Position {
    /// That which the file says; a sink that is new begins with entry `start`.
    ///
    /// # Errors
    /// [`SinkError`].
    pub fn load(path: &Path, start: u64) -> Result<Self, SinkError> {
        let next = match read_private(path) {
            Ok(text) => {
                let number = str::from_utf8(&text).ok().and_then(|text| text.trim_end().parse().ok());
                number.ok_or_else(|| SinkError::Position(path.to_owned()))?
            }
            Err(PrivateFileError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => start,
            Err(error) => return Err(error.into()),
        };
        Ok(Self { path: path.to_owned(), next })
    }

    fn advance(&mut self, next: u64) -> Result<(), SinkError> {
        write_private(&self.path, format!("{next}\n").as_bytes())?;
        self.next = next;
        Ok(())
    }
}

impl Exports {
    /// None yet. `published` says how many entries `reader` can read.
    pub fn new(reader: LogReader, published: watch::Receiver<u64>, readiness: Readiness) -> Self {
        Self { tasks: JoinSet::new(), finish: watch::Sender::new(false), reader, published, readiness }
    }

    /// Has `sink` follow the log from `position` on. While it fails, readiness has a notice of this name.
    pub fn follow(&mut self, name: &'static str, sink: impl Sink, position: Position) {
        let follower = Follower {
            name,
            reader: self.reader.clone(),
            published: self.published.clone(),
            finish: self.finish.subscribe(),
            readiness: self.readiness.clone(),
        };
        self.tasks.spawn(follower.run((sink, position)));
    }

    /// Gives away what is published and not given yet, for at most `deadline`; what is left then is given after the next
    /// start.
    pub async fn finish(mut self, deadline: Duration) {
        self.finish.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(deadline, all).await.is_err() {
            tracing::warn!("not all records were given to those who follow; they are after the next start");
        }
    }
}

impl fmt::Debug for Exports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exports").field("reader", &self.reader).finish_non_exhaustive()
    }
}

struct Follower {
    name: &'static str,
    reader: LogReader,
    published: watch::Receiver<u64>,
    finish: watch::Receiver<bool>,
    readiness: Readiness,
}

impl Follower {
    async fn run<S: Sink>(mut self, mut work: (S, Position)) {
        let mut pause = RETRY.0;
        loop {
            let is_last = *self.finish.borrow_and_update();
            let size = *self.published.borrow_and_update();
            let (reader, (mut sink, mut position)) = (self.reader.clone(), work);
            let given = spawn_blocking(move || {
                let given = give_all(&reader, size, &mut sink, &mut position);
                (given, (sink, position))
            });
            let Ok((given, back)) = given.await else {
                self.readiness.notice(self.name, "it panicked, and is given nothing any more".to_owned());
                return;
            };
            work = back;
            if is_last {
                return;
            }
            match given {
                Ok(()) => {
                    pause = RETRY.0;
                    self.readiness.clear_notice(self.name);
                    tokio::select! {
                        Ok(()) = self.published.changed() => {}
                        Ok(()) = self.finish.changed() => {}
                        else => return,
                    }
                }
                Err(error) => {
                    tracing::error!(sink = self.name, "records can't be given away, and are kept for it: {error}");
                    self.readiness.notice(self.name, error.to_string());
                    tokio::select! {
                        () = sleep(pause) => pause = pause.saturating_mul(2).min(RETRY.1),
                        _ = self.finish.changed() => {}
                    }
                }
            }
        }
    }
}

fn give_all(reader: &LogReader, size: u64, sink: &mut impl Sink, position: &mut Position) -> Result<(), SinkError> {
    while position.next < size {
        let entries = reader.entries(position.next, size)?;
        let records: Result<Vec<_>, _> = (entries.first..)
            .zip(&entries.entries)
            .map(|(index, bytes)| match encoding::read(bytes) {
                Ok(entry) => Ok(Exported { index, record: entry.record }),
                Err(source) => Err(SinkError::Record { index, source }),
            })
            .collect();
        let records = records?;
        sink.give(&records)?;
        position.advance(entries.first + u64::try_from(records.len()).unwrap_or(0))?;
    }
    Ok(())
}
