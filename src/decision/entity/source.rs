//! The port to where entities come from.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::intake::{Intake, IntakeError};

/// What a source gives, sooner or later.
pub type SourceFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, SourceError>> + Send + 'a>>;

/// Why a source could not be read. What it said before stands.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// What it gives can't be understood as a whole.
    #[error(transparent)]
    Intake(#[from] IntakeError),
    /// It can't be reached, or broke off.
    #[error("{0}")]
    Unavailable(String),
}

/// How much of the source a reading covered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Extent {
    /// All of it: what was not mentioned is not there.
    Whole,
    /// What changed since the reading before.
    Changes,
    /// Nothing changed since then.
    Nothing,
}

/// Where entities come from. One task reads it, again and again.
pub trait EntitySource: fmt::Debug + Send {
    /// Reads what changed since the last reading that went well, or all there is if `whole` or if the source can't tell.
    /// After an error the next reading must not miss what this one would have given.
    ///
    /// # Errors
    /// [`SourceError`]; then what `intake` has got counts for nothing.
    fn read<'a>(&'a mut self, whole: bool, intake: &'a mut Intake) -> SourceFuture<'a, Extent>;

    /// Ends once there may be something new. May end too early, and may be given up at any moment.
    ///
    /// # Errors
    /// [`SourceError`] if that can't be told; then there may be something new, too.
    fn wait(&mut self) -> SourceFuture<'_, ()>;
}
