use std::collections::HashMap;
use std::future::pending;
use std::io::Error;
use std::sync::Mutex;

use axum::body::Body as AxumBody;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::auth::v3 as auth;
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use futures_util::{FutureExt as _, stream};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use proptest::prelude::*;
use prost::Message as _;
use tokio::task::JoinSet;
use tonic::transport::Endpoint;
use tower::ServiceExt as _;

use super::*;
use crate::decision::Check;
use crate::decision::request::HttpRequest;
use crate::foundation::clock::{ManualClock, Timestamp};
use crate::foundation::telemetry::Registry;

/// A decision plane that takes one certificate for good, and has the same bounds on requests as the real one.
#[derive(Debug, Default)]
struct Gate {
    refused: Mutex<Vec<(String, Reason)>>,
}

fn verdict(reason: Reason, principal: Option<&str>) -> Verdict {
    let principal = principal.map(|id| id.parse().expect("is a SPIFFE ID"));
    Verdict { outcome: reason.outcome(), reason, principal, ..nameless() }
}

impl Decide for Gate {
    fn check(&self, check: &Check<'_>) -> Verdict {
        assert_ne!(check.sni, "panic", "asked to");
        if check.certificate != "good" {
            return verdict(Reason::NoCertificate, None);
        }
        match check.http.as_ref().map(HttpRequest::from_attributes) {
            Some(Ok(request)) if request.method() == "GET" => {
                verdict(Reason::Permitted, Some("spiffe://example.org/web"))
            }
            Some(Ok(_)) | None => verdict(Reason::NoPermit, Some("spiffe://example.org/web")),
            Some(Err(refusal)) => verdict(refusal.reason(), None),
        }
    }

    fn refuse(&self, edge: Edge, what: &str, reason: Reason) -> Verdict {
        assert_eq!(edge, Edge::ExtAuthz);
        self.refused.lock().unwrap().push((what.to_owned(), reason));
        verdict(reason, None)
    }
}

/// One that panics whatever it is asked.
#[derive(Debug)]
struct Broken;

impl Decide for Broken {
    fn check(&self, _check: &Check<'_>) -> Verdict {
        panic!("broken")
    }

    fn refuse(&self, _edge: Edge, _what: &str, _reason: Reason) -> Verdict {
        panic!("broken")
    }
}

struct Harness {
    gate: Arc<Gate>,
    clock: Arc<ManualClock>,
    metrics: Metrics,
    router: Router,
}

fn harness() -> Harness {
    let gate = Arc::new(Gate::default());
    let clock = Arc::new(ManualClock::new(Timestamp::default()));
    let metrics = Metrics::new(&mut Registry::default());
    let (decide, time) = (Arc::<Gate>::clone(&gate), Arc::<ManualClock>::clone(&clock));
    let service = ExtAuthz::new(decide, time, ExtAuthzConfig::default(), metrics.clone());
    Harness { gate, clock, metrics, router: service.router() }
}

impl Harness {
    async fn send(&self, body: impl Into<AxumBody>) -> auth::CheckResponse {
        self.send_with(body, &[]).await
    }

    async fn send_with(&self, body: impl Into<AxumBody>, headers: &[(&str, &str)]) -> auth::CheckResponse {
        let mut request = http::Request::post(CHECK_PATH).header("content-type", "application/grpc");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        opened(response).await
    }

    fn faults(&self, fault: &'static str) -> u64 {
        self.metrics.faults.get_or_create_owned(&[("fault", fault)]).get()
    }

    fn last_refusal(&self) -> (String, Reason) {
        self.gate.refused.lock().unwrap().last().cloned().expect("was refused")
    }
}

/// The one message of a gRPC response that succeeded, as gRPC.
async fn opened(response: http::Response<AxumBody>) -> auth::CheckResponse {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers().get("grpc-status"), None, "answered with a gRPC status");
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().expect("has trailers")["grpc-status"], "0");
    let bytes = collected.to_bytes();
    let (head, message) = bytes.split_at(5);
    assert_eq!((head[0], u32::from_be_bytes(head[1..].try_into().unwrap()) as usize), (0, message.len()));
    let response = auth::CheckResponse::decode(message).unwrap();
    well_formed(&response);
    response
}

fn well_formed(response: &auth::CheckResponse) {
    let status = response.status.as_ref().expect("has a status");
    let body = response.http_response.as_ref().expect("has a body");
    assert_eq!(status.code == 0, matches!(body, HttpResponse::OkResponse(_)));
}

/// The gRPC code and the HTTP status; `(0, 200)` is an allow.
fn outcome(response: &auth::CheckResponse) -> (i32, i32) {
    let status = match response.http_response.as_ref().unwrap() {
        HttpResponse::OkResponse(_) => 200,
        HttpResponse::DeniedResponse(body) => body.status.as_ref().unwrap().code,
        HttpResponse::ErrorResponse(body) => body.status.as_ref().unwrap().code + 1000,
    };
    (response.status.as_ref().unwrap().code, status)
}

const ALLOW: (i32, i32) = (0, 200);
const MALFORMED: (i32, i32) = (7, 400);

fn frame(message: &[u8]) -> Vec<u8> {
    framed(0, u32::try_from(message.len()).unwrap(), message)
}

fn framed(flag: u8, length: u32, message: &[u8]) -> Vec<u8> {
    [&[flag][..], &length.to_be_bytes(), message].concat()
}

fn raw(key: &str, value: &[u8]) -> core::HeaderValue {
    core::HeaderValue { key: key.into(), value: String::new(), raw_value: value.to_vec() }
}

fn good() -> auth::CheckRequest {
    let http = auth::attribute_context::HttpRequest {
        method: "GET".into(),
        path: "/orders".into(),
        host: "orders.example".into(),
        scheme: "https".into(),
        protocol: "HTTP/2".into(),
        header_map: Some(core::HeaderMap { headers: vec![raw(":path", b"/orders"), raw("x-tenant", b"acme")] }),
        ..auth::attribute_context::HttpRequest::default()
    };
    let source =
        auth::attribute_context::Peer { certificate: "good".into(), ..auth::attribute_context::Peer::default() };
    let request = auth::attribute_context::Request { http: Some(http), time: None };
    let attributes =
        auth::AttributeContext { source: Some(source), request: Some(request), ..auth::AttributeContext::default() };
    auth::CheckRequest { attributes: Some(attributes) }
}

fn edited(change: impl FnOnce(&mut auth::attribute_context::HttpRequest)) -> Vec<u8> {
    let mut message = good();
    change(message.attributes.as_mut().unwrap().request.as_mut().unwrap().http.as_mut().unwrap());
    frame(&message.encode_to_vec())
}

fn sni(name: &str) -> Vec<u8> {
    let mut message = good();
    message.attributes.as_mut().unwrap().tls_session = Some(auth::attribute_context::TlsSession { sni: name.into() });
    frame(&message.encode_to_vec())
}

#[tokio::test]
async fn a_good_question_is_asked_and_answered() {
    let harness = harness();
    assert_eq!(outcome(&harness.send(frame(&good().encode_to_vec())).await), ALLOW);
    assert_eq!(outcome(&harness.send(edited(|http| http.method = "PUT".into())).await), (7, 403));
    assert!(harness.gate.refused.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_message_may_come_in_pieces_and_name_an_encoding_that_it_does_not_use() {
    let harness = harness();
    let pieces: Vec<_> =
        frame(&good().encode_to_vec()).chunks(7).map(Bytes::copy_from_slice).map(Ok::<_, Infallible>).collect();
    let body = AxumBody::from_stream(stream::iter(pieces));
    assert_eq!(outcome(&harness.send_with(body, &[("grpc-encoding", "gzip")]).await), ALLOW);
}

#[tokio::test]
async fn the_compact_list_of_bad_input_is_denied_item_by_item() {
    let harness = harness();
    let mut bare = good();
    bare.attributes.as_mut().unwrap().request = None;
    let mut nobody = good();
    nobody.attributes.as_mut().unwrap().source = None;
    let hollow = auth::CheckRequest { attributes: Some(auth::AttributeContext::default()) };
    let joined = HashMap::from([("x-tenant".to_owned(), "acme".to_owned())]);
    let duplicate = core::HeaderMap { headers: vec![raw(":path", b"/orders"), raw(":path", b"/orders")] };
    let other = core::HeaderMap { headers: vec![raw(":path", b"/admin")] };
    for (what, body, expected) in [
        ("empty CheckRequest", frame(b""), (16, 401)),
        ("attributes without source and request", frame(&hollow.encode_to_vec()), (16, 401)),
        ("no source", frame(&nobody.encode_to_vec()), (16, 401)),
        ("TCP-shaped", frame(&bare.encode_to_vec()), (7, 403)),
        ("empty method", edited(|http| http.method.clear()), MALFORMED),
        ("empty path", edited(|http| http.path.clear()), MALFORMED),
        ("empty host", edited(|http| http.host.clear()), MALFORMED),
        ("long path", edited(|http| http.path = format!("/{}", "a".repeat(60_000))), MALFORMED),
        ("64 KiB path", edited(|http| http.path = format!("/{}", "a".repeat(64 * 1024))), MALFORMED),
        ("both header maps", edited(|http| http.headers = joined.clone()), (7, 403)),
        ("joined headers", edited(|http| (http.headers, http.header_map) = (joined.clone(), None)), (7, 403)),
        ("duplicate :path", edited(|http| http.header_map = Some(duplicate)), MALFORMED),
        (":path is another", edited(|http| http.header_map = Some(other)), MALFORMED),
        (
            "pathless CONNECT",
            edited(|http| (http.method, http.path, http.header_map) = ("CONNECT".into(), String::new(), None)),
            (7, 403),
        ),
        ("response splitting", edited(|http| http.path = "/a\r\nx-evil: 1".into()), MALFORMED),
    ] {
        assert_eq!(outcome(&harness.send(body).await), expected, "{what}");
    }
}

#[tokio::test]
async fn what_can_not_be_decoded_is_denied_and_recorded() {
    let harness = harness();
    let message = good().encode_to_vec();
    let mut not_utf8 = message.clone();
    let at = message.windows(3).position(|window| window == b"GET").unwrap();
    not_utf8[at] = 0xff;
    for (what, body, fault) in [
        ("no message", Vec::new(), "bad_frame"),
        ("half a frame header", vec![0, 0], "bad_frame"),
        ("a frame header and no more", framed(0, 100, b""), "bad_frame"),
        ("a truncated frame", framed(0, 100, &message[..50]), "bad_frame"),
        ("two messages", frame(&message).repeat(2), "bad_frame"),
        ("a message and a bit", [frame(&message), vec![0]].concat(), "bad_frame"),
        ("a compressed message", framed(1, 4, b"\x1f\x8b\x08\x00"), "bad_frame"),
        ("an unknown flag", framed(7, 0, b""), "bad_frame"),
        ("a truncated message", frame(&message[..message.len() - 1]), "undecodable"),
        ("not UTF-8", frame(&not_utf8), "undecodable"),
        ("not protobuf", frame(b"\xff\xff\xff\xff"), "undecodable"),
        ("too large", frame(&vec![0; 4 * 1024 * 1024 + 1]), "too_large"),
        ("claims to be enormous", framed(0, u32::MAX, b"x"), "too_large"),
    ] {
        let before = harness.faults(fault);
        let response = harness.send_with(body, &[("grpc-encoding", "gzip")]).await;
        assert_eq!(outcome(&response), MALFORMED, "{what}");
        assert_eq!(harness.last_refusal().1, Reason::Undecodable, "{what}");
        assert_eq!(harness.faults(fault), before + 1, "{what}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_denied() {
    let harness = harness();
    let broken = stream::iter([Ok(Bytes::from(frame(b"x")).slice(..3)), Err("broken off\r\nforged=1")]);
    assert_eq!(outcome(&harness.send(AxumBody::from_stream(broken)).await), MALFORMED);
    assert!(!harness.last_refusal().0.contains('\n'), "{:?}", harness.last_refusal());
}

#[tokio::test]
async fn an_expired_deadline_is_an_error_before_anything_is_decided() {
    let harness = harness();
    let body = frame(&good().encode_to_vec());
    for timeout in ["0m", "0n"] {
        assert_eq!(outcome(&harness.send_with(body.clone(), &[("grpc-timeout", timeout)]).await), (14, 1503));
        assert_eq!(harness.last_refusal().1, Reason::DeadlineExpired);
    }
    assert_eq!(outcome(&harness.send_with(body.clone(), &[("grpc-timeout", "200m")]).await), ALLOW);
    let clock = Arc::clone(&harness.clock);
    let late = stream::once(async move {
        clock.advance(Duration::from_millis(200));
        Ok::<_, Infallible>(body)
    });
    assert_eq!(outcome(&harness.send_with(AxumBody::from_stream(late), &[("grpc-timeout", "200m")]).await), (14, 1503));
    assert_eq!(harness.faults("expired"), 3);
}

#[tokio::test]
async fn a_deadline_that_can_not_be_read_is_denied() {
    let harness = harness();
    let body = frame(&good().encode_to_vec());
    assert_eq!(outcome(&harness.send_with(body, &[("grpc-timeout", "soon")]).await), MALFORMED);
    assert_eq!(harness.faults("bad_deadline"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_never_ends_is_not_waited_for() {
    let harness = harness();
    let stalled = || AxumBody::from_stream(stream::once(pending::<Result<Bytes, Infallible>>()));
    assert_eq!(outcome(&harness.send_with(stalled(), &[("grpc-timeout", "99999999H")]).await), (14, 1503));
    let whole = stream::iter([Ok::<_, Infallible>(Bytes::from(frame(&good().encode_to_vec())))]);
    let endless = AxumBody::from_stream(futures_util::StreamExt::chain(whole, stream::once(pending())));
    assert_eq!(outcome(&harness.send(endless).await), (14, 1503));
}

#[tokio::test]
async fn a_panic_is_a_recorded_error_and_the_next_question_is_answered() {
    let harness = harness();
    let response = harness.send(sni("panic")).await;
    assert_eq!(outcome(&response), (13, 1500));
    assert_eq!((harness.last_refusal().1, harness.faults("panicked")), (Reason::Internal, 1));
    assert_eq!(outcome(&harness.send(sni("calm")).await), ALLOW);
}

#[tokio::test]
async fn even_a_decision_plane_that_only_panics_is_answered_for() {
    let metrics = Metrics::new(&mut Registry::default());
    let clock = Arc::new(ManualClock::new(Timestamp::default()));
    let router = ExtAuthz::new(Arc::new(Broken), clock, ExtAuthzConfig::default(), metrics).router();
    for body in [frame(&good().encode_to_vec()), b"junk".to_vec()] {
        let request = http::Request::post(CHECK_PATH).body(AxumBody::from(body)).unwrap();
        assert_eq!(outcome(&opened(router.clone().oneshot(request).await.unwrap()).await), (13, 1500));
    }
}

/// Through a real HTTP/2 connection and a stock gRPC client: a call that is answered before its message was read to the
/// end must arrive as an answer, not as a reset stream.
#[tokio::test]
async fn a_stock_client_gets_an_answer_even_to_a_message_that_is_not_read() {
    let harness = harness();
    let (client, server) = tokio::io::duplex(64 * 1024);
    let mut tasks = JoinSet::new();
    let service = TowerToHyperService::new(harness.router.clone());
    tasks.spawn(async move {
        auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(server), service).await.map_err(drop)
    });
    let mut client = Some(TokioIo::new(client));
    let connector = tower::service_fn(move |_uri| std::future::ready(client.take().ok_or(Error::other("one only"))));
    let channel = Endpoint::from_static("http://check").connect_with_connector(connector).await.unwrap();
    let mut envoy = AuthorizationClient::new(channel);
    assert_eq!(outcome(&envoy.check(good()).await.unwrap().into_inner()), ALLOW);

    let mut large = good();
    large.attributes.as_mut().unwrap().request.as_mut().unwrap().http.as_mut().unwrap().raw_body = vec![0; 5 << 20];
    assert_eq!(outcome(&envoy.check(large).await.unwrap().into_inner()), MALFORMED);
    assert_eq!(harness.faults("too_large"), 1);

    let mut impatient = Request::new(good());
    impatient.metadata_mut().insert("grpc-timeout", "0m".parse().unwrap());
    assert_eq!(outcome(&envoy.check(impatient).await.unwrap().into_inner()), (14, 1503));
}

#[tokio::test]
async fn metrics_have_the_name_that_is_documented() {
    let mut registry = Registry::default();
    Metrics::new(&mut registry).count("undecodable");
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(text.contains("portcullis_ext_authz_faults_total{fault=\"undecodable\"} 1"), "{text}");
}

/// Sends through the whole service without a runtime: nothing in it waits once the body is there.
fn sent(harness: &Harness, body: Vec<u8>) -> auth::CheckResponse {
    harness.send(body).now_or_never().expect("answers at once")
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_never_allowed(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _entered = runtime.enter();
        let harness = harness();
        prop_assert_ne!(outcome(&sent(&harness, body.clone())), ALLOW);
        prop_assert_ne!(outcome(&sent(&harness, frame(&body))), ALLOW);
    }

    /// A good message with one byte changed may still be one; but whatever is allowed asks for what policy allows.
    #[test]
    fn a_damaged_message_is_allowed_only_if_it_still_is_a_good_one(
        at in any::<proptest::sample::Index>(), to in any::<u8>(), cut in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _entered = runtime.enter();
        let harness = harness();
        let mut message = good().encode_to_vec();
        let at = at.index(message.len());
        if cut { message.truncate(at) } else { message[at] = to }
        // Damage in a field that we don't read makes a message that only the full decoder refuses.
        let whole = auth::CheckRequest::decode(&message[..]);
        if let (Ok(request), ALLOW) = (whole, outcome(&sent(&harness, frame(&message)))) {
            let attributes = request.attributes.unwrap();
            prop_assert_eq!(attributes.source.unwrap().certificate, "good");
            prop_assert_eq!(attributes.request.unwrap().http.unwrap().method, "GET");
        }
    }
}
