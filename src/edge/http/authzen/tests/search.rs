//! `POST /access/v1/search/{subject,resource,action}`.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::decision::query::Overlay;
use crate::decision::search::{Page, SearchError, Sought};

/// Finds `names`, and remembers what it was asked.
struct Known {
    names: Vec<&'static str>,
    fails: Option<SearchError>,
    asked: Mutex<Vec<(Search<'static>, Option<String>)>>,
}

impl Known {
    fn new(names: &[&'static str]) -> Arc<Self> {
        Arc::new(Self { names: names.to_vec(), fails: None, asked: Mutex::default() })
    }

    fn failing(error: SearchError) -> Arc<Self> {
        Arc::new(Self { names: Vec::new(), fails: Some(error), asked: Mutex::default() })
    }
}

impl Evaluate for Known {
    fn evaluate(&self, _query: Query<'_>, _by: Asker<'_>) -> Verdict {
        panic!("a search is no question");
    }

    fn search(&self, search: &Search<'_>, by: Asker<'_>) -> Found {
        let owned = Search {
            sought: match search.sought.clone() {
                Sought::Subjects { kind, properties, overlay, action, resource } => Sought::Subjects {
                    kind: kind.into_owned().into(),
                    properties: properties.into_owned(),
                    overlay,
                    action: owned(action),
                    resource: resource.into_owned(),
                },
                Sought::Resources { subject, action, kind, properties, overlay } => Sought::Resources {
                    subject: subject.into_owned(),
                    action: owned(action),
                    kind: kind.into_owned().into(),
                    properties: properties.into_owned(),
                    overlay,
                },
                Sought::Actions { subject, resource } => {
                    Sought::Actions { subject: subject.into_owned(), resource: resource.into_owned() }
                }
            },
            context: search.context.clone().into_owned(),
            after: search.after.clone(),
            limit: search.limit,
        };
        self.asked.lock().unwrap().push((owned, by.request_id.map(str::to_owned)));
        let after = self.names.iter().filter(|name| search.after.as_deref().is_none_or(|after| after < **name));
        let left: Vec<String> = after.map(|name| (*name).to_owned()).collect();
        let more = left.len() > search.limit;
        let page = Page { names: left.into_iter().take(search.limit).collect(), more };
        Found { id: DecisionId::NIL, result: self.fails.map_or(Ok(page), Err), taken: Taken::NOW }
    }

    fn refuse(&self, _what: &str, _by: Asker<'_>) -> Verdict {
        panic!("a search has no parts");
    }
}

fn owned(action: crate::decision::Action<'_>) -> crate::decision::Action<'static> {
    crate::decision::Action {
        properties: action.properties.into_owned(),
        ..crate::decision::Action::named(action.name.into_owned())
    }
}

/// One search on each of the three paths.
fn searches() -> [(&'static str, Value); 3] {
    let subject = json!({"type": "user", "id": "alice"});
    let resource = json!({"type": "record", "id": "r1"});
    [
        (SUBJECT_SEARCH_PATH, json!({"subject": {"type": "user"}, "action": {"name": "read"}, "resource": resource})),
        (RESOURCE_SEARCH_PATH, json!({"subject": subject, "action": {"name": "read"}, "resource": {"type": "record"}})),
        (ACTION_SEARCH_PATH, json!({"subject": subject, "resource": resource})),
    ]
}

async fn find(pdp: &Arc<Known>, path: &str, body: &Value) -> Answer {
    let config = AuthzenConfig { max_page_size: 3, ..AuthzenConfig::default() };
    send(pdp.clone(), &config, request_to(path, body.to_string())).await
}

#[expect(clippy::needless_pass_by_value, reason = "changes are written where they are passed")]
fn with(body: &Value, changes: Value) -> Value {
    let mut body = body.clone();
    body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn results_are_of_the_searched_kind_and_say_nothing_else() {
    for (path, body) in searches() {
        let pdp = Known::new(&["a", "b"]);
        let answer = find(&pdp, path, &body).await;
        let expected = match path {
            SUBJECT_SEARCH_PATH => json!([{"type": "user", "id": "a"}, {"type": "user", "id": "b"}]),
            RESOURCE_SEARCH_PATH => json!([{"type": "record", "id": "a"}, {"type": "record", "id": "b"}]),
            _ => json!([{"name": "a"}, {"name": "b"}]),
        };
        assert_eq!((answer.status, answer.body), (200, json!({ "results": expected })), "{path}");
        assert!(answer.headers.contains_key("x-portcullis-decision-id"));
        let nothing = find(&Known::new(&[]), path, &body).await;
        assert_eq!((nothing.status, nothing.body), (200, json!({ "results": [] })));
    }
}

#[tokio::test]
async fn the_members_stand_in_the_recommended_order() {
    let config = AuthzenConfig::default();
    let metrics = Metrics::new(&mut crate::foundation::telemetry::Registry::default());
    let body = with(&searches()[0].1, json!({"page": {}})).to_string();
    let router = authzen_router(Known::new(&["a"]), config, metrics);
    let response = router.oneshot(request_to(SUBJECT_SEARCH_PATH, body)).await.unwrap();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(&bytes[..], br#"{"page":{"next_token":""},"results":[{"type":"user","id":"a"}]}"#);
}

#[tokio::test]
async fn what_is_sought_reaches_the_search() {
    let body = json!({
        "subject": {"type": "user", "id": "alice", "properties": {"s": 1}},
        "action": {"name": "read", "properties": {"a": 1}},
        "resource": {"type": "record", "id": "r1", "properties": {"r": 1}},
        "context": {"c": 1}, "extra": 1,
    });
    let question: Query<'static> = serde_json::from_value(body.clone()).unwrap();
    let Query { subject, action, resource, context, .. } = question;
    for (path, expected) in [
        (
            SUBJECT_SEARCH_PATH,
            Sought::Subjects {
                kind: "user".into(),
                properties: subject.properties.clone(),
                overlay: Overlay::default(),
                action: action.clone(),
                resource: resource.clone(),
            },
        ),
        (
            RESOURCE_SEARCH_PATH,
            Sought::Resources {
                subject: subject.clone(),
                action: action.clone(),
                kind: "record".into(),
                properties: resource.properties.clone(),
                overlay: Overlay::default(),
            },
        ),
        (ACTION_SEARCH_PATH, Sought::Actions { subject: subject.clone(), resource: resource.clone() }),
    ] {
        let pdp = Known::new(&[]);
        assert_eq!(find(&pdp, path, &body).await.status, 200);
        let asked = pdp.asked.lock().unwrap();
        let [(search, None)] = &asked[..] else { panic!("{asked:?}") };
        assert_eq!(format!("{:?}", search.sought), format!("{expected:?}"));
        assert_eq!((&search.context, &search.after, search.limit), (&context, &None, 3));
    }
}

#[tokio::test]
async fn the_open_part_needs_no_name_and_any_it_has_is_ignored() {
    for id in [json!("bob"), json!(""), json!(1), json!({"a": 1})] {
        for (path, part) in [(SUBJECT_SEARCH_PATH, "subject"), (RESOURCE_SEARCH_PATH, "resource")] {
            let (_, body) = searches().into_iter().find(|(known, _)| *known == path).unwrap();
            let mut named = body.clone();
            named[part]["id"] = id.clone();
            assert_eq!(find(&Known::new(&["a"]), path, &named).await.body["results"].as_array().unwrap().len(), 1);
        }
    }
    let (path, body) = searches()[2].clone();
    for action in [json!({"name": "read"}), json!({}), json!("read"), json!(1), json!(null)] {
        assert_eq!(find(&Known::new(&["a"]), path, &with(&body, json!({ "action": action }))).await.status, 200);
    }
}

#[tokio::test]
async fn what_lacks_a_part_is_400() {
    for (path, body) in searches() {
        for part in body.as_object().unwrap().keys() {
            for (member, value) in body[part].as_object().unwrap() {
                for bad in [json!(null), json!(""), json!(1)] {
                    let mut spoiled = body.clone();
                    spoiled[part][member] = bad;
                    assert_error(&find(&Known::new(&[]), path, &spoiled).await, 400);
                }
                assert!(value.is_string());
            }
            for bad in [json!(null), json!("a"), json!([]), json!({})] {
                assert_error(&find(&Known::new(&[]), path, &with(&body, json!({ part: bad }))).await, 400);
            }
        }
        for bad in [json!([]), json!("a"), json!({"limit": -1}), json!({"limit": 1.5}), json!({"token": 1})] {
            assert_error(&find(&Known::new(&[]), path, &with(&body, json!({ "page": bad }))).await, 400);
        }
        for bad in [json!([]), json!("a")] {
            assert_error(&find(&Known::new(&[]), path, &with(&body, json!({ "context": bad }))).await, 400);
        }
    }
}

#[tokio::test]
async fn pages_lead_through_all_results_exactly_once() {
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    for (path, body) in searches() {
        for (limit, lengths) in [(None, vec![3, 3, 1]), (Some(2), vec![2, 2, 2, 1]), (Some(50), vec![3, 3, 1])] {
            let pdp = Known::new(&names);
            let mut page = limit.map_or(json!({}), |limit| json!({ "limit": limit }));
            let (mut seen, mut told) = (Vec::new(), Vec::new());
            loop {
                let answer = find(&pdp, path, &with(&body, json!({ "page": page }))).await;
                assert_eq!(answer.status, 200, "{}", answer.body);
                let results = answer.body["results"].as_array().unwrap();
                told.push(results.len());
                let name =
                    |result: &Value| result.get("id").or(result.get("name")).unwrap().as_str().unwrap().to_owned();
                seen.extend(results.iter().map(name));
                let token = answer.body["page"]["next_token"].as_str().unwrap().to_owned();
                if token.is_empty() {
                    break;
                }
                // Half of the clients send the limit again, the others don't.
                page = json!({ "token": token });
                if let Some(limit) = limit.filter(|_| told.len().is_multiple_of(2)) {
                    page["limit"] = json!(limit);
                }
            }
            assert_eq!((seen, told), (names.map(str::to_owned).to_vec(), lengths), "{path} {limit:?}");
        }
    }
}

#[tokio::test]
async fn a_page_is_there_if_it_was_asked_for_or_is_not_all() {
    let (path, body) = searches()[0].clone();
    let pdp = Known::new(&["a", "b", "c"]);
    assert_eq!(find(&pdp, path, &body).await.body.get("page"), None, "all of it, and nobody asked");
    assert_eq!(find(&pdp, path, &with(&body, json!({"page": {"size": 1}}))).await.body["page"]["next_token"], "");
    let more = find(&Known::new(&["a", "b", "c", "d"]), path, &body).await;
    assert!(!more.body["page"]["next_token"].as_str().unwrap().is_empty());
    let none = find(&pdp, path, &with(&body, json!({"page": {"limit": 0}}))).await;
    assert_eq!((none.status, &none.body["results"]), (200, &json!([])));
    assert!(!none.body["page"]["next_token"].as_str().unwrap().is_empty(), "there is more than nothing");
    let end = find(&Known::new(&[]), path, &with(&body, json!({"page": {"limit": 0}}))).await;
    assert_eq!(end.body, json!({"page": {"next_token": ""}, "results": []}));
}

#[tokio::test]
async fn a_token_is_good_for_its_own_request_alone() {
    let (path, body) = searches()[1].clone();
    let pdp = Known::new(&["a", "b", "c"]);
    let first = find(&pdp, path, &with(&body, json!({"page": {"limit": 1}}))).await;
    let token = &first.body["page"]["next_token"];
    let on = |body: &Value, page: Value| with(body, json!({ "page": page }));
    for good in [json!({"token": token}), json!({"token": token, "limit": 1}), json!({"token": token, "x": 1})] {
        let answer = find(&pdp, path, &on(&body, good)).await;
        assert_eq!(answer.body["results"], json!([{"type": "record", "id": "b"}]));
    }
    let ignored = with(&body, json!({"unknown": 1}));
    assert_eq!(find(&pdp, path, &on(&ignored, json!({ "token": token }))).await.status, 200);
    for changes in [
        json!({"subject": {"type": "user", "id": "bob"}}),
        json!({"subject": {"type": "user", "id": "alice", "properties": {"role": "admin"}}}),
        json!({"action": {"name": "write"}}),
        json!({"action": {"name": "read", "properties": {"soft": true}}}),
        json!({"resource": {"type": "folder"}}),
        json!({"resource": {"type": "record", "properties": {"a": 1}}}),
        json!({"context": {"a": 1}}),
    ] {
        assert_error(&find(&pdp, path, &on(&with(&body, changes), json!({ "token": token }))).await, 400);
    }
    for (path, other) in [searches()[0].clone(), searches()[2].clone()] {
        assert_error(&find(&pdp, path, &on(&other, json!({ "token": token }))).await, 400);
    }
    for page in [json!({"token": token, "limit": 2}), json!({"token": token, "limit": 0}), json!({"token": "x"})] {
        assert_error(&find(&pdp, path, &on(&body, page)).await, 400);
    }
    assert_error(&find(&pdp, path, &on(&body, json!({"token": ""}))).await, 400);
}

#[tokio::test]
async fn a_search_that_fails_is_no_empty_result() {
    for (error, status) in
        [(SearchError::TooMuchWork, 400), (SearchError::Unrecorded, 503), (SearchError::Internal, 500)]
    {
        for (path, body) in searches() {
            let answer = find(&Known::failing(error), path, &body).await;
            assert_error(&answer, status);
            assert!(answer.headers.contains_key("x-portcullis-decision-id"), "it can be looked up in the records");
        }
    }
}

#[tokio::test]
async fn a_search_that_panics_is_500_and_says_nothing() {
    for (path, body) in searches() {
        let answer = send(Arc::new(Panicking), &AuthzenConfig::default(), request_to(path, body.to_string())).await;
        assert_error(&answer, 500);
        assert!(!answer.body.to_string().contains("secret"));
    }
}

/// Searches that are at work, and the most there ever were.
#[derive(Default)]
struct Counting {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Evaluate for Counting {
    fn evaluate(&self, _query: Query<'_>, _by: Asker<'_>) -> Verdict {
        panic!("a search is no question");
    }

    fn search(&self, _search: &Search<'_>, _by: Asker<'_>) -> Found {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        (0..1000).for_each(|_| std::thread::yield_now());
        self.now.fetch_sub(1, Ordering::SeqCst);
        Found { id: DecisionId::NIL, result: Ok(Page::default()), taken: Taken::NOW }
    }

    fn refuse(&self, _what: &str, _by: Asker<'_>) -> Verdict {
        panic!("a search has no parts");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn so_many_searches_run_at_once_and_the_others_wait_for_their_turn() {
    let pdp = Arc::new(Counting::default());
    let config = AuthzenConfig { max_concurrent_searches: 2, ..AuthzenConfig::default() };
    let metrics = Metrics::new(&mut crate::foundation::telemetry::Registry::default());
    let router = authzen_router(pdp.clone(), config, metrics);
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..10 {
        for (path, body) in searches() {
            all.spawn(router.clone().oneshot(request_to(path, body.to_string())));
        }
    }
    while let Some(answer) = all.join_next().await {
        assert_eq!(answer.unwrap().unwrap().status(), 200);
    }
    assert!(pdp.most.load(Ordering::SeqCst) <= 2);
}
