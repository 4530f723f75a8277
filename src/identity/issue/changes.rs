//! Telling those who wait for it that what a workload is entitled to has changed.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use portcullis_spiffe::TrustDomain;
use tokio::sync::watch;
use tokio::time::{Sleep, sleep};

use super::{Ports, bundles_for};
use crate::foundation::clock::{Clock, Timestamp};
use crate::foundation::watched::{Epoch, Snapshot};
use crate::identity::authority::Authority;
use crate::identity::bundle::{Bundle, Bundles};
use crate::identity::registry::{Entries, Entry, Registry};
use crate::identity::selector::Selector;

/// After a wake, the next is this far off at least: ten thousand changes in a row are a few wakes.
const QUIET: Duration = Duration::from_millis(50);

/// Wakes its holder when what a workload is entitled to may have changed. Kept as long as the stream that it is for, it
/// misses nothing: what happens between two calls ends the second at once. A call that is given up loses nothing either.
#[derive(Debug)]
pub struct Changes {
    authority: Arc<Authority>,
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    registry_epochs: watch::Receiver<Epoch>,
    bundle_epochs: watch::Receiver<Epoch>,
    seen: State,
    quiet: Option<Pin<Box<Sleep>>>,
}

/// All that entitlements follow from.
#[derive(Debug)]
struct State {
    entries: Arc<Snapshot<Entries>>,
    bundles: Arc<Snapshot<Bundles>>,
    now: Timestamp,
}

impl Changes {
    pub(super) fn new(ports: &Ports) -> Self {
        let (authority, registry, clock) =
            (Arc::clone(&ports.authority), Arc::clone(&ports.registry), Arc::clone(&ports.clock));
        // Before the state is read: a change in between wakes in vain, which is better than not at all.
        let (registry_epochs, bundle_epochs) = (registry.subscribe(), authority.bundles().subscribe());
        let seen = State::now(&authority, &registry, &*clock);
        Self { authority, registry, clock, registry_epochs, bundle_epochs, seen, quiet: None }
    }

    /// Ends at the next change of anything.
    pub async fn changed(&mut self) {
        if let Some(quiet) = &mut self.quiet {
            quiet.await;
            self.quiet = None;
        }
        tokio::select! {
            () = moved(&mut self.registry_epochs) => {}
            () = moved(&mut self.bundle_epochs) => {}
        }
        self.quiet = Some(Box::pin(sleep(QUIET)));
    }

    /// Ends when a workload with `selectors` is entitled to something else than when this was made, or when the last call
    /// ended: to other entries, or other bundles. Ends too when entries ask for the first time for something that
    /// attestation has not looked at yet.
    pub async fn changed_for(&mut self, selectors: &BTreeSet<Selector>) {
        loop {
            self.changed().await;
            let state = State::now(&self.authority, &self.registry, &*self.clock);
            let before = std::mem::replace(&mut self.seen, state);
            let unlooked_at = self.seen.entries.want_sha256() && !before.entries.want_sha256();
            let own = self.authority.trust_domain();
            if unlooked_at || self.seen.of(selectors, own) != before.of(selectors, own) {
                return;
            }
        }
    }
}

impl State {
    fn now(authority: &Authority, registry: &Registry, clock: &dyn Clock) -> Self {
        Self { entries: registry.load(), bundles: authority.bundles().load(), now: clock.now() }
    }

    /// What a workload with `selectors` is entitled to.
    fn of(&self, selectors: &BTreeSet<Selector>, own: &TrustDomain) -> (Vec<Arc<Entry>>, Vec<Arc<Bundle>>) {
        let entries = self.entries.entitled(selectors, self.now);
        let bundles = if entries.is_empty() { Vec::new() } else { bundles_for(&entries, own, &self.bundles) };
        (entries, bundles)
    }
}

/// Ends when the epoch moves; never, if nobody is left to move it.
async fn moved(epochs: &mut watch::Receiver<Epoch>) {
    if epochs.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
