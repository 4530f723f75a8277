//! Purges: what an operator wants decided anew. Nothing is searched for and thrown away: the number of the purge becomes
//! a part of the keys that it is about, so that what was kept under them is never found again and makes room in time.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::key::CacheKey;

/// How many principals and policies are remembered; one more, and all is purged.
const MOST_NAMES: usize = 10_000;

/// What is to be decided anew.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Purge {
    /// Everything.
    All,
    /// What this principal asks, e.g. `Workload` and `spiffe://example.org/web`.
    Principal {
        /// Its type.
        kind: String,
        /// Its id.
        id: String,
    },
    /// What this policy may have a part in, by its id.
    Policy(String),
}

/// The purges so far.
#[derive(Debug, Default)]
pub struct Purges {
    current: ArcSwap<State>,
    writer: Mutex<()>,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// How many purges there were.
    last: u64,
    /// The last one of everything.
    all: u64,
    /// The last one of each principal.
    principals: HashMap<(String, String), u64>,
    /// The last one of each policy.
    policies: HashMap<String, u64>,
}

impl fmt::Display for Purge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Principal { kind, id } => write!(f, "principal {kind}::{id:?}"),
            Self::Policy(id) => write!(f, "policy {id}"),
        }
    }
}

impl Purges {
    /// Purges.
    pub fn purge(&self, purge: Purge) {
        let _one_writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = State::clone(&self.current.load());
        state.last += 1;
        let last = state.last;
        match purge {
            Purge::All => state.forget(last),
            Purge::Principal { kind, id } => drop(state.principals.insert((kind, id), last)),
            Purge::Policy(id) => drop(state.policies.insert(id, last)),
        }
        if state.principals.len() + state.policies.len() > MOST_NAMES {
            state.forget(last);
        }
        self.current.store(Arc::new(state));
    }

    /// How many purges there were.
    pub fn count(&self) -> u64 {
        self.current.load().last
    }

    /// Adds to `key` the last purges that are about a question: of all, of the principal, of any of these policies.
    pub fn enter<'p>(&self, key: &mut CacheKey, principal: (&str, &str), policies: impl Iterator<Item = &'p str>) {
        let state = self.current.load();
        let mut last = state.all;
        if !state.principals.is_empty() {
            let name = (principal.0.to_owned(), principal.1.to_owned());
            last = last.max(state.principals.get(&name).copied().unwrap_or(0));
        }
        if !state.policies.is_empty() {
            last = policies.filter_map(|id| state.policies.get(id).copied()).fold(last, u64::max);
        }
        key.number(last);
    }
}

impl State {
    /// Purges everything, which covers every purge before.
    fn forget(&mut self, number: u64) {
        self.all = number;
        self.principals.clear();
        self.policies.clear();
    }
}
