//! What is counted about sinks.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::foundation::telemetry::Registry;

/// Counters of all sinks.
#[derive(Clone, Debug, Default)]
pub struct ExportMetrics {
    given: Family<SinkLabels, Counter>,
    failures: Family<SinkLabels, Counter>,
    skipped: Family<SinkLabels, Counter>,
    behind: Family<SinkLabels, Gauge>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct SinkLabels {
    sink: String,
}

impl ExportMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("portcullis_audit_exported_records", "Records that a sink has taken", metrics.given.clone());
        registry.register(
            "portcullis_audit_export_failures",
            "Times a sink did not take records, which are given to it again",
            metrics.failures.clone(),
        );
        registry.register(
            "portcullis_audit_export_skipped_records",
            "Records that a sink has refused for good, and that were passed over",
            metrics.skipped.clone(),
        );
        registry.register(
            "portcullis_audit_export_lag",
            "Records under a checkpoint that a sink has not taken yet",
            metrics.behind.clone(),
        );
        metrics
    }

    /// A sink has come to `next`, of `size` entries, by taking so many.
    pub(super) fn given(&self, sink: &str, count: u64, (next, size): (u64, u64)) {
        let labels = SinkLabels { sink: sink.to_owned() };
        self.given.get_or_create_owned(&labels).inc_by(count);
        let behind = i64::try_from(size.saturating_sub(next)).unwrap_or(i64::MAX);
        self.behind.get_or_create_owned(&labels).set(behind);
    }

    pub(super) fn skipped(&self, sink: &str) {
        self.skipped.get_or_create_owned(&SinkLabels { sink: sink.to_owned() }).inc();
    }

    pub(super) fn failed(&self, sink: &str) {
        self.failures.get_or_create_owned(&SinkLabels { sink: sink.to_owned() }).inc();
    }
}
