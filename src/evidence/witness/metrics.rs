//! What is counted about witnesses.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::evidence::record::WitnessFinding;
use crate::foundation::telemetry::Registry;

/// Counters of both sides.
#[derive(Clone, Debug, Default)]
pub struct WitnessMetrics {
    asked: Family<AskedLabels, Counter>,
    answered: Family<AnsweredLabels, Counter>,
    alarms: Family<AlarmLabels, Counter>,
    /// How many entries are under the latest checkpoint that enough witnesses have cosigned.
    pub(super) witnessed: Gauge,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct AskedLabels {
    witness: String,
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct AnsweredLabels {
    log: String,
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct AlarmLabels {
    log: String,
    witness: String,
    finding: &'static str,
}

impl WitnessMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "portcullis_audit_witness_requests",
            "Checkpoints of our log given to a witness, by its answer",
            metrics.asked.clone(),
        );
        registry.register(
            "portcullis_audit_witnessed",
            "Entries under the latest checkpoint that enough witnesses have cosigned",
            metrics.witnessed.clone(),
        );
        registry.register(
            "portcullis_witness_answers",
            "Checkpoints of other logs that we were given to cosign, by our answer",
            metrics.answered.clone(),
        );
        registry.register(
            "portcullis_witness_alarms",
            "Logs, ours and others, that a witness found to be cut back or forked",
            metrics.alarms.clone(),
        );
        metrics
    }

    pub(super) fn asked(&self, witness: &str, result: &'static str) {
        self.asked.get_or_create_owned(&AskedLabels { witness: witness.to_owned(), result }).inc();
    }

    /// `log` is one that is known, so that strangers make no labels.
    pub(super) fn answered(&self, log: Option<&str>, result: &'static str) {
        let log = log.unwrap_or("unknown").to_owned();
        self.answered.get_or_create_owned(&AnsweredLabels { log, result }).inc();
    }

    pub(super) fn alarm(&self, log: &str, witness: &str, finding: WitnessFinding) {
        let (log, witness) = (log.to_owned(), witness.to_owned());
        self.alarms.get_or_create_owned(&AlarmLabels { log, witness, finding: finding.name() }).inc();
    }
}
