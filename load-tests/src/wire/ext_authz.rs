//! Envoy's `CheckRequest`, with all that Envoy 1.40 puts into one, and the part of a `CheckResponse` that decides.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::auth::v3 as auth;
use envoy_types::pb::google::protobuf::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use prost::Message as _;

use super::{Answer, Head, grpc};
use crate::question::{ITEM, Question, Questions};
use crate::template::{ITEM_DIGITS, REQUEST_DIGITS};

/// How headers are shown.
#[derive(Clone, Copy)]
pub(super) enum Headers {
    /// Line by line, as they came (`encode_raw_headers`).
    Raw,
    /// As a map.
    Joined,
}

/// What a browser calls itself.
pub(super) const USER_AGENT: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

/// The proxy's own identity.
const PROXY: &str = "spiffe://load.test/proxy";

/// What Envoy leaves as it is when it writes a certificate into a text.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-');

pub(super) fn prepare(question: &Question, asked: &Questions, headers: Headers, certificate: bool) -> (Head, Vec<u8>) {
    let certificate = asked.certificates.get(&question.principal).filter(|_| certificate);
    let certificate = certificate.map_or_else(String::new, |pem| utf8_percent_encode(pem, &PLAIN).to_string());
    let attributes = auth::AttributeContext {
        source: Some(peer("127.0.0.1", 41_234, &question.principal, certificate)),
        destination: Some(peer("127.0.0.1", 18_443, PROXY, String::new())),
        request: Some(auth::attribute_context::Request {
            time: Some(Timestamp { seconds: 1_795_000_000, nanos: 123_456_000 }),
            http: Some(request(question, headers)),
        }),
        context_extensions: HashMap::from([("service".to_owned(), question.service.clone())]),
        metadata_context: Some(core::Metadata::default()),
        route_metadata_context: Some(core::Metadata::default()),
        tls_session: Some(auth::attribute_context::TlsSession { sni: "orders.load.test".to_owned() }),
    };
    let message = auth::CheckRequest { attributes: Some(attributes) };
    (grpc::head("/envoy.service.auth.v3.Authorization/Check"), grpc::framed(&message))
}

fn peer(address: &str, port: u32, principal: &str, certificate: String) -> auth::attribute_context::Peer {
    let socket = core::SocketAddress {
        address: address.to_owned(),
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(port)),
        ..core::SocketAddress::default()
    };
    auth::attribute_context::Peer {
        address: Some(core::Address { address: Some(core::address::Address::SocketAddress(socket)) }),
        principal: principal.to_owned(),
        certificate,
        ..auth::attribute_context::Peer::default()
    }
}

fn request(question: &Question, headers: Headers) -> auth::attribute_context::HttpRequest {
    let path = question.path.replace(ITEM, ITEM_DIGITS);
    let lines = lines(question, &path);
    let (headers, header_map) = match headers {
        Headers::Joined => (lines.into_iter().collect(), None),
        Headers::Raw => {
            let raw = |(key, value): (String, String)| core::HeaderValue {
                key,
                value: String::new(),
                raw_value: value.into_bytes(),
            };
            (HashMap::new(), Some(core::HeaderMap { headers: lines.into_iter().map(raw).collect() }))
        }
    };
    auth::attribute_context::HttpRequest {
        id: format!("12345{REQUEST_DIGITS}"),
        method: question.method.clone(),
        headers,
        header_map,
        path,
        host: "orders.load.test".to_owned(),
        scheme: "https".to_owned(),
        size: -1,
        protocol: "HTTP/2".to_owned(),
        ..auth::attribute_context::HttpRequest::default()
    }
}

/// The lines of a request that came from a browser through two proxies.
fn lines(question: &Question, path: &str) -> Vec<(String, String)> {
    let xfcc = format!("By={PROXY};URI={}", question.principal);
    let request_id = format!("7f0f3a52-92d6-4c4e-a1d3-{REQUEST_DIGITS}");
    let traced = format!("00-0af7651916cd43dd8448{REQUEST_DIGITS}-b7ad6b7169203331-01");
    let always = [
        (":authority", "orders.load.test"),
        (":method", &question.method),
        (":path", path),
        (":scheme", "https"),
        ("accept", "application/json, text/plain, */*"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
        ("cookie", "session=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08; theme=dark"),
        ("traceparent", &traced),
        ("user-agent", USER_AGENT),
        ("x-envoy-external-address", "127.0.0.1"),
        ("x-forwarded-client-cert", &xfcc),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-request-id", &request_id),
    ];
    let tenant = question.tenant.iter().map(|tenant| ("x-tenant", tenant.as_str()));
    always.into_iter().chain(tenant).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The fields of a `CheckResponse` that decide; the others cost the client time and say nothing.
#[derive(Clone, PartialEq, prost::Message)]
struct CheckResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<Status>,
    #[prost(message, optional, tag = "2")]
    denied: Option<Denied>,
    #[prost(message, optional, tag = "5")]
    error: Option<Denied>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Denied {
    #[prost(message, optional, tag = "1")]
    status: Option<HttpStatus>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HttpStatus {
    #[prost(int32, tag = "1")]
    code: i32,
}

/// Stricter than Envoy: no status is no answer, and a denial that would not become a plain 403 is a fault.
pub(super) fn read(message: &[u8]) -> Result<Answer, String> {
    let response = CheckResponse::decode(message).map_err(|error| error.to_string())?;
    let code = response.status.as_ref().map(|status| status.code);
    match (code, &response.denied, &response.error) {
        (Some(0), None, None) => Ok(Answer::Allow),
        // A refusal that says nothing more is a 403 to Envoy; OPA answers so.
        (Some(7), None | Some(Denied { status: Some(HttpStatus { code: 403 }) }), None) => Ok(Answer::Deny),
        _ => Err(format!("neither a yes nor a no: {response:?}")),
    }
}
