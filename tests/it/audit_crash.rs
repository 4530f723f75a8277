//! The log when the process, or the disk, gives way.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::support::eventually;
use crate::support::gateway::{Gateway, Home};
use crate::support::http::ask;

fn question(resource: &str) -> String {
    serde_json::json!({
        "subject": {"type": "Workload", "id": "spiffe://example.org/web"},
        "action": {"name": "connect"},
        "resource": {"type": "Service", "id": resource},
    })
    .to_string()
}

/// The ids of all decisions in the log, after a gateway was there again that published what it found.
async fn recorded(home: &Home) -> HashSet<String> {
    let mut gateway = Gateway::start(home, &[]).await;
    assert_eq!(ask(&home.authzen_socket(), &question("orders")).await.status, 200);
    eventually("what was found is published", async || {
        let entries = gateway.metric("portcullis_audit_entries").await;
        (gateway.metric("portcullis_audit_published").await >= entries).then_some(())
    })
    .await;
    gateway.process.terminate();
    assert!(gateway.process.ended().await.success());
    let ids = home.records().into_iter().filter_map(|record| Some(record["decision_id"].as_str()?.to_owned()));
    ids.collect()
}

/// `kill -9` under load, again and again: what is lost is at most what may wait, and it is the last that was told.
#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_no_more_in_group_than_may_wait_and_nothing_in_strict() {
    const QUEUE: usize = 100;
    for (durability, may_lose) in [("group", QUEUE), ("strict", 0)] {
        let home = Arc::new(Home::new());
        let (mut told, mut lost_in_all) = (Vec::new(), 0);
        for _ in 0..3 {
            let settings = [("AUDIT__DURABILITY", durability), ("AUDIT__QUEUE", "100")];
            let mut gateway = Gateway::start(&home, &settings).await;
            let over = Arc::new(AtomicBool::new(false));
            let mut askers = tokio::task::JoinSet::new();
            let by_asker: Vec<Arc<Mutex<Vec<String>>>> = (0..4).map(|_| Arc::default()).collect();
            for ids in by_asker.clone() {
                let (home, over) = (Arc::clone(&home), Arc::clone(&over));
                askers.spawn(async move {
                    while !over.load(Ordering::Relaxed) {
                        let answer = ask(&home.authzen_socket(), &question("orders")).await;
                        // A full queue refuses, and is asked again.
                        if answer.status == 200 {
                            ids.lock().unwrap().push(answer.decision_id().to_owned());
                        }
                    }
                });
            }
            eventually("there is load", async || {
                (gateway.metric("portcullis_audit_records_total").await > 300.0).then_some(())
            })
            .await;
            gateway.process.kill_hard();
            over.store(true, Ordering::Relaxed);
            // Who asks when nobody listens any more panics, and has written down what was answered before.
            while askers.join_next().await.is_some() {}
            let by_asker: Vec<Vec<String>> = by_asker.iter().map(|ids| ids.lock().unwrap().clone()).collect();
            let known = recorded(&home).await;
            let mut lost = 0;
            for ids in &by_asker {
                let kept = ids.iter().take_while(|id| known.contains(*id)).count();
                assert!(ids.iter().skip(kept).all(|id| !known.contains(id)), "what is lost is the end");
                lost += ids.len() - kept;
            }
            assert!(lost <= may_lose, "{lost} of {durability}");
            lost_in_all += lost;
            told.extend(by_asker.into_iter().flatten());
        }
        eprintln!("{durability}: {lost_in_all} of {} answered decisions lost in three kills", told.len());
        assert!(told.len() > 300);
    }
}

/// No file can grow any more: decisions become errors, what was recorded stays, and with room all goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_makes_decisions_errors_until_there_is_room() {
    let home = Home::new();
    let gateway = Gateway::start_limited(&home, 1 << 20, &[("AUDIT__DURABILITY", "strict")]).await;
    let long = question(&"x".repeat(8000));
    let mut told = Vec::new();
    let refused = loop {
        let answer = ask(&home.authzen_socket(), &long).await;
        if answer.status != 200 {
            break answer;
        }
        told.push(answer.decision_id().to_owned());
        assert!(told.len() < 1000, "the disk is never full");
    };
    assert!(refused.status >= 500, "{refused:?}");
    let report = gateway.operations("/readyz").await;
    assert_eq!(report.status, 503, "{report:?}");
    let why: Value = report.json();
    assert!(why["blocked_by"]["audit"].as_str().unwrap().contains("journal"), "{why}");
    gateway.process.lift_file_limit();
    eventually("there is room", async || {
        let answer = ask(&home.authzen_socket(), &long).await;
        (answer.status == 200).then(|| told.push(answer.decision_id().to_owned()))
    })
    .await;
    let mut gateway = gateway;
    gateway.ready().await;
    gateway.process.terminate();
    assert!(gateway.process.ended().await.success());
    let known = recorded(&home).await;
    assert!(told.iter().all(|id| known.contains(id)), "a decision that was told is not in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_can_be_written_it_does_not_start_and_says_so() {
    let home = Home::new();
    let mut gateway = Gateway::spawn(&home, &[("AUDIT__LOG", "/proc/portcullis")], &[]);
    assert!(!gateway.process.ended().await.success());
    let said = gateway.process.output();
    assert!(said.contains("/proc/portcullis"), "{said}");
}

/// What was written stays as it is, and with a disk that can be written all goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_has_become_read_only_is_named_and_not_touched() {
    let home = Home::new();
    let told = recorded(&home).await;
    let mut gateway = Gateway::spawn_read_only(&home, &home.path().join("data/log"));
    assert!(!gateway.process.ended().await.success());
    let said = gateway.process.output();
    assert!(said.contains("data/log") && said.contains("Read-only file system"), "{said}");
    let known = recorded(&home).await;
    assert!(told.is_subset(&known) && known.len() > told.len());
}
