//! What is counted about exchanges.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::foundation::telemetry::Registry;

/// The word for an exchange that came to a new token.
pub(super) const ISSUED: &str = "issued";

/// Exchanges by how they ended.
#[derive(Clone, Debug, Default)]
pub struct ExchangeMetrics {
    exchanges: Family<ResultLabels, Counter>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ResultLabels {
    result: &'static str,
}

impl ExchangeMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        metrics.exchanges.get_or_create_owned(&ResultLabels { result: ISSUED });
        registry.register(
            "portcullis_token_exchanges",
            "Exchanges of tokens by clients that are known, by how they ended",
            metrics.exchanges.clone(),
        );
        metrics
    }

    pub(super) fn ended(&self, result: &'static str) {
        self.exchanges.get_or_create_owned(&ResultLabels { result }).inc();
    }
}
