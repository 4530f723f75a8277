//! Why a process gets what it gets, and what keeps it from the rest: for operators, who ask about any process.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::attest::AttestorFailure;
use super::registry::{Entries, Entry, Registry};
use super::selector::Selector;
use super::workload::{IdentifyError, Workloads};
use crate::foundation::clock::{Clock, Timestamp};
use crate::server::UnixPeer;

/// How many entries are named that a process does not get.
const MAX_NEAR_MISSES: usize = 20;

/// What there is to say of a process.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// All that attestation found.
    pub selectors: BTreeSet<Selector>,
    /// Attestors that could say nothing.
    pub failures: Vec<AttestorFailure>,
    /// The entries that grant it something, in the order in which it gets them.
    pub granted: Vec<Arc<Entry>>,
    /// Entries that do not, the nearest first.
    pub near_misses: Vec<NearMiss>,
}

/// An entry that grants a process nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NearMiss {
    /// The entry.
    pub entry: Arc<Entry>,
    /// The selectors that the process lacks.
    pub missing: BTreeSet<Selector>,
    /// What else is in the way.
    pub obstacle: Option<Obstacle>,
}

/// Why an entry grants a process nothing, whatever its selectors are.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Obstacle {
    /// It is over.
    #[error("it expired at {0}")]
    Expired(Timestamp),
    /// It makes nodes known, not workloads.
    #[error("it is an alias of agents: its parent is the server itself")]
    Alias,
    /// A store gets its SVID.
    #[error("its SVID goes to a store of secrets, and not to workloads that ask")]
    ForStore,
    /// Another process hands it out.
    #[error("its parent is none of those that this gateway hands entries out for: see `identity.parents`")]
    OtherParent,
}

/// Why there is nothing to say.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// There is no such process.
    #[error("there is no process {0} that the gateway can see")]
    NoProcess(i32),
    /// The system did not let us look.
    #[error("can't take hold of the process: {0}")]
    Unreadable(#[from] io::Error),
    /// It can't be said who it is.
    #[error(transparent)]
    NotIdentified(#[from] IdentifyError),
}

/// Explains.
#[derive(Debug)]
pub struct Explainer {
    workloads: Arc<Workloads>,
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
}

impl Explainer {
    /// Explains what `workloads` finds and `registry` grants.
    pub fn new(workloads: Arc<Workloads>, registry: Arc<Registry>, clock: Arc<dyn Clock>) -> Self {
        Self { workloads, registry, clock }
    }

    /// What there is to say of the process with the id `pid`, in our PID namespace. It is attested just as if it had
    /// connected now; nothing is issued.
    ///
    /// # Errors
    /// [`ExplainError`]
    pub async fn explain(&self, pid: i32) -> Result<Explanation, ExplainError> {
        let peer = UnixPeer::named(pid)?.ok_or(ExplainError::NoProcess(pid))?;
        let attested = self.workloads.attest(&peer).await?;
        let (entries, now) = (self.registry.load(), self.clock.now());
        let granted = entries.entitled(&attested.selectors, now);
        let near_misses = near_misses(&entries, &granted, &attested.selectors, now);
        Ok(Explanation { selectors: attested.selectors, failures: attested.failures, granted, near_misses })
    }
}

/// The entries that are not in `granted`, by how many selectors are missing, then in the registry's order.
fn near_misses(
    entries: &Entries,
    granted: &[Arc<Entry>],
    selectors: &BTreeSet<Selector>,
    now: Timestamp,
) -> Vec<NearMiss> {
    let missing = |entry: &Arc<Entry>| entry.terms.selectors.difference(selectors).count();
    let mut others: Vec<_> = entries
        .iter()
        .filter(|entry| !granted.iter().any(|granted| granted.id == entry.id))
        .map(|entry| (missing(entry), entry))
        .collect();
    // The sort is stable, so that among equals the order of the registry stays.
    others.sort_by_key(|(missing, _)| *missing);
    others.truncate(MAX_NEAR_MISSES);
    let near_miss = |(missing, entry): (usize, &Arc<Entry>)| NearMiss {
        entry: Arc::clone(entry),
        missing: entry.terms.selectors.difference(selectors).cloned().collect(),
        // If nothing else is in the way, it must be that.
        obstacle: obstacle(entry, now).or_else(|| (missing == 0).then_some(Obstacle::OtherParent)),
    };
    others.into_iter().map(near_miss).collect()
}

fn obstacle(entry: &Entry, now: Timestamp) -> Option<Obstacle> {
    match entry.terms.expires_at {
        _ if entry.terms.store_svid => Some(Obstacle::ForStore),
        _ if !entry.is_for_workloads() => Some(Obstacle::Alias),
        Some(expired) if !entry.is_alive(now) => Some(Obstacle::Expired(expired)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
