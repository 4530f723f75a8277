//! Follows the log for a sink.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};

use super::pace::{Pace, Step, give_all};
use super::{ExportMetrics, Sink, SinkError};
use crate::evidence::log::LogReader;
use crate::foundation::backoff::Backoff;
use crate::foundation::entropy::Entropy;
use crate::foundation::files::{PrivateFileError, read_private, write_private};
use crate::foundation::readiness::Readiness;

/// How long after a failure it is tried again, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// The longest pause that a server may ask for.
const LONGEST_WISH: Duration = Duration::from_mins(5);

/// The sinks that follow a log.
pub struct Exports {
    tasks: JoinSet<()>,
    finish: watch::Sender<bool>,
    reader: LogReader,
    published: watch::Receiver<u64>,
    told: Told,
}

/// Who is told how it goes, and what spreads the attempts of many.
#[derive(Clone, Debug)]
pub struct Told {
    /// Has a notice while a sink fails.
    pub readiness: Readiness,
    /// Counts.
    pub metrics: ExportMetrics,
    /// Spreads.
    pub entropy: Arc<dyn Entropy>,
}

/// The beginning of the name of the file of a sink's position, in the log's directory. Whoever takes entries away looks
/// for these.
pub const POSITION_PREFIX: &str = "export-";

/// How far a sink has come, kept in a file.
#[derive(Debug)]
pub struct Position {
    path: PathBuf,
    /// The first entry that it has not got.
    pub(super) next: u64,
    /// How many it is given at a time.
    pub(super) pace: Pace,
}

impl Told {
    /// Says how the sink of this name goes on, of `size` entries.
    fn of(&self, name: &str, step: &Step, size: u64) {
        match step {
            Step::Given { count, next } => self.metrics.given(name, *count, (*next, size)),
            Step::Skipped { index, why } => {
                tracing::error!(sink = name, index, "a record is refused for good, and passed over: {why}");
                self.metrics.skipped(name);
                let what = format!("record {index} is refused for good, and was passed over: {why}");
                self.readiness.notice(format!("{name}_skipped"), what);
            }
        }
    }
}

impl Position {
    /// That which the file says; a sink that is new begins with entry `start`, and the file says so from now on: whoever takes
    /// entries away sees that the sink has not got them.
    ///
    /// # Errors
    /// [`SinkError`].
    pub fn load(path: &Path, start: u64) -> Result<Self, SinkError> {
        let mut position = Self { path: path.to_owned(), next: start, pace: Pace::default() };
        match read_private(path) {
            Ok(text) => {
                let read = Self::parse(&text).ok_or_else(|| SinkError::Position(path.to_owned()))?;
                (position.next, position.pace.end) = read;
            }
            Err(PrivateFileError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                position.advance(start)?;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(position)
    }

    /// The first entry that a sink has not got, and where the message ends that was given last, if it is not known whether it
    /// arrived.
    pub(in crate::evidence) fn parse(text: &[u8]) -> Option<(u64, Option<u64>)> {
        let text = str::from_utf8(text).ok()?.trim_end();
        match text.split_once(' ') {
            Some((next, end)) => Some((next.parse().ok()?, Some(end.parse().ok()?))),
            None => Some((text.parse().ok()?, None)),
        }
    }

    /// Says that a message which ends before entry `end` is about to be given.
    pub(super) fn put_down(&mut self, end: u64) -> Result<(), SinkError> {
        if self.pace.end != Some(end) {
            write_private(&self.path, format!("{} {end}\n", self.next).as_bytes())?;
            self.pace.end = Some(end);
        }
        Ok(())
    }

    pub(super) fn advance(&mut self, next: u64) -> Result<(), SinkError> {
        write_private(&self.path, format!("{next}\n").as_bytes())?;
        self.next = next;
        Ok(())
    }
}

impl Exports {
    /// None yet. `published` says how many entries `reader` can read.
    pub fn new(reader: LogReader, published: watch::Receiver<u64>, told: Told) -> Self {
        Self { tasks: JoinSet::new(), finish: watch::Sender::new(false), reader, published, told }
    }

    /// Has `sink` follow the log from `position` on. While it fails, readiness has a notice of this name.
    pub fn follow(&mut self, name: &str, sink: impl Sink, position: Position) {
        let follower = Follower {
            name: name.to_owned(),
            reader: self.reader.clone(),
            published: self.published.clone(),
            finish: self.finish.subscribe(),
            told: self.told.clone(),
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

/// How long at least a server wants to be left alone.
fn wish(error: &SinkError) -> Duration {
    match error {
        SinkError::Later(_, wish) => (*wish).min(LONGEST_WISH),
        _ => Duration::ZERO,
    }
}

struct Follower {
    name: String,
    reader: LogReader,
    published: watch::Receiver<u64>,
    finish: watch::Receiver<bool>,
    told: Told,
}

impl Follower {
    async fn run<S: Sink>(mut self, mut work: (S, Position)) {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        let notice = || self.name.clone();
        loop {
            let is_last = *self.finish.borrow_and_update();
            let size = *self.published.borrow_and_update();
            let (reader, (mut sink, mut position)) = (self.reader.clone(), work);
            let (name, told) = (self.name.clone(), self.told.clone());
            let given = spawn_blocking(move || {
                let given = give_all(&reader, size, (&mut sink, &mut position), |step| {
                    told.of(&name, &step, size);
                });
                (given, (sink, position))
            });
            let Ok((given, back)) = given.await else {
                self.told.readiness.notice(notice(), "it panicked, and is given nothing any more");
                return;
            };
            work = back;
            if is_last {
                return;
            }
            match given {
                Ok(()) => {
                    backoff.reset();
                    self.told.readiness.clear_notice(&self.name);
                    tokio::select! {
                        Ok(()) = self.published.changed() => {}
                        Ok(()) = self.finish.changed() => {}
                        else => return,
                    }
                }
                Err(error @ SinkError::Ended(_)) => {
                    tracing::error!(sink = self.name, "records are given away no more: {error}");
                    self.told.metrics.failed(&self.name);
                    self.told.readiness.notice(notice(), error.to_string());
                    return;
                }
                Err(error) => {
                    tracing::error!(sink = self.name, "records can't be given away, and are kept for it: {error}");
                    self.told.metrics.failed(&self.name);
                    self.told.readiness.notice(notice(), error.to_string());
                    let pause = backoff.pause(&*self.told.entropy).max(wish(&error));
                    tokio::select! {
                        () = sleep(pause) => {}
                        _ = self.finish.changed() => {}
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_left_alone_as_it_wishes_and_not_for_ever() {
        let later = |seconds| wish(&SinkError::Later(String::new(), Duration::from_secs(seconds)));
        assert_eq!((later(7), later(u64::MAX)), (Duration::from_secs(7), LONGEST_WISH));
        assert_eq!(wish(&SinkError::Untold(String::new())), Duration::ZERO);
    }
}
