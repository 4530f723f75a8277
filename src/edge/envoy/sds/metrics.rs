//! What this service counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use crate::foundation::telemetry::Registry;

/// The service's metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(super) streams: Gauge,
    pub(super) responses: Counter,
    pub(super) acknowledged: Counter,
    pub(super) rejected: Counter,
    pub(super) unanswered: Counter,
    pub(super) emptied: Counter,
    pub(super) withdrawn: Counter,
    pub(super) failures: Counter,
    pub(super) overloaded: Counter,
}

impl Metrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            streams: Gauge::default(),
            responses: Counter::default(),
            acknowledged: Counter::default(),
            rejected: Counter::default(),
            unanswered: Counter::default(),
            emptied: Counter::default(),
            withdrawn: Counter::default(),
            failures: Counter::default(),
            overloaded: Counter::default(),
        };
        registry.register("portcullis_sds_streams", "Secret streams that are open", metrics.streams.clone());
        let mut count = |name, help, counter: &Counter| registry.register(name, help, counter.clone());
        count("portcullis_sds_responses", "Responses with secrets that were sent", &metrics.responses);
        count("portcullis_sds_acknowledged", "Responses that the client accepted", &metrics.acknowledged);
        count("portcullis_sds_rejected", "Responses that the client rejected", &metrics.rejected);
        count("portcullis_sds_unanswered_names", "Names asked for that nothing grants", &metrics.unanswered);
        count("portcullis_sds_emptied_bundles", "Bundles and credentials replaced by empty ones", &metrics.emptied);
        count("portcullis_sds_withdrawn_svids", "SVIDs handed out and then no longer granted", &metrics.withdrawn);
        count("portcullis_sds_failures", "Times that a caller could not be identified", &metrics.failures);
        count("portcullis_sds_overloaded", "Streams refused because there was no room", &metrics.overloaded);
        metrics
    }

    /// Those who were turned away with no record of each: why, and how many.
    pub fn turned_away(&self) -> [(&'static str, Counter); 1] {
        [("overloaded", self.overloaded.clone())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_is_registered_as_what_it_is() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        for (count, counter) in [
            &metrics.responses,
            &metrics.acknowledged,
            &metrics.rejected,
            &metrics.unanswered,
            &metrics.emptied,
            &metrics.withdrawn,
            &metrics.failures,
            &metrics.overloaded,
        ]
        .into_iter()
        .enumerate()
        {
            counter.inc_by(u64::try_from(count).unwrap() + 1);
        }
        metrics.streams.set(9);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "portcullis_sds_streams 9",
            "portcullis_sds_responses_total 1",
            "portcullis_sds_acknowledged_total 2",
            "portcullis_sds_rejected_total 3",
            "portcullis_sds_unanswered_names_total 4",
            "portcullis_sds_emptied_bundles_total 5",
            "portcullis_sds_withdrawn_svids_total 6",
            "portcullis_sds_failures_total 7",
            "portcullis_sds_overloaded_total 8",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}
