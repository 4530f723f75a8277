//! The port that entries are kept behind.

use std::fmt;
use std::sync::Arc;

use super::Entry;

/// All entries at one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Registered {
    /// In no order.
    pub entries: Vec<Entry>,
    /// Which change was the last; 0 if there was none yet.
    pub sequence: u64,
}

/// What became of the entries after some moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Changed {
    /// Those made or changed, as they are now.
    pub put: Vec<Entry>,
    /// The ids of those deleted.
    pub deleted: Vec<Arc<str>>,
    /// Which change was the last.
    pub sequence: u64,
}

/// One change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Write {
    /// Makes the entry, or puts it in place of the one with its id.
    Put(Arc<Entry>),
    /// Deletes the entry with this id.
    Delete(Arc<str>),
}

impl Write {
    /// Which entry it concerns.
    pub fn id(&self) -> &str {
        match self {
            Self::Put(entry) => &entry.id,
            Self::Delete(id) => id,
        }
    }

    /// What the entry is afterwards; `None` if there is none.
    pub fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Put(entry) => Some(entry),
            Self::Delete(_) => None,
        }
    }
}

/// Why the store did not take or give entries.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process wrote since `expected`; nothing was changed. Read what changed, and try again.
    #[error("another process changed the entries meanwhile")]
    Raced,
    /// The database failed; nothing was changed, or it is not known whether all was.
    #[error("the store failed: {0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A future that the port returns, so that it can be a trait object.
pub type StoreFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Where entries are kept. Changes are numbered in the order in which they are committed, without holes that fill later:
/// who has read up to a number has missed nothing (spire#5021, #5151).
pub trait RegistryStore: fmt::Debug + Send + Sync {
    /// All entries.
    fn load(&self) -> StoreFuture<'_, Registered>;

    /// Does all of `writes` or none, durably, if the last change is still `expected`. Returns the number of the last of them.
    fn apply(&self, expected: u64, writes: Vec<Write>) -> StoreFuture<'_, u64>;

    /// What changed after the change `sequence`; `None` if that is no longer known, and all must be loaded. Costs a look
    /// at one row if nothing did.
    fn changes_since(&self, sequence: u64) -> StoreFuture<'_, Option<Changed>>;

    /// Ends when another process may have changed something since the last call; it need not have. The first call, and
    /// one after an error, end at once. A lost connection is an error: what is at the other end of the next one may have
    /// forgotten changes, and numbered others alike. For one caller at a time.
    fn wait(&self) -> StoreFuture<'_, ()>;
}
