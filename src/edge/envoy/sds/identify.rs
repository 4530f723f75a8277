//! What this service needs of the identity plane, narrow enough to stand in for in a test.

use std::collections::BTreeSet;
use std::fmt;

use futures_util::future::BoxFuture;

use crate::identity::attest::Attested;
use crate::identity::issue::{Changes, Identities};
use crate::identity::selector::Selector;
use crate::identity::workload::{IdentifyError, Workloads};
use crate::server::UnixPeer;

/// Says who a caller is.
pub(super) trait Identify: fmt::Debug + Send + Sync {
    /// What is true of `peer` now, and what it is entitled to for that.
    fn identify<'a>(&'a self, peer: &'a UnixPeer) -> BoxFuture<'a, Result<(Attested, Identities), IdentifyError>>;

    /// Something to wait on for changes from now on.
    fn changes(&self) -> Box<dyn Change>;
}

/// What one stream waits on.
pub(super) trait Change: Send {
    /// Ends when what a caller with `selectors` is entitled to may have changed; without them, at any change. A call that
    /// is given up loses nothing.
    fn next<'a>(&'a mut self, selectors: Option<&'a BTreeSet<Selector>>) -> BoxFuture<'a, ()>;
}

impl Identify for Workloads {
    fn identify<'a>(&'a self, peer: &'a UnixPeer) -> BoxFuture<'a, Result<(Attested, Identities), IdentifyError>> {
        Box::pin(self.identify(peer))
    }

    fn changes(&self) -> Box<dyn Change> {
        Box::new(self.changes())
    }
}

impl Change for Changes {
    fn next<'a>(&'a mut self, selectors: Option<&'a BTreeSet<Selector>>) -> BoxFuture<'a, ()> {
        match selectors {
            Some(selectors) => Box::pin(self.changed_for(selectors)),
            None => Box::pin(self.changed()),
        }
    }
}
