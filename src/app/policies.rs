//! What becomes of the policy directory, told to all who want to know: the log, the metrics, readiness, the record.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::sleep;

use crate::decision::policy::source::Sources;
use crate::decision::policy::{LoadError, PolicyEvents, PolicyGate, PolicySet};
use crate::evidence::log::{Archive, Shelf};
use crate::evidence::{Audit, Backlog, PolicyLoadRecord, Record};
use crate::foundation::clock::Clock;
use crate::foundation::readiness::Readiness;
use crate::foundation::telemetry::Registry;
use crate::foundation::watched::{Snapshot, Watched};

/// The name of the notice while the files are not those that decide.
const NOTICE: &str = "policies";

/// How soon a first set that the log does not take is given to it again.
const RETRY: Duration = Duration::from_millis(250);

/// What is counted about loads.
#[derive(Clone, Debug, Default)]
pub(super) struct PolicyMetrics {
    epoch: Gauge<u64, AtomicU64>,
    policies: Gauge<u64, AtomicU64>,
    failures: Counter,
    held_back: Gauge,
}

impl PolicyMetrics {
    /// Registers them.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "portcullis_policy_epoch",
            "Which load of policies decides, counted since the start",
            metrics.epoch.clone(),
        );
        registry.register("portcullis_policies", "Policies in the set that decides", metrics.policies.clone());
        registry.register(
            "portcullis_policy_load_failures",
            "Changes of the policy directory that were refused",
            metrics.failures.clone(),
        );
        registry.register(
            "portcullis_policy_load_held_back",
            "1 while new policies don't decide yet because the audit log can't take the record of them",
            metrics.held_back.clone(),
        );
        metrics
    }
}

/// Tells all of them.
#[derive(Debug)]
pub(super) struct PolicyNews {
    pub(super) audit: Arc<dyn Audit>,
    /// For what is told of policies that don't begin to decide by it.
    pub(super) backlog: Backlog,
    pub(super) archive: Archive,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: PolicyMetrics,
    pub(super) readiness: Readiness,
}

/// Policies are on record before they decide.
impl PolicyGate for PolicyNews {
    fn enter(&self, next: &Snapshot<PolicySet>) -> Result<(), String> {
        // In the log before every decision by them: nothing is gained by waiting for the disk here.
        let recorded = self.audit.append(self.record(next, None)).map(|_durable_soon| ());
        recorded.map_err(|error| format!("their load can't be recorded: {error}"))
    }
}

impl PolicyEvents for PolicyNews {
    /// Whatever decides can be looked at later, by the digest that stands in every record.
    fn accepted(&self, files: &Sources) -> Result<(), String> {
        let kept = self.archive.keep(Shelf::Policies, &files.policy_archive());
        let kept = kept.and_then(|_digest| self.archive.keep(Shelf::Entities, &files.entity_archive()));
        kept.map(drop).map_err(|error| format!("it can't be kept beside the audit log: {error}"))
    }

    fn loaded(&self, current: &Snapshot<PolicySet>) {
        self.metrics.epoch.set(current.epoch().number());
        self.metrics.policies.set(u64::try_from(current.len()).unwrap_or(u64::MAX));
        self.settled();
        for warning in current.warnings() {
            tracing::warn!("{warning}");
        }
        tracing::info!(epoch = %current.epoch(), policies = current.len(), digest = %current.policy_digest(), "policies loaded");
    }

    fn refused(&self, kept: &Snapshot<PolicySet>, error: &LoadError) {
        self.settled();
        self.metrics.failures.inc();
        self.readiness.notice(NOTICE, error.to_string());
        tracing::error!(epoch = %kept.epoch(), "policies refused; the last good ones decide: {error}");
        self.backlog.note(self.record(kept, Some(error.to_string())));
    }

    fn held_back(&self, kept: &Snapshot<PolicySet>, error: &LoadError) {
        self.metrics.held_back.set(1);
        self.readiness.notice(NOTICE, error.to_string());
        tracing::error!(epoch = %kept.epoch(), "new policies don't decide yet; the ones before do: {error}");
    }

    fn recovered(&self, current: &Snapshot<PolicySet>) {
        self.settled();
        tracing::info!(epoch = %current.epoch(), "the policy files are again those that decide");
        self.backlog.note(self.record(current, None));
    }
}

impl PolicyNews {
    /// Puts the first set on record, however often that has to be tried, and tells of it.
    pub(super) async fn first(&self, policies: &Watched<PolicySet>) {
        let first = policies.load();
        while let Err(why) = self.enter(&first) {
            let _waiting = self.readiness.block("policies", why);
            sleep(RETRY).await;
        }
        self.loaded(&first);
    }

    fn settled(&self) {
        self.metrics.held_back.set(0);
        self.readiness.clear_notice(NOTICE);
    }

    fn record(&self, current: &Snapshot<PolicySet>, error: Option<String>) -> Record<'static> {
        let record = PolicyLoadRecord {
            time: self.clock.now(),
            policy_digest: current.policy_digest(),
            entity_digest: current.entity_digest(),
            policy_epoch: current.epoch(),
            policies: current.len(),
            error,
        };
        Record::PolicyLoad(Box::new(record))
    }
}
