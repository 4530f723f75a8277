//! Searches by the index find what a look at every record finds.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis_tlog::cosignature::Cosigner;

use super::*;
use crate::evidence::log::{Durability, Keeper, Log, LogConfig, LogKey, LogMetrics, Unavailable};
use crate::evidence::receipt::Proved;
use crate::evidence::record::encoding::Writer;
use crate::evidence::{Audit as _, CacheState, Edge, MappingLoadRecord, Outcome, Record};
use crate::foundation::clock::{SystemClock, Timestamp};
use crate::foundation::digest::Digest;
use crate::foundation::entropy::SystemEntropy;
use crate::foundation::readiness::Readiness;
use crate::foundation::telemetry::Registry;
use crate::foundation::watched::Epoch;

mod corruption;
mod expired;
mod strange;

const ORIGIN: &str = "example.org/audit/gate";
const PEOPLE: [&str; 4] = ["User::\"alice\"", "User::\"al\"", "User::\"%_'\"", ""];
const ACTIONS: [&str; 3] = ["read", "READ", "write"];
const THINGS: [&str; 3] = ["Path::\"a/b\"", "Path::\"a\"", "Path::\"ä\""];
const POLICIES: [&str; 3] = ["p", "p2", "q"];
const EVERYTHING: show::Wanted = show::Wanted {
    principal: None,
    action: None,
    resource: None,
    decision: None,
    policy: None,
    from: None,
    until: None,
};

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.below(of.len())]
    }

    fn maybe(&mut self, of: &[&str]) -> Option<String> {
        (self.below(3) == 0).then(|| self.one(of).to_owned())
    }
}

fn decision(dice: &mut Dice) -> DecisionRecord<'static> {
    let time = Timestamp::from_unix_seconds(1_795_000_000 + i64::try_from(dice.below(5)).unwrap());
    let policies = POLICIES.iter().filter(|_| dice.below(2) == 0).map(|&policy| Arc::from(policy)).collect();
    DecisionRecord {
        decision_id: DecisionId::new(time, &SystemEntropy::new()).unwrap(),
        time,
        edge: Edge::Authzen,
        principal: dice.one(&PEOPLE).into(),
        leaf: None,
        peer: None,
        token: None,
        token_issuer: None,
        caller: None,
        route: None,
        action: dice.one(&ACTIONS).into(),
        resource: dice.one(&THINGS).into(),
        context_digest: None,
        decision: [Outcome::Allow, Outcome::Deny, Outcome::Error][dice.below(3)],
        reason: "permitted".into(),
        policies,
        policy_errors: Arc::new([]),
        policy_digest: None,
        entity_digest: None,
        policy_epoch: Epoch::default(),
        bundle_epoch: Epoch::default(),
        cache: CacheState::Miss,
        latency_us: 1,
        request_id: None,
        schema_digest: None,
        authority: None,
        bundle_sequence: None,
        actors: None,
        trace_id: None,
        token_claims: None,
        fields: None,
    }
}

fn open(home: &Path) -> (Log, Keeper) {
    let key = LogKey::load_or_create(&home.join("key"), &SystemEntropy::new()).unwrap();
    let directory = home.join("log");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join(VERIFIER_FILE), key.verifier(ORIGIN).unwrap().to_string()).unwrap();
    let config = LogConfig {
        directory,
        origin: ORIGIN.to_owned(),
        writer: Writer { gateway: "gate".into(), config: Digest::of(b"") },
        queue: NonZeroUsize::new(10_000).unwrap(),
        durability: Durability::Group,
        unavailable: Unavailable::Refuse,
        sync_every: Duration::from_millis(20),
        checkpoint_every: Duration::from_millis(5),
    };
    let metrics = LogMetrics::new(&mut Registry::default());
    Log::open(config, &key, Arc::new(SystemClock::new()), Readiness::default(), metrics).unwrap()
}

fn write(home: &Path, dice: &mut Dice, count: usize) {
    let (log, keeper) = open(home);
    for number in 0..count {
        let other = MappingLoadRecord {
            time: Timestamp::from_unix_seconds(1_795_000_002),
            mapping_digest: Digest::of(b""),
            mapping_epoch: Epoch::default(),
            routes: 1,
            error: None,
        };
        let record = decision(dice);
        let record = if number % 9 == 4 { Record::MappingLoad(Box::new(other)) } else { Record::Decision(&record) };
        drop(log.append(record).unwrap());
    }
    keeper.finish(Duration::from_mins(1)).unwrap();
}

fn said(command: AuditCommand) -> Result<String, String> {
    let (mut results, mut complaints) = (Vec::new(), Vec::new());
    let exit = run(command, &mut Output::new(&mut results, &mut complaints));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if exit == Exit::Success { Ok(text(results)) } else { Err(text(complaints)) }
}

fn log(home: &Path) -> LogArgs {
    LogArgs { log: home.join("log"), trust: TrustArgs { key: None, trust_policy: None } }
}

fn search(home: &Path, wanted: &show::Wanted, no_index: bool) -> Result<String, String> {
    said(AuditCommand::Search { log: log(home), wanted: wanted.clone(), index: None, no_index })
}

fn index(home: &Path, rebuild: bool) -> Result<String, String> {
    said(AuditCommand::Index { log: log(home), index: None, rebuild })
}

fn wanted(dice: &mut Dice) -> show::Wanted {
    let times = ["2026-11-18T", "2026-11-18T11:06:4", "2026-11-18T11:06:42", "2026-11-18T11:06:43.000000Z", "2027"];
    show::Wanted {
        principal: dice.maybe(&["alice", "al", "User", "%", "_", "'", "", "\"al\"", "nobody"]),
        action: dice.maybe(&["read", "READ", "", "rea"]),
        resource: dice.maybe(&["a/b", "a", "ä", "Path::\"a\""]),
        decision: dice.maybe(&["allow", "deny", "error"]),
        policy: dice.maybe(&["p", "p2", "q", "r", ""]),
        from: dice.maybe(&times),
        until: dice.maybe(&times),
    }
}

#[test]
fn the_index_finds_what_a_walk_finds_while_it_is_behind_too() {
    let home = tempfile::tempdir().unwrap();
    let mut dice = Dice(7);
    let mut hits = 0;
    for round in 0..3 {
        write(home.path(), &mut dice, 300);
        // In the last round the index does not have what is new.
        if round < 2 {
            let told = index(home.path(), false).unwrap();
            assert!(told.contains(&format!("{} entries, 300 of them new", 300 * (round + 1))), "{told}");
            assert!(index(home.path(), false).unwrap().contains("0 of them new"));
        }
        for _ in 0..60 {
            let wanted = wanted(&mut dice);
            let walked = search(home.path(), &wanted, true).unwrap();
            assert_eq!(search(home.path(), &wanted, false).unwrap(), walked, "{wanted:?}");
            hits += walked.lines().count();
        }
    }
    assert!(hits > 1000, "next to nothing was found");
    let before = search(home.path(), &wanted(&mut Dice(1)), false).unwrap();
    index(home.path(), true).unwrap();
    assert_eq!(search(home.path(), &wanted(&mut Dice(1)), false).unwrap(), before);
}

#[test]
fn an_index_of_another_log_is_refused_and_can_be_made_anew() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut dice = Dice(3);
    for home in [&one, &other] {
        write(home.path(), &mut dice, 20);
        index(home.path(), false).unwrap();
    }
    for file in ["search.sqlite", "search.sqlite-wal", "search.sqlite-shm"] {
        let (from, to) = (one.path().join("log").join(file), other.path().join("log").join(file));
        if std::fs::copy(from, &to).is_err() {
            let _gone = std::fs::remove_file(to);
        }
    }
    let everything = wanted(&mut Dice(1));
    assert!(search(other.path(), &everything, false).unwrap_err().contains("not of this log"));
    assert!(index(other.path(), false).unwrap_err().contains("--rebuild"));
    index(other.path(), true).unwrap();
    assert_eq!(search(other.path(), &everything, false), search(other.path(), &everything, true));
}

/// Whatever lies in its place, a damaged file or one that nobody ever writes to.
#[test]
fn an_index_that_is_none_is_told_and_can_be_made_anew() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), &mut Dice(4), 20);
    let (file, everything) = (home.path().join("log/search.sqlite"), wanted(&mut Dice(1)));
    std::fs::write(&file, "not a database, and long enough to be looked at".repeat(100)).unwrap();
    assert!(search(home.path(), &everything, false).unwrap_err().contains("not a database"));
    index(home.path(), true).unwrap();
    assert_eq!(search(home.path(), &everything, false), search(home.path(), &everything, true));
    std::fs::remove_file(&file).unwrap();
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(search(home.path(), &everything, false).unwrap_err().contains("not a regular file"));
    index(home.path(), true).unwrap();
}

/// A word that no record can have finds nothing, and would be taken for an answer.
#[test]
fn what_no_record_can_have_is_refused() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), &mut Dice(4), 20);
    let refused = |wanted: &show::Wanted| search(home.path(), wanted, true).unwrap_err();
    let decision = Some("allowed".to_owned());
    assert!(refused(&show::Wanted { decision, ..EVERYTHING }).contains("none of allow, deny, error"));
    for time in ["", "2026-13", "2026-02-30", "2026-11-22T25", "yesterday"] {
        let from = Some(time.to_owned());
        assert!(refused(&show::Wanted { from, ..EVERYTHING }).contains("is not a time"), "{time}");
    }
    for time in ["2", "2026", "2026-", "2026-1", "2026-12", "2026-12-3", "2026-12-31T2", "2026-11-22T01:49:4"] {
        let from = Some(time.to_owned());
        search(home.path(), &show::Wanted { from, ..EVERYTHING }, true).unwrap();
    }
}

#[test]
fn an_index_is_made_of_what_is_left_of_a_log() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), &mut Dice(5), 600);
    let later = Timestamp::from_unix_nanos(u64::MAX / 2);
    let plan = crate::evidence::log::Retention::of(&home.path().join("log")).prune(600, later, |_| Ok(())).unwrap();
    assert_eq!(plan.end, 512);
    assert!(index(home.path(), false).unwrap().contains("600 entries, 88 of them new"));
    assert_eq!(search(home.path(), &EVERYTHING, false).unwrap().lines().count(), 88);
}

/// However it is written, a moment is the same.
#[test]
fn times_are_compared_as_moments() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), &mut Dice(7), 100);
    let found = |from: &str| {
        let from = Some(from.to_owned());
        search(home.path(), &show::Wanted { from, ..EVERYTHING }, true)
    };
    let whole = found("2026-11-18T11:06:42.000000Z").unwrap();
    assert!((10..100).contains(&whole.lines().count()), "{whole}");
    for same in ["2026-11-18T11:06:42Z", "2026-11-18T12:06:42+01:00", "2026-11-18T11:06:42"] {
        assert_eq!(found(same).unwrap(), whole, "{same}");
    }
    for wrong in ["yesterday", "2026-11-18 11", "2026-11-18T11:06:42+01"] {
        found(wrong).unwrap_err();
    }
}

#[test]
fn certificates_that_are_named_and_not_there_are_told() {
    let writer = Writer { gateway: "gate".into(), config: Digest::of(b"") };
    for named in [false, true] {
        let record = DecisionRecord { leaf: named.then(|| Digest::of(b"leaf")), ..decision(&mut Dice(1)) };
        let mut bytes = Vec::new();
        encoding::write(&mut bytes, &writer, &Record::Decision(&record)).unwrap();
        let proved = Proved { index: 0, entry: encoding::read(&bytes).unwrap(), chain: None };
        let told = receipt::certificates(&proved).unwrap();
        assert_eq!((told["absent"].is_string(), told.is_null()), (named, !named), "{told}");
    }
}

/// What too few witnesses have seen is not shown to whoever believes no less.
#[test]
fn a_policy_shows_what_enough_witnesses_have_cosigned() {
    let home = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of(&home.path().join("log"));
    write(home.path(), &mut Dice(2), 300);
    let mut signed = checkpoints.latest().unwrap().unwrap();
    let witness = Cosigner::ed25519("witness.example/w".parse().unwrap(), &[2; 32]).unwrap();
    signed.add(witness.cosign(signed.unverified(), 7).unwrap()).unwrap();
    checkpoints.keep_witnessed(&signed).unwrap();
    write(home.path(), &mut Dice(3), 300);
    let key = std::fs::read_to_string(home.path().join("log").join(VERIFIER_FILE)).unwrap();
    let policy = home.path().join("policy");
    let text = format!("log {}\nwitness w {}\nquorum w\n", key.trim_end(), witness.verifier());
    std::fs::write(&policy, text).unwrap();
    let trusting =
        || LogArgs { trust: TrustArgs { key: None, trust_policy: Some(policy.clone()) }, ..log(home.path()) };
    let shown = said(AuditCommand::Tail { log: trusting(), lines: 1000, follow: false }).unwrap();
    assert_eq!(shown.lines().count(), 300);
    let made = said(AuditCommand::Index { log: trusting(), index: None, rebuild: false }).unwrap();
    assert!(made.contains("300 entries, 300 of them new"), "{made}");
}
