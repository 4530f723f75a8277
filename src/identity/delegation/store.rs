//! The port that revocations of delegated tokens are kept behind.

use std::fmt;

use super::{Revocation, Revoked};
use crate::foundation::clock::Timestamp;

/// All revocations of a trust domain, at one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KeptRevocations {
    /// In no order; some may be over.
    pub revocations: Vec<Revocation>,
    /// Which change was the last; 0 if there was none yet. What is here may be of a later one, but never of an earlier.
    pub sequence: u64,
}

/// The store behind the port failed; nothing was changed, or it is not known whether all was.
#[derive(Debug, thiserror::Error)]
#[error("the store failed: {0}")]
pub struct RevocationStoreError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// A future that the port returns, so that it can be a trait object.
pub type RevocationFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, RevocationStoreError>> + Send + 'a>>;

/// Where one trust domain's revocations are kept. Few and small things: whoever missed a change loads all.
pub trait RevocationStore: fmt::Debug + Send + Sync {
    /// All that is kept.
    fn load(&self) -> RevocationFuture<'_, KeptRevocations>;

    /// Which change was the last: a look at one row.
    fn sequence(&self) -> RevocationFuture<'_, u64>;

    /// Keeps it durably, in place of the one about the same, and forgets those that are over at `now`. Returns the number of
    /// this change.
    fn put<'a>(&'a self, revocation: &'a Revocation, now: Timestamp) -> RevocationFuture<'a, u64>;

    /// Forgets what is kept about this, if anything is. Returns the number of this change.
    fn delete<'a>(&'a self, revoked: &'a Revoked) -> RevocationFuture<'a, u64>;

    /// Ends when another process may have changed something since the last call; it need not have. The first call, and
    /// one after a lost connection, end at once. For one caller at a time.
    fn wait(&self) -> RevocationFuture<'_, ()>;
}
