//! Keeping the bundles of others current: each relationship has a task of its own, so that a peer that is silent, slow or
//! broken costs nobody but itself.

mod schedule;
mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portcullis_spiffe::TrustDomain;
use portcullis_spiffe::bundle::BundleDocumentError;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

pub use self::schedule::PollConfig;
pub use self::state::{Age, PeerEvents, PeerFailure, PeerState};

use self::schedule::earlier;
use self::state::Peer;
use super::fetched::read_document;
use super::source::{BundleSource, FetchError};
use super::{Federation, FederationError, Relationship, Taken};
use crate::foundation::clock::Clock;
use crate::foundation::entropy::Entropy;
use crate::foundation::shutdown::ShutdownSignal;

/// Fetches the bundles of all relationships, again and again.
#[derive(Debug)]
pub struct Poller {
    federation: Arc<Federation>,
    ports: PollPorts,
    config: PollConfig,
    /// How old what is held is, of relationships that were ended since too.
    ages: Mutex<BTreeMap<TrustDomain, Age>>,
    peers: Mutex<BTreeMap<TrustDomain, Arc<Peer>>>,
}

/// What the poller goes by.
#[derive(Debug)]
pub struct PollPorts {
    /// Asks the endpoints.
    pub source: Arc<dyn BundleSource>,
    /// Is told what came of it.
    pub events: Arc<dyn PeerEvents>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Spreads the questions.
    pub entropy: Arc<dyn Entropy>,
}

/// Why a bundle was not fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshError {
    /// There is no such relationship.
    #[error("there is no relationship with `{0}`")]
    Unknown(TrustDomain),
    /// The endpoint said nothing in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The endpoint said nothing of use.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What it said is no bundle.
    #[error(transparent)]
    Document(#[from] BundleDocumentError),
    /// The bundle was not taken.
    #[error(transparent)]
    NotTaken(#[from] FederationError),
}

impl Poller {
    /// A poller over the relationships of `federation`.
    pub fn new(federation: Arc<Federation>, ports: PollPorts, config: PollConfig) -> Self {
        Self { federation, ports, config, ages: Mutex::default(), peers: Mutex::default() }
    }

    /// The same, but what is held is as old as the process before this one knew: a restart makes nothing newer.
    #[must_use]
    pub fn with_ages(self, ages: BTreeMap<TrustDomain, Age>) -> Self {
        let now = self.ports.clock.now();
        // What was written down by a clock that went ahead of this one would stay new for too long.
        let ages = ages.into_iter().map(|(name, age)| (name, Age { since: age.since.min(now), ..age })).collect();
        Self { ages: Mutex::new(ages), ..self }
    }

    /// Believes nobody by the bundles that were too old already when this process started. For before anything is served:
    /// that an endpoint is away would be known only once it was asked.
    pub fn age_what_is_held(&self) {
        self.note_renewed();
        for trust_domain in self.federation.relationships().keys() {
            self.age(trust_domain, &self.peer(trust_domain).state());
        }
    }

    /// What is known of the endpoint of `trust_domain`, if there is a relationship and it was begun to be followed.
    pub fn state(&self, trust_domain: &TrustDomain) -> Option<PeerState> {
        let state = self.peers().get(trust_domain).map(|peer| peer.state())?;
        Some(PeerState { is_stale: self.federation.is_stale(trust_domain), ..state })
    }

    /// Follows all relationships, those that come and go too, until the drain starts.
    pub async fn run(self: Arc<Self>, mut signal: ShutdownSignal) {
        let mut relationships = self.federation.relationships.subscribe();
        let mut bundles = self.federation.bundles.subscribe();
        let mut following = Following::default();
        loop {
            following.follow(&self);
            self.note_renewed();
            tokio::select! {
                () = signal.draining() => return,
                changed = relationships.changed() => if changed.is_err() { return },
                changed = bundles.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Fetches the bundle of `trust_domain` now. It is in force when this returns.
    ///
    /// # Errors
    /// [`RefreshError`]; then the bundle is what it was.
    pub async fn refresh(&self, trust_domain: &TrustDomain) -> Result<Taken, RefreshError> {
        let unknown = || RefreshError::Unknown(trust_domain.clone());
        let relationship = self.federation.relationships().get(trust_domain).cloned().ok_or_else(unknown)?;
        let peer = self.peer(trust_domain);
        // One at a time: two answers could pass each other.
        let _asking = peer.asking.lock().await;
        let outcome = self.fetch(&relationship).await;
        let now = self.ports.clock.now();
        if self.federation.relationships().get(trust_domain) != Some(&relationship) {
            // It was ended or changed meanwhile: what came of it is nobody's business any more.
            return outcome;
        }
        match &outcome {
            Ok(taken) => {
                peer.reached(now);
                self.ages().insert(trust_domain.clone(), Age { since: now, reached: Some(now) });
                self.ports.events.fetched(taken);
            }
            Err(error) => {
                self.note_renewed();
                let state = peer.failed(now, error.to_string());
                self.ports.events.failed(trust_domain, error);
                self.age(trust_domain, &state);
            }
        }
        outcome
    }

    async fn fetch(&self, relationship: &Arc<Relationship>) -> Result<Taken, RefreshError> {
        let bundles = Arc::new(self.federation.verified_by(relationship));
        let asking = self.ports.source.fetch(relationship, bundles);
        let within = self.config.timeout;
        let document = timeout(within, asking).await.map_err(|_elapsed| RefreshError::TimedOut(within))??;
        let bundle = read_document(&relationship.trust_domain, &document)?;
        Ok(self.federation.take(relationship, bundle).await?)
    }

    /// Believes nobody by a bundle that is older than it may be.
    fn age(&self, trust_domain: &TrustDomain, state: &PeerState) {
        let is_too_old = self.config.max_stale.is_some_and(|limit| self.ports.clock.now().since(state.since) >= limit);
        if is_too_old && self.federation.distrust(trust_domain) {
            self.ports.events.stale(trust_domain);
        }
    }

    /// What an operator set, or another process fetched, is as new as this moment.
    fn note_renewed(&self) {
        let now = self.ports.clock.now();
        for trust_domain in self.federation.take_renewed() {
            let peer = self.peers().get(&trust_domain).cloned();
            let age = self.ages().get(&trust_domain).copied();
            if peer.is_none() && age.is_none() {
                // Nobody follows it, so it does not age.
                continue;
            }
            let age = Age { since: now, reached: age.and_then(|age| age.reached) };
            if let Some(peer) = peer {
                peer.renewed(now);
            }
            self.ages().insert(trust_domain.clone(), age);
            self.ports.events.dated(&trust_domain, age);
        }
    }

    /// Asks the endpoint of `trust_domain` again and again.
    async fn follow(self: Arc<Self>, trust_domain: TrustDomain) {
        let mut backoff = self.config.backoff();
        loop {
            let failed = self.refresh(&trust_domain).await.is_err();
            let since = self.peer(&trust_domain).state().since;
            let since = Some(since).filter(|_| !self.federation.is_stale(&trust_domain));
            let hint = self.federation.bundle(&trust_domain).and_then(|bundle| bundle.refresh_hint);
            let entropy = &*self.ports.entropy;
            let wait = if failed {
                backoff.pause(entropy).min(self.config.interval(hint))
            } else {
                backoff.reset();
                earlier(self.config.interval(hint), entropy)
            };
            sleep(self.config.before_it_turns_stale(wait, since, self.ports.clock.now())).await;
        }
    }

    fn peer(&self, trust_domain: &TrustDomain) -> Arc<Peer> {
        if let Some(peer) = self.peers().get(trust_domain) {
            return Arc::clone(peer);
        }
        let known = self.ages().get(trust_domain).copied();
        let age = known.unwrap_or_else(|| {
            // Of an unknown age, so it ages from now on: also for the process after this one.
            let age = Age { since: self.ports.clock.now(), reached: None };
            self.ages().insert(trust_domain.clone(), age);
            self.ports.events.dated(trust_domain, age);
            age
        });
        Arc::clone(self.peers().entry(trust_domain.clone()).or_insert_with(|| Arc::new(Peer::new(age))))
    }

    fn ages(&self) -> MutexGuard<'_, BTreeMap<TrustDomain, Age>> {
        self.ages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn peers(&self) -> MutexGuard<'_, BTreeMap<TrustDomain, Arc<Peer>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tasks, by trust domain. All end when this is dropped.
#[derive(Default)]
struct Following {
    tasks: JoinSet<()>,
    by_domain: BTreeMap<TrustDomain, (Arc<Relationship>, AbortHandle)>,
}

impl Following {
    /// Has one task for each relationship as it is now.
    fn follow(&mut self, poller: &Arc<Poller>) {
        let relationships = poller.federation.relationships();
        self.by_domain.retain(|trust_domain, (begun, task)| {
            let stands = relationships.get(trust_domain).is_some_and(|relationship| relationship == begun);
            if !stands {
                // A question that is under way is dropped with it.
                task.abort();
                poller.peers().remove(trust_domain);
                poller.ports.events.ended(trust_domain);
            }
            stands
        });
        for (trust_domain, relationship) in relationships.iter() {
            if !self.by_domain.contains_key(trust_domain) {
                let task = self.tasks.spawn(Arc::clone(poller).follow(trust_domain.clone()));
                self.by_domain.insert(trust_domain.clone(), (Arc::clone(relationship), task));
            }
        }
        while self.tasks.try_join_next().is_some() {}
    }
}

#[cfg(test)]
mod tests;
