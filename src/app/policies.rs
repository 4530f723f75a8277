//! What becomes of the policy directory, told to all who want to know: the log, the metrics, readiness, the record.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use crate::decision::policy::source::Sources;
use crate::decision::policy::{LoadError, PolicyEvents, PolicySet};
use crate::evidence::log::{Archive, Shelf};
use crate::evidence::{Audit, PolicyLoadRecord, Record};
use crate::foundation::clock::Clock;
use crate::foundation::readiness::Readiness;
use crate::foundation::telemetry::Registry;
use crate::foundation::watched::Snapshot;

/// The name of the notice while the files are not those that decide.
const NOTICE: &str = "policies";

/// What is counted about loads.
#[derive(Clone, Debug, Default)]
pub(super) struct PolicyMetrics {
    epoch: Gauge<u64, AtomicU64>,
    policies: Gauge<u64, AtomicU64>,
    failures: Counter,
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
        metrics
    }
}

/// Tells all of them.
#[derive(Debug)]
pub(super) struct PolicyNews {
    pub(super) audit: Arc<dyn Audit>,
    pub(super) archive: Archive,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: PolicyMetrics,
    pub(super) readiness: Readiness,
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
        self.readiness.clear_notice(NOTICE);
        for warning in current.warnings() {
            tracing::warn!("{warning}");
        }
        tracing::info!(epoch = %current.epoch(), policies = current.len(), digest = %current.policy_digest(), "policies loaded");
        self.record(current, None);
    }

    fn refused(&self, kept: &Snapshot<PolicySet>, error: &LoadError) {
        self.metrics.failures.inc();
        self.readiness.notice(NOTICE, error.to_string());
        tracing::error!(epoch = %kept.epoch(), "policies refused; the last good ones decide: {error}");
        self.record(kept, Some(error.to_string()));
    }

    fn recovered(&self, current: &Snapshot<PolicySet>) {
        self.readiness.clear_notice(NOTICE);
        tracing::info!(epoch = %current.epoch(), "the policy files are again those that decide");
        self.record(current, None);
    }
}

impl PolicyNews {
    fn record(&self, current: &Snapshot<PolicySet>, error: Option<String>) {
        let record = PolicyLoadRecord {
            time: self.clock.now(),
            policy_digest: current.policy_digest(),
            entity_digest: current.entity_digest(),
            policy_epoch: current.epoch(),
            policies: current.len(),
            error,
        };
        if let Err(error) = self.audit.append(Record::PolicyLoad(Box::new(record))) {
            // Decisions under these policies fail by themselves for as long as nothing can be recorded.
            tracing::error!("a policy load was not recorded: {error}");
        }
    }
}
