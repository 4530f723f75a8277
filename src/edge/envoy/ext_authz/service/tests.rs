use std::collections::HashMap;
use std::io::Error;
use std::sync::Mutex;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::auth::v3 as auth;
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use hyper_util::rt::TokioIo;
use portcullis_spiffe::SpiffeId;
use proptest::prelude::*;
use prost::Message as _;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tonic::Request;
use tonic::transport::Endpoint;

use super::*;
use crate::decision::request::HttpRequest;
use crate::foundation::clock::{ManualClock, Timestamp};
use crate::foundation::shutdown::Shutdown;
use crate::foundation::telemetry::Registry;
use crate::server::{Admission, AdmissionLimits, InheritedSockets, Limits, ServerMetrics, prepare, serve_exchange};

/// A decision plane that takes one certificate for good, and has the same bounds on requests as the real one.
#[derive(Debug, Default)]
struct Gate {
    refused: Mutex<Vec<(String, Reason)>>,
}

fn verdict(reason: Reason, principal: Option<&str>) -> Verdict {
    let principal = principal.map(|id| id.parse::<SpiffeId>().expect("is a SPIFFE ID").into());
    Verdict { outcome: reason.outcome(), reason, principal, ..nameless(reason) }
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
    service: Arc<ExtAuthz>,
}

fn harness() -> Harness {
    let gate = Arc::new(Gate::default());
    let clock = Arc::new(ManualClock::new(Timestamp::default()));
    let metrics = Metrics::new(&mut Registry::default());
    let (decide, time) = (Arc::<Gate>::clone(&gate), Arc::<ManualClock>::clone(&clock));
    let service = ExtAuthz::new(decide, time, ExtAuthzConfig::default(), metrics.clone());
    Harness { gate, clock, metrics, service: Arc::new(service) }
}

impl Harness {
    fn send(&self, body: &[u8]) -> auth::CheckResponse {
        self.send_with(body, &[])
    }

    fn send_with(&self, body: &[u8], headers: &[(&str, &str)]) -> auth::CheckResponse {
        opened(&sent(&self.service, &head(headers), body))
    }

    fn faults(&self, fault: &'static str) -> u64 {
        self.metrics.faults.get_or_create_owned(&[("fault", fault)]).get()
    }

    fn last_refusal(&self) -> (String, Reason) {
        self.gate.refused.lock().unwrap().last().cloned().expect("was refused")
    }
}

fn head(headers: &[(&str, &str)]) -> Parts {
    let request = http::Request::post(CHECK_PATH).header("content-type", "application/grpc");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(()).unwrap().into_parts().0
}

/// An answer that nothing has to be waited for.
fn now(answered: Answered) -> Answer {
    match answered {
        Answered::Now(answer) => answer,
        Answered::Later(_) => panic!("it is to be waited for"),
    }
}

/// Does what the server does with a request that is all there.
fn sent(service: &ExtAuthz, head: &Parts, body: &[u8]) -> Answer {
    match service.begin(head, Duration::ZERO) {
        Begin::Answer(answer) => *answer,
        Begin::Unread(call) => now(service.answer(call, Received::Unread)),
        Begin::Read { call, max_body, .. } if body.len() > max_body => now(service.answer(call, Received::TooLong)),
        Begin::Read { call, .. } => now(service.answer(call, Received::Whole(body))),
    }
}

/// The one message of a gRPC response that succeeded, as gRPC.
fn opened(answer: &Answer) -> auth::CheckResponse {
    assert_eq!(answer.head.status(), 200);
    assert_eq!(answer.head.headers()["content-type"], "application/grpc");
    assert_eq!(answer.head.headers().get("grpc-status"), None, "answered with a gRPC status");
    assert_eq!(answer.trailers.as_ref().expect("has trailers")["grpc-status"], "0");
    let (head, message) = answer.body.split_at(HEAD_BYTES);
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

#[test]
fn a_good_question_is_asked_and_answered() {
    let harness = harness();
    assert_eq!(outcome(&harness.send(&frame(&good().encode_to_vec()))), ALLOW);
    assert_eq!(outcome(&harness.send(&edited(|http| http.method = "PUT".into()))), (7, 403));
    assert!(harness.gate.refused.lock().unwrap().is_empty());
}

/// Clients say so in every call once they have been told to compress; then it still counts what the frame says.
#[test]
fn a_message_may_name_an_encoding_that_it_does_not_use() {
    let harness = harness();
    let body = frame(&good().encode_to_vec());
    assert_eq!(outcome(&harness.send_with(&body, &[("grpc-encoding", "gzip")])), ALLOW);
}

#[test]
fn what_is_no_call_of_the_method_is_not_asked() {
    let harness = harness();
    let body = frame(&good().encode_to_vec());
    let other = |change: fn(&mut Parts)| {
        let mut head = head(&[]);
        change(&mut head);
        let answer = sent(&harness.service, &head, &body);
        assert!(answer.body.is_empty() && answer.trailers.is_none());
        (answer.head.status().as_u16(), answer.head.headers().get("grpc-status").cloned())
    };
    let unimplemented = (200, Some(HeaderValue::from_static("12")));
    assert_eq!(other(|head| head.uri = "/envoy.service.auth.v3.Authorization/Chec".parse().unwrap()), unimplemented);
    assert_eq!(other(|head| head.uri = "/".parse().unwrap()), unimplemented);
    assert_eq!(other(|head| head.method = Method::GET), (405, None));
    assert_eq!(other(|head| head.headers.clear()), (415, None));
    for (kind, is) in
        [("application/grpc+proto", true), ("application/grpc;a=b", true), ("application/grpc-web", false)]
    {
        assert_eq!(is_grpc(&HeaderValue::from_static(kind)), is, "{kind}");
    }
    assert!(harness.gate.refused.lock().unwrap().is_empty());
}

#[test]
fn the_compact_list_of_bad_input_is_denied_item_by_item() {
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
        assert_eq!(outcome(&harness.send(&body)), expected, "{what}");
    }
}

#[test]
fn what_can_not_be_decoded_is_denied_and_recorded() {
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
        let response = harness.send_with(&body, &[("grpc-encoding", "gzip")]);
        assert_eq!(outcome(&response), MALFORMED, "{what}");
        assert_eq!(harness.last_refusal().1, Reason::Undecodable, "{what}");
        assert_eq!(harness.faults(fault), before + 1, "{what}");
    }
}

#[test]
fn an_expired_deadline_is_an_error_before_anything_is_decided() {
    let harness = harness();
    let body = frame(&good().encode_to_vec());
    for timeout in ["0m", "0n"] {
        assert_eq!(outcome(&harness.send_with(&body, &[("grpc-timeout", timeout)])), (14, 1503));
        assert_eq!(harness.last_refusal().1, Reason::DeadlineExpired);
    }
    assert_eq!(outcome(&harness.send_with(&body, &[("grpc-timeout", "200m")])), ALLOW);
    let Begin::Read { call, .. } = harness.service.begin(&head(&[("grpc-timeout", "200m")]), Duration::ZERO) else {
        panic!("not read")
    };
    harness.clock.advance(Duration::from_millis(200));
    assert_eq!(outcome(&opened(&now(harness.service.answer(call, Received::Whole(&body))))), (14, 1503));
    assert_eq!(harness.faults("expired"), 3);
}

#[test]
fn a_deadline_that_the_requests_before_it_use_up_is_refused_at_once() {
    let harness = harness();
    let begin = |ahead| harness.service.begin(&head(&[("grpc-timeout", "200m")]), Duration::from_millis(ahead));
    let Begin::Answer(answer) = begin(200) else { panic!("waits for its turn") };
    let response = opened(&answer);
    assert_eq!(outcome(&response), (14, 1503));
    assert_eq!(response.status.unwrap().message, "deadline_expired");
    assert_eq!((harness.faults("hopeless"), harness.gate.refused.lock().unwrap().len()), (1, 0));
    assert!(matches!(begin(199), Begin::Read { .. }));
    let patient = harness.service.begin(&head(&[]), Duration::from_hours(1));
    assert!(matches!(patient, Begin::Read { .. }), "it would wait");
}

#[test]
fn a_question_that_there_is_no_room_for_is_an_error_that_costs_no_record() {
    let harness = harness();
    let Begin::Read { call, .. } = harness.service.begin(&head(&[]), Duration::ZERO) else { panic!("not read") };
    for answer in [harness.service.overloaded(), now(harness.service.answer(call, Received::NoRoom))] {
        let response = opened(&answer);
        assert_eq!(outcome(&response), (14, 1503));
        assert_eq!(response.status.unwrap().message, "overloaded");
    }
    assert_eq!((harness.faults("overloaded"), harness.gate.refused.lock().unwrap().len()), (2, 0));
}

#[test]
fn a_question_that_is_taken_back_is_counted_and_no_more() {
    let harness = harness();
    let Begin::Read { call, .. } = harness.service.begin(&head(&[]), Duration::ZERO) else { panic!("not read") };
    harness.service.abandoned(call);
    assert_eq!((harness.faults("abandoned"), harness.gate.refused.lock().unwrap().len()), (1, 0));
}

#[test]
fn a_deadline_that_can_not_be_read_is_denied() {
    let harness = harness();
    let body = frame(&good().encode_to_vec());
    assert_eq!(outcome(&harness.send_with(&body, &[("grpc-timeout", "soon")])), MALFORMED);
    assert_eq!(harness.faults("bad_deadline"), 1);
}

#[test]
fn a_message_that_never_ends_is_not_waited_for() {
    let harness = harness();
    for (headers, expected) in [
        (&[("grpc-timeout", "99999999H")][..], Duration::from_secs(10)),
        (&[], Duration::from_secs(10)),
        (&[("grpc-timeout", "200m")], Duration::from_millis(200)),
    ] {
        let Begin::Read { call, patience, .. } = harness.service.begin(&head(headers), Duration::ZERO) else {
            panic!("not read")
        };
        assert_eq!(patience, expected);
        assert_eq!(outcome(&opened(&now(harness.service.answer(call, Received::Late)))), (14, 1503));
        assert_eq!(harness.last_refusal().1, Reason::DeadlineExpired);
    }
}

#[test]
fn a_panic_is_a_recorded_error_and_the_next_question_is_answered() {
    let harness = harness();
    let response = harness.send(&sni("panic"));
    assert_eq!(outcome(&response), (13, 1500));
    assert_eq!((harness.last_refusal().1, harness.faults("panicked")), (Reason::Internal, 1));
    assert_eq!(outcome(&harness.send(&sni("calm"))), ALLOW);
}

#[test]
fn even_a_decision_plane_that_only_panics_is_answered_for() {
    let metrics = Metrics::new(&mut Registry::default());
    let clock = Arc::new(ManualClock::new(Timestamp::default()));
    let service = ExtAuthz::new(Arc::new(Broken), clock, ExtAuthzConfig::default(), metrics);
    for body in [frame(&good().encode_to_vec()), b"junk".to_vec()] {
        assert_eq!(outcome(&opened(&sent(&service, &head(&[]), &body))), (13, 1500));
    }
}

/// Through a real HTTP/2 connection and a stock gRPC client: a call that is answered before its message was read to the
/// end must arrive as an answer, not as a reset stream.
#[tokio::test]
async fn a_stock_client_gets_an_answer_even_to_a_message_that_is_not_read() {
    let harness = harness();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("checks.sock");
    let address = format!("unix:{}", path.display()).parse().unwrap();
    let bound = prepare(&address, 0o600, false, &mut InheritedSockets::default()).unwrap().publish().unwrap();
    let admission = Admission::new(
        AdmissionLimits { requests: 8, bytes: 16 << 20 },
        harness.metrics.under_way.clone(),
        harness.metrics.kept_bytes.clone(),
        1,
    );
    let (mut tasks, shutdown) = (JoinSet::new(), Shutdown::default());
    let metrics = ServerMetrics::new(&mut Registry::default()).listener("checks");
    let (service, clock) = (Arc::clone(&harness.service), Arc::<ManualClock>::clone(&harness.clock));
    tasks.spawn(serve_exchange(bound, service, admission, clock, Limits::default(), metrics, shutdown.signal()));
    let mut socket = Some(TokioIo::new(UnixStream::connect(&path).await.unwrap()));
    let connector = tower::service_fn(move |_uri| std::future::ready(socket.take().ok_or(Error::other("one only"))));
    let channel = Endpoint::from_static("http://check").connect_with_connector(connector).await.unwrap();
    let mut envoy = AuthorizationClient::new(channel);
    assert_eq!(outcome(&envoy.check(good()).await.unwrap().into_inner()), ALLOW);

    let mut large = good();
    large.attributes.as_mut().unwrap().request.as_mut().unwrap().http.as_mut().unwrap().raw_body = vec![0; 5 << 20];
    assert_eq!(outcome(&envoy.check(large).await.unwrap().into_inner()), MALFORMED);
    assert_eq!(harness.faults("too_large"), 1);

    let mut unread = Request::new(good());
    unread.metadata_mut().insert("grpc-timeout", "soon".parse().unwrap());
    assert_eq!(outcome(&envoy.check(unread).await.unwrap().into_inner()), MALFORMED);
    assert_eq!((harness.metrics.under_way.get(), harness.metrics.kept_bytes.get()), (0, 0));
}

#[test]
fn metrics_have_the_name_that_is_documented() {
    let mut registry = Registry::default();
    Metrics::new(&mut registry).count("undecodable");
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(text.contains("portcullis_ext_authz_faults_total{fault=\"undecodable\"} 1"), "{text}");
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_never_allowed(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let harness = harness();
        prop_assert_ne!(outcome(&harness.send(&body)), ALLOW);
        prop_assert_ne!(outcome(&harness.send(&frame(&body))), ALLOW);
    }

    /// A good message with one byte changed may still be one; but whatever is allowed asks for what policy allows.
    #[test]
    fn a_damaged_message_is_allowed_only_if_it_still_is_a_good_one(
        at in any::<proptest::sample::Index>(), to in any::<u8>(), cut in any::<bool>(),
    ) {
        let harness = harness();
        let mut message = good().encode_to_vec();
        let at = at.index(message.len());
        if cut { message.truncate(at) } else { message[at] = to }
        // Damage in a field that we don't read makes a message that only the full decoder refuses.
        let whole = auth::CheckRequest::decode(&message[..]);
        if let (Ok(request), ALLOW) = (whole, outcome(&harness.send(&frame(&message)))) {
            let attributes = request.attributes.unwrap();
            prop_assert_eq!(attributes.source.unwrap().certificate, "good");
            prop_assert_eq!(attributes.request.unwrap().http.unwrap().method, "GET");
        }
    }
}

/// A policy that gives a header which is ours gives nothing, so what a client sent in its place must go.
#[test]
fn a_header_that_the_answer_does_not_give_is_taken_from_the_client() {
    let service = harness().service;
    let lines = vec![("x_spiffe_id", &b"spiffe://example.org/admin"[..]), ("x-tier", b"gold")];
    let http = crate::decision::HttpAttributes { headers: Some(lines), ..Default::default() };
    let check = Check { http: Some(http), ..Check::default() };
    let said = [("header_x_tier", "gold"), ("header_x_spiffe_id", "x")];
    let mut verdict = verdict(Reason::Permitted, Some("spiffe://example.org/web"));
    verdict.manner.guidance = Some(crate::decision::guidance::Guidance::of_annotations(true, &said));
    let given = ["x-tier", "x_spiffe_id"].map(Box::from);
    verdict.manner.backend_headers = Some(Arc::new(given));
    assert_eq!(service.requested(&check, &verdict).removed, ["x_spiffe_id"]);
}
