//! How requests were answered. How exchanges ended is counted where they are made.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::foundation::telemetry::Registry;

/// Counters of the token endpoint.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct RequestLabels {
    status: u16,
}

impl Metrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> Self {
        let requests = Family::<RequestLabels, Counter>::default();
        // From the start, so that the first fault is an increase that an alert can see.
        for status in [200, 400, 401, 413, 429, 500, 503] {
            requests.get_or_create_owned(&RequestLabels { status });
        }
        registry.register(
            "portcullis_token_requests",
            "Requests for tokens answered, by HTTP status",
            requests.clone(),
        );
        Self { requests }
    }
}

/// Counts an answer. Goes around all that makes one, so that panics count too.
pub(super) async fn count(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let labels = RequestLabels { status: response.status().as_u16() };
    metrics.requests.get_or_create_owned(&labels).inc();
    response
}
