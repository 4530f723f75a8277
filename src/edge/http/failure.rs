//! The body of every answer that is not a success, and the last stand against a panic.

use std::any::Any;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use crate::foundation::telemetry::printable;

/// How much of a panic's message goes to the log.
const SHOWN_OF_PANIC: usize = 512;

/// In how many seconds a client that was turned away should come again.
const COME_AGAIN: HeaderValue = HeaderValue::from_static("1");

/// An answer that is not a success: `{"error":{"status":400,"message":"…"}}`, the shape that `AuthZEN` uses for errors
/// inside a decision's context (Authorization API 1.0, section 7.2.1). For whole answers section 10.1.2 asks for a message only.
#[derive(Debug)]
pub(super) struct Failure {
    body: ErrorBody,
    header: Option<(HeaderName, HeaderValue)>,
}

/// What went wrong, for a client's log.
#[derive(Debug, Serialize)]
pub(super) struct ErrorBody {
    status: u16,
    message: String,
}

#[derive(Serialize)]
struct Envelope {
    error: ErrorBody,
}

impl Failure {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { body: ErrorBody { status: status.as_u16(), message: message.into() }, header: None }
    }

    pub(super) fn bad_request(message: &(impl ToString + ?Sized)) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message.to_string())
    }

    /// There is no room, and will be soon.
    pub(super) fn too_many(message: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, message).with_header((RETRY_AFTER, COME_AGAIN))
    }

    pub(super) fn with_header(self, header: (HeaderName, HeaderValue)) -> Self {
        Self { header: Some(header), ..self }
    }

    pub(super) fn into_body(self) -> ErrorBody {
        self.body
    }

    pub(super) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, Json(Envelope { error: self.body })).into_response();
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// There is nothing at this path.
pub(super) async fn not_found() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "there is nothing at this path")
}

/// The path is served, but not with this method; the router adds `Allow`.
pub(super) async fn method_not_allowed() -> Failure {
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "this path is not served with this method")
}

/// What a client sees of a panic: that it was our fault. The rest is for the log.
#[expect(clippy::needless_pass_by_value, reason = "the signature is that of tower-http's panic handler")]
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(message = printable(message.unwrap_or("no message"), SHOWN_OF_PANIC), "a request panicked");
    Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error").into_response()
}
