use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use prometheus_client::metrics::counter::Counter;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::foundation::clock::SystemClock;

async fn get(readiness: &Readiness, registry: Registry, path: &str) -> (u16, http::HeaderMap, String) {
    let router = operations_router(readiness.clone(), Arc::new(registry), None);
    let response = router.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn livez_is_ok_even_while_nothing_is_ready() {
    let readiness = Readiness::default();
    let _blocker = readiness.block("policies", "not loaded yet");
    let (status, _, body) = get(&readiness, Registry::default(), "/livez").await;
    assert_eq!((status, body.as_str()), (200, "ok\n"));
}

#[tokio::test]
async fn readyz_names_what_blocks_until_it_no_longer_does_and_shows_notices() {
    let readiness = Readiness::default();
    let blocker = readiness.block("policies", "not loaded yet");
    readiness.notice("entities", "entities.json:3: bad");
    let (status, headers, body) = get(&readiness, Registry::default(), "/readyz").await;
    assert_eq!((status, &headers[CACHE_CONTROL]), (503, &HeaderValue::from_static("no-store")));
    let notices = json!({ "entities": "entities.json:3: bad" });
    let expected = json!({ "ready": false, "blocked_by": { "policies": "not loaded yet" }, "notices": notices });
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);

    drop(blocker);
    let (status, _, body) = get(&readiness, Registry::default(), "/readyz").await;
    let expected = json!({ "ready": true, "blocked_by": {}, "notices": notices });
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()), (200, expected));
}

#[tokio::test]
async fn metrics_are_open_metrics_text() {
    let mut registry = Registry::default();
    let counter = Counter::<u64>::default();
    registry.register("portcullis_things", "Things", counter.clone());
    counter.inc();
    let (status, headers, body) = get(&Readiness::default(), registry, "/metrics").await;
    assert_eq!((status, &headers[CONTENT_TYPE]), (200, &OPEN_METRICS));
    assert!(body.contains("\nportcullis_things_total 1\n") && body.ends_with("# EOF\n"), "{body}");
}

#[tokio::test]
async fn other_paths_are_404_and_other_methods_405() {
    assert_eq!(get(&Readiness::default(), Registry::default(), "/").await.0, 404);
    let router = operations_router(Readiness::default(), Arc::default(), None);
    for path in ["/livez", "/readyz", "/metrics"] {
        let response = router.clone().oneshot(Request::post(path).body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(
            (response.status(), &response.headers()["allow"]),
            (StatusCode::METHOD_NOT_ALLOWED, &HeaderValue::from_static("GET,HEAD"))
        );
        let head = router.clone().oneshot(Request::head(path).body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(head.status(), StatusCode::OK);
    }
}

#[test]
fn the_metrics_of_this_edge_and_of_the_record_are_in_the_manual() {
    let mut registry = Registry::default();
    crate::edge::http::authzen::Metrics::new(&mut registry);
    crate::evidence::log::LogMetrics::new(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let manual = include_str!("../../../../docs/operations.md");
    let types: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    assert_eq!(types.len(), 11);
    for (name, kind) in types {
        let suffix = if kind == "counter" { "_total" } else { "" };
        assert!(manual.contains(&format!("\n| `{name}{suffix}` |")), "{name}{suffix}");
    }
}

#[tokio::test]
async fn receipts_are_served_only_where_there_is_a_desk_and_only_once_the_log_is_open() {
    let status = async |desk: Option<Arc<ReceiptDesk>>, path: &str| {
        let router = operations_router(Readiness::default(), Arc::default(), desk);
        let response = router.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        response.status().as_u16()
    };
    let path = "/v1/audit/receipt/01a200f1-db9b-7777-b777-777777777777";
    let desk = || Some(Arc::new(ReceiptDesk::new(Arc::new(SystemClock::new()))));
    assert_eq!(status(None, path).await, 404);
    assert_eq!(status(desk(), path).await, 503);
    assert_eq!(status(desk(), "/v1/audit/receipt/01a2").await, 400);
    assert_eq!(status(desk(), "/livez").await, 200);
}
