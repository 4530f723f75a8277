//! What this service needs of the identity plane, narrow enough to stand in for in a test.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::delegation::outbound::Tokens;
use crate::foundation::clock::Clock;
use crate::foundation::watched::Epoch;
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

/// What workloads are entitled to of ours, and of others.
#[derive(Debug)]
pub(super) struct Entitlements {
    pub(super) workloads: Arc<Workloads>,
    pub(super) outbound: Arc<Tokens>,
    pub(super) clock: Arc<dyn Clock>,
}

/// Wakes at a change of either.
struct Either {
    ours: Changes,
    outbound: watch::Receiver<Epoch>,
}

impl Identify for Entitlements {
    fn identify<'a>(&'a self, peer: &'a UnixPeer) -> BoxFuture<'a, Result<(Attested, Identities), IdentifyError>> {
        Box::pin(async move {
            let (attested, identities) = self.workloads.identify(peer).await?;
            let ids: Vec<_> = identities.svids.iter().map(|svid| &svid.id).collect();
            let credentials = self.outbound.of(&ids, self.clock.now());
            Ok((attested, Identities { credentials, ..identities }))
        })
    }

    fn changes(&self) -> Box<dyn Change> {
        Box::new(Either { ours: self.workloads.changes(), outbound: self.outbound.subscribe() })
    }
}

impl Change for Either {
    fn next<'a>(&'a mut self, selectors: Option<&'a BTreeSet<Selector>>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let ours = async {
                match selectors {
                    Some(selectors) => self.ours.changed_for(selectors).await,
                    None => self.ours.changed().await,
                }
            };
            let outbound = async {
                if self.outbound.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = ours => {}
                () = outbound => {}
            }
        })
    }
}
