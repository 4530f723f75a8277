//! The port that records go to. A use case appends before it answers; if it can't, the answer is an error.

use std::fmt;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::record::Record;

/// How long an answer waits for its record to be on the disk. A disk that hangs would otherwise keep answers waiting, and
/// their places taken, for as long as it likes.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Why a record was not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AppendError {
    /// Records come in faster than they can be written.
    #[error("the audit queue is full")]
    Full,
    /// Writing fails.
    #[error("the audit log failed: {0}")]
    Failed(String),
    /// This record has no form that can be written.
    #[error("the record can't be written: {0}")]
    Unwritable(String),
}

/// Where records go. Appending must not block: it is on the path of every decision.
pub trait Audit: fmt::Debug + Send + Sync {
    /// Takes a record into custody. What follows from it may be told once it is [`Taken::durable`].
    ///
    /// # Errors
    /// [`AppendError`]; the caller must then answer with an error, never with an allow.
    fn append(&self, record: Record<'_>) -> Result<Taken, AppendError>;
}

/// A record that was taken.
#[derive(Clone, Debug, Default)]
#[must_use = "what was recorded may be told once the record is durable"]
pub struct Taken(Option<Wait>);

#[derive(Clone, Debug)]
struct Wait {
    place: u64,
    progress: watch::Receiver<Progress>,
}

/// How far a log has written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// How many of the records that it took are on the disk.
    pub durable: u64,
    /// Whether there will be no more.
    pub is_over: bool,
}

impl Taken {
    /// A record that nothing has to wait for.
    pub const NOW: Self = Self(None);

    /// That of the record at this place, counted from 1: it is durable once so many are.
    pub const fn at(place: u64, progress: watch::Receiver<Progress>) -> Self {
        Self(Some(Wait { place, progress }))
    }

    /// Whether there is nothing to wait for.
    pub fn is_durable(&self) -> bool {
        self.0.as_ref().is_none_or(|wait| wait.progress.borrow().durable >= wait.place)
    }

    /// Waits until the record is as durable as the operator wants it.
    ///
    /// # Errors
    /// [`AppendError::Failed`]: it never will be, or not soon. It may be recorded yet.
    pub async fn durable(self) -> Result<(), AppendError> {
        let Some(mut wait) = self.0 else { return Ok(()) };
        let settled = wait.progress.wait_for(|progress| progress.durable >= wait.place || progress.is_over);
        let Ok(settled) = timeout(PATIENCE, settled).await else {
            return Err(AppendError::Failed(format!("the record was not on the disk within {PATIENCE:?}")));
        };
        match settled {
            Ok(progress) if progress.durable >= wait.place => Ok(()),
            _ => Err(AppendError::Failed("it was closed before the record was on the disk".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_waits_for_the_disk_and_not_for_ever() {
        let (progress, seen) = watch::channel(Progress::default());
        let taken = Taken::at(2, seen);
        assert!(!taken.is_durable());
        let hangs = taken.clone().durable().await.unwrap_err();
        assert!(hangs.to_string().contains("within 5s"), "{hangs}");
        progress.send_modify(|progress| progress.durable = 2);
        assert!(taken.is_durable());
        taken.clone().durable().await.unwrap();
        progress.send_modify(|progress| *progress = Progress { durable: 1, is_over: true });
        assert!(taken.durable().await.is_err());
    }
}
