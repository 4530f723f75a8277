//! The tokens that there are now, each for those whom its target names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use portcullis_spiffe::SpiffeId;
use tokio::sync::watch;

use super::{PREFIX, Target};
use crate::foundation::clock::Timestamp;
use crate::foundation::secret::Secret;
use crate::foundation::watched::{Epoch, Watched};
use crate::identity::credential::Credential;

/// The tokens of all targets.
#[derive(Debug)]
pub struct Tokens {
    entitled: BTreeMap<Arc<str>, Entitled>,
    /// By target. One that is not in it was not asked for yet; of one without a token there is none now.
    held: Watched<BTreeMap<Arc<str>, Option<Held>>>,
}

/// Who may have a target's token, and what it is known by.
#[derive(Debug)]
struct Entitled {
    credential: Arc<str>,
    workloads: BTreeSet<SpiffeId>,
}

#[derive(Clone, Debug)]
struct Held {
    value: Secret<Vec<u8>>,
    not_after: Timestamp,
}

impl Tokens {
    /// None yet of any of these.
    pub fn new<'a>(targets: impl IntoIterator<Item = &'a Target>) -> Self {
        let entitled = |target: &Target| {
            let credential = format!("{PREFIX}{}", target.name).into();
            (Arc::clone(&target.name), Entitled { credential, workloads: target.workloads.clone() })
        };
        Self { entitled: targets.into_iter().map(entitled).collect(), held: Watched::new(BTreeMap::new()) }
    }

    /// What a workload with these identities may have at `now`. One whose token is over is given empty. One that nobody
    /// has asked for yet is left out: whoever waits for it gets it in a moment, or learns that it can't be had.
    pub fn of(&self, ids: &[&SpiffeId], now: Timestamp) -> Vec<Credential> {
        let held = self.held.load();
        let may = |entitled: &Entitled| ids.iter().any(|id| entitled.workloads.contains(*id));
        let entitled = self.entitled.iter().filter(|(_, entitled)| may(entitled));
        let credential = |(target, entitled): (&Arc<str>, &Entitled)| {
            let held = held.get(target)?.as_ref().filter(|held| now < held.not_after);
            Some(Credential { name: Arc::clone(&entitled.credential), value: held.map(|held| held.value.clone()) })
        };
        entitled.filter_map(credential).collect()
    }

    /// Wakes whenever a token is new or gone.
    pub fn subscribe(&self) -> watch::Receiver<Epoch> {
        self.held.subscribe()
    }

    /// Until when the token of `target` is good, if there is one.
    pub(super) fn not_after(&self, target: &Target) -> Option<Timestamp> {
        self.held.load().get(&target.name)?.as_ref().map(|held| held.not_after)
    }

    /// Has a new token.
    pub(super) fn put(&self, target: &Target, token: &Secret<String>, not_after: Timestamp) {
        let value = Secret::new([b"Bearer ", token.expose().as_bytes()].concat());
        self.set(target, Some(Held { value, not_after }));
    }

    /// Has none any more; says whether there was one.
    pub(super) fn clear(&self, target: &Target) -> bool {
        let was_held = self.not_after(target).is_some();
        self.set(target, None);
        was_held
    }

    /// Nobody is woken if nothing changes.
    fn set(&self, target: &Target, token: Option<Held>) {
        self.held.update(|held| {
            let is_news = token.is_some() || !matches!(held.get(&target.name), Some(None));
            is_news.then(|| {
                let mut held = held.clone();
                held.insert(Arc::clone(&target.name), token);
                held
            })
        });
    }
}
