//! `X-Request-ID`: the client's own name for its request, given back on every answer (Authorization API 1.0, section
//! 10.1.3), errors included.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Longer names are not taken: they go into a record and back onto the wire.
const LONGEST: usize = 128;

/// The client's name for its request, if it gave one that can be taken.
#[derive(Clone, Debug)]
pub(super) struct RequestId {
    id: Option<HeaderValue>,
    traceparent: Option<HeaderValue>,
}

impl RequestId {
    /// That of `request`.
    pub(super) fn of(request: &Request) -> Self {
        Self::of_headers(request.headers())
    }

    /// That of a request with these headers.
    pub(super) fn of_headers(headers: &HeaderMap) -> Self {
        Self { id: request_id(headers).cloned(), traceparent: only(headers, &TRACEPARENT).cloned() }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        self.id.as_ref().and_then(|id| id.to_str().ok())
    }

    /// The trace that it belongs to, as the client says.
    pub(super) fn traceparent(&self) -> Option<&str> {
        self.traceparent.as_ref().and_then(|parent| parent.to_str().ok())
    }
}

/// One header of at most 128 visible ASCII characters. Anything else counts as none.
fn request_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    let id = only(headers, &REQUEST_ID)?;
    let bytes = id.as_bytes();
    ((1..=LONGEST).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)).then_some(id)
}

/// The line of a header that is there once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut given = headers.get_all(name).iter();
    given.next().filter(|_| given.next().is_none())
}

/// Puts the request's name onto its answer, whatever that is. Goes around everything else.
pub(super) async fn echo(request: Request, next: Next) -> Response {
    let id = request_id(request.headers()).cloned();
    let mut response = next.run(request).await;
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}
