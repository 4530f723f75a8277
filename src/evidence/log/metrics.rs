//! What the log counts.

use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};

use super::queue::Queue;
use crate::foundation::telemetry::Registry;

/// Counters of the log.
#[derive(Clone, Debug)]
pub struct LogMetrics {
    pub(super) written: Counter,
    pub(super) batches: Counter,
    pub(super) refused_full: Counter,
    pub(super) refused_failed: Counter,
    pub(super) unrecorded: Counter,
    pub(super) lost: Counter,
    pub(super) torn: Counter,
    pub(super) taken: Custody,
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
            written: Counter::default(),
            batches: Counter::default(),
            refused_full: refused.get_or_create_owned(&RefusedLabels { why: "full" }),
            refused_failed: refused.get_or_create_owned(&RefusedLabels { why: "failed" }),
            unrecorded: Counter::default(),
            lost: Counter::default(),
            torn: Counter::default(),
            taken: Custody::default(),
            size: Gauge::default(),
            publish_failures: Counter::default(),
        };
        registry.register_collector(Box::new(metrics.taken.clone()));
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

/// Where what was accepted is: in the queue or in the log. Both are told by one collector, and in this order: what goes from one to
/// the other meanwhile is told of twice rather than not at all.
#[derive(Clone, Debug, Default)]
pub(super) struct Custody {
    /// Asked when somebody wants to know. A gauge of its own would be one more line of memory that all who answer write to.
    queue: Arc<OnceLock<Arc<Queue>>>,
    entries: Gauge,
}

impl Custody {
    /// Has the queue asked for how many records wait in it.
    pub(super) fn watch(&self, queue: &Arc<Queue>) {
        let _others = self.queue.set(Arc::clone(queue));
    }

    /// How many entries are in the log.
    pub(super) fn written(&self, entries: u64) {
        self.entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
    }
}

impl Collector for Custody {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let waiting = self.queue.get().map_or(0, |queue| queue.waiting());
        let (name, help) = ("portcullis_audit_waiting_records", "Records accepted and not yet written");
        let waiting = ConstGauge::new(i64::try_from(waiting).unwrap_or(i64::MAX));
        waiting.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        let (name, help) = ("portcullis_audit_entries", "Entries in the log");
        self.entries.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
    }
}
