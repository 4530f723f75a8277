use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use nix::sys::stat::Mode;
use proptest::prelude::*;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::evidence::record::{DecisionRecord, IssuanceRecord, PolicyLoadRecord};
use crate::evidence::{CacheState, DecisionId, Edge, Outcome};
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::foundation::telemetry::Registry;
use crate::foundation::watched::Epoch;

const PATIENCE: Duration = Duration::from_secs(20);

struct Sink {
    log: JsonLines,
    writer: Writer,
    readiness: Readiness,
    metrics: Metrics,
}

fn try_open(path: &Path, queue: usize) -> Result<Sink, SinkError> {
    let (readiness, metrics) = (Readiness::default(), Metrics::new(&mut Registry::default()));
    let queue = NonZeroUsize::new(queue).unwrap();
    let config = JsonLinesConfig { destination: Destination::File(path.to_owned()), queue };
    let (log, writer) = JsonLines::open(&config, readiness.clone(), metrics.clone())?;
    Ok(Sink { log, writer, readiness, metrics })
}

fn open(path: &Path) -> Sink {
    try_open(path, 100_000).unwrap()
}

/// Opens, appends a record of each of `texts`, finishes.
fn write<T: AsRef<str>>(path: &Path, texts: impl IntoIterator<Item = T>) -> Metrics {
    let sink = open(path);
    texts.into_iter().for_each(|text| append(&sink.log, text.as_ref()).unwrap());
    sink.writer.finish(PATIENCE).unwrap();
    sink.metrics
}

fn append(log: &JsonLines, text: &str) -> Result<(), AppendError> {
    log.append(Record::Decision(&decision(text)))
}

/// The line of a record of `text`.
fn line_of(text: &str) -> Vec<u8> {
    let mut line = Vec::new();
    line::write(&mut line, &Record::Decision(&decision(text))).unwrap();
    line
}

/// A record whose every text field is `text`.
fn decision(text: &str) -> DecisionRecord<'_> {
    DecisionRecord {
        decision_id: DecisionId::NIL,
        time: Timestamp::from_unix_seconds(1_795_312_180),
        edge: Edge::Authzen,
        principal: text.into(),
        leaf: Some(Digest::of(b"leaf")),
        peer: None,
        token: None,
        token_issuer: None,
        action: text.into(),
        resource: text.into(),
        context_digest: None,
        decision: Outcome::Deny,
        reason: "no_permit",
        policies: Arc::new([text.into()]),
        policy_errors: Arc::new([text.into(), text.into()]),
        policy_digest: Some(Digest::of(b"set")),
        entity_digest: None,
        policy_epoch: Epoch::default(),
        bundle_epoch: Epoch::default(),
        cache: CacheState::Miss,
        latency_us: 7,
        request_id: Some(text.into()),
    }
}

/// Does something with a record of each kind whose every text field is `text`.
fn of_all_kinds(text: &str, mut each: impl FnMut(Record<'_>)) {
    let issuance = IssuanceRecord {
        time: Timestamp::MAX,
        spiffe_id: text.into(),
        entry_id: text.into(),
        serial: text.into(),
        leaf: Digest::of(b"leaf"),
        authority: text.into(),
        not_after: Timestamp::MAX,
    };
    let load = PolicyLoadRecord {
        time: Timestamp::default(),
        policy_digest: Digest::of(b"set"),
        entity_digest: Digest::of(b"entities"),
        policy_epoch: Epoch::default(),
        policies: usize::MAX,
        error: Some(text.into()),
    };
    each(Record::Decision(&decision(text)));
    each(Record::Issuance(Box::new(issuance)));
    each(Record::PolicyLoad(Box::new(load)));
}

/// All lines of the file; each must be a JSON object and end in a newline.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(lines.iter().all(Value::is_object));
    lines
}

/// The `principal` of every line, which is the text that the record was made from.
fn texts(path: &Path) -> Vec<String> {
    lines(path).iter().map(|line| line["principal"].as_str().unwrap().to_owned()).collect()
}

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    (directory, path)
}

fn wait_until_written(metrics: &Metrics, count: u64) {
    for _ in 0..20_000 {
        if metrics.written.get() >= count {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("never written");
}

/// Appends until the sink refuses, and says why.
fn append_until_refused(log: &JsonLines) -> AppendError {
    for _ in 0..10_000 {
        if let Err(error) = append(log, "x") {
            return error;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("never refused");
}

#[test]
fn records_are_one_line_each_in_order_and_the_file_is_private() {
    let (_directory, path) = place();
    let metrics = write(&path, (0..5000).map(|n| n.to_string()));
    assert_eq!(texts(&path), (0..5000).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    assert_eq!((metrics.written.get(), metrics.waiting.get(), metrics.lost.get()), (5000, 0, 0));
    assert!(metrics.batches.get() >= 1);
    write(&path, ["later"]);
    assert_eq!(lines(&path).len(), 5001, "an earlier file is continued");
}

#[test]
fn nothing_in_a_field_can_end_the_line_or_reach_the_terminal() {
    let (_directory, path) = place();
    let nasty = "a\n{\"record\":\"decision\"}\r\n\0\"\\\u{1b}[2J\u{7f}\u{9b}31m\u{2028}\u{202e}\u{2066}\tä😀\u{ffff}";
    let sink = open(&path);
    let mut owed = Vec::new();
    of_all_kinds(nasty, |record| {
        owed.push(serde_json::to_value(&record).unwrap());
        sink.log.append(record).unwrap();
    });
    sink.writer.finish(PATIENCE).unwrap();
    assert_eq!(lines(&path), owed);
    let text = fs::read_to_string(&path).unwrap();
    let raw = |c: char| c != '\n' && (c.is_control() || "\u{2028}\u{202e}\u{2066}".contains(c));
    assert!(!text.contains(raw) && text.contains("ä😀"), "{text:?}");
}

proptest! {
    #[test]
    fn every_field_survives_the_round_trip(text in any::<String>()) {
        of_all_kinds(&text, |record| {
            let mut buffer = Vec::new();
            line::write(&mut buffer, &record).unwrap();
            assert_eq!(buffer.iter().position(|byte| *byte == b'\n'), Some(buffer.len() - 1));
            let read: Value = serde_json::from_slice(&buffer).unwrap();
            assert_eq!(read, serde_json::to_value(&record).unwrap());
        });
    }
}

#[test]
fn fields_of_a_mebibyte_are_written_whole() {
    let (_directory, path) = place();
    let long = "\u{1}\u{9b}é".repeat(1000) + &"x".repeat(1 << 20);
    write(&path, [&long, "short", &long] as [&str; 3]);
    assert!(texts(&path) == [&long, "short", &long]);
}

#[test]
fn each_of_eight_threads_keeps_its_order_and_nothing_is_lost() {
    let (_directory, path) = place();
    let sink = open(&path);
    thread::scope(|scope| {
        for thread in 0..8 {
            let log = &sink.log;
            scope.spawn(move || (0..1000).for_each(|n| append(log, &format!("{thread} {n}")).unwrap()));
        }
    });
    sink.writer.finish(PATIENCE).unwrap();
    let texts = texts(&path);
    assert_eq!(texts.len(), 8000);
    for thread in 0..8 {
        let own = texts.iter().filter(|text| text.starts_with(&format!("{thread} ")));
        assert!(own.eq((0..1000).map(|n| format!("{thread} {n}")).collect::<Vec<_>>().iter()));
    }
}

#[test]
fn what_was_accepted_while_it_ends_is_written() {
    let (_directory, path) = place();
    let Sink { log, writer, .. } = open(&path);
    let accepted: usize = thread::scope(|scope| {
        let appending: Vec<_> =
            (0..4).map(|_| scope.spawn(|| (0..50_000).take_while(|_| append(&log, "x").is_ok()).count())).collect();
        thread::sleep(Duration::from_millis(5));
        writer.finish(PATIENCE).unwrap();
        appending.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(lines(&path).len(), accepted);
    assert!(matches!(append(&log, "late"), Err(AppendError::Failed(_))));
}

#[test]
fn dropping_the_writer_closes_the_sink_and_still_writes_what_was_accepted() {
    let (_directory, path) = place();
    let sink = open(&path);
    append(&sink.log, "accepted").unwrap();
    drop(sink.writer);
    assert!(matches!(append(&sink.log, "late"), Err(AppendError::Failed(_))));
    wait_until_written(&sink.metrics, 1);
    assert_eq!(texts(&path), ["accepted"]);
}

#[test]
fn a_sink_that_failed_once_stays_failed_and_blocks_readiness() {
    let sink = open(Path::new("/dev/full"));
    assert!(sink.readiness.report().ready);
    append(&sink.log, "never written").unwrap();
    let AppendError::Failed(message) = append_until_refused(&sink.log) else { panic!("not failed") };
    assert!(message.contains("/dev/full") && message.contains("No space left"), "{message}");
    assert!(matches!(append(&sink.log, "x"), Err(AppendError::Failed(_))));
    assert!(sink.readiness.report().blocked_by["audit"].contains("No space left"));
    let finished = sink.writer.finish(PATIENCE);
    assert!(matches!(finished, Err(FinishError::Failed(_))));
    assert!(sink.metrics.lost.get() >= 1 && sink.metrics.refused_failed.get() >= 2);
    assert_eq!(sink.metrics.written.get(), 0);
}

#[test]
fn a_full_queue_refuses_and_loses_and_reorders_nothing_it_accepted() {
    let (_directory, path) = place();
    nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o600)).unwrap();
    // The reading end is open, so that the sink can open the other, but nothing reads: the writer blocks.
    let reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let Sink { log, writer, metrics, .. } = try_open(&path, 4).unwrap();
    let long = "x".repeat(1000);
    let mut accepted = Vec::new();
    let mut refused = 0;
    for n in 0..2000 {
        let text = format!("{n} {long}");
        match append(&log, &text) {
            Ok(()) => accepted.push(text),
            Err(AppendError::Full) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        if refused == 0 {
            thread::sleep(Duration::from_micros(200));
        }
    }
    assert!(refused > 1000, "a pipe holds 64 KiB, then 4 records wait: {refused}");
    assert_eq!(metrics.refused_full.get(), refused);
    let count = accepted.len();
    let reading = thread::spawn(move || {
        let read = BufReader::new(reader).lines().take(count);
        read.map(|line| {
            serde_json::from_str::<Value>(&line.unwrap()).unwrap()["principal"].as_str().unwrap().to_owned()
        })
        .collect::<Vec<_>>()
    });
    writer.finish(PATIENCE).unwrap();
    assert_eq!(reading.join().unwrap(), accepted);
}

#[test]
fn finishing_gives_up_at_the_deadline_when_writing_blocks() {
    let (_directory, path) = place();
    nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o600)).unwrap();
    let mut reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let sink = open(&path);
    append(&sink.log, &"x".repeat(1 << 20)).unwrap();
    assert!(matches!(sink.writer.finish(Duration::from_millis(50)), Err(FinishError::Late(_))));
    // Lets the thread end.
    let mut rest = vec![0; 1 << 20];
    reader.read_exact(&mut rest).unwrap();
}

/// A file of `whole` records, and after them `tail`.
fn file_with_tail(path: &Path, tail: &[u8]) {
    write(path, ["one", "two"]);
    OpenOptions::new().append(true).open(path).unwrap().write_all(tail).unwrap();
}

#[test]
fn a_line_that_a_kill_left_unfinished_is_cut_off_at_the_next_start_wherever_it_was_cut() {
    let whole = line_of("torn \u{e4}");
    for cut in (1..whole.len() - 1).step_by(7).chain([whole.len() - 2]) {
        let (_directory, path) = place();
        file_with_tail(&path, &whole[..cut]);
        let metrics = write(&path, ["three"]);
        assert_eq!(texts(&path), ["one", "two", "three"], "cut at {cut}");
        assert_eq!(metrics.torn.get(), 1);
    }
}

#[test]
fn a_whole_last_record_that_lacks_only_its_newline_is_kept() {
    let (_directory, path) = place();
    let whole = line_of("whole");
    file_with_tail(&path, &whole[..whole.len() - 1]);
    let metrics = write(&path, ["three"]);
    assert_eq!(texts(&path), ["one", "two", "whole", "three"]);
    assert_eq!(metrics.torn.get(), 0);
}

#[test]
fn a_torn_line_longer_than_one_reading_step_and_one_that_is_all_of_the_file_are_cut_off() {
    let whole = line_of(&"x".repeat(300_000));
    let torn = &whole[..whole.len() - 5];
    let (_directory, path) = place();
    file_with_tail(&path, torn);
    write(&path, ["three"]);
    assert_eq!(texts(&path), ["one", "two", "three"]);
    for torn in [torn, b"{", br#"{"record":"#] {
        let (_directory, path) = place();
        fs::write(&path, torn).unwrap();
        write(&path, ["first"]);
        assert_eq!(texts(&path), ["first"]);
    }
}

#[test]
fn a_line_left_by_a_neighbour_that_was_killed_does_not_spoil_ours() {
    let (_directory, path) = place();
    let sink = open(&path);
    let mut neighbour = OpenOptions::new().create(true).append(true).open(&path).unwrap();
    neighbour.write_all(br#"{"record":"decision","decision_id":"0"#).unwrap();
    append(&sink.log, "ours").unwrap();
    sink.writer.finish(PATIENCE).unwrap();
    assert_eq!(texts(&path), ["ours"]);
}

#[test]
fn two_processes_can_write_at_a_time_while_one_takes_over() {
    let (_directory, path) = place();
    let (old, new) = (open(&path), open(&path));
    thread::scope(|scope| {
        for (name, log) in [("old", &old.log), ("new", &new.log)] {
            scope.spawn(move || (0..3000).for_each(|_| append(log, name).unwrap()));
        }
    });
    old.writer.finish(PATIENCE).unwrap();
    new.writer.finish(PATIENCE).unwrap();
    let texts = texts(&path);
    assert_eq!((texts.len(), texts.iter().filter(|text| *text == "old").count()), (6000, 3000));
    assert_eq!((old.metrics.torn.get(), new.metrics.torn.get()), (0, 0));
}

#[test]
fn a_rotated_file_is_left_and_a_new_one_begun() {
    let (directory, path) = place();
    let sink = open(&path);
    append(&sink.log, "before").unwrap();
    wait_until_written(&sink.metrics, 1);
    let rotated = directory.path().join("audit.jsonl.1");
    fs::rename(&path, &rotated).unwrap();
    append(&sink.log, "after").unwrap();
    wait_until_written(&sink.metrics, 2);
    fs::remove_file(&path).unwrap();
    File::create(&path).unwrap().set_permissions(fs::Permissions::from_mode(0o644)).unwrap();
    append(&sink.log, "recreated by logrotate").unwrap();
    sink.writer.finish(PATIENCE).unwrap();
    assert_eq!((texts(&rotated), texts(&path)), (vec!["before".into()], vec!["recreated by logrotate".into()]));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_file_that_is_not_ours_or_not_in_a_private_directory_is_refused_and_left_alone() {
    let (directory, path) = place();
    fs::write(&path, "-----BEGIN SOMETHING-----").unwrap();
    assert!(matches!(try_open(&path, 1), Err(SinkError::Foreign(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "-----BEGIN SOMETHING-----");

    let missing = directory.path().join("missing/audit.jsonl");
    assert!(matches!(try_open(&missing, 1), Err(SinkError::Io { path, .. }) if path.ends_with("missing")));
    assert!(matches!(try_open(directory.path(), 1), Err(SinkError::Io { .. })));

    let open_to_all = directory.path().join("open");
    fs::create_dir(&open_to_all).unwrap();
    fs::set_permissions(&open_to_all, fs::Permissions::from_mode(0o755)).unwrap();
    let inside = open_to_all.join("audit.jsonl");
    assert!(matches!(try_open(&inside, 1), Err(SinkError::NotPrivate(PrivateFileError::TooOpen { .. }))));
    assert!(!inside.exists());
}
