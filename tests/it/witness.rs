//! Two gateways that watch each other, over HTTP, each a process of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use portcullis::foundation::digest::Digest;
use portcullis_tlog::checkpoint::SignedCheckpoint;
use portcullis_tlog::policy::Policy;
use serde_json::{Value, json};

use crate::support::envoy::free_port;
use crate::support::eventually;
use crate::support::gateway::{Gateway, Home};
use crate::support::http::{self, ask};

const QUESTION: &str = r#"{
    "subject": {"type": "Workload", "id": "spiffe://example.org/web"},
    "action": {"name": "connect"},
    "resource": {"type": "Service", "id": "orders"}
}"#;

/// One of the two.
struct Side {
    home: Home,
    name: &'static str,
    port: u16,
}

impl Side {
    /// A gateway that was started once, so that it has its keys.
    async fn new(name: &'static str) -> Self {
        let port = free_port();
        let side = Self { home: Home::new(), name, port };
        side.start(&[]).await.stop().await;
        side
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("data/log")
    }

    fn log_key(&self) -> String {
        line(&self.log().join("verifier"))
    }

    fn witness_keys(&self) -> Vec<String> {
        let text = fs::read_to_string(self.home.path().join("data/witness/verifier")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    async fn start(&self, more: &[(&str, &str)]) -> Running {
        let address = format!("tcp:127.0.0.1:{}", self.port);
        let own = [
            ("AUDIT__GATEWAY", self.name),
            ("LISTEN__WITNESS", address.as_str()),
            ("AUDIT__ML_DSA_44", "true"),
            ("AUDIT__WITNESSES__EVERY", "10ms"),
        ];
        Running(Gateway::start(&self.home, &[&own[..], more].concat()).await)
    }

    /// Starts it so that the other cosigns its log, and it the other's.
    async fn start_with(&self, other: &Self) -> Running {
        let url = format!("http://127.0.0.1:{}", other.port);
        let of = json!([{"url": url, "keys": other.witness_keys()}]).to_string();
        let logs = json!([other.log_key()]).to_string();
        self.start(&[("AUDIT__WITNESSES__OF", &of), ("AUDIT__WITNESS__LOGS", &logs)]).await
    }

    /// The policy of those who believe this log only if the other has seen it.
    fn policy(&self, other: &Self) -> PathBuf {
        let keys = other.witness_keys();
        let lines: Vec<String> = keys.iter().enumerate().map(|(n, key)| format!("witness w{n} {key}\n")).collect();
        let path = self.home.path().join("policy");
        let policy = format!("log {}\n{}group both all w0 w1\nquorum both\n", self.log_key(), lines.concat());
        fs::write(&path, policy).unwrap();
        path
    }

    /// A decision of it, and its id.
    async fn decide(&self) -> String {
        ask(&self.home.authzen_socket(), QUESTION).await.decision_id().to_owned()
    }

    /// What it has recorded that witnesses found.
    fn findings(&self) -> Vec<Value> {
        self.home.records().into_iter().filter(|record| record["record"] == "witness").collect()
    }
}

struct Running(Gateway);

impl Running {
    async fn stop(mut self) {
        self.0.process.terminate();
        assert!(self.0.process.ended().await.success());
    }

    async fn notice(&self, name: &str) -> Option<String> {
        let report = self.0.operations("/readyz").await.json();
        report["notices"][name].as_str().map(str::to_owned)
    }
}

fn line(path: &Path) -> String {
    fs::read_to_string(path).unwrap().trim_end().to_owned()
}

fn audit(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_portcullis")).arg("audit").args(arguments).output().unwrap()
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_shows_that_another_gateway_has_seen_the_same_log() {
    let (one, two) = (Side::new("one").await, Side::new("two").await);
    let (running, other) = (one.start_with(&two).await, two.start_with(&one).await);
    let decision = one.decide().await;
    let (policy, receipt) = (one.policy(&two), one.home.path().join("receipt"));
    let (log, policy, receipt) = (one.log(), policy.to_str().unwrap().to_owned(), receipt.to_str().unwrap().to_owned());
    let log = log.to_str().unwrap();
    eventually("the decision is under a checkpoint that is cosigned", async || {
        let made = audit(&["receipt", &decision, "--log", log, "--trust-policy", &policy, "--output", &receipt]);
        made.status.success().then_some(())
    })
    .await;
    let verified = audit(&["verify-receipt", &receipt, "--trust-policy", &policy]);
    let proved: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(proved["record"]["decision_id"], decision.as_str());
    assert!(audit(&["verify", "--log", log, "--trust-policy", &policy]).status.success());
    // With the other's own policy it is a stranger's log.
    let others = two.policy(&one);
    let refused = audit(&["verify-receipt", &receipt, "--trust-policy", others.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    // Its checkpoints hold against quantum computers too.
    let quantum = one.log().join("verifier-ml-dsa-44");
    assert!(audit(&["verify", "--log", log, "--key", quantum.to_str().unwrap()]).status.success());

    let cosigned =
        format!("portcullis_witness_answers_total{{log=\"{}\",result=\"cosigned\"}}", "example.org/audit/one");
    assert!(other.0.metric(&cosigned).await >= 1.0);
    assert!(running.0.metric("portcullis_audit_witnessed").await >= 1.0);
    eventually("nothing is amiss", async || {
        let both = (running.notice("audit_witnesses").await, other.notice("witness").await);
        (both == (None, None)).then_some(())
    })
    .await;
    assert!(one.findings().is_empty() && two.findings().is_empty());
    running.stop().await;
    other.stop().await;
}

/// One that is away holds up nothing, and is asked again when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_is_away_is_named_and_waited_for_by_nobody() {
    let (one, two) = (Side::new("one").await, Side::new("two").await);
    let running = one.start_with(&two).await;
    let decision = one.decide().await;
    let (log, receipt) = (one.log(), one.home.path().join("receipt"));
    eventually("the decision is under a checkpoint", async || {
        let more = ["--output", receipt.to_str().unwrap()];
        let made = audit(&[&["receipt", &decision, "--log", log.to_str().unwrap()][..], &more].concat());
        made.status.success().then_some(())
    })
    .await;
    let notice = eventually("it is named", async || running.notice("audit_witnesses").await).await;
    assert!(notice.contains("example.org/witness/two") && notice.contains("can't connect"), "{notice}");
    assert_eq!(running.0.operations("/readyz").await.status, 200);
    let other = two.start_with(&one).await;
    eventually("it has cosigned", async || running.notice("audit_witnesses").await.is_none().then_some(())).await;
    running.stop().await;
    other.stop().await;
}

/// The log of one is replaced by an older copy of itself, and grows on.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_whose_log_is_cut_back_is_named_by_the_other() {
    let (one, two) = (Side::new("one").await, Side::new("two").await);
    let older = one.home.path().join("older");
    copy(&one.log(), &older);
    let (running, other) = (one.start_with(&two).await, two.start_with(&one).await);
    for _ in 0..20 {
        one.decide().await;
    }
    eventually("it is cosigned", async || {
        let entries = running.0.metric("portcullis_audit_entries").await;
        (running.0.metric("portcullis_audit_witnessed").await >= entries).then_some(())
    })
    .await;
    running.stop().await;
    fs::remove_dir_all(one.log()).unwrap();
    fs::rename(&older, one.log()).unwrap();

    let running = one.start_with(&two).await;
    for _ in 0..10 {
        one.decide().await;
    }
    let notice = eventually("it says so itself", async || running.notice("audit_log_disputed").await).await;
    assert!(notice.contains("example.org/witness/two") && notice.contains("cut back"), "{notice}");
    // Once it has more entries than were cosigned, it has to prove that it continues them.
    for _ in 0..30 {
        one.decide().await;
    }
    // A proof that fails may be anyone's: the other counts it, and raises an alarm if none comes that holds. A fork, or a
    // tree that is smaller time and again, is one at once.
    let unproved = "portcullis_witness_answers_total{log=\"example.org/audit/one\",result=\"inconsistent\"}";
    eventually("the other does not believe it", async || {
        let counted = other.0.operations("/metrics").await.body.contains(unproved);
        let recorded = two.findings().iter().any(|record| record["log"] == "example.org/audit/one");
        (counted || recorded).then_some(())
    })
    .await;
    running.stop().await;
    other.stop().await;
}

/// What anyone can send to a witness: this checkpoint, as the one after `old` entries, without a proof.
async fn send(port: u16, old: u64, checkpoint: &SignedCheckpoint) -> u16 {
    http::request(port, &add_checkpoint(&format!("old {old}\n\n{checkpoint}"))).await.status
}

fn add_checkpoint(body: &str) -> String {
    let length = body.len();
    format!("POST /add-checkpoint HTTP/1.1\r\nhost: w\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn checkpoint(path: &Path) -> SignedCheckpoint {
    SignedCheckpoint::parse(&fs::read(path).unwrap()).unwrap()
}

/// One goes back to an older copy of its log and grows as another history, past the size that the other has cosigned: the other
/// is shown what was signed, names the log for being cut back and for the fork, and has what proves it to anyone.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_signs_two_histories_is_named_by_the_other_which_keeps_the_proof() {
    let (one, two) = (Side::new("one").await, Side::new("two").await);
    let older = one.home.path().join("older");
    copy(&one.log(), &older);
    let (running, other) = (one.start_with(&two).await, two.start_with(&one).await);
    for _ in 0..20 {
        one.decide().await;
    }
    let place = two.home.path().join("data/witness").join(Digest::of(b"example.org/audit/one").to_string());
    let cosigned = eventually("it is cosigned", async || {
        let entries = running.0.metric("portcullis_audit_entries").await;
        (running.0.metric("portcullis_audit_witnessed").await >= entries).then(|| checkpoint(&place.join("checkpoint")))
    })
    .await;
    let size = cosigned.unverified().head().size;
    running.stop().await;
    assert_eq!(checkpoint(&place.join("checkpoint")), cosigned);

    fs::remove_dir_all(one.log()).unwrap();
    fs::rename(&older, one.log()).unwrap();
    // An answer is a record that is counted.
    let running = one.start(&[("AUDIT__DURABILITY", "strict")]).await;
    let finds = async |finding: &str| {
        eventually(&format!("it is {finding}"), async || {
            let found = two.findings().into_iter().find(|record| record["finding"] == finding)?;
            assert_eq!((&found["log"], &found["cosigned_size"]), (&"example.org/audit/one".into(), &size.into()));
            Some(found)
        })
        .await
    };
    let latest = async || {
        eventually("all is published", async || {
            let (entries, latest) =
                (running.0.metric("portcullis_audit_entries").await, checkpoint(&one.log().join("checkpoint")));
            (latest.unverified().head().size.to_string() == entries.to_string()).then_some(latest)
        })
        .await
    };
    for _ in 0..2 {
        one.decide().await;
        assert_eq!(send(two.port, size, &latest().await).await, 400);
    }
    finds("shrunk").await;
    let forked = loop {
        one.decide().await;
        let latest = latest().await;
        assert!(latest.unverified().head().size <= size, "it grew by more than one");
        if latest.unverified().head().size == size {
            break latest;
        }
    };
    assert_eq!(send(two.port, size, &forked).await, 422);
    assert_eq!(finds("forked").await["size"], size);
    let notice = other.notice("witness").await.unwrap();
    assert!(notice.contains("has signed two different trees"), "{notice}");
    let alarms = "portcullis_witness_alarms_total{log=\"example.org/audit/one\",witness=\"example.org/witness/two\"";
    assert!(other.0.metric(&format!("{alarms},finding=\"forked\"}}")).await >= 1.0);
    running.stop().await;
    other.stop().await;
    is_proof_of_a_fork(&place, &one.log_key());
}

/// Both checkpoints that a witness has kept of this log are signed by it, and are of two trees of one size.
fn is_proof_of_a_fork(place: &Path, log_key: &str) {
    let believed = Policy::log_only("example.org/audit/one", log_key.parse().unwrap());
    let [first, second] = ["checkpoint", "conflict"].map(|name| {
        let signed = checkpoint(&place.join(name));
        *believed.verify(&signed).unwrap().checkpoint.head()
    });
    assert!(first.size == second.size && first.root != second.root, "{first:?} {second:?}");
}

/// Whatever is sent to it, it answers as the protocol has it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_checkpoint_is_refused_as_the_protocol_has_it() {
    let side = Side::new("one").await;
    let running = side.start(&[]).await;
    let checkpoint = fs::read_to_string(side.log().join("checkpoint")).unwrap();
    for (request, status) in [
        (add_checkpoint(""), 400),
        (add_checkpoint("old 0\n"), 400),
        (add_checkpoint(&format!("old 00\n\n{checkpoint}")), 400),
        (add_checkpoint(&format!("old 0\n\n{checkpoint}")), 404),
        (add_checkpoint(&"x".repeat(2 << 20)), 413),
        ("GET /add-checkpoint HTTP/1.1\r\nhost: w\r\nconnection: close\r\n\r\n".to_owned(), 405),
        ("GET /00/checkpoint HTTP/1.1\r\nhost: w\r\nconnection: close\r\n\r\n".to_owned(), 404),
    ] {
        assert_eq!(http::request(side.port, &request).await.status, status, "{request:.60}");
    }
    assert!(running.0.metric("portcullis_witness_answers_total{log=\"unknown\",result=\"unknown_log\"}").await >= 1.0);
    running.stop().await;
}
