//! What the sink counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::foundation::telemetry::Registry;

/// Counters of the sink.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(super) waiting: Gauge,
    pub(super) written: Counter,
    pub(super) batches: Counter,
    pub(super) refused_full: Counter,
    pub(super) refused_failed: Counter,
    pub(super) lost: Counter,
    pub(super) torn: Counter,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct RefusedLabels {
    why: &'static str,
}

impl Metrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> Self {
        let refused = Family::<RefusedLabels, Counter>::default();
        let metrics = Self {
            waiting: Gauge::default(),
            written: Counter::default(),
            batches: Counter::default(),
            refused_full: refused.get_or_create_owned(&RefusedLabels { why: "full" }),
            refused_failed: refused.get_or_create_owned(&RefusedLabels { why: "failed" }),
            lost: Counter::default(),
            torn: Counter::default(),
        };
        let waiting = metrics.waiting.clone();
        registry.register(
            "portcullis_audit_waiting_records",
            "Records accepted and not yet taken to be written",
            waiting,
        );
        registry.register("portcullis_audit_records", "Records written and synced", metrics.written.clone());
        registry.register("portcullis_audit_batches", "Writes, each with one sync", metrics.batches.clone());
        registry.register("portcullis_audit_refused_records", "Records not accepted, by why", refused);
        registry.register("portcullis_audit_lost_records", "Records accepted but not written", metrics.lost.clone());
        registry.register("portcullis_audit_torn_lines", "Unfinished last lines cut off", metrics.torn.clone());
        metrics
    }
}
