//! The log of decisions as its owner, its auditor and a stranger see it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::eventually;
use crate::support::gateway::{Gateway, Home};
use crate::support::http::ask;
use crate::support::mesh::Mesh;

pub(crate) const QUESTION: &str = r#"{
    "subject": {"type": "Workload", "id": "spiffe://example.org/web"},
    "action": {"name": "connect"},
    "resource": {"type": "Service", "id": "orders"}
}"#;

pub(crate) fn audit(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portcullis")).arg("audit").args(arguments).output().unwrap()
}

pub(crate) fn audit_ok(arguments: &[&str]) -> String {
    let output = audit(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What it complains of, and that it does.
pub(crate) fn audit_refuses(arguments: &[&str]) -> String {
    let output = audit(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

pub(crate) struct Log(pub(crate) PathBuf);

impl Log {
    pub(crate) fn of(home: &Home) -> Self {
        Self(home.path().join("data/log"))
    }

    pub(crate) fn arguments<'a>(&'a self, command: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        [&[command, "--log", self.0.to_str().unwrap()][..], more].concat()
    }

    fn verify(&self, more: &[&str]) -> String {
        audit_ok(&self.arguments("verify", more))
    }

    /// A receipt of this decision, once it is published.
    pub(crate) async fn receipt(&self, decision: &str, file: &Path) {
        eventually("the decision is under a checkpoint", async || {
            let more = [decision, "--output", file.to_str().unwrap()];
            audit(&self.arguments("receipt", &more)).status.success().then_some(())
        })
        .await;
    }

    pub(crate) fn key(&self) -> String {
        self.0.join("verifier").to_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_can_verify_a_receipt_and_no_bit_of_it_can_be_changed() {
    let home = Home::new();
    let _gateway = Gateway::start(&home, &[("AUDIT__GATEWAY", "gate-1")]).await;
    let log = Log::of(&home);
    let answer = ask(&home.authzen_socket(), QUESTION).await;
    let (file, key) = (home.path().join("receipt"), log.key());
    log.receipt(answer.decision_id(), &file).await;
    let file = file.to_str().unwrap();
    let proved: Value = serde_json::from_str(&audit_ok(&["verify-receipt", file, "--key", &key])).unwrap();
    assert_eq!(proved["record"]["decision_id"], answer.decision_id());
    assert_eq!((&proved["record"]["record"], &proved["gateway"]), (&"decision".into(), &"gate-1".into()));
    assert!(fs::read_to_string(&key).unwrap().starts_with("example.org/audit/gate-1+"));

    let whole = fs::read(file).unwrap();
    let mut reasons = Vec::new();
    for place in 0..whole.len() {
        let mut changed = whole.clone();
        changed[place] ^= 1;
        fs::write(file, &changed).unwrap();
        reasons.push(audit_refuses(&["verify-receipt", file, "--key", &key]));
    }
    for reason in ["signature", "proof", "tree"] {
        assert!(reasons.iter().any(|said| said.contains(reason)), "{reason}: {reasons:?}");
    }
    assert!(reasons.iter().all(|said| said.len() > "portcullis: ".len()), "{reasons:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_whole_after_it_was_killed_again_and_again() {
    let home = Home::new();
    let log = Log::of(&home);
    let (mut ids, earlier) = (Vec::new(), home.path().join("earlier"));
    for round in 0..4 {
        let mut gateway = Gateway::start(&home, &[("AUDIT__DURABILITY", "strict")]).await;
        for _ in 0..5 {
            ids.push(ask(&home.authzen_socket(), QUESTION).await.decision_id().to_owned());
        }
        if round == 1 {
            log.receipt(ids.last().unwrap(), &home.path().join("receipt")).await;
            fs::copy(log.0.join("checkpoint"), &earlier).unwrap();
        }
        gateway.process.kill_hard();
    }
    let gateway = Gateway::start(&home, &[]).await;
    stop(gateway).await;
    assert!(log.verify(&["--since", earlier.to_str().unwrap()]).contains("the same log"));
    let found = audit_ok(&log.arguments("search", &["--action", "connect"]));
    for id in ids {
        assert!(found.contains(&id), "a decision that was answered is not in the log: {id}");
    }
}

/// Answers that wait for the disk go out over the front that Envoy asks, too.
#[tokio::test(flavor = "multi_thread")]
async fn envoy_is_answered_once_the_record_is_on_the_disk() {
    let mesh = Mesh::start(&[("AUDIT__DURABILITY", "strict")]).await;
    for (path, status) in [("/orders/17", 200), ("/admin", 403), ("/orders/17", 200)] {
        assert_eq!(mesh.get(path).await.status, status, "{path}");
    }
    let decisions = mesh.home.records().into_iter().filter(|record| record["record"] == "decision").count();
    assert_eq!(decisions, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_tampered_with_is_found_out_and_named() {
    let home = Home::new();
    let log = Log::of(&home);
    let gateway = Gateway::start(&home, &[]).await;
    for _ in 0..3 {
        ask(&home.authzen_socket(), QUESTION).await;
    }
    stop(gateway).await;
    let before = log.verify(&[]);
    let files = files(&log.0.join("tile"));
    assert!(files.len() >= 2);
    for path in files {
        let whole = fs::read(&path).unwrap();
        for place in (0..whole.len()).step_by(whole.len() / 40 + 1) {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x20;
            fs::write(&path, &damaged).unwrap();
            let complaint = audit_refuses(&log.arguments("verify", &[]));
            assert!(!complaint.is_empty(), "{}: {place}", path.display());
        }
        fs::write(&path, &whole).unwrap();
    }
    assert_eq!(log.verify(&[]), before);
    // A log that is put in the place of another is not its continuation.
    let (other, kept) = (Home::new(), home.path().join("kept"));
    fs::copy(log.0.join("checkpoint"), &kept).unwrap();
    let gateway = Gateway::start(&other, &[]).await;
    stop(gateway).await;
    let other = Log::of(&other);
    audit_refuses(&other.arguments("verify", &["--since", kept.to_str().unwrap()]));
    audit_refuses(&other.arguments("verify", &["--key", &log.key()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_follows_what_comes_and_ends_when_nobody_reads() {
    let home = Home::new();
    let log = Log::of(&home);
    let _gateway = Gateway::start(&home, &[]).await;
    let mut ids = vec![ask(&home.authzen_socket(), QUESTION).await.decision_id().to_owned()];
    log.receipt(&ids[0], &home.path().join("receipt")).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.arg("audit").args(log.arguments("tail", &["--follow", "-n", "1000"]));
    let mut tail = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains(&ids[0])));
    for _ in 0..3 {
        let id = ask(&home.authzen_socket(), QUESTION).await.decision_id().to_owned();
        let line: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
        assert_eq!(line["record"]["decision_id"], id, "it is the next one");
        ids.push(id);
    }
    drop(lines);
    let ended = eventually("it has something to say to nobody", async || {
        ask(&home.authzen_socket(), QUESTION).await;
        tail.try_wait().unwrap()
    });
    assert!(ended.await.success());
}

/// Entries are taken out beside the gateway that runs, and the log says so itself.
#[tokio::test(flavor = "multi_thread")]
async fn old_entries_go_when_nothing_keeps_them_and_the_log_can_still_be_verified() {
    let home = Home::new();
    let log = Log::of(&home);
    let gateway = Gateway::start(&home, &[]).await;
    let mut decisions = Vec::new();
    for _ in 0..600 {
        decisions.push(ask(&home.authzen_socket(), QUESTION).await.decision_id().to_owned());
    }
    let (early, late, kept) = (home.path().join("early"), home.path().join("late"), home.path().join("kept"));
    log.receipt(&decisions[0], &early).await;
    log.receipt(&decisions[599], &late).await;
    fs::copy(log.0.join("checkpoint"), &kept).unwrap();
    eventually("the file has all", async || (home.records().len() >= 600).then_some(())).await;

    let prune =
        |more: &[&str]| audit_ok(&log.arguments("prune", &[&["--before", "2100-01-01T00:00:00Z"], more].concat()));
    let hold = |arguments: &[&str]| audit_ok(&[&["hold"], arguments, &["--log", log.0.to_str().unwrap()]].concat());
    assert!(audit_ok(&log.arguments("prune", &["--before", "2020-01-01T00:00:00Z"])).contains("nothing"));
    hold(&["add", "case-17", "--reason", "a court"]);
    assert!(hold(&["list"]).contains("a court"));
    assert!(prune(&[]).contains("kept by the hold `case-17`"));
    hold(&["remove", "case-17"]);
    assert!(prune(&["--dry-run"]).contains("entries 0 to 511 can be taken out"));
    assert!(!log.verify(&[]).contains("taken out"));
    assert!(prune(&[]).contains("entries 0 to 511 were taken out"));
    ask(&home.authzen_socket(), QUESTION).await;
    let id = u128::from_str_radix(&decisions[0].replace('-', ""), 16).unwrap().to_be_bytes();
    eventually("what was taken out is not in the journal either", async || {
        let files = fs::read_dir(log.0.join("journal")).unwrap().map(|file| fs::read(file.unwrap().path()));
        let lies_there = files.flatten().any(|bytes| bytes.windows(id.len()).any(|window| window == id));
        (!lies_there).then_some(())
    })
    .await;
    eventually("the log says so itself", async || {
        let verified = audit(&log.arguments("verify", &["--since", kept.to_str().unwrap()]));
        String::from_utf8(verified.stdout).unwrap().contains("the entries 0 to 511 were taken out").then_some(())
    })
    .await;
    for receipt in [&early, &late] {
        audit_ok(&["verify-receipt", receipt.to_str().unwrap(), "--key", &log.key()]);
    }
    let found = audit_ok(&log.arguments("search", &["--action", "connect"]));
    assert!(!found.contains(&decisions[0]) && found.contains(&decisions[599]));
    let record = home.records().into_iter().find(|record| record["record"] == "prune").unwrap();
    assert_eq!((&record["first"], &record["end"], &record["by"]), (&0.into(), &512.into(), &"command".into()));
    stop(gateway).await;
    stop(Gateway::start(&home, &[]).await).await;
    // Whoever takes out more has to have the log say so.
    fs::remove_file(log.0.join("tile/entries/002.p").join(partial(&log.0.join("tile/entries/002.p")))).unwrap();
    fs::write(log.0.join("pruned"), "768\n").unwrap();
    assert!(!audit_refuses(&log.arguments("verify", &[])).is_empty());
}

/// The widest of the partial bundles in a directory.
fn partial(directory: &Path) -> String {
    let widths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    widths.max_by_key(|width| width.parse::<u16>().unwrap()).unwrap()
}

pub(crate) async fn stop(mut gateway: Gateway) {
    gateway.process.terminate();
    assert!(gateway.process.ended().await.success());
}

/// All files below a directory that are there under their full name.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    // Of partial tiles only the widest of each place is of the tree.
    let width = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().parse::<u64>().unwrap();
    let latest =
        |path: &&PathBuf| found.iter().all(|other| other.parent() != path.parent() || width(other) <= width(path));
    found.iter().filter(latest).cloned().collect()
}
