//! `POST /access/v1/evaluations`.

use super::*;

/// Permits what is done to a resource whose id begins with `yes`, has a fault at `fault`, and remembers what it was asked.
#[derive(Default)]
struct ById {
    asked: Mutex<Vec<(Query<'static>, Option<String>)>>,
    refused: Mutex<usize>,
}

impl Evaluate for ById {
    fn evaluate(&self, query: Query<'_>, by: Asker<'_>) -> Verdict {
        let (outcome, reason) = match &*query.resource.id {
            "fault" => (Outcome::Error, Reason::AuditUnavailable),
            id if id.starts_with("yes") => (Outcome::Allow, Reason::Permitted),
            _ => (Outcome::Deny, Reason::NoPermit),
        };
        self.asked.lock().unwrap().push((query.into_owned(), by.request_id.map(str::to_owned)));
        verdict(outcome, reason)
    }

    fn search(&self, _search: &Search<'_>, _by: Asker<'_>) -> Found {
        panic!("a batch does not search");
    }

    fn refuse(&self, _what: &str, _by: Asker<'_>) -> Verdict {
        *self.refused.lock().unwrap() += 1;
        verdict(Outcome::Deny, Reason::Undecodable)
    }
}

async fn put(pdp: &Arc<ById>, config: &AuthzenConfig, body: &Value) -> Answer {
    send(pdp.clone(), config, request_to(EVALUATIONS_PATH, body.to_string())).await
}

async fn evaluate(body: &Value) -> Answer {
    put(&Arc::default(), &AuthzenConfig::default(), body).await
}

/// A batch of questions by alice who reads; each item names another record.
fn batch(ids: &[&str], semantic: Option<Value>) -> Value {
    let items: Vec<_> = ids.iter().map(|id| json!({"resource": {"type": "record", "id": id}})).collect();
    let mut body = json!({
        "subject": {"type": "user", "id": "alice"}, "action": {"name": "read"}, "evaluations": items,
    });
    if let Some(semantic) = semantic {
        body["options"] = json!({ "evaluations_semantic": semantic });
    }
    body
}

fn decisions(answer: &Answer) -> Vec<bool> {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let members: Vec<_> = answer.body.as_object().unwrap().keys().collect();
    assert_eq!(members, ["evaluations"], "a batch has no decision of its own");
    let items = answer.body["evaluations"].as_array().unwrap();
    items.iter().map(|item| item["decision"].as_bool().unwrap()).collect()
}

#[tokio::test]
async fn each_semantic_ends_exactly_where_it_must() {
    let ids = ["yes-1", "no-1", "yes-2", "no-2"];
    for (semantic, expected) in [
        (None, vec![true, false, true, false]),
        (Some(json!(null)), vec![true, false, true, false]),
        (Some(json!("execute_all")), vec![true, false, true, false]),
        (Some(json!("deny_on_first_deny")), vec![true, false]),
        (Some(json!("permit_on_first_permit")), vec![true]),
    ] {
        let pdp = Arc::new(ById::default());
        let answer = put(&pdp, &AuthzenConfig::default(), &batch(&ids, semantic.clone())).await;
        assert_eq!(decisions(&answer), expected, "{semantic:?}");
        assert_eq!(pdp.asked.lock().unwrap().len(), expected.len(), "what is not answered is not asked either");
    }
    let all_denied = batch(&["no-1", "no-2"], Some(json!("permit_on_first_permit")));
    assert_eq!(decisions(&evaluate(&all_denied).await), [false, false]);
    let all_permitted = batch(&["yes-1", "yes-2"], Some(json!("deny_on_first_deny")));
    assert_eq!(decisions(&evaluate(&all_permitted).await), [true, true]);
}

#[tokio::test]
async fn an_unknown_semantic_is_400_whatever_is_asked() {
    for semantic in [json!("majority"), json!(""), json!("Execute_All"), json!(1), json!({}), json!(true)] {
        assert_error(&evaluate(&batch(&["yes"], Some(semantic.clone()))).await, 400);
        let mut single: Value = serde_json::from_str(ALICE).unwrap();
        single["options"] = json!({ "evaluations_semantic": semantic });
        assert_error(&evaluate(&single).await, 400);
    }
    let mut odd = batch(&["yes"], None);
    odd["options"] = json!([]);
    assert_error(&evaluate(&odd).await, 400);
    odd["options"] = json!({"another_option": "value", "decision_context": "not ours to read"});
    assert_eq!(decisions(&evaluate(&odd).await), [true], "options of others are ignored");
}

#[tokio::test]
async fn without_items_it_is_a_single_question() {
    let mut body: Value = serde_json::from_str(ALICE).unwrap();
    for evaluations in [None, Some(json!([])), Some(json!(null))] {
        if let Some(evaluations) = evaluations {
            body["evaluations"] = evaluations;
        }
        let answer = evaluate(&body).await;
        assert_eq!((answer.status, &answer.body), (200, &json!({ "decision": false })));
        assert!(answer.headers.contains_key("x-portcullis-decision-id"));
    }
    body.as_object_mut().unwrap().remove("subject");
    assert_error(&evaluate(&body).await, 400);
    for wrong in [json!({}), json!("a"), json!(1), json!(true)] {
        body["evaluations"] = wrong;
        assert_error(&evaluate(&body).await, 400);
    }
}

#[tokio::test]
async fn a_key_of_an_item_replaces_the_whole_default() {
    let pdp = Arc::new(ById::default());
    let body = json!({
        "subject": {"type": "user", "id": "alice", "properties": {"role": "admin"}},
        "action": {"name": "read", "properties": {"soft": true}},
        "resource": {"type": "record", "id": "yes", "properties": {"status": "active"}},
        "context": {"ip": "192.0.2.1"},
        "evaluations": [
            {},
            {"subject": {"type": "user", "id": "bob"}, "action": {"name": "write"}},
            {"resource": {"type": "record", "id": "yes"}, "context": {"time": "now"}},
            {"context": {}},
            {"context": null, "subject": null},
        ],
    });
    assert_eq!(decisions(&put(&pdp, &AuthzenConfig::default(), &body).await), [true; 5]);
    let question = |changes: Value| -> Query<'static> {
        let mut question = body.clone();
        question.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        serde_json::from_value(question).unwrap()
    };
    let asked: Vec<_> = pdp.asked.lock().unwrap().iter().map(|(query, _)| query.clone()).collect();
    let expected = [
        question(json!({})),
        question(json!({"subject": {"type": "user", "id": "bob"}, "action": {"name": "write"}})),
        question(json!({"resource": {"type": "record", "id": "yes"}, "context": {"time": "now"}})),
        question(json!({"context": {}})),
        question(json!({})),
    ];
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn a_default_is_only_looked_at_by_who_inherits_it() {
    let mut body = batch(&["yes", "yes"], None);
    body["resource"] = json!({});
    body["context"] = json!({});
    assert_eq!(decisions(&evaluate(&body).await), [true, true]);
    body["resource"] = json!("not an object");
    assert_eq!(decisions(&evaluate(&body).await), [true, true]);
    body["evaluations"][1] = json!({});
    assert_eq!(decisions(&evaluate(&body).await), [true, false]);
    body["context"] = json!([]);
    assert_eq!(decisions(&evaluate(&body).await), [false, false]);
}

#[tokio::test]
async fn an_item_that_asks_nothing_is_denied_and_the_rest_stands() {
    let pdp = Arc::new(ById::default());
    let mut body = batch(&["yes", "yes", "yes"], None);
    body.as_object_mut().unwrap().remove("subject");
    for (index, subject) in [(0, json!({"type": "user", "id": "alice"})), (2, json!({"type": "user", "id": ""}))] {
        body["evaluations"][index]["subject"] = subject;
    }
    let answer = put(&pdp, &AuthzenConfig::default(), &body).await;
    assert_eq!(answer.body, json!({"evaluations": [{"decision": true}, {"decision": false}, {"decision": false}]}));
    assert_eq!(*pdp.refused.lock().unwrap(), 2, "each of them has a record too");
    for item in [json!(null), json!(1), json!("a"), json!([]), json!({})] {
        let answer = evaluate(&json!({"evaluations": [item]})).await;
        assert_eq!(decisions(&answer), [false], "{item}");
    }
    body["options"] = json!({"evaluations_semantic": "deny_on_first_deny"});
    assert_eq!(decisions(&evaluate(&body).await), [true, false], "an error is a denial");
    body["options"] = json!({"evaluations_semantic": "permit_on_first_permit"});
    body["evaluations"][0] = json!({});
    body["evaluations"][1]["subject"] = json!({"type": "user", "id": "alice"});
    assert_eq!(decisions(&evaluate(&body).await), [false, true]);
}

#[tokio::test]
async fn with_context_an_item_says_what_is_wrong_with_it() {
    let config = AuthzenConfig { decision_context: true, ..AuthzenConfig::default() };
    let mut body = batch(&["no", "no"], None);
    body["evaluations"][1] = json!({"resource": {"type": "record"}});
    let answer = put(&Arc::default(), &config, &body).await;
    let context = json!({ "decision_id": DecisionId::NIL, "reason": "no_permit", "policies": ["a", "b"] });
    assert_eq!(answer.body["evaluations"][0], json!({"decision": false, "context": context}));
    let error = json!({"status": 400, "message": "`resource.id` is missing"});
    assert_eq!(answer.body["evaluations"][1]["context"]["error"], error);
    assert_eq!(answer.body["evaluations"][1]["decision"], false);
}

#[tokio::test]
async fn a_request_has_a_say_in_the_context_only_where_it_may() {
    let asks = |path: &'static str, wanted: Value| {
        let mut body: Value = serde_json::from_str(ALICE).unwrap();
        body["options"] = json!({ "decision_context": wanted });
        request_to(path, body.to_string())
    };
    for path in [EVALUATION_PATH, EVALUATIONS_PATH] {
        for (by_default, on_request, wanted, expected) in [
            (false, false, json!(true), false),
            (true, false, json!(false), true),
            (false, false, json!("?"), false),
            (false, true, json!(true), true),
            (true, true, json!(false), false),
            (true, true, json!(null), true),
            (false, true, json!(null), false),
        ] {
            let config = AuthzenConfig {
                decision_context: by_default,
                decision_context_on_request: on_request,
                ..AuthzenConfig::default()
            };
            let answer = send(Fixed::deny(), &config, asks(path, wanted.clone())).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.body.get("context").is_some(), expected, "{by_default} {on_request} {wanted}");
        }
        let config = AuthzenConfig { decision_context_on_request: true, ..AuthzenConfig::default() };
        assert_error(&send(Fixed::deny(), &config, asks(path, json!("yes"))).await, 400);
    }
}

#[tokio::test]
async fn a_fault_of_ours_ends_the_batch_without_a_decision() {
    assert_error(&evaluate(&batch(&["yes", "fault", "yes"], None)).await, 503);
}

#[tokio::test]
async fn a_batch_has_a_longest_length() {
    let config = AuthzenConfig { max_evaluations: 2, ..AuthzenConfig::default() };
    let pdp = Arc::new(ById::default());
    assert_eq!(decisions(&put(&pdp, &config, &batch(&["yes", "yes"], None)).await), [true, true]);
    assert_error(&put(&pdp, &config, &batch(&["yes", "yes", "yes"], None)).await, 413);
    assert_eq!(pdp.asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_small_body_makes_no_huge_batch() {
    let with_context = |items: usize, bytes: usize| {
        let mut body = batch(&vec!["yes"; items], None);
        body["context"] = json!({"x": "x".repeat(bytes)});
        body
    };
    assert_eq!(evaluate(&with_context(60, 900_000)).await.status, 200);
    assert_error(&evaluate(&with_context(80, 900_000)).await, 413);
    assert_eq!(evaluate(&with_context(1000, 60_000)).await.status, 200);
    assert_error(&evaluate(&with_context(1000, 70_000)).await, 413);
}

#[tokio::test]
async fn every_item_is_asked_under_the_requests_id() {
    let pdp = Arc::new(ById::default());
    let mut request = request_to(EVALUATIONS_PATH, batch(&["yes", "no"], None).to_string());
    request.headers_mut().insert("x-request-id", HeaderValue::from_static("r1"));
    let answer = send(pdp.clone(), &AuthzenConfig::default(), request).await;
    assert_eq!(answer.headers["x-request-id"], "r1");
    assert!(!answer.headers.contains_key("x-portcullis-decision-id"), "which would it be?");
    let asked = pdp.asked.lock().unwrap();
    assert!(asked.iter().all(|(_, id)| id.as_deref() == Some("r1")));
}

/// Others get their turn: what was spawned before the batch runs before it ends.
#[tokio::test]
async fn a_batch_yields_between_its_items() {
    let mut others = tokio::task::JoinSet::new();
    others.spawn(async {});
    let pdp = Arc::new(ById::default());
    let body = batch(&["yes", "yes"], None).to_string();
    let members = question::object(body.as_bytes()).map(|mut members| {
        let Some(Value::Array(items)) = members.take("evaluations") else { panic!("no items") };
        Batch::new(members, items, Semantic::ExecuteAll, 2).unwrap()
    });
    let nobody = Asking::of(&request(ALICE), &Arc::default());
    members.unwrap().put(&*pdp, &nobody, (false, None)).await.unwrap();
    assert!(others.try_join_next().is_some());
}

/// Is at work until it is told to end.
struct Busy(Arc<tokio::sync::Barrier>, tokio::runtime::Handle);

impl Evaluate for Busy {
    fn evaluate(&self, _query: Query<'_>, _by: Asker<'_>) -> Verdict {
        tokio::task::block_in_place(|| {
            self.1.block_on(async {
                self.0.wait().await;
                self.0.wait().await;
            });
        });
        verdict(Outcome::Deny, Reason::NoPermit)
    }

    fn search(&self, _search: &Search<'_>, _by: Asker<'_>) -> Found {
        panic!("nobody searches");
    }

    fn refuse(&self, _what: &str, _by: Asker<'_>) -> Verdict {
        verdict(Outcome::Deny, Reason::Undecodable)
    }
}

/// Has so many requests of this body be at work, and one more be turned away.
async fn one_more_is_turned_away(body: &str, at_work: usize, config: AuthzenConfig) {
    let barrier = Arc::new(tokio::sync::Barrier::new(at_work + 1));
    let metrics = Metrics::new(&mut crate::foundation::telemetry::Registry::default());
    let busy = Busy(barrier.clone(), tokio::runtime::Handle::current());
    let router = authzen_router(Arc::new(busy), config, metrics);
    let mut first = tokio::task::JoinSet::new();
    (0..at_work).for_each(|_| drop(first.spawn(router.clone().oneshot(request(body.to_owned())))));
    barrier.wait().await;
    let refused = router.clone().oneshot(request(body.to_owned())).await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &HeaderValue::from_static("1")));
    barrier.wait().await;
    while let Some(answer) = first.join_next().await {
        assert_eq!(answer.unwrap().unwrap().status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_at_work_are_429_and_told_when_to_come_again() {
    let config = AuthzenConfig { max_concurrent_requests: 1, ..AuthzenConfig::default() };
    one_more_is_turned_away(ALICE, 1, config).await;
}

/// A body of a mebibyte can take some ninety to hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn requests_at_work_hold_no_more_together_than_there_is_room_for() {
    let objects = vec![r#"{"":0}"#; 140_000].join(",");
    let large = ALICE.replacen('{', &format!(r#"{{"context":{{"x":[{objects}]}},"#), 1);
    assert!(large.len() < AuthzenConfig::default().max_body_bytes);
    let (memory, members) = (Memory::new(), question::object(large.as_bytes()).unwrap());
    let all: Vec<_> = std::iter::from_fn(|| memory.hold(members.all()).ok()).collect();
    assert!((2..8).contains(&all.len()), "{}", all.len());
    one_more_is_turned_away(&large, all.len(), AuthzenConfig::default()).await;
}
