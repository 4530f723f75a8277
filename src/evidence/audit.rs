//! The port that records go to. A use case appends before it answers; if it can't, the answer is an error.

use std::fmt;

use super::record::Record;

/// Why a record was not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// Records come in faster than they can be written.
    #[error("the audit queue is full")]
    Full,
    /// Writing failed, and nothing more will be taken until the process is restarted.
    #[error("the audit log failed: {0}")]
    Failed(String),
    /// This record has no form that can be written.
    #[error("the record can't be written: {0}")]
    Unwritable(String),
}

/// Where records go. Appending must not block: it is on the path of every decision.
pub trait Audit: fmt::Debug + Send + Sync {
    /// Takes a record into custody.
    ///
    /// # Errors
    /// [`AppendError`]; the caller must then answer with an error, never with an allow.
    fn append(&self, record: Record<'_>) -> Result<(), AppendError>;
}
