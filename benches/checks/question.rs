//! The question: one that the quickstart's policies allow, about as long as Envoy's are.

use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request};
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest};
use prost::Message as _;

/// As it goes on the wire, from a caller with this leaf, in PEM.
pub(crate) fn framed(leaf: &str) -> Bytes {
    let message = question(leaf).encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, &message].concat().into()
}

fn question(leaf: &str) -> CheckRequest {
    let certificate = percent_encoding::utf8_percent_encode(leaf, percent_encoding::NON_ALPHANUMERIC).to_string();
    let lines = [
        (":method", "GET"),
        (":path", "/orders/17"),
        (":authority", "orders"),
        (":scheme", "http"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, deflate, br"),
        ("x-request-id", "5f5b6b0e-9b1c-4ef2-a6a3-1b7bb5f8a7e1"),
        ("x-forwarded-proto", "https"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    let line = |(key, value): (&str, &str)| HeaderValue {
        key: key.into(),
        raw_value: value.as_bytes().to_vec(),
        ..HeaderValue::default()
    };
    let http = HttpRequest {
        method: "GET".into(),
        path: "/orders/17".into(),
        host: "orders".into(),
        scheme: "http".into(),
        protocol: "HTTP/2".into(),
        header_map: Some(HeaderMap { headers: lines.into_iter().map(line).collect() }),
        ..HttpRequest::default()
    };
    CheckRequest {
        attributes: Some(AttributeContext {
            source: Some(Peer { principal: "spiffe://example.org/web".into(), certificate, ..Peer::default() }),
            destination: Some(Peer { principal: "spiffe://example.org/orders".into(), ..Peer::default() }),
            request: Some(Request { time: None, http: Some(http) }),
            context_extensions: [("service".to_owned(), "orders".to_owned())].into(),
            ..AttributeContext::default()
        }),
    }
}
