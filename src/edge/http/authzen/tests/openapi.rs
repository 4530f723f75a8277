//! `docs/openapi/authzen.yaml` has the paths, methods and statuses that the router has, and no others.

use std::collections::BTreeSet;

use super::*;
use crate::decision::Callers;
use crate::decision::search::{Page, SearchError};
use crate::edge::http::authzen::metadata::{ENDPOINTS, WELL_KNOWN};

const DOCUMENT: &str = include_str!("../../../../../docs/openapi/authzen.yaml");

/// A question and a search at once: all members that one of them needs.
const ALL: &str = r#"{"subject":{"type":"user","id":"alice"},"action":{"name":"read"},
    "resource":{"type":"record","id":"record-1"},"evaluations":[{},{}]}"#;

/// Lets nobody ask anything.
struct Closed;

impl Evaluate for Closed {
    fn evaluate(&self, _query: Query<'_>, _by: Asker<'_>) -> Verdict {
        verdict(Outcome::Deny, Reason::CallerNotPermitted)
    }

    fn search(&self, _search: &Search<'_>, _by: Asker<'_>) -> Found {
        Found { id: DecisionId::NIL, result: Err(SearchError::CallerNotPermitted), taken: Taken::NOW }
    }

    fn refuse(&self, _what: &str, _by: Asker<'_>) -> Verdict {
        verdict(Outcome::Deny, Reason::Undecodable)
    }
}

/// Either has a decision or can't record it.
struct Recording(bool);

impl Evaluate for Recording {
    fn evaluate(&self, _query: Query<'_>, _by: Asker<'_>) -> Verdict {
        if self.0 {
            verdict(Outcome::Allow, Reason::Permitted)
        } else {
            verdict(Outcome::Error, Reason::AuditUnavailable)
        }
    }

    fn search(&self, _search: &Search<'_>, _by: Asker<'_>) -> Found {
        let result = if self.0 { Ok(Page::default()) } else { Err(SearchError::Unrecorded) };
        Found { id: DecisionId::NIL, result, taken: Taken::NOW }
    }

    fn refuse(&self, _what: &str, _by: Asker<'_>) -> Verdict {
        verdict(Outcome::Deny, Reason::Undecodable)
    }
}

/// Callers of whom there are none.
fn nobody() -> Arc<Callers> {
    Arc::new(Callers::new(Arc::new(crate::foundation::clock::SystemClock::new())))
}

fn document() -> Value {
    serde_saphyr::from_str(DOCUMENT).unwrap()
}

/// The statuses that the document has for `method` on `path`, if any.
fn documented(document: &Value, path: &str, method: &str) -> Option<BTreeSet<u16>> {
    let responses = document["paths"][path].get(method.to_lowercase())?["responses"].as_object()?;
    Some(responses.keys().map(|status| status.parse().unwrap()).collect())
}

/// Every status that can be brought about on a path that is posted to.
async fn statuses(path: &str) -> BTreeSet<u16> {
    let config = AuthzenConfig::default;
    let post = |body: &str| request_to(path, body.to_owned());
    let endless = futures_util::StreamExt::chain(
        futures_util::stream::iter([Ok::<_, std::io::Error>("{")]),
        futures_util::stream::pending(),
    );
    let works = || Arc::new(Recording(true));
    let answers = [
        send(works(), &config(), post(ALL)).await,
        send(works(), &config(), post("[]")).await,
        send(works(), &config(), request_to(path, Body::from_stream(endless))).await,
        send(works(), &AuthzenConfig { max_body_bytes: 8, ..config() }, post(ALL)).await,
        send(works(), &AuthzenConfig { max_evaluations: 1, ..config() }, post(ALL)).await,
        send(works(), &AuthzenConfig { max_concurrent_requests: 0, ..config() }, post(ALL)).await,
        send(Arc::new(Panicking), &config(), post(ALL)).await,
        send(Arc::new(Recording(false)), &config(), post(ALL)).await,
        send_where(works(), (&config(), Access { callers: Some(nobody()), ..Access::default() }), post(ALL)).await,
        send(Arc::new(Closed), &config(), post(ALL)).await,
    ];
    answers.iter().map(|answer| answer.status).collect()
}

#[tokio::test(start_paused = true)]
async fn the_document_has_every_status_and_no_other() {
    let document = document();
    for (_, path) in ENDPOINTS {
        assert_eq!(documented(&document, path, "post"), Some(statuses(path).await), "{path}");
    }
    let get = || http::Request::get(WELL_KNOWN).body(Body::empty()).unwrap();
    let known = Metadata::new("https://pdp.example.com".parse().unwrap());
    let config = AuthzenConfig { metadata: vec![known], ..AuthzenConfig::default() };
    let with = send(Fixed::deny(), &config, get()).await.status;
    let without = send(Fixed::deny(), &AuthzenConfig::default(), get()).await.status;
    assert_eq!(documented(&document, WELL_KNOWN, "get"), Some(BTreeSet::from([with, without])));
}

#[tokio::test]
async fn the_document_has_every_path_and_method_and_no_other() {
    let document = document();
    let served: BTreeSet<&str> = ENDPOINTS.iter().map(|(_, path)| *path).chain([WELL_KNOWN]).collect();
    let paths: BTreeSet<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(paths, served);
    let known = Metadata::new("https://pdp.example.com".parse().unwrap());
    let config = AuthzenConfig { metadata: vec![known], ..AuthzenConfig::default() };
    for path in paths {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
            let request = http::Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
            let answer = send(Arc::new(Recording(true)), &config, request.body(ALL.into()).unwrap()).await;
            let expected = if documented(&document, path, method).is_some() { 200 } else { 405 };
            assert_eq!(answer.status, expected, "{method} {path}");
        }
    }
}
