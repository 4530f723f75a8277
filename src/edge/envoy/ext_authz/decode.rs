//! From the bytes of a `CheckRequest` to a [`Check`].
//!
//! The messages here are Envoy's, cut down to the fields that a decision reads; prost skips the others without looking
//! into them, which is half the time of a whole decode and leaves bodies and metadata, nested as they may be, alone.
//! The tests hold the field numbers against the full definitions.

use bytes::Bytes;
use prost::{DecodeError, Message};

use crate::decision::{Check, HttpAttributes};

#[derive(Clone, PartialEq, Message)]
struct CheckRequest {
    #[prost(message, optional, tag = "1")]
    attributes: Option<Attributes>,
}

#[derive(Clone, PartialEq, Message)]
struct Attributes {
    #[prost(message, optional, tag = "1")]
    source: Option<Peer>,
    #[prost(message, optional, tag = "2")]
    destination: Option<Peer>,
    #[prost(message, optional, tag = "4")]
    request: Option<Request>,
    #[prost(btree_map = "string, string", tag = "10")]
    context_extensions: std::collections::BTreeMap<String, String>,
    #[prost(message, optional, tag = "12")]
    tls_session: Option<TlsSession>,
}

#[derive(Clone, PartialEq, Message)]
struct Peer {
    #[prost(string, tag = "4")]
    principal: String,
    #[prost(string, tag = "5")]
    certificate: String,
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, optional, tag = "2")]
    http: Option<HttpRequest>,
}

#[derive(Clone, PartialEq, Message)]
struct HttpRequest {
    #[prost(string, tag = "2")]
    method: String,
    /// Entries of the joined map: that there are any is all we need to know.
    #[prost(bytes = "bytes", repeated, tag = "3")]
    joined_headers: Vec<Bytes>,
    #[prost(string, tag = "4")]
    path: String,
    #[prost(string, tag = "5")]
    host: String,
    #[prost(string, tag = "6")]
    scheme: String,
    #[prost(string, tag = "10")]
    protocol: String,
    #[prost(message, optional, tag = "13")]
    header_map: Option<HeaderMap>,
}

#[derive(Clone, PartialEq, Message)]
struct HeaderMap {
    #[prost(message, repeated, tag = "1")]
    headers: Vec<HeaderValue>,
}

#[derive(Clone, PartialEq, Message)]
struct HeaderValue {
    #[prost(string, tag = "1")]
    key: String,
    /// Only set in joined maps; a raw line has its value in `raw_value`.
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    raw_value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct TlsSession {
    #[prost(string, tag = "1")]
    sni: String,
}

/// Reads one message. What it leaves out is empty in the [`Check`], which policies are then not asked about.
///
/// # Errors
/// [`DecodeError`] if it is no such message, or a text in it is not UTF-8.
pub(super) fn decode(message: Bytes) -> Result<Check, DecodeError> {
    let attributes = CheckRequest::decode(message)?.attributes.unwrap_or_default();
    let source = attributes.source.unwrap_or_default();
    Ok(Check {
        certificate: source.certificate,
        principal: source.principal,
        destination: attributes.destination.unwrap_or_default().principal,
        sni: attributes.tls_session.unwrap_or_default().sni,
        http: attributes.request.and_then(|request| request.http).map(http_attributes),
        extensions: attributes.context_extensions,
    })
}

fn http_attributes(http: HttpRequest) -> HttpAttributes {
    let joined = !http.joined_headers.is_empty();
    HttpAttributes {
        method: http.method,
        path: http.path,
        host: http.host,
        scheme: http.scheme,
        protocol: http.protocol,
        headers: http.header_map.filter(|_| !joined).and_then(raw_lines),
    }
}

/// The lines, unless one of them is not raw.
fn raw_lines(map: HeaderMap) -> Option<Vec<(String, Bytes)>> {
    let lines = map.headers.into_iter();
    lines.map(|line| line.value.is_empty().then_some((line.key, line.raw_value))).collect()
}

#[cfg(test)]
mod tests;
