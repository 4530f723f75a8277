use std::sync::Mutex;

use axum::body::Body;
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::decision::search::Page;
use crate::decision::{Manner, Reason};
use crate::evidence::{CacheState, DecisionId, Outcome, Taken};

mod batch;
mod callers;
mod metadata;
mod openapi;
mod search;

const ALICE: &str = r#"{"subject":{"type":"user","id":"alice"},"action":{"name":"read"},
                        "resource":{"type":"record","id":"record-1"}}"#;

/// Gives the same answer to every question, and remembers what it was asked.
struct Fixed {
    outcome: Outcome,
    reason: Reason,
    asked: Mutex<Vec<(Query<'static>, Option<String>)>>,
}

impl Fixed {
    fn new(outcome: Outcome, reason: Reason) -> Arc<Self> {
        Arc::new(Self { outcome, reason, asked: Mutex::default() })
    }

    fn allow() -> Arc<Self> {
        Self::new(Outcome::Allow, Reason::Permitted)
    }

    fn deny() -> Arc<Self> {
        Self::new(Outcome::Deny, Reason::NoPermit)
    }

    fn asked(&self) -> Vec<(Query<'static>, Option<String>)> {
        self.asked.lock().unwrap().clone()
    }
}

impl Evaluate for Fixed {
    fn evaluate(&self, query: Query<'_>, by: Asker<'_>) -> Verdict {
        self.asked.lock().unwrap().push((query.into_owned(), by.request_id.map(str::to_owned)));
        verdict(self.outcome, self.reason)
    }

    fn search(&self, _search: &Search<'_>, _by: Asker<'_>) -> Found {
        Found { id: DecisionId::NIL, result: Ok(Page::default()), taken: Taken::NOW }
    }

    fn refuse(&self, _what: &str, _by: Asker<'_>) -> Verdict {
        verdict(Outcome::Deny, Reason::Undecodable)
    }
}

fn verdict(outcome: Outcome, reason: Reason) -> Verdict {
    let policies = Arc::new(["a".into(), "b".into()]);
    Verdict {
        id: DecisionId::NIL,
        outcome,
        reason,
        policies,
        cache: CacheState::Miss,
        principal: None,
        manner: Manner::default(),
        taken: Taken::NOW,
    }
}

struct Panicking;

impl Evaluate for Panicking {
    fn evaluate(&self, _query: Query<'_>, _by: Asker<'_>) -> Verdict {
        panic!("a secret of the implementation");
    }

    fn search(&self, _search: &Search<'_>, _by: Asker<'_>) -> Found {
        panic!("a secret of the implementation");
    }

    fn refuse(&self, _what: &str, _by: Asker<'_>) -> Verdict {
        panic!("a secret of the implementation");
    }
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

/// What a listener serves where anybody may ask.
fn authzen_router<E: Evaluate>(pdp: Arc<E>, config: AuthzenConfig, metrics: Metrics) -> Router {
    AuthzenApi::new(pdp, config, metrics).router(Access::default())
}

async fn send<E: Evaluate>(pdp: Arc<E>, config: &AuthzenConfig, request: http::Request<Body>) -> Answer {
    send_where(pdp, (config, Access::default()), request).await
}

/// The same to a listener with these rules.
async fn send_where<E: Evaluate>(
    pdp: Arc<E>,
    (config, access): (&AuthzenConfig, Access),
    request: http::Request<Body>,
) -> Answer {
    let metrics = Metrics::new(&mut crate::foundation::telemetry::Registry::default());
    let router = AuthzenApi::new(pdp, config.clone(), metrics).router(access);
    let response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    assert_eq!(parts.headers[CONTENT_TYPE], "application/json", "{body:?}");
    Answer { status: parts.status.as_u16(), headers: parts.headers, body: serde_json::from_slice(&body).unwrap() }
}

fn request(body: impl Into<Body>) -> http::Request<Body> {
    request_to(EVALUATION_PATH, body)
}

fn request_to(path: &str, body: impl Into<Body>) -> http::Request<Body> {
    http::Request::post(path).header(CONTENT_TYPE, "application/json").body(body.into()).unwrap()
}

async fn ask<E: Evaluate>(pdp: &Arc<E>, body: impl Into<Body>) -> Answer {
    send(pdp.clone(), &AuthzenConfig::default(), request(body)).await
}

fn assert_error(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.body["error"]["status"], status);
    assert!(!answer.body["error"]["message"].as_str().unwrap().is_empty());
    assert_eq!(answer.body.as_object().unwrap().len(), 1);
}

/// A question whose member at `path` is `value`, or taken away if that is `None`.
fn question_with(path: &str, value: Option<Value>) -> String {
    let mut question: Value = serde_json::from_str(ALICE).unwrap();
    let (parent, name) = path.rsplit_once('/').unwrap();
    let parent = question.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => parent.insert(name.to_owned(), value),
        None => parent.remove(name),
    };
    question.to_string()
}

#[tokio::test]
async fn an_allow_is_true_and_a_deny_is_200_with_false() {
    let answer = ask(&Fixed::allow(), ALICE).await;
    assert_eq!((answer.status, answer.body), (200, json!({ "decision": true })));
    let answer = ask(&Fixed::deny(), ALICE).await;
    assert_eq!((answer.status, answer.body), (200, json!({ "decision": false })));
    assert_eq!(answer.headers["x-portcullis-decision-id"], DecisionId::NIL.to_string().as_str());
}

#[tokio::test]
async fn a_fault_of_ours_is_never_a_decision() {
    for (reason, status) in [(Reason::Internal, 500), (Reason::AuditUnavailable, 503), (Reason::Permitted, 500)] {
        let answer = ask(&Fixed::new(Outcome::Error, reason), ALICE).await;
        assert_error(&answer, status);
        assert!(answer.headers.contains_key("x-portcullis-decision-id"), "it can be looked up in the records");
    }
}

#[tokio::test]
async fn a_question_that_policies_can_not_be_asked_is_the_clients_fault() {
    assert_error(&ask(&Fixed::new(Outcome::Error, Reason::Undecodable), ALICE).await, 400);
}

#[tokio::test]
async fn the_context_says_why_only_when_configured() {
    let config = AuthzenConfig { decision_context: true, ..AuthzenConfig::default() };
    let answer = send(Fixed::deny(), &config, request(ALICE)).await;
    let context = json!({ "decision_id": DecisionId::NIL, "reason": "no_permit", "policies": ["a", "b"] });
    assert_eq!(answer.body, json!({ "decision": false, "context": context }));
}

#[tokio::test]
async fn the_whole_question_reaches_the_decision() {
    let pdp = Fixed::allow();
    let body = r#"{"context":{"ip":"192.0.2.1","n":null},
        "resource":{"id":"r","type":"record","properties":{"status":"archived","tags":[1,"x",{"y":1.5}]}},
        "action":{"name":"delete","properties":{"soft":true}},
        "subject":{"properties":{"role":"admin"},"type":"user","id":"bob"}}"#;
    ask(&pdp, body).await;
    let asked = pdp.asked();
    let expected: Query<'static> = serde_json::from_str(body).unwrap();
    assert_eq!(asked, [(expected, None)]);
}

#[tokio::test]
async fn unknown_members_are_ignored_everywhere() {
    let pdp = Fixed::allow();
    let body = r#"{"subject":{"type":"user","id":"alice","foo":1,"parents":[{"kind":"Group","id":"admins"}]},
        "action":{"name":"read","foo":[]},"resource":{"type":"record","id":"record-1","foo":{}},
        "foo":"bar","futureField":{"nested":true},"evaluations":[],"extra":[{"type":"a","id":"b"}]}"#;
    assert_eq!(ask(&pdp, body).await.status, 200);
    ask(&pdp, ALICE).await;
    let asked = pdp.asked();
    assert_eq!(asked[0], asked[1], "a client's `parents` and `extra` must not get into the question");
}

#[tokio::test]
async fn a_missing_null_empty_or_wrongly_typed_member_is_400() {
    let names = ["/subject/type", "/subject/id", "/action/name", "/resource/type", "/resource/id"];
    let objects = ["/subject", "/action", "/resource"];
    let mut bad = Vec::new();
    for path in names {
        bad.extend([None, Some(json!(null)), Some(json!("")), Some(json!(1)), Some(json!(["a"]))].map(|v| (path, v)));
    }
    for path in objects {
        bad.extend(
            [None, Some(json!(null)), Some(json!("a")), Some(json!(["user", "alice"])), Some(json!({}))]
                .map(|v| (path, v)),
        );
    }
    for path in ["/subject/properties", "/action/properties", "/resource/properties", "/context"] {
        bad.extend([Some(json!([])), Some(json!("a")), Some(json!(0)), Some(json!(false))].map(|v| (path, v)));
    }
    for (path, value) in bad {
        let pdp = Fixed::allow();
        let answer = ask(&pdp, question_with(path, value.clone())).await;
        assert_error(&answer, 400);
        let message = answer.body["error"]["message"].as_str().unwrap();
        assert!(message.contains(&path.replacen('/', "", 1).replace('/', ".")), "{path} {value:?}: {message}");
        assert!(pdp.asked().is_empty(), "{path} {value:?}");
    }
}

#[tokio::test]
async fn a_null_for_an_optional_member_is_an_absent_one() {
    let pdp = Fixed::allow();
    for path in ["/subject/properties", "/action/properties", "/resource/properties", "/context"] {
        assert_eq!(ask(&pdp, question_with(path, Some(Value::Null))).await.status, 200);
    }
    assert!(pdp.asked().windows(2).all(|two| two[0] == two[1]));
}

#[tokio::test]
async fn a_body_that_is_not_an_i_json_object_is_400() {
    let doubled = ALICE.replace(r#""id":"alice""#, r#""id":"alice","id":"admin""#);
    let surrogate = ALICE.replace("alice", r"\ud800");
    let deep = ALICE.replacen('{', &format!(r#"{{"ignored":{}{},"#, "[".repeat(40), "]".repeat(40)), 1);
    let huge = ALICE.replace(r#""name":"read""#, r#""name":"read","properties":{"n":1e400}"#);
    for body in [
        "",
        "null",
        "[]",
        "\"x\"",
        "1",
        "{",
        &format!("[{ALICE}]"),
        &format!("{ALICE}{ALICE}"),
        &doubled,
        &surrogate,
        &deep,
        &huge,
    ] {
        let pdp = Fixed::allow();
        assert_error(&ask(&pdp, body.to_owned()).await, 400);
        assert!(pdp.asked().is_empty(), "{body}");
    }
    assert_error(&ask(&Fixed::allow(), ALICE.replace("alice", "al\u{0}ice").into_bytes()).await, 400);
    let not_utf_8: Vec<u8> = ALICE.bytes().map(|byte| if byte == b'c' { 0xff } else { byte }).collect();
    assert_error(&ask(&Fixed::allow(), not_utf_8).await, 400);
}

#[tokio::test]
async fn values_that_cedar_has_no_type_for_are_no_fault_of_this_edge() {
    let context = json!({ "null": null, "float": 0.1, "big": u64::MAX, "bigger": 1e30, "mixed": [1, "a", {}], "": "" });
    assert_eq!(ask(&Fixed::deny(), question_with("/context", Some(context))).await.status, 200);
}

#[tokio::test]
async fn the_content_type_must_be_json_whatever_its_parameters() {
    for good in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON;charset=\"UTF-8\"",
        "application/json ;v=1",
    ] {
        let request = http::Request::post(EVALUATION_PATH).header(CONTENT_TYPE, good).body(ALICE.into()).unwrap();
        assert_eq!(send(Fixed::allow(), &AuthzenConfig::default(), request).await.status, 200, "{good}");
    }
    for bad in [
        "text/plain",
        "application/jsonx",
        "application/xml, application/json",
        "application/json-patch+json",
        "",
        "json",
    ] {
        let request = http::Request::post(EVALUATION_PATH).header(CONTENT_TYPE, bad).body(ALICE.into()).unwrap();
        assert_error(&send(Fixed::allow(), &AuthzenConfig::default(), request).await, 400);
    }
    let none = http::Request::post(EVALUATION_PATH).body(ALICE.into()).unwrap();
    assert_error(&send(Fixed::allow(), &AuthzenConfig::default(), none).await, 400);
    let mut two = request(ALICE);
    two.headers_mut().append(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    assert_error(&send(Fixed::allow(), &AuthzenConfig::default(), two).await, 400);
}

#[tokio::test]
async fn other_methods_are_405_and_other_paths_404() {
    for method in ["GET", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"] {
        let request = http::Request::builder().method(method).uri(EVALUATION_PATH).body(Body::empty()).unwrap();
        let answer = send(Fixed::allow(), &AuthzenConfig::default(), request).await;
        assert_error(&answer, 405);
        assert_eq!(answer.headers["allow"], "POST");
    }
    for path in
        ["/", "/access/v1/evaluations/", "/access/v1/evaluation/", "//access/v1/evaluation", "/access/v1/%65valuation"]
    {
        let mut request = request(ALICE);
        *request.uri_mut() = path.parse().unwrap();
        assert_error(&send(Fixed::allow(), &AuthzenConfig::default(), request).await, 404);
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_whether_or_not_its_length_is_known() {
    let config = AuthzenConfig { max_body_bytes: ALICE.len(), ..AuthzenConfig::default() };
    assert_eq!(send(Fixed::allow(), &config, request(ALICE)).await.status, 200);
    assert_error(&send(Fixed::allow(), &config, request(format!("{ALICE} "))).await, 413);
    let endless = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(" ".repeat(1024)));
    assert_error(&send(Fixed::allow(), &config, request(Body::from_stream(endless))).await, 413);
    let broken = futures_util::stream::iter([Ok("{"), Err(std::io::Error::other("reset"))]);
    assert_error(&send(Fixed::allow(), &config, request(Body::from_stream(broken))).await, 400);
}

#[tokio::test]
async fn the_request_id_comes_back_on_every_answer() {
    let (big, bad) = (" ".repeat(2 << 20), "{");
    for (method, path, body, status) in [
        ("POST", EVALUATION_PATH, ALICE, 200),
        ("POST", EVALUATION_PATH, bad, 400),
        ("POST", EVALUATION_PATH, big.as_str(), 413),
        ("GET", EVALUATION_PATH, "", 405),
        ("POST", "/nowhere", ALICE, 404),
    ] {
        let mut request = request(body.to_owned());
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = path.parse().unwrap();
        request.headers_mut().insert("x-request-id", HeaderValue::from_static("bfe9eb29-ab87"));
        let pdp = Fixed::deny();
        let answer = send(pdp.clone(), &AuthzenConfig::default(), request).await;
        assert_eq!(
            (answer.status, &answer.headers["x-request-id"]),
            (status, &HeaderValue::from_static("bfe9eb29-ab87"))
        );
        if status == 200 {
            assert_eq!(pdp.asked()[0].1.as_deref(), Some("bfe9eb29-ab87"));
        }
    }
}

#[tokio::test]
async fn a_request_id_that_is_long_odd_or_doubled_is_as_good_as_none() {
    let longest = "i".repeat(128);
    for (ids, taken) in [
        (vec![longest.as_bytes()], true),
        (vec![format!("{longest}i").as_bytes()], false),
        (vec![b""], false),
        (vec![b"a b"], false),
        (vec![b"a\tb"], false),
        (vec!["ä".as_bytes()], false),
        (vec![b"\xff"], false),
        (vec![b"a", b"b"], false),
    ] {
        let mut request = request(ALICE);
        for id in &ids {
            request.headers_mut().append("x-request-id", HeaderValue::from_bytes(id).unwrap());
        }
        let pdp = Fixed::allow();
        let answer = send(pdp.clone(), &AuthzenConfig::default(), request).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers.contains_key("x-request-id"), taken, "{ids:?}");
        assert_eq!(pdp.asked()[0].1.is_some(), taken, "{ids:?}");
    }
}

#[tokio::test]
async fn a_panic_is_500_says_nothing_and_still_carries_the_request_id() {
    let mut request = request(ALICE);
    request.headers_mut().insert("x-request-id", HeaderValue::from_static("r1"));
    let answer = send(Arc::new(Panicking), &AuthzenConfig::default(), request).await;
    assert_error(&answer, 500);
    assert!(!answer.body.to_string().contains("secret"));
    assert_eq!(answer.headers["x-request-id"], "r1");
}

#[tokio::test]
async fn answers_are_counted_by_status_panics_included() {
    let mut registry = crate::foundation::telemetry::Registry::default();
    let metrics = Metrics::new(&mut registry);
    let config = AuthzenConfig::default();
    for body in [ALICE, ALICE, "{"] {
        authzen_router(Fixed::deny(), config.clone(), metrics.clone()).oneshot(request(body)).await.unwrap();
    }
    authzen_router(Arc::new(Panicking), config, metrics).oneshot(request(ALICE)).await.unwrap();
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for (status, count) in [(200, 2), (400, 1), (500, 1)] {
        assert!(text.contains(&format!("portcullis_authzen_requests_total{{status=\"{status}\"}} {count}")), "{text}");
    }
}

/// Bytes of all kinds: noise, JSON-like noise, and a good question with some of its bytes changed.
fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let spoiled = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4).prop_map(|changes| {
        let mut body = ALICE.as_bytes().to_vec();
        for (at, byte) in changes {
            *at.get_mut(&mut body) = byte;
        }
        body
    });
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..512),
        r#"[\[\]{}:,"subjectypeidanmro\\u0-9 ]{0,128}"#.prop_map(String::into_bytes),
        r#"\{"(evaluations|options|page|subject)":[\[\]{}:,"subjectokenlimitypeidanmr\\u0-9 ]{0,128}\}"#
            .prop_map(String::into_bytes),
        spoiled,
    ]
}

fn any_path() -> impl Strategy<Value = &'static str> {
    prop::sample::select(super::metadata::ENDPOINTS.map(|(_, path)| path).to_vec())
}

proptest! {
    #[test]
    fn any_body_is_a_clients_fault_or_a_deny(body in any_body(), path in any_path()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let answer = runtime.block_on(send(Fixed::deny(), &AuthzenConfig::default(), request_to(path, body)));
        prop_assert!(matches!(answer.status, 200 | 400), "{}", answer.status);
        prop_assert_eq!(answer.status == 200, answer.body.get("error").is_none());
        prop_assert!(!answer.body.to_string().contains("\"decision\":true"), "{}", answer.body);
    }
}
