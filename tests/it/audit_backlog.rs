//! Records that can't be written for a while, because the disk hangs: what waits is bounded, and so is how long anyone waits.

use std::collections::HashSet;
use std::fs::File;

use serde_json::Value;

use crate::audit::{Log, QUESTION, stop};
use crate::audit_crash::recorded;
use crate::support::eventually;
use crate::support::gateway::{Gateway, Home};
use crate::support::http::ask;
use crate::support::mesh::Mesh;

/// The journal, held as by a disk that does not come back: no append begins until this is let go.
pub(crate) struct Hanging(File);

impl Hanging {
    pub(crate) fn of(home: &Home) -> Self {
        let lock = File::open(Log::of(home).0.join("journal/lock")).unwrap();
        lock.lock().unwrap();
        Self(lock)
    }

    pub(crate) fn end(self) {
        self.0.unlock().unwrap();
    }
}

/// Waits until all that was recorded so far is under a checkpoint.
pub(crate) async fn quiet(gateway: &Gateway) {
    eventually("all is published", async || {
        let entries = gateway.metric("portcullis_audit_entries").await;
        let is_still = gateway.metric("portcullis_audit_waiting_records").await < 0.5;
        (is_still && gateway.metric("portcullis_audit_published").await >= entries).then_some(())
    })
    .await;
}

/// Asks until it is refused. Says which decisions were told before.
pub(crate) async fn fill(home: &Home, queue: usize) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        let answer = ask(&home.authzen_socket(), QUESTION).await;
        if answer.status != 200 {
            assert_eq!(answer.status, 503, "{answer:?}");
            assert!(answer.body.contains("could not be recorded"), "{answer:?}");
            return told;
        }
        told.push(answer.decision_id().to_owned());
        assert!(told.len() <= queue, "more is told than a crash may lose");
    }
}

/// The bound of `docs/audit.md`, at the bound: the writer has taken some of what waits and not written it, and it counts too.
#[tokio::test(flavor = "multi_thread")]
async fn kill_9_before_a_disk_that_hangs_loses_the_whole_queue_and_not_one_record_more() {
    const QUEUE: usize = 20;
    for is_killed in [true, false] {
        let home = Home::new();
        let mut gateway = Gateway::start(&home, &[("AUDIT__QUEUE", "20")]).await;
        let first = ask(&home.authzen_socket(), QUESTION).await.decision_id().to_owned();
        quiet(&gateway).await;
        let hanging = Hanging::of(&home);
        let told = fill(&home, QUEUE).await;
        assert_eq!(told.len(), QUEUE);
        assert!(gateway.metric("portcullis_audit_refused_records_total{why=\"full\"}").await >= 1.0);
        if is_killed {
            gateway.process.kill_hard();
            hanging.end();
        } else {
            hanging.end();
            eventually("answers are given again", async || {
                (ask(&home.authzen_socket(), QUESTION).await.status == 200).then_some(())
            })
            .await;
            stop(gateway).await;
        }
        let known = recorded(&home).await;
        assert!(known.contains(&first));
        let lost = told.iter().filter(|id| !known.contains(*id)).count();
        assert_eq!(lost, if is_killed { QUEUE } else { 0 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_lets_nothing_through_envoy() {
    let mesh = Mesh::start(&[("AUDIT__QUEUE", "16")]).await;
    assert_eq!(mesh.get("/orders/17").await.status, 200);
    quiet(&mesh.gateway).await;
    let hanging = Hanging::of(&mesh.home);
    fill(&mesh.home, 16).await;
    let refused = mesh.get("/orders/17").await;
    assert_eq!((refused.status, &refused.json()["reason"]), (503, &"audit_unavailable".into()), "{refused:?}");
    hanging.end();
    eventually("it is let through again", async || (mesh.get("/orders/17").await.status == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_record_are_counted_and_told_until_there_are_records_again() {
    let home = Home::new();
    let gateway = Gateway::start(&home, &[("AUDIT__QUEUE", "5"), ("AUDIT__UNAVAILABLE", "alarm")]).await;
    quiet(&gateway).await;
    let hanging = Hanging::of(&home);
    let mut told = HashSet::new();
    for _ in 0..12 {
        let answer = ask(&home.authzen_socket(), QUESTION).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        told.insert(answer.decision_id().to_owned());
    }
    let notice = async || -> Option<String> {
        let report: Value = gateway.operations("/readyz").await.json();
        report["notices"]["audit"].as_str().map(str::to_owned)
    };
    assert!(notice().await.unwrap().contains("without a record"));
    assert!((gateway.metric("portcullis_audit_unrecorded_answers_total").await - 7.0).abs() < 0.5);
    hanging.end();
    eventually("the alarm is over", async || notice().await.is_none().then_some(())).await;
    stop(gateway).await;
    assert_eq!(recorded(&home).await.intersection(&told).count(), 5);
}
