//! What is known of one bundle endpoint.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use portcullis_spiffe::TrustDomain;

use super::{RefreshError, Taken};
use crate::foundation::clock::Timestamp;

/// Is told what comes of asking.
pub trait PeerEvents: fmt::Debug + Send + Sync {
    /// A bundle came, and is in force.
    fn fetched(&self, taken: &Taken);
    /// None came; what was in force stays.
    fn failed(&self, trust_domain: &TrustDomain, error: &RefreshError);
    /// None came for too long, so nobody is believed by the one that is held.
    fn stale(&self, trust_domain: &TrustDomain);
    /// What is held ages from another time than before, without having been fetched: it is of an unknown age, was set by an
    /// operator, or came from another process.
    fn dated(&self, trust_domain: &TrustDomain, age: Age);
    /// The relationship was ended or changed.
    fn ended(&self, trust_domain: &TrustDomain);
}

/// How old the bundle that is held of a trust domain is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Age {
    /// Since when it has been ageing: when it was fetched or set, or when it was first known of.
    pub since: Timestamp,
    /// When its endpoint last served a bundle that was taken.
    pub reached: Option<Timestamp>,
}

/// What is known of one bundle endpoint.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerState {
    /// See [`Age::since`].
    pub since: Timestamp,
    /// When it last served a bundle that was taken.
    pub reached: Option<Timestamp>,
    /// What went wrong since then.
    pub failure: Option<PeerFailure>,
    /// Nobody is believed by the bundle that is held, because it is too old.
    pub is_stale: bool,
}

/// Why the last question came to nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerFailure {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// How many in a row.
    pub times: u32,
}

/// One that is followed.
#[derive(Debug)]
pub(super) struct Peer {
    /// Held while it is asked.
    pub(super) asking: tokio::sync::Mutex<()>,
    state: Mutex<PeerState>,
}

impl Peer {
    pub(super) fn new(age: Age) -> Self {
        let state = PeerState { since: age.since, reached: age.reached, failure: None, is_stale: false };
        Self { asking: tokio::sync::Mutex::default(), state: Mutex::new(state) }
    }

    pub(super) fn state(&self) -> PeerState {
        self.lock().clone()
    }

    pub(super) fn reached(&self, now: Timestamp) {
        *self.lock() = PeerState { since: now, reached: Some(now), failure: None, is_stale: false };
    }

    pub(super) fn renewed(&self, now: Timestamp) {
        self.lock().since = now;
    }

    /// One more failure; what is known then.
    pub(super) fn failed(&self, at: Timestamp, reason: String) -> PeerState {
        let mut state = self.lock();
        let times = state.failure.as_ref().map_or(0, |failure| failure.times).saturating_add(1);
        state.failure = Some(PeerFailure { at, reason, times });
        state.clone()
    }

    fn lock(&self) -> MutexGuard<'_, PeerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
