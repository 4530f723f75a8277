//! The process's own state, for those who run it: `/livez`, `/readyz`, `/metrics`; and receipts of its decisions. Meant for a listener of its own,
//! since anyone who reaches it reads all of it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use tower_http::catch_panic::CatchPanicLayer;

use super::failure::{Failure, method_not_allowed, not_found, panicked};
use super::receipts::receipts_router;
use crate::edge::receipts::ReceiptDesk;
use crate::foundation::readiness::Readiness;
use crate::foundation::telemetry::Registry;

#[cfg(test)]
mod tests;

/// The `OpenMetrics` text format 1.0, which is what Prometheus asks for first.
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Serves the probes and the metrics, and receipts if there is a desk.
pub fn operations_router(readiness: Readiness, registry: Arc<Registry>, receipts: Option<Arc<ReceiptDesk>>) -> Router {
    let receipts = receipts.map(receipts_router).unwrap_or_default();
    receipts
        .route("/livez", get(livez).fallback(method_not_allowed))
        .route("/readyz", get(readyz).fallback(method_not_allowed).with_state(readiness))
        .route("/metrics", get(metrics).fallback(method_not_allowed).with_state(registry))
        .fallback(not_found)
        .layer(CatchPanicLayer::custom(panicked))
}

/// Answers as long as the process can answer at all. What it waits for is none of this probe's business: a restart
/// would not bring it.
async fn livez() -> impl IntoResponse {
    ([(CACHE_CONTROL, "no-store")], "ok\n")
}

async fn readyz(State(readiness): State<Readiness>) -> impl IntoResponse {
    let report = readiness.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(CACHE_CONTROL, "no-store")], Json(report))
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_formatting) => {
            Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be encoded").into_response()
        }
    }
}
