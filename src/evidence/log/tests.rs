//! The log as a whole: what was taken is in the tree, whatever happened in between.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use portcullis_tlog::checkpoint::SignedCheckpoint;
use portcullis_tlog::leaf_hash;
use portcullis_tlog::note::VerifierKey;
use portcullis_tlog::proof;
use portcullis_tlog::tree::{TreeReader, root_of};
use prometheus_client::registry::Registry;

use super::*;
use crate::evidence::record::encoding::OwnedRecord;
use crate::evidence::record::{DecisionRecord, PolicyLoadRecord};
use crate::foundation::clock::{ManualClock, SystemClock, Timestamp};
use crate::foundation::digest::Digest;
use crate::foundation::entropy::SystemEntropy;
use crate::foundation::watched::Epoch;

mod power_loss;

pub(in crate::evidence) const ORIGIN: &str = "example.org/audit/gate";

pub(in crate::evidence) struct Home(tempfile::TempDir);

impl Home {
    pub(in crate::evidence) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(in crate::evidence) fn path(&self) -> PathBuf {
        self.0.path().join("log")
    }

    pub(in crate::evidence) fn key(&self) -> LogKey {
        LogKey::load_or_create(&self.0.path().join("key"), &SystemEntropy::new()).unwrap()
    }

    pub(in crate::evidence) fn verifier(&self) -> VerifierKey {
        self.key().verifier(ORIGIN).unwrap()
    }

    fn config(&self) -> LogConfig {
        LogConfig {
            directory: self.path(),
            origin: ORIGIN.to_owned(),
            writer: Writer { gateway: "gate".into(), config: Digest::of(b"") },
            queue: NonZeroUsize::new(10_000).unwrap(),
            durability: Durability::Group,
            unavailable: Unavailable::Refuse,
            sync_every: Duration::from_millis(20),
            checkpoint_every: Duration::from_millis(5),
        }
    }

    fn open(&self) -> Result<(Log, Keeper), LogError> {
        self.open_with(self.config())
    }

    fn open_with(&self, config: LogConfig) -> Result<(Log, Keeper), LogError> {
        open(config, &self.key(), Readiness::default())
    }

    /// Appends so many records, numbered by how many policies they speak of, and ends the log.
    pub(in crate::evidence) fn run(&self, numbers: std::ops::Range<usize>) {
        let (log, keeper) = self.open().unwrap();
        numbers.for_each(|number| drop(log.append(numbered(number)).unwrap()));
        keeper.finish(Duration::from_mins(1)).unwrap();
    }

    /// The numbers of all records under the checkpoint, each proved to be in the tree.
    fn numbers(&self) -> Vec<usize> {
        let reader = LogReader::new(&self.path());
        let Some(bytes) = reader.checkpoint().unwrap() else { return Vec::new() };
        let signed = SignedCheckpoint::parse(&bytes).unwrap();
        let policy = portcullis_tlog::policy::Policy::log_only(ORIGIN, self.verifier());
        let head = *policy.verify(&signed).unwrap().checkpoint.head();
        let mut entries = Vec::new();
        while let found = reader.entries(u64::try_from(entries.len()).unwrap(), head.size).unwrap().entries
            && !found.is_empty()
        {
            entries.extend(found);
        }
        let leaves: Vec<_> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        assert_eq!(root_of(&leaves), head.root, "what is read is not what the checkpoint is of");
        let directory = self.path();
        let tiles = Tiles(&directory);
        let mut tree = TreeReader::new(head.size, &tiles).unwrap();
        assert_eq!(tree.head().unwrap(), head);
        for (index, leaf) in (0..).zip(&leaves).step_by(97) {
            let proof = proof::inclusion(&mut tree, index).unwrap();
            proof::verify_inclusion(&head, index, leaf, &proof).unwrap();
        }
        entries.iter().map(|entry| number(entry)).collect()
    }
}

/// A log of so many records below `directory`.
pub(in crate::evidence) fn of_records(directory: &Path, count: usize) -> PathBuf {
    let home = Home::new();
    home.run(0..count);
    let path = directory.join("log");
    fs::rename(home.path(), &path).unwrap();
    path
}

/// A log of these decisions below `directory`, and what verifies it.
pub(in crate::evidence) fn of_decisions(directory: &Path, records: &[DecisionRecord<'_>]) -> (PathBuf, VerifierKey) {
    let home = Home::new();
    let (log, keeper) = home.open().unwrap();
    for record in records {
        drop(log.append(Record::Decision(record)).unwrap());
    }
    keeper.finish(Duration::from_mins(1)).unwrap();
    let path = directory.join("log");
    fs::rename(home.path(), &path).unwrap();
    (path, home.verifier())
}

fn open(config: LogConfig, key: &LogKey, readiness: Readiness) -> Result<(Log, Keeper), LogError> {
    Log::open(config, key, Arc::new(SystemClock::new()), readiness, LogMetrics::new(&mut Registry::default()))
}

fn numbered(number: usize) -> Record<'static> {
    Record::PolicyLoad(Box::new(PolicyLoadRecord {
        time: Timestamp::default(),
        policy_digest: Digest::of(b""),
        entity_digest: Digest::of(b""),
        policy_epoch: Epoch::FIRST,
        policies: number,
        error: None,
    }))
}

fn number(entry: &[u8]) -> usize {
    match encoding::read(entry).unwrap().record {
        OwnedRecord::PolicyLoad(record) => record.policies,
        other => panic!("{other:?}"),
    }
}

fn until(condition: impl Fn() -> bool) {
    for _ in 0..30_000 {
        if condition() {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
    panic!("it never came to pass");
}

#[test]
fn what_is_taken_is_in_the_tree_in_its_order() {
    let home = Home::new();
    home.run(0..1);
    assert_eq!(home.numbers(), [0]);
    home.run(1..300);
    home.run(300..1000);
    assert_eq!(home.numbers(), (0..1000).collect::<Vec<_>>());
    let mut names: Vec<_> =
        fs::read_dir(home.path().join("tile/entries")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["000", "001", "002", "003.p"], "what was partial is removed once it is full");
}

#[test]
fn many_threads_lose_nothing_and_each_keeps_its_order() {
    let home = Home::new();
    let (log, keeper) = home.open().unwrap();
    thread::scope(|scope| {
        for thread in 0..4 {
            let log = &log;
            scope.spawn(move || {
                (0..2_000).for_each(|number| drop(log.append(numbered(thread * 10_000 + number)).unwrap()));
            });
        }
    });
    keeper.finish(Duration::from_mins(1)).unwrap();
    let numbers = home.numbers();
    assert_eq!(numbers.len(), 8_000);
    for thread in 0..4 {
        let own: Vec<_> = numbers.iter().filter(|number| **number / 10_000 == thread).map(|n| n % 10_000).collect();
        assert_eq!(own, (0..2_000).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_record_is_on_the_disk_before_anyone_is_told() {
    let home = Home::new();
    let (log, keeper) = home.open_with(LogConfig { durability: Durability::Strict, ..home.config() }).unwrap();
    for count in 0..20 {
        log.append(numbered(count)).unwrap().durable().await.unwrap();
        let mut journal = journal::Reader::new(&home.path().join("journal"), 0);
        let mut found = Vec::new();
        while let Some(batch) = journal.batch().unwrap() {
            found.extend(batch.entries().map(number));
        }
        assert_eq!(found.last(), Some(&count));
    }
    keeper.finish(Duration::from_mins(1)).unwrap();
    assert_eq!(home.numbers().len(), 20);
}

#[tokio::test]
async fn who_waits_for_a_record_does_not_wait_for_others_to_come() {
    let home = Home::new();
    let config = LogConfig { sync_every: Duration::from_hours(1), ..home.config() };
    let (log, keeper) = home.open_with(config).unwrap();
    for number in 0..20 {
        drop(log.append(numbered(2 * number)).unwrap());
        log.append_strictly(&numbered(2 * number + 1)).unwrap().durable().await.unwrap();
    }
    keeper.finish(Duration::from_mins(1)).unwrap();
    assert_eq!(home.numbers(), (0..40).collect::<Vec<_>>());
}

#[test]
fn every_checkpoint_is_one_that_later_ones_extend() {
    let home = Home::new();
    let (log, keeper) = home.open().unwrap();
    let mut published = log.published();
    let mut heads = Vec::new();
    for number in 0..700 {
        drop(log.append(numbered(number)).unwrap());
        if number % 60 == 0 {
            until(|| *published.borrow() > 0 && published.has_changed().unwrap());
            published.mark_unchanged();
            let bytes = fs::read(home.path().join(CHECKPOINT)).unwrap();
            heads.push(*SignedCheckpoint::parse(&bytes).unwrap().unverified().head());
        }
    }
    keeper.finish(Duration::from_mins(1)).unwrap();
    let directory = home.path();
    let bytes = fs::read(directory.join(CHECKPOINT)).unwrap();
    let last = *SignedCheckpoint::parse(&bytes).unwrap().unverified().head();
    let tiles = Tiles(&directory);
    let mut tree = TreeReader::new(last.size, &tiles).unwrap();
    assert!(heads.len() > 5);
    for head in heads {
        let proof = proof::consistency(&mut tree, head.size).unwrap();
        proof::verify_consistency(&head, &last, &proof).unwrap();
    }
}

/// While one process takes over from another, the older one publishes: what the newer one writes, too, although it writes
/// nothing itself.
#[test]
fn what_another_process_writes_is_published_by_the_one_that_has_nothing_to_write() {
    let home = Home::new();
    let (old, old_keeper) = home.open().unwrap();
    drop(old.append(numbered(0)).unwrap());
    until(|| *old.published().borrow() == 1);
    let (new, new_keeper) = home.open().unwrap();
    for number in 1..4 {
        drop(new.append(numbered(number)).unwrap());
        until(|| usize::try_from(*old.published().borrow()).unwrap() == number + 1);
    }
    old_keeper.finish(Duration::from_mins(1)).unwrap();
    drop(new.append(numbered(4)).unwrap());
    until(|| *new.published().borrow() == 5);
    new_keeper.finish(Duration::from_mins(1)).unwrap();
    assert_eq!(home.numbers(), (0..5).collect::<Vec<_>>());
}

#[test]
fn what_is_published_leaves_the_journal_though_no_record_follows() {
    let home = Home::new();
    let (log, keeper) = home.open().unwrap();
    drop(log.append(numbered(0)).unwrap());
    until(|| *log.published().borrow() == 1);
    let directory = home.path().join(JOURNAL);
    let files = || fs::read_dir(&directory).unwrap().filter(|file| file.as_ref().unwrap().path().extension().is_some());
    assert_eq!(files().count(), 1);
    Journal::open(&directory, 1).unwrap().begin_another().unwrap();
    until(|| files().count() == 1);
    assert!(directory.join(format!("{:020}.journal", 1)).exists());
    drop(log.append(numbered(1)).unwrap());
    keeper.finish(Duration::from_mins(1)).unwrap();
    assert_eq!(home.numbers(), [0, 1]);
}

/// Only then does anyone wait for a sync.
#[test]
fn in_strict_the_journal_has_room_before_it_needs_it() {
    const COUNT: usize = 150;
    for durability in [Durability::Strict, Durability::Group] {
        let home = Home::new();
        let (log, keeper) = home.open_with(LogConfig { durability, ..home.config() }).unwrap();
        let append = |numbers: std::ops::Range<usize>| {
            let end = u64::try_from(numbers.end).unwrap();
            for number in numbers {
                let Record::PolicyLoad(record) = numbered(number) else { panic!("another kind") };
                let record = PolicyLoadRecord { error: Some("x".repeat(60_000)), ..*record };
                let _soon = log.append(Record::PolicyLoad(Box::new(record))).unwrap();
            }
            until(|| *log.published().borrow() == end);
        };
        let (journal, is_strict) = (home.path().join(JOURNAL), durability == Durability::Strict);
        append(0..COUNT);
        if is_strict {
            until(|| journal.join("spare").exists());
        }
        append(COUNT..2 * COUNT);
        append(2 * COUNT..3 * COUNT);
        keeper.finish(Duration::from_mins(1)).unwrap();
        assert!(home.numbers().into_iter().eq(0..3 * COUNT));
        let files = fs::read_dir(&journal).unwrap().map(|file| file.unwrap().path());
        let last = files.filter(|path| path.extension().is_some_and(|extension| extension == "journal")).max().unwrap();
        let ends_in_room = fs::read(&last).unwrap().ends_with(&[0; 4096]);
        assert_eq!((ends_in_room, journal.join("spare").exists()), (is_strict, is_strict), "{last:?}");
    }
}

/// The tree as `kill -9` leaves it in the middle: the journal has all, the tiles and the checkpoint are of before.
#[test]
fn what_was_not_published_when_the_end_came_is_published_by_the_next_process() {
    let home = Home::new();
    home.run(0..500);
    let before = tempfile::tempdir().unwrap();
    copy(&home.path(), before.path());
    home.run(500..900);
    // Tiles and checkpoint of before, the journal of after.
    for name in ["tile", CHECKPOINT] {
        remove(&home.path().join(name));
    }
    fs::rename(before.path().join("tile"), home.path().join("tile")).unwrap();
    fs::rename(before.path().join(CHECKPOINT), home.path().join(CHECKPOINT)).unwrap();
    home.run(900..901);
    assert_eq!(home.numbers(), (0..901).collect::<Vec<_>>());
}

/// The same at the very first tiles: there is a checkpoint before them, that of the empty tree.
#[test]
fn tiles_that_no_checkpoint_had_yet_when_the_end_came_are_made_again() {
    let home = Home::new();
    home.run(0..0);
    let empty = fs::read(home.path().join(CHECKPOINT)).unwrap();
    home.run(0..300);
    fs::write(home.path().join(CHECKPOINT), empty).unwrap();
    home.run(300..301);
    assert_eq!(home.numbers(), (0..301).collect::<Vec<_>>());
}

#[test]
fn a_damaged_tree_is_refused_and_named() {
    let home = Home::new();
    home.run(0..300);
    let origin = |path: &Path| fs::read(path).unwrap();
    for name in ["tile/0/001.p/44", "tile/entries/001.p/44", CHECKPOINT] {
        let path = home.path().join(name);
        let whole = origin(&path);
        for place in (0..whole.len()).step_by(7) {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            fs::write(&path, &damaged).unwrap();
            let error = home.open().map(drop).unwrap_err();
            assert!(matches!(error, LogError::Tree { .. } | LogError::Checkpoint { .. }), "{name} {place}: {error}");
        }
        fs::remove_file(&path).unwrap();
        let error = home.open().map(drop).unwrap_err();
        assert!(matches!(error, LogError::Tree { .. } | LogError::NoCheckpoint(_)), "{name}: {error}");
        fs::write(&path, &whole).unwrap();
    }
    let other = LogConfig { origin: "example.org/audit/other".to_owned(), ..home.config() };
    let error = home.open_with(other).map(drop).unwrap_err();
    assert!(matches!(error, LogError::Checkpoint { .. }), "{error}");
    let stranger = LogKey::load_or_create(&home.0.path().join("another"), &SystemEntropy::new()).unwrap();
    let error = open(home.config(), &stranger, Readiness::default()).map(drop).unwrap_err();
    assert!(matches!(error, LogError::Checkpoint { .. }), "{error}");
    home.run(300..301);
    assert_eq!(home.numbers().len(), 301);
}

#[test]
fn a_full_queue_refuses_and_the_operator_may_choose_otherwise() {
    for (unavailable, given) in [(Unavailable::Refuse, false), (Unavailable::Alarm, true)] {
        let home = Home::new();
        let readiness = Readiness::default();
        let config = LogConfig { queue: NonZeroUsize::MIN, unavailable, ..home.config() };
        let (log, keeper) = open(config, &home.key(), readiness.clone()).unwrap();
        // While another holds the journal, one record is on its way and one waits.
        let journal = fs::File::open(home.path().join("journal/lock")).unwrap();
        journal.lock().unwrap();
        let taken: Vec<_> = (0..3).map(|number| log.append(numbered(number)).map(drop)).collect();
        assert_eq!(taken.contains(&Err(AppendError::Full)), !given, "{taken:?}");
        let notices = serde_json::to_value(readiness.report()).unwrap().to_string();
        assert_eq!(notices.contains("without a record"), given, "{notices}");
        journal.unlock().unwrap();
        keeper.finish(Duration::from_mins(1)).unwrap();
        assert!(readiness.report().notices.is_empty(), "what was written ends the alarm");
        let recorded = home.numbers().len();
        assert!((1..3).contains(&recorded), "{recorded}");
    }
}

/// A disk that hangs and does not fail is found out by the next record: where answers wait for it, or once there is no room.
#[test]
fn a_disk_that_hangs_counts_as_one_that_fails_until_it_answers() {
    for (durability, queue) in [(Durability::Strict, 100), (Durability::Group, 2)] {
        let home = Home::new();
        let (clock, readiness) = (Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1))), Readiness::default());
        let config = LogConfig { durability, queue: NonZeroUsize::new(queue).unwrap(), ..home.config() };
        let metrics = LogMetrics::new(&mut Registry::default());
        let (log, keeper) =
            Log::open(config, &home.key(), Arc::clone(&clock) as Arc<dyn Clock>, readiness.clone(), metrics).unwrap();
        let append = |number| log.append(numbered(number)).map(drop);
        let journal = fs::File::open(home.path().join("journal/lock")).unwrap();
        journal.lock().unwrap();
        append(0).unwrap();
        until(|| log.0.health.is_writing());
        append(1).unwrap();
        if durability == Durability::Group {
            assert_eq!(append(2), Err(AppendError::Full));
        }
        assert!(readiness.report().ready, "it may be a moment");
        clock.advance(Duration::from_secs(5));
        let refused = append(2).unwrap_err();
        assert!(matches!(&refused, AppendError::Failed(why) if why.contains("has not answered for 5s")), "{refused}");
        assert!(!readiness.report().ready);
        assert_eq!(append(2), Err(refused), "nobody waits any more");
        journal.unlock().unwrap();
        until(|| readiness.report().ready);
        until(|| append(3).is_ok());
        keeper.finish(Duration::from_mins(1)).unwrap();
        assert_eq!(home.numbers(), [0, 1, 3]);
    }
}

/// A second signature, by a key of its own, which holds against quantum computers.
#[test]
fn checkpoints_are_signed_by_ml_dsa_44_too_if_it_is_wanted() {
    let home = Home::new();
    let path = home.0.path().join("key-ml-dsa-44");
    let key = || home.key().with_ml_dsa_44(&path, &SystemEntropy::new()).unwrap();
    let (log, keeper) = open(home.config(), &key(), Readiness::default()).unwrap();
    drop(log.append(numbered(0)).unwrap());
    keeper.finish(Duration::from_mins(1)).unwrap();
    let signed = Checkpoints::of(&home.path()).latest().unwrap().unwrap();
    let quantum = key().ml_dsa_44_verifier(ORIGIN).unwrap().unwrap();
    for verifier in [home.verifier(), quantum.clone()] {
        portcullis_tlog::policy::Policy::log_only(ORIGIN, verifier).verify(&signed).unwrap();
    }
    let changed = signed.to_string().replacen("\n1\n", "\n2\n", 1);
    let changed = SignedCheckpoint::parse(changed.as_bytes()).unwrap();
    portcullis_tlog::policy::Policy::log_only(ORIGIN, quantum).verify(&changed).unwrap_err();
    // Without it the log goes on as before, and with it again.
    home.run(1..3);
    assert_eq!(home.numbers(), [0, 1, 2]);
}

#[test]
fn the_key_is_private_and_stays_the_same() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let first = home.verifier().to_string();
    assert_eq!(home.verifier().to_string(), first);
    let path = home.0.path().join("key");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(LogKey::load_or_create(&path, &SystemEntropy::new()), Err(LogError::NotPrivate(_))));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "something else\n").unwrap();
    assert!(matches!(LogKey::load_or_create(&path, &SystemEntropy::new()), Err(LogError::Key(_))));
    assert_eq!(format!("{:?}", Home::new().key()), "LogKey");
}

/// With another key nothing that was signed would be believed any more.
#[test]
fn no_key_is_made_where_there_was_one() {
    let home = tempfile::tempdir().unwrap();
    let (key, quantum) = (home.path().join("key"), home.path().join("key-ml-dsa-44"));
    let load = || LogKey::load_or_create(&key, &SystemEntropy::new());
    let load_both = || load()?.with_ml_dsa_44(&quantum, &SystemEntropy::new());
    load().unwrap();
    fs::write(home.path().join(CHECKPOINT), "signed").unwrap();
    load_both().unwrap();
    fs::write(home.path().join(ML_DSA_44_VERIFIER), "key").unwrap();
    load_both().unwrap();
    fs::remove_file(&quantum).unwrap();
    assert!(matches!(load_both(), Err(LogError::LostKey { .. })));
    load().unwrap();
    fs::remove_file(&key).unwrap();
    assert!(matches!(load(), Err(LogError::LostKey { .. })));
    assert!(!key.exists() && !quantum.exists());
}

#[test]
fn a_record_that_is_too_long_for_the_log_is_refused() {
    let home = Home::new();
    let (log, keeper) = home.open().unwrap();
    let usual = crate::evidence::record::tests::decision(Timestamp::default());
    let lengthy = DecisionRecord { principal: "x".repeat(70_000).into(), ..usual };
    assert!(matches!(log.append(Record::Decision(&lengthy)), Err(AppendError::Unwritable(_))));
    keeper.finish(Duration::from_mins(1)).unwrap();
}

pub(in crate::evidence) fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub(in crate::evidence) fn remove(path: &Path) {
    if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
}

/// Goes on until it is armed; then who publishes and asks waits until it is let go, and panics.
#[derive(Debug, Default)]
struct Trap {
    clock: SystemClock,
    is_armed: AtomicBool,
    is_let_go: AtomicBool,
}

impl Clock for Trap {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn elapsed(&self) -> Duration {
        if self.is_armed.load(Relaxed) && thread::current().name() == Some("audit-publish") {
            until(|| self.is_let_go.load(Relaxed));
            panic!("the trap");
        }
        self.clock.elapsed()
    }
}

#[test]
fn what_is_written_after_the_publisher_is_gone_does_not_make_it_well() {
    let home = Home::new();
    let (trap, readiness) = (Arc::new(Trap::default()), Readiness::default());
    let metrics = LogMetrics::new(&mut Registry::default());
    let (log, keeper) =
        Log::open(home.config(), &home.key(), Arc::clone(&trap) as Arc<dyn Clock>, readiness, metrics).unwrap();
    until(|| home.path().join(CHECKPOINT).exists());
    trap.is_armed.store(true, Relaxed);
    drop(log.append(numbered(0)).unwrap());
    until(|| log.0.progress.borrow().durable == 1);
    // The second record is written once the publisher is gone.
    let journal = fs::File::open(home.path().join("journal/lock")).unwrap();
    journal.lock().unwrap();
    drop(log.append(numbered(1)).unwrap());
    trap.is_let_go.store(true, Relaxed);
    until(|| log.0.health.fails());
    journal.unlock().unwrap();
    until(|| log.0.progress.borrow().is_over);
    assert_eq!(log.0.progress.borrow().durable, 2);
    assert!(matches!(log.append(numbered(2)), Err(AppendError::Failed(why)) if why.contains("panicked")));
    assert!(matches!(keeper.finish(Duration::from_mins(1)), Err(FinishError::Failed(_))));
    home.run(2..3);
    assert_eq!(home.numbers(), [0, 1, 2]);
}

#[test]
fn what_is_no_file_is_not_written_to_and_what_is_missing_is_told_once() {
    let segment = Path::new(JOURNAL).join("00000000000000000000.journal");
    for name in [Path::new("lock"), &Path::new(JOURNAL).join("lock"), &segment] {
        let home = Home::new();
        home.run(0..3);
        fs::remove_file(home.path().join(name)).unwrap();
        nix::unistd::mkfifo(&home.path().join(name), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = home.open().map(drop).unwrap_err().to_string();
        assert!(error.contains("not a regular file") && error.contains(&name.display().to_string()), "{error}");
    }
    let home = Home::new();
    home.run(0..3);
    fs::remove_dir_all(home.path().join("tile/0")).unwrap();
    let error = home.open().map(drop).unwrap_err().to_string();
    assert_eq!(error.matches("Restore the tiles").count(), 1, "{error}");
}
