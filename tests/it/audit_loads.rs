//! Policies and routes whose load can't be recorded: they wait, and what was in force before goes on.

use std::fs;

use serde_json::Value;

use crate::audit::{QUESTION, stop};
use crate::audit_backlog::{Hanging, fill, quiet};
use crate::support::eventually;
use crate::support::gateway::{Gateway, Home};
use crate::support::http::ask;
use crate::support::root;

const PERMIT: &str = r#"@id("open") permit (principal, action, resource);"#;
const QUEUE: usize = 8;

async fn notice(gateway: &Gateway, name: &str) -> Option<String> {
    let report: Value = gateway.operations("/readyz").await.json();
    report["notices"][name].as_str().map(str::to_owned)
}

async fn noticed(gateway: &Gateway, name: &str, what: &str) {
    eventually(&format!("`{name}` says `{what}`"), async || {
        notice(gateway, name).await.filter(|told| told.contains(what))
    })
    .await;
}

/// Where the first record stands that `is` fits.
fn place(records: &[Value], is: impl Fn(&Value) -> bool) -> usize {
    records.iter().position(is).unwrap_or_else(|| panic!("it is not in the log: {records:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_decide_only_once_their_load_is_recorded() {
    let home = Home::new();
    let gateway = Gateway::start(&home, &[("AUDIT__QUEUE", "8")]).await;
    assert_eq!(ask(&home.authzen_socket(), QUESTION).await.json()["decision"], false);
    quiet(&gateway).await;
    let hanging = Hanging::of(&home);
    fill(&home, QUEUE).await;

    let file = home.policies().join("open.cedar");
    fs::write(&file, PERMIT).unwrap();
    noticed(&gateway, "policies", "the new policies wait: their load can't be recorded").await;
    assert!((gateway.metric("portcullis_policy_load_held_back").await - 1.0).abs() < 0.1);
    assert!((gateway.metric("portcullis_policy_epoch").await - 1.0).abs() < 0.1, "they decide without a record");
    // What is refused meanwhile is on record, too, once there is room.
    fs::write(&file, "forbid (").unwrap();
    noticed(&gateway, "policies", "open.cedar:1:").await;
    noticed(&gateway, "audit_backlog", "1 records wait").await;
    fs::write(&file, PERMIT).unwrap();
    noticed(&gateway, "policies", "the new policies wait").await;

    hanging.end();
    eventually("the new policies decide", async || {
        let answer = ask(&home.authzen_socket(), QUESTION).await;
        (answer.status == 200 && answer.json()["decision"] == true).then_some(())
    })
    .await;
    for name in ["policies", "audit_backlog"] {
        assert_eq!(notice(&gateway, name).await, None);
    }
    assert!(gateway.metric("portcullis_policy_load_held_back").await < 0.1);
    stop(gateway).await;
    let records = home.records();
    let load = |record: &Value| record["record"] == "policy_load";
    let refused = place(&records, |record| load(record) && record["error"].as_str().is_some());
    let loaded = place(&records, |record| load(record) && record["error"].is_null() && record["policy_epoch"] == 2);
    let decided = place(&records, |record| record["record"] == "decision" && record["policy_epoch"] == 2);
    assert!(records[refused]["error"].as_str().unwrap().contains("open.cedar:1:"));
    assert!(refused < decided && loaded < decided, "{records:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_alarm_policies_go_on_without_a_record_as_answers_do() {
    let home = Home::new();
    let gateway = Gateway::start(&home, &[("AUDIT__QUEUE", "4"), ("AUDIT__UNAVAILABLE", "alarm")]).await;
    quiet(&gateway).await;
    let hanging = Hanging::of(&home);
    for _ in 0..6 {
        assert_eq!(ask(&home.authzen_socket(), QUESTION).await.json()["decision"], false);
    }
    fs::write(home.policies().join("open.cedar"), PERMIT).unwrap();
    eventually("the new policies decide", async || {
        (ask(&home.authzen_socket(), QUESTION).await.json()["decision"] == true).then_some(())
    })
    .await;
    noticed(&gateway, "audit", "without a record").await;
    hanging.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_are_in_place_only_once_their_load_is_recorded() {
    let home = Home::new();
    home.take_policies("examples/mapping/policies");
    let routes = home.path().join("routes.yaml");
    let text = fs::read_to_string(root().join("examples/mapping/routes.yaml")).unwrap();
    fs::write(&routes, &text).unwrap();
    let mapping = routes.display().to_string();
    let gateway = Gateway::start(&home, &[("AUDIT__QUEUE", "8"), ("DECISION__MAPPING", &mapping)]).await;
    quiet(&gateway).await;
    let hanging = Hanging::of(&home);
    fill(&home, QUEUE).await;
    let more = "  - name: more\n    match: { host: api.example.com, path: /todos/more/of/them, method: GET }\n";
    fs::write(&routes, text + more).unwrap();
    noticed(&gateway, "mapping", "the new routes wait: their load can't be recorded").await;
    assert!((gateway.metric("portcullis_mapping_load_held_back").await - 1.0).abs() < 0.1);
    assert!((gateway.metric("portcullis_mapping_epoch").await - 1.0).abs() < 0.1);
    hanging.end();
    eventually("the new routes are in place", async || {
        (gateway.metric("portcullis_mapping_epoch").await > 1.5).then_some(())
    })
    .await;
    assert_eq!(notice(&gateway, "mapping").await, None);
    stop(gateway).await;
    place(&home.records(), |record| record["record"] == "mapping_load" && record["mapping_epoch"] == 2);
}
