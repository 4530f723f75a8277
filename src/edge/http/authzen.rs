//! `AuthZEN`'s Access Evaluation API over HTTP (Authorization API 1.0, sections 6 and 10.1): `POST
//! /access/v1/evaluation`, one question, one decision. Batches and searches are not served.
//!
//! A deny is 200 with `"decision":false`. Every other status means that there is no decision, and no body but that of a
//! 200 has a member `decision`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use tower_http::catch_panic::CatchPanicLayer;

use self::body::Bodies;
use super::failure::{Failure, method_not_allowed, not_found, panicked};
use super::request_id::{echo, request_id};
use crate::decision::{Authorizer, Query, Verdict};

pub use metrics::Metrics;

mod answer;
mod body;
mod metrics;
mod question;

#[cfg(test)]
mod tests;

/// The path of the Access Evaluation API (Authorization API 1.0, section 10.1).
pub const EVALUATION_PATH: &str = "/access/v1/evaluation";

/// How this API is served.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuthzenConfig {
    /// The longest body that is read, in bytes; a longer one is answered with 413.
    pub max_body_bytes: usize,
    /// Whether a decision says why, in `context`. Off by default: policy ids tell a client about policies that it may
    /// have no business with (section 11.2), and some clients compare whole bodies.
    pub decision_context: bool,
}

impl Default for AuthzenConfig {
    fn default() -> Self {
        Self { max_body_bytes: 1 << 20, decision_context: false }
    }
}

/// What answers the questions. The product has one, [`Authorizer`]; tests have others.
pub trait Evaluate: Send + Sync + 'static {
    /// Answers one question. `request_id` is the client's name for its request.
    fn evaluate(&self, query: Query<'_>, request_id: Option<&str>) -> Verdict;
}

impl Evaluate for Authorizer {
    fn evaluate(&self, query: Query<'_>, request_id: Option<&str>) -> Verdict {
        Self::evaluate(self, query, request_id)
    }
}

/// Serves the API with `pdp`'s answers. The clients' authentication is the listener's business.
pub fn authzen_router<E: Evaluate>(pdp: Arc<E>, config: &AuthzenConfig, metrics: Metrics) -> Router {
    let bodies = Bodies::new(config.max_body_bytes);
    let service = Arc::new(Service { pdp, bodies, decision_context: config.decision_context });
    Router::new()
        .route(EVALUATION_PATH, post(evaluation::<E>).fallback(method_not_allowed))
        .fallback(not_found)
        .with_state(service)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(metrics, metrics::count))
        .layer(middleware::from_fn(echo))
}

struct Service<E> {
    pdp: Arc<E>,
    bodies: Bodies,
    decision_context: bool,
}

async fn evaluation<E: Evaluate>(State(service): State<Arc<Service<E>>>, request: Request) -> Response {
    let request_id = request_id(request.headers()).cloned();
    let query = match query(request, &service.bodies).await {
        Ok(query) => query,
        Err(failure) => return failure.into_response(),
    };
    let request_id = request_id.as_ref().and_then(|id| id.to_str().ok());
    let verdict = service.pdp.evaluate(query, request_id);
    answer::response(&verdict, service.decision_context)
}

async fn query(request: Request, bodies: &Bodies) -> Result<Query<'static>, Failure> {
    if !is_json(request.headers()) {
        return Err(Failure::bad_request("the content type must be `application/json`"));
    }
    let body = bodies.read(request.into_body()).await?;
    question::read(&body.bytes).map_err(|error| Failure::bad_request(&error))
}

/// Whether there is one content type and it is `application/json`, whatever its parameters: RFC 8259 section 11
/// defines none, and clients send `charset=utf-8` all the same.
fn is_json(headers: &HeaderMap) -> bool {
    let mut given = headers.get_all(CONTENT_TYPE).iter().map(HeaderValue::to_str);
    let (Some(Ok(content_type)), None) = (given.next(), given.next()) else { return false };
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}
