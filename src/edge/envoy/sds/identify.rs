//! What this service needs of the identity plane, narrow enough to stand in for in a test.

use std::fmt;
use std::pin::Pin;

use futures_util::future::BoxFuture;

use crate::identity::issue::Identities;
use crate::identity::workload::{IdentifyError, Workloads};
use crate::server::UnixPeer;

/// Ends at a change.
pub(super) type Change = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Says who a caller is.
pub(super) trait Identify: fmt::Debug + Send + Sync {
    /// What `peer` is entitled to now.
    fn identities<'a>(&'a self, peer: &'a UnixPeer) -> BoxFuture<'a, Result<Identities, IdentifyError>>;

    /// Ends when what a caller is entitled to may have changed since this call.
    fn change(&self) -> Change;
}

impl Identify for Workloads {
    fn identities<'a>(&'a self, peer: &'a UnixPeer) -> BoxFuture<'a, Result<Identities, IdentifyError>> {
        Box::pin(self.identities(peer))
    }

    fn change(&self) -> Change {
        let mut changes = self.changes();
        Box::pin(async move { changes.changed().await })
    }
}
