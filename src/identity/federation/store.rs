//! The port that foreign bundles and federation relationships are kept behind.

use std::fmt;
use std::sync::Arc;

use portcullis_spiffe::TrustDomain;

use super::Relationship;
use crate::identity::bundle::Bundle;

/// All that is kept of a trust domain's federation, at one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Federated {
    /// The bundles of others, in no order.
    pub bundles: Vec<Bundle>,
    /// The relationships, in no order.
    pub relationships: Vec<Relationship>,
    /// Which change was the last; 0 if there was none yet. What is here may be of a later one, but never of an earlier.
    pub sequence: u64,
}

/// One change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FederationWrite {
    /// Keeps the bundle, in place of the one of its trust domain.
    PutBundle(Arc<Bundle>),
    /// Forgets the bundle of this trust domain.
    DeleteBundle(TrustDomain),
    /// Keeps the relationship, in place of the one with its trust domain.
    PutRelationship(Arc<Relationship>),
    /// Forgets the relationship with this trust domain.
    DeleteRelationship(TrustDomain),
}

/// Why the store did not take or give anything.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FederationStoreError {
    /// Another process wrote since `expected`; nothing was changed. Load again, and try again.
    #[error("another process changed the federation meanwhile")]
    Raced,
    /// The database failed; nothing was changed, or it is not known whether all was.
    #[error("the store failed: {0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A future that the port returns, so that it can be a trait object.
pub type FederationFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, FederationStoreError>> + Send + 'a>>;

/// Where one trust domain's federation is kept. Few and small things that seldom change: whoever missed a change loads
/// all.
pub trait FederationStore: fmt::Debug + Send + Sync {
    /// All that is kept.
    fn load(&self) -> FederationFuture<'_, Federated>;

    /// Which change was the last: a look at one row.
    fn sequence(&self) -> FederationFuture<'_, u64>;

    /// Does all of `writes` or none, durably, if the last change is still `expected`. Returns the number of this one.
    fn apply<'a>(&'a self, expected: u64, writes: &'a [FederationWrite]) -> FederationFuture<'a, u64>;

    /// Ends when another process may have changed something since the last call; it need not have. The first call, and
    /// one after a lost connection, end at once. For one caller at a time.
    fn wait(&self) -> FederationFuture<'_, ()>;
}
