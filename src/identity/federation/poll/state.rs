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
    /// The relationship was ended or changed.
    fn ended(&self, trust_domain: &TrustDomain);
}

/// What is known of one bundle endpoint.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerState {
    /// When it was begun to be followed by this process.
    pub begun: Timestamp,
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

impl PeerState {
    /// Since when the bundle that is held has been ageing.
    pub fn since(&self) -> Timestamp {
        self.reached.unwrap_or(self.begun)
    }
}

/// One that is followed.
#[derive(Debug)]
pub(super) struct Peer {
    /// Held while it is asked.
    pub(super) asking: tokio::sync::Mutex<()>,
    state: Mutex<PeerState>,
}

impl Peer {
    pub(super) fn new(begun: Timestamp, reached: Option<Timestamp>) -> Self {
        let state = PeerState { begun, reached, failure: None, is_stale: false };
        Self { asking: tokio::sync::Mutex::default(), state: Mutex::new(state) }
    }

    pub(super) fn state(&self) -> PeerState {
        self.lock().clone()
    }

    pub(super) fn reached(&self, now: Timestamp) {
        let mut state = self.lock();
        *state = PeerState { begun: state.begun, reached: Some(now), failure: None, is_stale: false };
    }

    /// One more failure; what is known then.
    pub(super) fn failed(&self, at: Timestamp, reason: String) -> PeerState {
        let mut state = self.lock();
        let times = state.failure.as_ref().map_or(0, |failure| failure.times).saturating_add(1);
        state.failure = Some(PeerFailure { at, reason, times });
        state.clone()
    }

    /// Whether it was not stale before.
    pub(super) fn turn_stale(&self) -> bool {
        !std::mem::replace(&mut self.lock().is_stale, true)
    }

    fn lock(&self) -> MutexGuard<'_, PeerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
