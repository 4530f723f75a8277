//! What this service needs of the identity plane, narrow enough to stand in for in a test.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use portcullis_spiffe::SpiffeId;

use crate::identity::bundle::Bundle;
use crate::identity::issue::{Changes, Identities, JwtSvid};
use crate::identity::workload::{IdentifyError, Workloads};
use crate::server::UnixPeer;

/// Says who a caller is, and what that grants it.
pub(super) trait Identify: fmt::Debug + Send + Sync {
    /// What `peer` is entitled to now; nothing, if no entry fits it.
    fn identities<'a>(&'a self, peer: &'a UnixPeer) -> BoxFuture<'a, Result<Identities, IdentifyError>>;

    /// The bundles alone, ours first; none, if no entry fits `peer`. Issues nothing.
    fn bundles<'a>(&'a self, peer: &'a UnixPeer) -> BoxFuture<'a, Result<Vec<Arc<Bundle>>, IdentifyError>>;

    /// Tokens for `audience`, one for each identity of `peer` or for `only` that one; none, if no entry grants it.
    fn jwt_svids<'a>(
        &'a self,
        peer: &'a UnixPeer,
        audience: &'a [String],
        only: Option<&'a SpiffeId>,
    ) -> BoxFuture<'a, Result<Vec<JwtSvid>, IdentifyError>>;

    /// The bundle of our own trust domain.
    fn own_bundle(&self) -> Option<Arc<Bundle>>;

    /// Wakes when what a caller is entitled to may have changed since this call.
    fn changes(&self) -> Box<dyn Wake>;
}

/// Something to wait for, again and again.
pub(super) trait Wake: Send {
    /// Ends at the next change.
    fn changed(&mut self) -> BoxFuture<'_, ()>;
}

impl Identify for Workloads {
    fn identities<'a>(&'a self, peer: &'a UnixPeer) -> BoxFuture<'a, Result<Identities, IdentifyError>> {
        Box::pin(self.identities(peer))
    }

    fn bundles<'a>(&'a self, peer: &'a UnixPeer) -> BoxFuture<'a, Result<Vec<Arc<Bundle>>, IdentifyError>> {
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

    fn changes(&self) -> Box<dyn Wake> {
        Box::new(self.changes())
    }
}

impl Wake for Changes {
    fn changed(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.changed())
    }
}
