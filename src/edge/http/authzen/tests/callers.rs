//! Who asks, and what those are told who are nobody.

use super::*;
use crate::decision::Callers;
use crate::edge::http::authzen::metadata::{ENDPOINTS, WELL_KNOWN};
use crate::foundation::clock::{ManualClock, Timestamp};
use crate::foundation::digest::Digest;
use crate::identity::api_key::{ApiKey, ApiKeys};

const KEY: &str = "a-key-that-was-drawn-and-not-chosen";

/// Lets callers ask about `record-1` alone, and remembers who they were.
#[derive(Default)]
struct OnlyTheFirst(Mutex<Vec<Option<String>>>);

impl Evaluate for OnlyTheFirst {
    fn evaluate(&self, query: Query<'_>, by: Asker<'_>) -> Verdict {
        self.0.lock().unwrap().push(by.caller.map(|caller| caller.name().to_owned()));
        match &*query.resource.id {
            "record-1" => verdict(Outcome::Allow, Reason::Permitted),
            _ => verdict(Outcome::Deny, Reason::CallerNotPermitted),
        }
    }

    fn search(&self, _search: &Search<'_>, by: Asker<'_>) -> Found {
        self.0.lock().unwrap().push(by.caller.map(|caller| caller.name().to_owned()));
        let result = Err(crate::decision::SearchError::CallerNotPermitted);
        Found { id: DecisionId::NIL, result, taken: Taken::NOW }
    }

    fn refuse(&self, _what: &str, _by: Asker<'_>) -> Verdict {
        verdict(Outcome::Deny, Reason::Undecodable)
    }
}

fn config() -> (AuthzenConfig, Access) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000)));
    let keys = ApiKeys::new(vec![ApiKey { name: "gateway".into(), digest: Digest::of(KEY.as_bytes()) }]);
    let callers = Some(Arc::new(Callers::new(clock).with_keys(keys)));
    let metadata = vec![Metadata::new("https://pdp.example.com/tenant1".parse().unwrap())];
    (AuthzenConfig { metadata, ..AuthzenConfig::default() }, Access { callers, ..Access::default() })
}

/// A request with these values of `Authorization`.
async fn with(path: &str, authorization: &[&str], body: &str) -> Answer {
    let mut request = request_to(path, body.to_owned());
    for value in authorization {
        request.headers_mut().append("authorization", HeaderValue::from_str(value).unwrap());
    }
    ask(request).await
}

async fn ask(request: http::Request<Body>) -> Answer {
    let (config, access) = config();
    send_where(Arc::new(OnlyTheFirst::default()), (&config, access), request).await
}

#[tokio::test]
async fn who_is_nobody_gets_401_and_a_challenge_and_no_reason() {
    let bearer = format!("Bearer {KEY}");
    let invalid = r#"Bearer realm="authzen", error="invalid_token""#;
    for (authorization, status, challenge) in [
        (&[][..], 401, r#"Bearer realm="authzen""#),
        (&["Bearer wrong"], 401, invalid),
        (&["Bearer "], 401, invalid),
        (&["Bearer"], 401, invalid),
        (&["Basic YWxpY2U6eA=="], 401, invalid),
        (&[""], 401, invalid),
        (&[&*bearer, &*bearer], 400, r#"Bearer realm="authzen", error="invalid_request""#),
    ] {
        for (_, path) in ENDPOINTS {
            for path in [path.to_owned(), format!("/tenant1{path}")] {
                let answer = with(&path, authorization, "not even a question").await;
                assert_error(&answer, status);
                assert_eq!(answer.headers["www-authenticate"], challenge, "{authorization:?}");
            }
        }
    }
}

#[tokio::test]
async fn who_is_somebody_asks_whatever_case_the_scheme_has() {
    for scheme in ["Bearer", "bearer", "BEARER "] {
        let answer = with(EVALUATION_PATH, &[&format!("{scheme} {KEY}")], ALICE).await;
        assert_eq!((answer.status, &answer.body), (200, &json!({"decision": true})), "{scheme}");
    }
}

#[tokio::test]
async fn the_metadata_are_everybodys() {
    let get = |path: &str| http::Request::get(path).body(Body::empty()).unwrap();
    let path = format!("{WELL_KNOWN}/tenant1");
    assert_eq!(ask(get(&path)).await.status, 200);
    assert_eq!(ask(get("/elsewhere")).await.status, 404);
    let answer = ask(get(EVALUATION_PATH)).await;
    assert_eq!(answer.status, 401, "not even that a method is wrong is told to strangers");
}

#[tokio::test]
async fn what_the_caller_may_not_ask_is_403() {
    let bearer = format!("Bearer {KEY}");
    let other = ALICE.replace("record-1", "record-2");
    for path in [EVALUATION_PATH, EVALUATIONS_PATH] {
        let answer = with(path, &[&bearer], &other).await;
        assert_error(&answer, 403);
        assert!(answer.headers.contains_key("x-portcullis-decision-id"));
    }
    for path in [SUBJECT_SEARCH_PATH, RESOURCE_SEARCH_PATH, ACTION_SEARCH_PATH] {
        assert_error(&with(path, &[&bearer], ALICE).await, 403);
    }
}

#[tokio::test]
async fn an_item_that_the_caller_may_not_ask_says_so_and_the_others_stand() {
    let bearer = format!("Bearer {KEY}");
    let batch = |ids: &[&str], semantic: &str| {
        let items: Vec<_> = ids.iter().map(|id| json!({"resource": {"type": "record", "id": id}})).collect();
        json!({"subject": {"type": "user", "id": "alice"}, "action": {"name": "read"}, "evaluations": items,
               "options": {"evaluations_semantic": semantic}})
        .to_string()
    };
    let refused =
        json!({"decision": false, "context": {"error": {"status": 403, "message": "the caller may not ask this"}}});
    let answer = with(EVALUATIONS_PATH, &[&bearer], &batch(&["record-1", "x", "record-1"], "execute_all")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["evaluations"], json!([{"decision": true}, refused, {"decision": true}]));
    let answer = with(EVALUATIONS_PATH, &[&bearer], &batch(&["record-1", "x", "record-1"], "deny_on_first_deny")).await;
    assert_eq!(answer.body["evaluations"], json!([{"decision": true}, refused]));
    for semantic in ["execute_all", "deny_on_first_deny", "permit_on_first_permit"] {
        assert_error(&with(EVALUATIONS_PATH, &[&bearer], &batch(&["x", "y"], semantic)).await, 403);
    }
    assert_error(&with(EVALUATIONS_PATH, &[&bearer], &batch(&["x", "record-1"], "deny_on_first_deny")).await, 403);
}

#[tokio::test]
async fn a_caller_says_no_more_than_it_may() {
    use crate::decision::caller::statements::Vocabulary;
    use crate::decision::caller::{Allowed, Statements};
    use crate::decision::query::Overlay;

    let names = |names: &[&str]| Allowed::Names(names.iter().map(ToString::to_string).collect());
    let vocabulary = Vocabulary {
        caller: "*".to_owned(),
        subject: names(&["department"]),
        subject_overlay: Overlay::default(),
        resource: names(&[]),
        resource_overlay: Overlay::default(),
        action: Allowed::Any,
        context: names(&["ip"]),
    };
    let (config, access) =
        (AuthzenConfig::default(), Access { statements: Statements::new(vec![vocabulary]), ..Access::default() });
    let subject = json!({"type": "user", "id": "a", "properties": {"department": "x", "role": "admin"}});
    let item = json!({"subject": subject, "action": {"name": "read", "properties": {"soft": true}},
        "resource": {"type": "record", "id": "1", "properties": {"owner": "a"}}, "context": {"ip": "::1", "time": 1}});
    let expected: Query<'static> = serde_json::from_value(json!({
        "subject": {"type": "user", "id": "a", "properties": {"department": "x"}},
        "action": {"name": "read", "properties": {"soft": true}},
        "resource": {"type": "record", "id": "1"}, "context": {"ip": "::1"},
    }))
    .unwrap();
    let pdp = Fixed::allow();
    let batch = json!({"evaluations": [item]}).to_string();
    for request in [request_to(EVALUATION_PATH, item.to_string()), request_to(EVALUATIONS_PATH, batch)] {
        send_where(pdp.clone(), (&config, access.clone()), request).await;
    }
    assert_eq!(pdp.asked(), [(expected.clone(), None), (expected, None)]);
}

#[tokio::test(start_paused = true)]
async fn the_body_of_who_is_nobody_is_neither_waited_for_nor_read_to_its_end() {
    let piece = || Ok::<_, std::io::Error>("x".repeat(1024));
    let never = Body::from_stream(futures_util::stream::pending::<Result<String, std::io::Error>>());
    let endless = Body::from_stream(futures_util::stream::repeat_with(piece));
    for body in [never, endless] {
        let answer = ask(request_to(EVALUATION_PATH, body)).await;
        assert_error(&answer, 401);
    }
}

#[tokio::test]
async fn an_item_that_is_no_question_opens_nothing() {
    let bearer = format!("Bearer {KEY}");
    let other = json!({"type": "record", "id": "x"});
    let batch = |items: Value| {
        json!({"subject": {"type": "user", "id": "alice"}, "action": {"name": "read"}, "evaluations": items})
            .to_string()
    };
    assert_error(&with(EVALUATIONS_PATH, &[&bearer], &batch(json!([7, {"resource": other}]))).await, 403);
    let answer = with(EVALUATIONS_PATH, &[&bearer], &batch(json!([7]))).await;
    assert_eq!(answer.status, 200, "nothing was asked, so nothing was refused");
}
