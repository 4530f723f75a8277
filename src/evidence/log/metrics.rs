//! What the log counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::foundation::telemetry::Registry;

/// Counters of the log.
#[derive(Clone, Debug)]
pub struct LogMetrics {
    pub(super) waiting: Gauge,
    pub(super) written: Counter,
    pub(super) batches: Counter,
    pub(super) refused_full: Counter,
    pub(super) refused_failed: Counter,
    pub(super) unrecorded: Counter,
    pub(super) lost: Counter,
    pub(super) torn: Counter,
    pub(super) entries: Gauge,
    pub(super) size: Gauge,
    pub(super) publish_failures: Counter,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct RefusedLabels {
    why: &'static str,
}

impl LogMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> Self {
        let refused = Family::<RefusedLabels, Counter>::default();
        let metrics = Self {
            waiting: Gauge::default(),
            written: Counter::default(),
            batches: Counter::default(),
            refused_full: refused.get_or_create_owned(&RefusedLabels { why: "full" }),
            refused_failed: refused.get_or_create_owned(&RefusedLabels { why: "failed" }),
            unrecorded: Counter::default(),
            lost: Counter::default(),
            torn: Counter::default(),
            entries: Gauge::default(),
            size: Gauge::default(),
            publish_failures: Counter::default(),
        };
        let waiting = metrics.waiting.clone();
        registry.register("portcullis_audit_waiting_records", "Records accepted and not yet written", waiting);
        registry.register("portcullis_audit_records", "Records written and synced", metrics.written.clone());
        registry.register("portcullis_audit_batches", "Writes, each with one sync", metrics.batches.clone());
        registry.register("portcullis_audit_refused_records", "Records not accepted, by why", refused);
        registry.register(
            "portcullis_audit_unrecorded_answers",
            "Answers given without a record, as the operator wants it",
            metrics.unrecorded.clone(),
        );
        registry.register("portcullis_audit_lost_records", "Records accepted but not written", metrics.lost.clone());
        registry.register(
            "portcullis_audit_torn_bytes",
            "Bytes of unfinished batches that were cut off",
            metrics.torn.clone(),
        );
        registry.register("portcullis_audit_entries", "Entries in the log", metrics.entries.clone());
        registry.register("portcullis_audit_published", "Entries under the latest checkpoint", metrics.size.clone());
        registry.register(
            "portcullis_audit_publish_failures",
            "Attempts at tiles and a checkpoint that failed and are made again",
            metrics.publish_failures.clone(),
        );
        metrics
    }

    /// How many answers were given without a record.
    pub fn unrecorded(&self) -> u64 {
        self.unrecorded.get()
    }
}
