//! What this service needs of the identity plane, narrow enough to stand in for in a test.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use portcullis_spiffe::SpiffeId;

use crate::identity::attest::Attested;
use crate::identity::bundle::Bundle;
use crate::identity::foreign::ForeignIdentities;
use crate::identity::issue::{Changes, Identities, JwtSvid};
use crate::identity::selector::Selector;
use crate::identity::workload::{IdentifyError, Workloads};
use crate::server::UnixPeer;

/// What is true of a caller, and the bundles that it may verify others by.
pub(super) type AttestedBundles = (Attested, Vec<Arc<Bundle>>);

/// Says who a caller is, and what that grants it.
pub(super) trait Identify: fmt::Debug + Send + Sync {
    /// What is true of `peer` now, and what it is entitled to for that; nothing, if no entry fits it.
    fn identify<'a>(&'a self, peer: &'a UnixPeer) -> BoxFuture<'a, Result<(Attested, Identities), IdentifyError>>;

    /// The same with the bundles alone, ours first. Issues nothing.
    fn bundles<'a>(&'a self, peer: &'a UnixPeer) -> BoxFuture<'a, Result<AttestedBundles, IdentifyError>>;

    /// Tokens for `audience`, one for each identity of `peer` or for `only` that one; none, if no entry grants it.
    fn jwt_svids<'a>(
        &'a self,
        peer: &'a UnixPeer,
        audience: &'a [String],
        only: Option<&'a SpiffeId>,
    ) -> BoxFuture<'a, Result<Vec<JwtSvid>, IdentifyError>>;

    /// The bundle of our own trust domain.
    fn own_bundle(&self) -> Option<Arc<Bundle>>;

    /// What the identities of other trust domains may be now.
    fn foreign(&self) -> Arc<ForeignIdentities>;

    /// Something to wait on for changes from now on.
    fn changes(&self) -> Box<dyn Change>;
}

/// What one stream waits on.
pub(super) trait Change: Send {
    /// Ends when what a caller with `selectors` is entitled to may have changed. A call that is given up loses nothing.
    fn next<'a>(&'a mut self, selectors: &'a BTreeSet<Selector>) -> BoxFuture<'a, ()>;
}

impl Identify for Workloads {
    fn identify<'a>(&'a self, peer: &'a UnixPeer) -> BoxFuture<'a, Result<(Attested, Identities), IdentifyError>> {
        Box::pin(self.identify(peer))
    }

    fn bundles<'a>(&'a self, peer: &'a UnixPeer) -> BoxFuture<'a, Result<AttestedBundles, IdentifyError>> {
        Box::pin(self.bundles(peer))
    }

    fn jwt_svids<'a>(
        &'a self,
        peer: &'a UnixPeer,
        audience: &'a [String],
        only: Option<&'a SpiffeId>,
    ) -> BoxFuture<'a, Result<Vec<JwtSvid>, IdentifyError>> {
        Box::pin(self.jwt_svids(peer, audience, only))
    }

    fn own_bundle(&self) -> Option<Arc<Bundle>> {
        self.own_bundle()
    }

    fn foreign(&self) -> Arc<ForeignIdentities> {
        self.foreign()
    }

    fn changes(&self) -> Box<dyn Change> {
        Box::new(self.changes())
    }
}

impl Change for Changes {
    fn next<'a>(&'a mut self, selectors: &'a BTreeSet<Selector>) -> BoxFuture<'a, ()> {
        Box::pin(self.changed_for(selectors))
    }
}
