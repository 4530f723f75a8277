//! Records given to others: each sink follows the log at its own pace, from where it was when it last succeeded. So
//! every record is given to it at least once and in order, and a sink that is slow or away holds up nobody.

mod file;
mod follow;
mod line;
mod metrics;
mod ocsf;
mod otlp;
mod pace;
mod post;
mod target;
mod webhook;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

pub use self::follow::{Exports, POSITION_PREFIX, Position, Told};
pub use self::metrics::ExportMetrics;
pub use self::otlp::Otlp;
pub use self::post::{Answer, Courier, Form, Message, Posts};
pub use self::target::{Destination, JsonLines, LineForm};
pub use self::webhook::{Shape, Webhook, WebhookKey, WebhookKeyError};
use super::log::LogError;
use super::record::encoding::{OwnedRecord, ReadError};
use crate::foundation::files::PrivateFileError;

/// One record of the log.
#[derive(Debug)]
pub struct Exported<'a> {
    /// Its number.
    pub index: u64,
    /// What it says.
    pub record: OwnedRecord<'a>,
}

/// Where records are given to.
pub trait Sink: Send + 'static {
    /// Gives records away, in order. If it fails, the same are given again; if they are [`SinkError::Unacceptable`], fewer
    /// of them, and a single one no more.
    ///
    /// # Errors
    /// [`SinkError`].
    fn give(&mut self, records: &[Exported<'_>]) -> Result<(), SinkError>;

    /// Whether what is given at a time has a name, which follows from its first and its last record. Where it ends is put down
    /// before it is given then, so that a process which comes after this one gives the same again under that name.
    fn names_messages(&self) -> bool {
        false
    }
}

/// Why a sink can't be opened, or failed later.
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
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What is in the log is no record.
    #[error("entry {index} of the log: {source}")]
    Record {
        /// Which.
        index: u64,
        /// What is wrong with it.
        source: ReadError,
    },
    /// A record has no form that can be written.
    #[error("a record can't be written: {0}")]
    Unwritable(#[from] serde_json::Error),
    /// A server did not take what it was told.
    #[error("{0}")]
    Untold(String),
    /// A server did not take it, and wants to be told again after this time at the soonest.
    #[error("{0}")]
    Later(String, Duration),
    /// A server will never take what it was told.
    #[error("{0}")]
    Unacceptable(String),
    /// A server wants to be told nothing any more.
    #[error("{0}")]
    Ended(String),
    /// Where it was is not known.
    #[error("`{0}` does not hold a position in the log")]
    Position(PathBuf),
}

#[cfg(test)]
mod tests;
