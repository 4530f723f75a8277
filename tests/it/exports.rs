//! Records told to servers of others, over HTTP: all of them, in order, at least once, and nobody waits.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::support::eventually;
use crate::support::gateway::{Gateway, Home};
use crate::support::http::ask;

const QUESTION: &str = r#"{
    "subject": {"type": "Workload", "id": "spiffe://example.org/web"},
    "action": {"name": "connect"},
    "resource": {"type": "Service", "id": "orders"}
}"#;

/// What a server was told, and how often it still fails.
#[derive(Clone, Default)]
struct Told {
    taken: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    failures: Arc<Mutex<usize>>,
}

/// A server that takes what it is told, once it has failed often enough.
struct Server {
    port: u16,
    told: Told,
    task: JoinHandle<()>,
}

impl Server {
    #[expect(clippy::disallowed_methods, reason = "the handle is the owner: it ends with the server")]
    async fn start(port: u16, failures: usize) -> Self {
        let told = Told { failures: Arc::new(Mutex::new(failures)), ..Told::default() };
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new().route("/told", post(take)).with_state(told.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { port, told, task }
    }

    fn taken(&self) -> Vec<(HeaderMap, Value)> {
        self.told.taken.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(State(told): State<Told>, headers: HeaderMap, body: Bytes) -> StatusCode {
    assert_eq!(headers["content-type"], "application/json");
    {
        let mut failures = told.failures.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            return StatusCode::SERVICE_UNAVAILABLE;
        }
    }
    let mut headers = headers;
    headers.insert("x-body", hex::encode(&body).parse().unwrap());
    told.taken.lock().unwrap().push((headers, serde_json::from_slice(&body).unwrap()));
    StatusCode::OK
}

/// The numbers of all records that a webhook was told, which must follow on each other.
fn indices(taken: &[(HeaderMap, Value)]) -> Vec<u64> {
    let records = taken.iter().flat_map(|(_, body)| body["data"]["records"].as_array().unwrap().clone());
    let indices: Vec<u64> = records.map(|told| told["index"].as_u64().unwrap()).collect();
    assert!(indices.windows(2).all(|pair| pair[1] == pair[0] + 1), "{indices:?}");
    indices
}

fn private(home: &Home, name: &str, contents: &str) -> String {
    let path = home.path().join(name);
    fs::write(&path, contents).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

async fn stop(mut gateway: Gateway) {
    gateway.process.terminate();
    assert!(gateway.process.ended().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_fails_is_told_all_later_and_goes_on_after_a_restart() {
    let home = Home::new();
    let key = private(&home, "webhook-key", &format!("whsec_{}\n", STANDARD.encode([9; 32])));
    let server = Server::start(0, 3).await;
    let url = format!("http://127.0.0.1:{}/told", server.port);
    let exports = json!([{"name": "hook", "webhook": {"url": url, "key_file": key}}]).to_string();
    let settings = [("AUDIT__EXPORTS", exports.as_str())];
    let gateway = Gateway::start(&home, &settings).await;
    let mut decisions = Vec::new();
    for _ in 0..5 {
        decisions.push(ask(&home.authzen_socket(), QUESTION).await.decision_id().to_owned());
    }
    let has = |id: &str| server.taken().iter().any(|(_, body)| body.to_string().contains(id));
    eventually("all decisions are told", async || decisions.iter().all(|id| has(id)).then_some(())).await;
    assert!(gateway.metric("portcullis_audit_export_failures_total{sink=\"audit_export_hook\"}").await >= 3.0);
    eventually("nothing is left", async || {
        (gateway.metric("portcullis_audit_export_lag{sink=\"audit_export_hook\"}").await < 0.5).then_some(())
    })
    .await;
    stop(gateway).await;

    let before = indices(&server.taken()).len();
    let gateway = Gateway::start(&home, &settings).await;
    let last = ask(&home.authzen_socket(), QUESTION).await.decision_id().to_owned();
    eventually("it goes on", async || has(&last).then_some(())).await;
    stop(gateway).await;
    let all = indices(&server.taken());
    assert!(all[0] == 0 && all.len() > before, "it goes on where it was: {all:?}");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[9; 32]);
    for (headers, _) in server.taken() {
        let text = |name: &str| headers[name].to_str().unwrap().to_owned();
        let body = hex::decode(text("x-body")).unwrap();
        let signed = [format!("{}.{}.", text("webhook-id"), text("webhook-timestamp")).as_bytes(), &body].concat();
        let tag = STANDARD.decode(text("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
        hmac::verify(&key, &signed, &tag).unwrap();
    }
}

/// Killed while it tells: what it did not know to have arrived is told again, under the same name and with the same records, and
/// nothing is left out.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_told_every_record_at_least_once_across_kill_9() {
    let home = Home::new();
    let key = private(&home, "webhook-key", &format!("whsec_{}\n", STANDARD.encode([9; 32])));
    let server = Server::start(0, 0).await;
    let url = format!("http://127.0.0.1:{}/told", server.port);
    let exports = json!([{"name": "hook", "webhook": {"url": url, "key_file": key}}]).to_string();
    let settings = [("AUDIT__EXPORTS", exports.as_str()), ("AUDIT__DURABILITY", "strict")];
    let mut decisions = Vec::new();
    for _ in 0..4 {
        let mut gateway = Gateway::start(&home, &settings).await;
        for _ in 0..10 {
            decisions.push(ask(&home.authzen_socket(), QUESTION).await.decision_id().to_owned());
        }
        gateway.process.kill_hard();
    }
    let gateway = Gateway::start(&home, &settings).await;
    eventually("all decisions are told", async || {
        let told: String = server.taken().iter().map(|(_, body)| body.to_string()).collect();
        decisions.iter().all(|id| told.contains(id)).then_some(())
    })
    .await;
    stop(gateway).await;
    let (mut next, mut bodies) = (0, HashMap::new());
    for (headers, body) in server.taken() {
        let told = indices(&[(headers.clone(), body)]);
        let (first, last) = (told[0], told[told.len() - 1]);
        assert!(first <= next, "records {next} to {first} were left out");
        next = next.max(last + 1);
        let id = headers["webhook-id"].to_str().unwrap().to_owned();
        assert_eq!(*bodies.entry(id).or_insert((first, last)), (first, last), "one name, and other records");
    }
}

/// Nobody listens there for a while: decisions are answered, and the collector gets all of them in the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_holds_up_no_decision_and_misses_none() {
    let home = Home::new();
    let port = crate::support::envoy::free_port();
    let token = private(&home, "token", "secret-of-the-collector\n");
    let ocsf = home.path().join("data/ocsf.jsonl");
    let url = format!("http://127.0.0.1:{port}/told");
    let exports = json!([
        {"name": "collector", "otlp": {"url": url, "token_file": token}},
        {"name": "siem", "ocsf_file": ocsf},
    ])
    .to_string();
    let gateway = Gateway::start(&home, &[("AUDIT__EXPORTS", &exports)]).await;
    let mut decisions = Vec::new();
    for _ in 0..20 {
        let answer = ask(&home.authzen_socket(), QUESTION).await;
        assert_eq!(answer.status, 200);
        decisions.push(answer.decision_id().to_owned());
    }
    eventually("it is named", async || {
        let report = gateway.operations("/readyz").await;
        assert_eq!(report.status, 200, "{report:?}");
        report.body.contains("audit_export_collector").then_some(())
    })
    .await;
    let server = Server::start(port, 0).await;
    eventually("all decisions are told", async || {
        let told: String = server.taken().iter().map(|(_, body)| body.to_string()).collect();
        decisions.iter().all(|id| told.contains(id)).then_some(())
    })
    .await;
    for (headers, body) in server.taken() {
        assert_eq!(headers["authorization"], "Bearer secret-of-the-collector");
        assert!(body["resourceLogs"][0]["scopeLogs"][0]["logRecords"].is_array());
    }
    stop(gateway).await;
    let events = fs::read_to_string(&ocsf).unwrap();
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().all(|event| event["class_uid"] == 6003));
    let is_there = |id: &String| events.iter().any(|event| event["api"]["request"]["uid"] == id.as_str());
    assert!(decisions.iter().all(is_there));
}
