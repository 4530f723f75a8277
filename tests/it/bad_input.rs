//! The bad-input list, against the running gateway over its own socket: none panics, none allows.

use std::collections::HashMap;
use std::path::Path;

use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3::{HeaderMap, HeaderValue};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use crate::support::gateway::{Gateway, Home};
use crate::support::sds;

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_question_is_answered_and_none_is_allowed() {
    let home = Home::new();
    let mut gateway = Gateway::start(&home, &[]).await;
    let response = sds::fetch(&home.workload_socket(), &["default"]).await.unwrap();
    let (chain, _key) = sds::certificate(&sds::secrets(&response)[0]);
    let good = good_question(&chain);
    let allowed = ask(&home.ext_authz_socket(), &good.encode_to_vec()).await;
    assert!(allows(&allowed), "the list proves nothing unless this is allowed: {allowed:?}");

    for (what, message) in bad_questions(&good) {
        let answer = ask(&home.ext_authz_socket(), &message).await;
        assert!(!allows(&answer), "{what}: {answer:?}");
        let status = answer.status.as_ref().unwrap_or_else(|| panic!("{what}: no status, which Envoy reads as allow"));
        assert_ne!(status.code, 0, "{what}");
        match &answer.http_response {
            Some(HttpResponse::DeniedResponse(denied)) => {
                assert!(denied.headers.iter().all(clean), "{what}: {denied:?}");
                let body: serde_json::Value = serde_json::from_str(&denied.body).unwrap();
                assert_eq!(body["decision"], false, "{what}");
            }
            Some(HttpResponse::ErrorResponse(_)) => {}
            other => panic!("{what}: {other:?}"),
        }
        gateway.process.assert_running();
    }
    let still = ask(&home.ext_authz_socket(), &good.encode_to_vec()).await;
    assert!(allows(&still), "a bad question must not spoil the next: {still:?}");
    assert!(!gateway.process.output().contains("panic"), "{}", gateway.process.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_deadline_is_an_error_and_not_a_decision() {
    let home = Home::new();
    let _gateway = Gateway::start(&home, &[]).await;
    let response = sds::fetch(&home.workload_socket(), &["default"]).await.unwrap();
    let (chain, _key) = sds::certificate(&sds::secrets(&response)[0]);
    let message = good_question(&chain).encode_to_vec();
    let answer = ask_with(&home.ext_authz_socket(), &message, Some("0m")).await;
    assert!(matches!(answer.http_response, Some(HttpResponse::ErrorResponse(_))), "{answer:?}");
    assert_ne!(answer.status.unwrap().code, 0);
}

type Change = fn(&mut CheckRequest);

/// What is changed in the question.
const CHANGES: [(&str, Change); 27] = [
    ("no attributes", |q| q.attributes = None),
    ("no source", |q| attributes(q).source = None),
    ("no request and no policy for connections", |q| attributes(q).request = None),
    ("request without http", |q| attributes(q).request = Some(Request::default())),
    ("no method", |q| http(q).method.clear()),
    ("a method that is no token", |q| set(q, ":method", "GE T", |h| &mut h.method)),
    ("no path", |q| set(q, ":path", "", |h| &mut h.path)),
    ("a path without a slash", |q| set(q, ":path", "orders/17", |h| &mut h.path)),
    ("a path of 64 KiB", |q| set(q, ":path", &format!("/orders/{}", "a".repeat(65536)), |h| &mut h.path)),
    ("a path with a fragment", |q| set(q, ":path", "/orders/17#/x", |h| &mut h.path)),
    ("no host", |q| set(q, ":authority", "", |h| &mut h.host)),
    ("two hosts", |q| set(q, ":authority", "a,b", |h| &mut h.host)),
    ("a host with userinfo", |q| set(q, ":authority", "u@orders", |h| &mut h.host)),
    (":path twice", |q| push(q, ":path", "/orders/18")),
    (":path other than http.path", |q| http(q).path = "/orders/18".into()),
    ("only the joined header map", |q| {
        http(q).header_map = None;
        http(q).headers = HashMap::from([("x-tenant".to_owned(), "a".to_owned())]);
    }),
    ("both header maps", |q| http(q).headers = HashMap::from([("x-tenant".to_owned(), "a".to_owned())])),
    ("a header that a policy reads, twice", |q| {
        push(q, "x-tenant", "a");
        push(q, "x-tenant", "b");
    }),
    ("a header with NUL", |q| push(q, "x-tenant", "a\0b")),
    ("no certificate", |q| source(q).certificate.clear()),
    ("a certificate that is no text", |q| source(q).certificate = "%GG".into()),
    ("a truncated certificate", |q| {
        let certificate = &mut source(q).certificate;
        certificate.truncate(certificate.len() / 2);
    }),
    ("two certificates", |q| source(q).certificate = source(q).certificate.repeat(2)),
    ("a principal that is not the certificate's", |q| source(q).principal = "spiffe://example.org/batch".into()),
    ("a CONNECT without a path", |q| {
        set(q, ":method", "CONNECT", |h| &mut h.method);
        set(q, ":path", "", |h| &mut h.path);
    }),
    ("an upgrade", |q| push(q, "upgrade", "websocket")),
    ("10,000 cookie crumbs", |q| {
        for _ in 0..10_000 {
            push(q, "cookie", "a=b");
        }
    }),
];

/// Each a change of a question that would be allowed, or bytes that are no question.
fn bad_questions(good: &CheckRequest) -> Vec<(&'static str, Vec<u8>)> {
    let mut all: Vec<_> = CHANGES
        .iter()
        .map(|(what, change)| {
            let mut question = good.clone();
            change(&mut question);
            (*what, question.encode_to_vec())
        })
        .collect();
    let bytes = good.encode_to_vec();
    all.push(("nothing", Vec::new()));
    all.push(("half a message", bytes[..bytes.len() / 2].to_vec()));
    all.push(("noise", (0..=255).cycle().take(4096).collect()));
    let mut not_utf8 = bytes.clone();
    let position = not_utf8.windows(10).position(|window| window == b"/orders/17").unwrap();
    not_utf8[position + 1] = 0xff;
    all.push(("text that is not UTF-8", not_utf8));
    let mut huge = good.clone();
    push(&mut huge, "x-big", &"a".repeat(5 << 20));
    all.push(("a message over 4 MiB", huge.encode_to_vec()));
    all
}

/// A question that is allowed, if `chain` is `web`'s.
pub(crate) fn good_question(chain: &str) -> CheckRequest {
    let certificate = percent_encoding::utf8_percent_encode(chain, percent_encoding::NON_ALPHANUMERIC).to_string();
    let header = |key: &str, value: &str| HeaderValue {
        key: key.into(),
        raw_value: value.as_bytes().to_vec(),
        ..HeaderValue::default()
    };
    CheckRequest {
        attributes: Some(AttributeContext {
            source: Some(Peer { principal: "spiffe://example.org/web".into(), certificate, ..Peer::default() }),
            destination: Some(Peer { principal: "spiffe://example.org/orders".into(), ..Peer::default() }),
            request: Some(Request {
                time: None,
                http: Some(HttpRequest {
                    method: "GET".into(),
                    path: "/orders/17".into(),
                    host: "orders".into(),
                    scheme: "http".into(),
                    protocol: "HTTP/1.1".into(),
                    header_map: Some(HeaderMap {
                        headers: vec![
                            header(":method", "GET"),
                            header(":path", "/orders/17"),
                            header(":authority", "orders"),
                            header(":scheme", "http"),
                        ],
                    }),
                    ..HttpRequest::default()
                }),
            }),
            context_extensions: HashMap::from([("service".to_owned(), "orders".to_owned())]),
            ..AttributeContext::default()
        }),
    }
}

fn attributes(question: &mut CheckRequest) -> &mut AttributeContext {
    question.attributes.as_mut().unwrap()
}

/// The calling workload, as Envoy tells it.
pub(crate) fn source(question: &mut CheckRequest) -> &mut Peer {
    attributes(question).source.as_mut().unwrap()
}

fn http(question: &mut CheckRequest) -> &mut HttpRequest {
    attributes(question).request.as_mut().unwrap().http.as_mut().unwrap()
}

/// Makes it a question about `path`.
pub(crate) fn asks_for(question: &mut CheckRequest, path: &str) {
    set(question, ":path", path, |http| &mut http.path);
}

/// Adds a header line.
pub(crate) fn push(question: &mut CheckRequest, key: &str, value: &str) {
    let header = HeaderValue { key: key.into(), raw_value: value.as_bytes().to_vec(), ..HeaderValue::default() };
    http(question).header_map.as_mut().unwrap().headers.push(header);
}

/// Sets a field and the pseudo-header that must agree with it.
fn set(question: &mut CheckRequest, pseudo: &str, value: &str, field: fn(&mut HttpRequest) -> &mut String) {
    value.clone_into(field(http(question)));
    let headers = &mut http(question).header_map.as_mut().unwrap().headers;
    headers.retain(|header| header.key != pseudo);
    if !value.is_empty() {
        push(question, pseudo, value);
    }
}

/// What Envoy would do with the answer, by the table of measured semantics: it allows whenever the status is absent
/// or zero, whatever else the answer says.
pub(crate) fn allows(answer: &CheckResponse) -> bool {
    answer.status.as_ref().is_none_or(|status| status.code == 0)
}

fn clean(option: &envoy_types::pb::envoy::config::core::v3::HeaderValueOption) -> bool {
    let header = option.header.as_ref().unwrap();
    header.value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// One `Check`.
pub(crate) async fn ask(socket: &Path, message: &[u8]) -> CheckResponse {
    ask_with(socket, message, None).await
}

/// One `Check` on the wire, its message whatever bytes the test likes.
async fn ask_with(socket: &Path, message: &[u8], timeout: Option<&str>) -> CheckResponse {
    let stream = UnixStream::connect(socket).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(message);
    let mut request = hyper::Request::post("http://localhost/envoy.service.auth.v3.Authorization/Check")
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(timeout) = timeout {
        request = request.header("grpc-timeout", timeout);
    }
    let response = sender.send_request(request.body(Full::new(Bytes::from(frame))).unwrap()).await.unwrap();
    let early = response.headers().get("grpc-status").cloned();
    let body = response.into_body().collect().await.unwrap();
    let status = early.or_else(|| body.trailers().and_then(|trailers| trailers.get("grpc-status").cloned()));
    assert_eq!(status.unwrap(), "0", "a decision is never a gRPC status");
    CheckResponse::decode(body.to_bytes().slice(5..)).unwrap()
}
