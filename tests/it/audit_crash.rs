//! The log when the process, or the disk, gives way.

use std::collections::HashSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::audit::audit_ok;
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
pub(crate) async fn recorded(home: &Home) -> HashSet<String> {
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

/// A file system of eight megabytes: decisions become errors when it is full, what was told stays, and with room all goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_makes_decisions_errors_until_there_is_room() {
    for durability in ["group", "strict"] {
        let home = Home::new();
        let directory = home.path().join("data/log");
        let gateway = Gateway::start_on_small_disk(&home, &directory, &[("AUDIT__DURABILITY", durability)]).await;
        // What only the gateway sees there.
        let seen = gateway.process.root().join(directory.strip_prefix("/").unwrap());
        let ballast = seen.join("ballast");
        fs::write(&ballast, vec![0; 7 << 20]).unwrap();
        let long = question(&"x".repeat(8000));
        let mut told = Vec::new();
        let mut report = gateway.operations("/readyz").await;
        for _ in 0..1000 {
            let answer = ask(&home.authzen_socket(), &long).await;
            if answer.status == 200 {
                told.push(answer.decision_id().to_owned());
                continue;
            }
            assert!(answer.status == 503 && answer.body.contains("could not be recorded"), "{answer:?}");
            // A tile that does not fit leaves room for a last record, whose refusal was too early then.
            report = gateway.operations("/readyz").await;
            if report.status == 503 {
                break;
            }
        }
        assert_eq!(report.status, 503, "the disk is never full: {report:?}");
        let why = report.json()["blocked_by"]["audit"].as_str().unwrap().to_owned();
        assert!(why.contains("journal") && why.contains("No space left on device"), "{why}");

        fs::remove_file(&ballast).unwrap();
        eventually("there is room", async || {
            let answer = ask(&home.authzen_socket(), &long).await;
            (answer.status == 200).then(|| told.push(answer.decision_id().to_owned()))
        })
        .await;
        eventually("all that was told is published", async || {
            let known: HashSet<Value> = home.records().iter().map(|record| record["decision_id"].clone()).collect();
            told.iter().all(|id| known.contains(&Value::from(id.as_str()))).then_some(())
        })
        .await;
        assert_eq!(gateway.operations("/readyz").await.status, 200);
        let seen = seen.to_str().unwrap();
        audit_ok(&["verify", "--log", seen, "--key", &format!("{seen}/verifier")]);
    }
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

/// Tiles can't be written while the gateway runs: decisions are recorded all the same, and published once it is over.
#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_published_is_recorded_and_published_later() {
    let home = Home::new();
    let directory = home.path().join("data/log");
    let gateway = Gateway::start_on_small_disk(&home, &directory, &[("AUDIT__DURABILITY", "strict")]).await;
    let decide = async || {
        let answer = ask(&home.authzen_socket(), &question("orders")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        format!("/v1/audit/receipt/{}", answer.decision_id())
    };
    let has_receipt = async |receipt: &str| {
        eventually("there is a receipt", async || (gateway.operations(receipt).await.status == 200).then_some(()))
            .await;
    };
    let notice = async || -> Option<String> {
        let report: Value = gateway.operations("/readyz").await.json();
        assert_eq!(report["ready"], true, "{report}");
        report["notices"]["audit_log"].as_str().map(str::to_owned)
    };
    has_receipt(&decide().await).await;
    let tiles = directory.join("tile");
    gateway.process.run_beside("mount --bind \"$1\" \"$1\"; mount -o remount,bind,ro \"$1\"", &tiles);
    let receipt = decide().await;
    let told = eventually("it is named", async || notice().await).await;
    assert!(told.contains("Read-only file system"), "{told}");
    assert_eq!(gateway.operations(&receipt).await.status, 202);
    gateway.process.run_beside("umount \"$1\"", &tiles);
    has_receipt(&receipt).await;
    eventually("nothing is amiss", async || notice().await.is_none().then_some(())).await;
    let seen = gateway.process.root().join(directory.strip_prefix("/").unwrap());
    let seen = seen.to_str().unwrap();
    audit_ok(&["verify", "--log", seen, "--key", &format!("{seen}/verifier")]);
}
