//! What this service counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use crate::foundation::telemetry::Registry;

/// The service's metrics.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(super) streams: Gauge,
    pub(super) messages: Counter,
    pub(super) refusals: Counter,
    pub(super) failures: Counter,
    pub(super) tokens_verified: Counter,
    pub(super) tokens_rejected: Counter,
    pub(super) overloaded: Counter,
}

impl Metrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "portcullis_workload_api_streams",
            "Workload API streams that are open",
            metrics.streams.clone(),
        );
        let mut count = |name, help, counter: &Counter| registry.register(name, help, counter.clone());
        count("portcullis_workload_api_messages", "Messages sent on streams", &metrics.messages);
        count("portcullis_workload_api_refusals", "Callers told that no identity is issued", &metrics.refusals);
        count("portcullis_workload_api_failures", "Times that a caller could not be identified", &metrics.failures);
        count("portcullis_workload_api_tokens_verified", "JWT-SVIDs that held", &metrics.tokens_verified);
        count("portcullis_workload_api_tokens_rejected", "JWT-SVIDs that did not hold", &metrics.tokens_rejected);
        count("portcullis_workload_api_overloaded", "Streams refused because there was no room", &metrics.overloaded);
        metrics
    }

    /// Those who were turned away with no record of each: why, and how many.
    pub fn turned_away(&self) -> [(&'static str, Counter); 2] {
        [("overloaded", self.overloaded.clone()), ("token_rejected", self.tokens_rejected.clone())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_is_registered_as_what_it_is() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        metrics.streams.set(9);
        for (count, counter) in [
            &metrics.messages,
            &metrics.refusals,
            &metrics.failures,
            &metrics.tokens_verified,
            &metrics.tokens_rejected,
            &metrics.overloaded,
        ]
        .into_iter()
        .enumerate()
        {
            counter.inc_by(u64::try_from(count).unwrap() + 1);
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in ["streams 9", "messages_total 1", "refusals_total 2", "failures_total 3"].into_iter().chain([
            "tokens_verified_total 4",
            "tokens_rejected_total 5",
            "overloaded_total 6",
        ]) {
            let line = format!("portcullis_workload_api_{line}");
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}
