//! A log and its witnesses, all but the wire between them.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_tlog::checkpoint::SignedCheckpoint;
use portcullis_tlog::note::VerifierKey;
use portcullis_tlog::policy::Policy;
use portcullis_tlog::witness::Refusal;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::evidence::audit::{AppendError, Audit, Taken};
use crate::evidence::log::Checkpoints;
use crate::evidence::log::tests::{Home, ORIGIN, copy, remove};
use crate::evidence::record::Record;
use crate::evidence::{Backlog, BacklogMetrics};
use crate::foundation::clock::{ManualClock, Timestamp};
use crate::foundation::entropy::SystemEntropy;
use crate::foundation::readiness::Readiness;

/// Keeps the records that it is given.
#[derive(Debug, Default)]
struct Notebook(Mutex<Vec<Value>>);

impl Audit for Notebook {
    fn append(&self, record: Record<'_>) -> Result<Taken, AppendError> {
        self.0.lock().unwrap().push(serde_json::to_value(&record).unwrap());
        Ok(Taken::NOW)
    }
}

/// Who is told, and what.
#[derive(Default)]
struct Told {
    audit: Arc<Notebook>,
    readiness: Readiness,
    registry: Registry,
}

impl Told {
    fn findings(&self) -> Vec<String> {
        self.audit.0.lock().unwrap().iter().map(|record| record["finding"].as_str().unwrap().to_owned()).collect()
    }

    fn backlog(&self) -> Backlog {
        Backlog::new(self.audit.clone(), self.readiness.clone(), BacklogMetrics::default())
    }

    fn notice(&self, name: &str) -> Option<String> {
        self.readiness.report().notices.get(name).cloned()
    }

    fn metric(&self, line: &str) -> bool {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        text.lines().any(|known| known == line)
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000)))
}

/// A witness with a directory of its own.
struct Witness {
    directory: TempDir,
    name: String,
    told: Told,
    clock: Arc<ManualClock>,
}

/// A witness need not read what others have signed: some take no more than 16 KiB.
#[tokio::test]
async fn a_witness_is_given_what_the_log_has_signed_and_no_more() {
    #[derive(Debug, Default)]
    struct Bodies(Arc<Mutex<Vec<String>>>);
    impl WitnessPort for Bodies {
        fn send(&self, body: String) -> BoxFuture<'_, Result<Reply, String>> {
            self.0.lock().unwrap().push(body);
            Box::pin(async { Err("silence".to_owned()) })
        }
    }
    let home = Home::new();
    home.run(0..3);
    let mut good = Witness::new("example.org/good");
    let good = good.open(&home).unwrap();
    let mut told = Told::default();
    asked(&home, 1, vec![near(&good)], &mut told, &clock()).round().await;
    let bodies = Bodies::default();
    let seen = Arc::clone(&bodies.0);
    let other = Witness::new("example.org/other").open(&home).unwrap();
    asked(&home, 1, vec![Peer::new(keys(&other), Box::new(bodies))], &mut told, &clock()).round().await;
    let seen = seen.lock().unwrap().clone();
    assert_eq!((seen.len(), seen[0].matches("— ").count()), (1, 1), "{seen:?}");
    assert_eq!(latest(&home).signatures().len(), 3);
}

impl Witness {
    fn new(name: &str) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), name: name.to_owned(), told: Told::default(), clock: clock() }
    }

    /// Opens its book on the log of `home`.
    fn open(&mut self, home: &Home) -> Result<Arc<Book>, BookError> {
        let metrics = WitnessMetrics::new(&mut self.told.registry);
        let path = self.directory.path();
        let key = WitnessKey::load_or_create(&path.join("key"), &SystemEntropy::new()).unwrap();
        let key = key.with_ml_dsa_44(&path.join("key-ml-dsa-44"), &SystemEntropy::new()).unwrap();
        let ports = (self.clock.clone() as Arc<dyn crate::foundation::clock::Clock>, self.told.backlog());
        let told = (self.told.readiness.clone(), metrics);
        Book::open(path, (&self.name, &key), &[home.verifier()], ports, told).map(Arc::new)
    }
}

/// A witness without a wire.
#[derive(Debug)]
struct Near(Arc<Book>);

impl WitnessPort for Near {
    fn send(&self, body: String) -> BoxFuture<'_, Result<Reply, String>> {
        let (status, (content_type, text)) = match self.0.add_checkpoint(body.as_bytes()) {
            Ok(lines) => (200, ("text/plain", lines)),
            Err(Declined::Refusal(refusal)) => (refusal.status(), refusal.body()),
            Err(other) => panic!("{other}"),
        };
        Box::pin(async move { Ok(Reply { status, content_type: Some(content_type.to_owned()), body: text.into() }) })
    }
}

/// One that always answers the same.
#[derive(Debug)]
struct Says(Result<Reply, String>, Arc<AtomicUsize>);

impl WitnessPort for Says {
    fn send(&self, _body: String) -> BoxFuture<'_, Result<Reply, String>> {
        self.1.fetch_add(1, Relaxed);
        Box::pin(async { self.0.clone() })
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as the witness keeps its answer")]
fn reply(status: u16, content_type: &str, body: &str) -> Result<Reply, String> {
    Ok(Reply { status, content_type: Some(content_type.to_owned()), body: body.into() })
}

fn keys(book: &Book) -> Vec<VerifierKey> {
    book.verifiers().cloned().collect()
}

fn near(book: &Arc<Book>) -> Peer {
    Peer::new(keys(book), Box::new(Near(Arc::clone(book))))
}

fn asked(home: &Home, quorum: usize, peers: Vec<Peer>, told: &mut Told, clock: &Arc<ManualClock>) -> Asked {
    let config = AskConfig { directory: home.path(), quorum, every: Duration::ZERO };
    let metrics = WitnessMetrics::new(&mut told.registry);
    let ports = (Arc::clone(clock) as Arc<dyn crate::foundation::clock::Clock>, Arc::new(SystemEntropy::new()) as _);
    Asked::new(config, peers, ports, told.backlog(), (told.readiness.clone(), metrics))
}

fn latest(home: &Home) -> SignedCheckpoint {
    Checkpoints::of(&home.path()).latest().unwrap().unwrap()
}

fn witnessed(home: &Home) -> Option<u64> {
    let signed = Checkpoints::of(&home.path()).witnessed().unwrap()?;
    Some(signed.unverified().head().size)
}

#[tokio::test]
async fn each_checkpoint_is_cosigned_and_a_policy_of_both_witnesses_believes_it() {
    let home = Home::new();
    let (mut one, mut two) = (Witness::new("example.org/w1"), Witness::new("example.org/w2"));
    let (one, two) = (one.open(&home).unwrap(), two.open(&home).unwrap());
    let policy = [keys(&one), keys(&two)].concat();
    let policy = Policy::new(ORIGIN, vec![home.verifier()], policy, 2).unwrap();
    let (mut told, clock) = (Told::default(), clock());
    let mut asked = asked(&home, 2, vec![near(&one), near(&two)], &mut told, &clock);
    asked.round().await;
    for range in [0..3, 3..300, 300..301] {
        let size = u64::try_from(range.end).unwrap();
        home.run(range);
        assert!(policy.verify(&latest(&home)).is_err());
        asked.round().await;
        let signed = latest(&home);
        assert_eq!(policy.verify(&signed).unwrap().witnesses.len(), 4, "two keys of each");
        assert_eq!((signed.unverified().head().size, witnessed(&home)), (size, Some(size)));
        assert!(told.metric(&format!("portcullis_audit_witnessed {size}")));
    }
    assert_eq!(told.readiness.report().notices.len(), 0);
    assert!(told.findings().is_empty());
    assert!(told.metric("portcullis_audit_witness_requests_total{witness=\"example.org/w1\",result=\"cosigned\"} 3"));
}

/// Whoever starts anew does not know what the witness has, and a witness does not forget.
#[tokio::test]
async fn both_sides_may_start_anew() {
    let home = Home::new();
    let mut witness = Witness::new("example.org/w");
    for end in [2, 5, 6, 6] {
        home.run(usize::try_from(witnessed(&home).unwrap_or(0)).unwrap()..end);
        let book = witness.open(&home).unwrap();
        let mut told = Told::default();
        asked(&home, 1, vec![near(&book)], &mut told, &clock()).round().await;
        assert_eq!(witnessed(&home), Some(u64::try_from(end).unwrap()));
        assert!(told.readiness.report().notices.is_empty(), "{:?}", told.readiness.report());
    }
    assert!(witness.told.findings().is_empty());
}

#[tokio::test]
async fn a_witness_that_is_silent_or_evil_is_left_alone_for_a_while_and_holds_up_no_other() {
    let home = Home::new();
    home.run(0..3);
    let (mut good, mut other) = (Witness::new("example.org/good"), Witness::new("example.org/evil"));
    let (good, other) = (good.open(&home).unwrap(), other.open(&home).unwrap());
    let size = portcullis_tlog::witness::SIZE_CONTENT_TYPE;
    let wrong = good.verifiers().next().map(|key| format!("— {} {}\n", key.name(), "AAAA")).unwrap();
    let evil = [
        Err("can't connect".to_owned()),
        reply(200, "text/plain", ""),
        reply(200, "text/plain", &wrong),
        reply(200, "text/plain", &"x".repeat(100_000)),
        reply(409, size, "0\n"),
        reply(409, size, "nonsense"),
        reply(409, "text/plain", "3\n"),
        reply(409, size, "2\n"),
        reply(302, "text/plain", "elsewhere"),
        reply(500, "text/plain", "\u{1b}[2J"),
    ];
    for answer in evil {
        remove_cosignatures(&home);
        let (mut told, clock, calls) = (Told::default(), clock(), Arc::new(AtomicUsize::new(0)));
        let bad = Peer::new(keys(&other), Box::new(Says(answer.clone(), Arc::clone(&calls))));
        let mut asked = asked(&home, 1, vec![bad, near(&good)], &mut told, &clock);
        asked.round().await;
        assert_eq!(witnessed(&home), Some(3), "{answer:?}");
        let notice = told.notice("audit_witnesses").unwrap();
        assert!(notice.contains("example.org/evil") && !notice.contains('\u{1b}'), "{notice}");
        assert!(!notice.contains("example.org/good"), "{notice}");
        assert!(told.findings().is_empty(), "{answer:?}: that says nothing of the log");
        let before = calls.load(Relaxed);
        asked.round().await;
        assert_eq!(calls.load(Relaxed), before, "it is left alone");
        clock.advance(Duration::from_mins(1));
        asked.round().await;
        assert!(calls.load(Relaxed) > before, "and asked again");
    }
}

fn remove_cosignatures(home: &Home) {
    let witnessed = home.path().join("checkpoint.witnessed");
    if witnessed.exists() {
        fs::remove_file(witnessed).unwrap();
    }
}

/// A quorum is a quorum, even if its members cosign the same checkpoint at different times.
#[tokio::test]
async fn what_comes_late_counts() {
    let home = Home::new();
    home.run(0..3);
    let (mut one, mut two) = (Witness::new("example.org/w1"), Witness::new("example.org/w2"));
    let (one, two) = (one.open(&home).unwrap(), two.open(&home).unwrap());
    let mut told = Told::default();
    let silent = Peer::new(keys(&two), Box::new(Says(Err("silence".into()), Arc::default())));
    asked(&home, 2, vec![near(&one), silent], &mut told, &clock()).round().await;
    assert_eq!(witnessed(&home), None);
    asked(&home, 2, vec![near(&one), near(&two)], &mut told, &clock()).round().await;
    assert_eq!(witnessed(&home), Some(3));
    assert_eq!(latest(&home).signatures().len(), 5);
}

/// The log's directory is replaced by an older copy, and grows on as another history.
#[tokio::test]
async fn a_log_that_is_cut_back_is_found_out_by_both_sides() {
    let home = Home::new();
    home.run(0..3);
    let older = tempfile::tempdir().unwrap();
    copy(&home.path(), older.path());
    home.run(3..10);
    let mut witness = Witness::new("example.org/w");
    let book = witness.open(&home).unwrap();
    let mut told = Told::default();
    asked(&home, 1, vec![near(&book)], &mut told, &clock()).round().await;
    assert_eq!(witnessed(&home), Some(10));

    remove(&home.path());
    fs::rename(older.path(), home.path()).unwrap();
    let clock = clock();
    let mut asked = asked(&home, 1, vec![near(&book)], &mut told, &clock);
    for _ in 0..2 {
        asked.round().await;
        clock.advance(Duration::from_mins(2));
    }
    assert_eq!((told.findings(), witness.told.findings()), (vec!["shrunk".to_owned()], vec!["shrunk".to_owned()]));
    let notice = told.notice("audit_log_disputed").unwrap();
    assert!(notice.contains("10 entries of this log, which has 3"), "{notice}");
    assert!(witness.told.notice("witness").unwrap().contains(ORIGIN));

    home.run(100..112);
    asked.round().await;
    assert_eq!(witness.told.findings(), ["shrunk"], "one proof that fails may be anyone's");
    clock.advance(Duration::from_mins(2));
    witness.clock.advance(Duration::from_mins(10));
    asked.round().await;
    assert_eq!(told.findings(), ["shrunk", "inconsistent"]);
    assert_eq!(witness.told.findings(), ["shrunk", "inconsistent"]);
    let alarm = format!(
        "portcullis_witness_alarms_total{{log=\"{ORIGIN}\",witness=\"example.org/w\",finding=\"inconsistent\"}} 1"
    );
    assert!(told.metric(&alarm) && witness.told.metric(&alarm));
    assert_eq!(witnessed(&home), None, "nobody cosigned that");
}

/// Two trees of one size, both signed: this can be proved to anyone, and is not forgotten.
#[tokio::test]
async fn a_fork_is_kept_with_its_proof() {
    let home = Home::new();
    home.run(0..3);
    let older = tempfile::tempdir().unwrap();
    copy(&home.path(), older.path());
    home.run(3..10);
    let mut witness = Witness::new("example.org/w");
    let book = witness.open(&home).unwrap();
    asked(&home, 1, vec![near(&book)], &mut Told::default(), &clock()).round().await;
    let first = latest(&home);
    remove(&home.path());
    fs::rename(older.path(), home.path()).unwrap();
    home.run(100..107);
    let mut told = Told::default();
    asked(&home, 1, vec![near(&book)], &mut told, &clock()).round().await;
    assert_eq!(
        (told.findings(), witness.told.findings()),
        (vec!["inconsistent".to_owned()], vec!["forked".to_owned()])
    );
    let place = fs::read_dir(witness.directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let place = place.filter(|path| path.is_dir()).collect::<Vec<_>>();
    let policy = Policy::log_only(ORIGIN, home.verifier());
    let kept = ["checkpoint", "conflict"].map(|name| {
        let signed = SignedCheckpoint::parse(&fs::read(place[0].join(name)).unwrap()).unwrap();
        *policy.verify(&signed).unwrap().checkpoint.head()
    });
    assert_eq!(kept[0], *first.unverified().head());
    assert_eq!(kept[0].size, kept[1].size);
    assert_ne!(kept[0].root, kept[1].root);
    let mut again = Witness { told: Told::default(), ..witness };
    again.open(&home).unwrap();
    assert_eq!(again.told.findings(), ["forked"]);
}

/// Anyone can send what a log has signed, with any proof.
#[tokio::test]
async fn a_stranger_with_a_false_proof_raises_no_alarm_on_a_log_that_goes_on_to_prove_itself() {
    let home = Home::new();
    home.run(0..3);
    let mut witness = Witness::new("example.org/w");
    let book = witness.open(&home).unwrap();
    let mut told = Told::default();
    let asking = clock();
    let mut asked = asked(&home, 1, vec![near(&book)], &mut told, &asking);
    asked.round().await;
    let nonsense = |count: usize| "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n".repeat(count);
    for start in (3..60).step_by(3) {
        home.run(start..start + 3);
        for count in 0..6 {
            let body = format!("old {start}\n{}\n{}", nonsense(count), latest(&home));
            let refused = book.add_checkpoint(body.as_bytes());
            assert!(matches!(refused, Err(Declined::Refusal(Refusal::Inconsistent(_)))), "{refused:?}");
        }
        witness.clock.advance(Duration::from_mins(9));
        asking.advance(Duration::from_mins(2));
        asked.round().await;
    }
    assert_eq!(witnessed(&home), Some(60));
    assert!(witness.told.findings().is_empty() && witness.told.readiness.report().notices.is_empty());
}

/// Whoever can make an alarm come and go can't fill the log with it.
#[test]
fn an_alarm_that_comes_and_goes_is_recorded_a_few_times_an_hour() {
    let mut told = Told::default();
    let metrics = WitnessMetrics::new(&mut told.registry);
    let alarms = alarms::Alarms::new("witness", told.backlog(), told.readiness.clone(), metrics);
    let raise = |seconds| {
        let record = crate::evidence::record::WitnessRecord {
            time: Timestamp::from_unix_seconds(seconds),
            log: ORIGIN.to_owned(),
            witness: "w".to_owned(),
            finding: crate::evidence::record::WitnessFinding::Shrunk,
            size: 1,
            root: crate::foundation::digest::Digest::of(b""),
            cosigned_size: None,
            cosigned_root: None,
        };
        alarms.raise(record, "shrunk".to_owned());
        assert!(told.notice("witness").is_some());
        alarms.clear(ORIGIN, "w");
    };
    (0..100).for_each(raise);
    assert_eq!(told.findings().len(), 4);
    (4000..4100).for_each(raise);
    assert_eq!(told.findings().len(), 8);
}

#[tokio::test]
async fn several_processes_are_one_witness() {
    let home = Home::new();
    home.run(0..3);
    let mut witness = Witness::new("example.org/w");
    let (one, two) = (witness.open(&home).unwrap(), witness.open(&home).unwrap());
    let first = format!("old 0\n\n{}", latest(&home));
    assert_eq!(one.add_checkpoint(first.as_bytes()).unwrap().lines().count(), 2);
    let again = two.add_checkpoint(first.as_bytes());
    assert!(matches!(again, Err(Declined::Refusal(Refusal::Conflict { latest: 3 }))), "{again:?}");
    let digest = crate::foundation::digest::Digest::of(ORIGIN.as_bytes()).to_string();
    let served = two.checkpoint(&digest).unwrap().unwrap();
    let served = SignedCheckpoint::parse(&served).unwrap();
    let policy = Policy::new(ORIGIN, vec![home.verifier()], keys(&one), 1).unwrap();
    assert_eq!(policy.verify(&served).unwrap().witnesses.len(), 2);
    assert!(two.checkpoint("0").unwrap().is_none());
}

#[tokio::test]
async fn what_was_cosigned_is_never_forgotten_by_accident() {
    let home = Home::new();
    home.run(0..3);
    let mut witness = Witness::new("example.org/w");
    let book = witness.open(&home).unwrap();
    let body = format!("old 0\n\n{}", latest(&home));
    book.add_checkpoint(body.as_bytes()).unwrap();
    let place = fs::read_dir(witness.directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let path = place.filter(|path| path.is_dir()).map(|path| path.join("checkpoint")).next().unwrap();
    let whole = fs::read(&path).unwrap();
    // Text, and the Ed25519 cosignature; of the long ML-DSA-44 ones some bytes stand for all.
    let text = whole.len() - 3300;
    for place in (0..text).chain((text..whole.len()).step_by(37)) {
        let mut damaged = whole.clone();
        damaged[place] ^= 1;
        fs::write(&path, &damaged).unwrap();
        let Ok(book) = witness.open(&home) else { continue };
        // A signature of the log under which ours still stands was all that changed.
        let again = book.add_checkpoint(body.as_bytes());
        assert!(matches!(again, Err(Declined::Refusal(Refusal::Conflict { latest: 3 }))), "{place}: {again:?}");
    }
    fs::write(&path, "").unwrap();
    assert!(matches!(witness.open(&home), Err(BookError::Damaged { .. })));
}

#[test]
fn strangers_get_nothing() {
    let (home, other) = (Home::new(), Home::new());
    home.run(0..1);
    other.run(0..1);
    let mut witness = Witness::new("example.org/w");
    let book = witness.open(&home).unwrap();
    let ask = |text: String| book.add_checkpoint(text.as_bytes());
    let forged = ask(format!("old 0\n\n{}", latest(&other)));
    assert!(matches!(forged, Err(Declined::Refusal(Refusal::Signature(_)))), "{forged:?}");
    let renamed = latest(&home).to_string().replacen(ORIGIN, "example.org/audit/x", 1);
    let unknown = ask(format!("old 0\n\n{renamed}"));
    assert!(matches!(unknown, Err(Declined::Refusal(Refusal::UnknownLog))), "{unknown:?}");
    assert!(matches!(ask("nonsense".to_owned()), Err(Declined::Request(_))));
    assert!(witness.told.findings().is_empty());
    assert!(witness.told.metric("portcullis_witness_answers_total{log=\"unknown\",result=\"unknown_log\"} 1"));
}
