//! What is counted about decisions.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use super::cache::Lookup;
use super::reason::Reason;
use crate::evidence::{CacheState, Edge, SearchKind};
use crate::foundation::telemetry::Registry;

/// The handles of this room's metrics.
#[derive(Debug)]
pub struct DecisionMetrics {
    decisions: Decisions,
    latency: [Histogram; EDGES],
    policy_errors: Counter,
    misses: Family<MissLabels, Counter>,
    refreshes: Counter,
    searches: Family<SearchLabels, Counter>,
    search_latency: Histogram,
}

/// The counters of decisions, each looked up by its labels but once.
#[derive(Debug)]
struct Decisions {
    family: Family<DecisionLabels, Counter>,
    known: [[[OnceLock<Counter>; CACHE_STATES]; REASONS]; EDGES],
}

/// How many there are of each, to be places in a table.
const EDGES: usize = Edge::Token as usize + 1;
const REASONS: usize = Reason::Internal as usize + 1;
const CACHE_STATES: usize = CacheState::Bypass as usize + 1;

impl Default for Decisions {
    fn default() -> Self {
        use std::array::from_fn;
        let known = from_fn(|_| from_fn(|_| from_fn(|_| OnceLock::new())));
        Self { family: Family::default(), known }
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct MissLabels {
    cause: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct DecisionLabels {
    edge: &'static str,
    outcome: &'static str,
    reason: &'static str,
    cache: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct SearchLabels {
    sought: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct EdgeLabels {
    edge: &'static str,
}

impl DecisionMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> Self {
        let decisions = Decisions::default();
        let latency = Family::<EdgeLabels, Histogram, fn() -> Histogram>::new_with_constructor(buckets);
        let policy_errors = Counter::default();
        registry.register("portcullis_decisions", "Decisions made", decisions.family.clone());
        registry.register(
            "portcullis_decision_duration_seconds",
            "From the decoded question to the recorded answer",
            latency.clone(),
        );
        registry.register(
            "portcullis_policy_errors",
            "Policies that failed to evaluate, each time they did",
            policy_errors.clone(),
        );
        let misses = Family::default();
        let refreshes = Counter::default();
        registry.register("portcullis_cache_misses", "Decisions that the cache did not have", misses.clone());
        registry.register(
            "portcullis_cache_refreshes",
            "Cached decisions that were made anew shortly before their end",
            refreshes.clone(),
        );
        let (searches, search_latency) = (Family::default(), search_buckets());
        registry.register("portcullis_searches", "Pages of searches", searches.clone());
        registry.register(
            "portcullis_search_duration_seconds",
            "From the decoded search to the recorded page",
            search_latency.clone(),
        );
        let latency = [Edge::Authzen, Edge::ExtAuthz, Edge::Token]
            .map(|edge| latency.get_or_create_owned(&EdgeLabels { edge: edge.name() }));
        Self { decisions, latency, policy_errors, misses, refreshes, searches, search_latency }
    }

    /// Counts one decision.
    pub(super) fn decided(&self, edge: Edge, reason: Reason, cache: CacheState, took: Duration) {
        self.decisions.count(edge, reason, cache);
        if let Some(latency) = self.latency.get(edge as usize) {
            latency.observe(took.as_secs_f64());
        }
    }

    /// Counts how the cache took a question.
    pub(super) fn looked_up(&self, lookup: Lookup) {
        match lookup {
            Lookup::Hit => {}
            Lookup::Refreshed => drop(self.refreshes.inc()),
            Lookup::Miss(cause) => drop(self.misses.get_or_create_owned(&MissLabels { cause: cause.name() }).inc()),
        }
    }

    /// Counts a page of a search, or why there is none.
    pub(super) fn searched(&self, sought: SearchKind, result: &'static str, took: Duration) {
        self.searches.get_or_create_owned(&SearchLabels { sought: sought.name(), result }).inc();
        self.search_latency.observe(took.as_secs_f64());
    }

    /// Counts policies that failed in one decision; not those whose failure a cached answer repeats.
    pub(super) fn policies_failed(&self, count: usize) {
        self.policy_errors.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

impl Decisions {
    fn count(&self, edge: Edge, reason: Reason, cache: CacheState) {
        let counter = || {
            let (outcome, reason) = (reason.outcome().name(), reason.name());
            let labels = DecisionLabels { edge: edge.name(), outcome, reason, cache: cache.name() };
            self.family.get_or_create_owned(&labels)
        };
        let known = self.known.get(edge as usize).and_then(|reasons| reasons.get(reason as usize));
        match known.and_then(|states| states.get(cache as usize)) {
            Some(known) => known.get_or_init(counter).inc(),
            None => counter().inc(),
        };
    }
}

/// From 5 µs, which is less than a cached answer takes, to 160 ms, which is nearly Envoy's default timeout.
fn buckets() -> Histogram {
    Histogram::new(std::iter::successors(Some(5e-6), |bound| Some(bound * 2.0)).take(16))
}

/// From 50 µs, which is less than a page of one name takes, to 3 s, which is more than any page may.
fn search_buckets() -> Histogram {
    Histogram::new(std::iter::successors(Some(5e-5), |bound| Some(bound * 2.0)).take(17))
}
