use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;

use super::*;
use crate::evidence::log::LogReader;
use crate::evidence::record::{DecisionRecord, tests as example};
use crate::foundation::clock::Timestamp;
use crate::foundation::entropy::SystemEntropy;
use crate::foundation::readiness::Readiness;

/// A record whose every text field is `text`.
fn record(text: &str) -> OwnedRecord<'_> {
    OwnedRecord::Decision(Box::new(DecisionRecord {
        principal: text.into(),
        action: text.into(),
        resource: text.into(),
        policies: Arc::new([text.into()]),
        policy_errors: Arc::new([text.into(), text.into()]),
        request_id: Some(text.into()),
        ..example::decision(Timestamp::default())
    }))
}

fn give(sink: &mut impl Sink, text: &str) -> Result<(), SinkError> {
    sink.give(&[Exported { index: 0, record: record(text) }])
}

fn try_open(path: &Path) -> Result<JsonLines, SinkError> {
    JsonLines::open(&Destination::File(path.to_owned()), LineForm::Record)
}

/// Opens and gives a record of each of `texts`.
fn write(path: &Path, texts: &[&str]) {
    let mut sink = try_open(path).unwrap();
    for text in texts {
        give(&mut sink, text).unwrap();
    }
}

fn line_of(text: &str) -> Vec<u8> {
    let mut line = Vec::new();
    line::write(&mut line, &record(text)).unwrap();
    line
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

fn told(readiness: &Readiness) -> Told {
    let (readiness, metrics) = (readiness.clone(), ExportMetrics::default());
    Told { readiness, metrics, entropy: Arc::new(SystemEntropy::new()) }
}

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    (directory, path)
}

#[test]
fn records_are_one_line_each_in_order_and_the_file_is_private() {
    let (_directory, path) = place();
    write(&path, &["a", "b", "c"]);
    assert_eq!(texts(&path), ["a", "b", "c"]);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    write(&path, &["later"]);
    assert_eq!(lines(&path).len(), 4, "an earlier file is continued");
}

#[test]
fn nothing_in_a_field_can_end_the_line_or_reach_the_terminal() {
    let nasty = "a\n{\"record\":\"decision\"}\r\n\0\"\\\u{1b}[2J\u{7f}\u{9b}31m\u{2028}\u{202e}\u{2066}\tä😀\u{ffff}";
    let line = String::from_utf8(line_of(nasty)).unwrap();
    let raw = |c: char| c.is_control() || "\u{2028}\u{202e}\u{2066}".contains(c);
    assert!(!line.trim_end_matches('\n').contains(raw) && line.contains("ä😀"), "{line:?}");
}

proptest! {
    #[test]
    fn every_field_survives_the_round_trip(text in any::<String>()) {
        let line = line_of(&text);
        prop_assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
        let read: Value = serde_json::from_slice(&line).unwrap();
        prop_assert_eq!(read, serde_json::to_value(record(&text)).unwrap());
    }
}

/// A file of two records, and after them `tail`.
fn file_with_tail(path: &Path, tail: &[u8]) {
    write(path, &["one", "two"]);
    OpenOptions::new().append(true).open(path).unwrap().write_all(tail).unwrap();
}

#[test]
fn a_line_that_a_kill_left_unfinished_is_cut_off_at_the_next_start_wherever_it_was_cut() {
    let whole = line_of("torn \u{e4}");
    for cut in (1..whole.len() - 1).step_by(7).chain([whole.len() - 2]) {
        let (_directory, path) = place();
        file_with_tail(&path, &whole[..cut]);
        write(&path, &["three"]);
        assert_eq!(texts(&path), ["one", "two", "three"], "cut at {cut}");
    }
}

#[test]
fn a_whole_last_record_that_lacks_only_its_newline_is_kept() {
    let (_directory, path) = place();
    let whole = line_of("whole");
    file_with_tail(&path, &whole[..whole.len() - 1]);
    write(&path, &["three"]);
    assert_eq!(texts(&path), ["one", "two", "whole", "three"]);
}

#[test]
fn a_torn_line_longer_than_one_reading_step_and_one_that_is_all_of_the_file_are_cut_off() {
    let whole = line_of(&"x".repeat(300_000));
    let torn = &whole[..whole.len() - 5];
    let (_directory, path) = place();
    file_with_tail(&path, torn);
    write(&path, &["three"]);
    assert_eq!(texts(&path), ["one", "two", "three"]);
    for torn in [torn, b"{", br#"{"record":"#] {
        let (_directory, path) = place();
        fs::write(&path, torn).unwrap();
        write(&path, &["first"]);
        assert_eq!(texts(&path), ["first"]);
    }
}

#[test]
fn a_line_left_by_a_neighbour_that_was_killed_does_not_spoil_ours() {
    let (_directory, path) = place();
    let mut sink = try_open(&path).unwrap();
    let mut neighbour = OpenOptions::new().create(true).append(true).open(&path).unwrap();
    neighbour.write_all(br#"{"record":"decision","decision_id":"0"#).unwrap();
    give(&mut sink, "ours").unwrap();
    assert_eq!(texts(&path), ["ours"]);
}

#[test]
fn a_rotated_file_is_left_and_a_new_one_begun() {
    let (directory, path) = place();
    let mut sink = try_open(&path).unwrap();
    give(&mut sink, "before").unwrap();
    let rotated = directory.path().join("audit.jsonl.1");
    fs::rename(&path, &rotated).unwrap();
    give(&mut sink, "after").unwrap();
    fs::remove_file(&path).unwrap();
    File::create(&path).unwrap().set_permissions(fs::Permissions::from_mode(0o644)).unwrap();
    give(&mut sink, "recreated by logrotate").unwrap();
    assert_eq!((texts(&rotated), texts(&path)), (vec!["before".into()], vec!["recreated by logrotate".into()]));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_file_that_is_not_ours_or_not_in_a_private_directory_is_refused_and_left_alone() {
    let (directory, path) = place();
    fs::write(&path, "-----BEGIN SOMETHING-----").unwrap();
    assert!(matches!(try_open(&path), Err(SinkError::Foreign(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "-----BEGIN SOMETHING-----");

    let missing = directory.path().join("missing/audit.jsonl");
    assert!(matches!(try_open(&missing), Err(SinkError::Io { path, .. }) if path.ends_with("missing")));
    assert!(matches!(try_open(directory.path()), Err(SinkError::Io { .. })));

    let open_to_all = directory.path().join("open");
    fs::create_dir(&open_to_all).unwrap();
    fs::set_permissions(&open_to_all, fs::Permissions::from_mode(0o755)).unwrap();
    let inside = open_to_all.join("audit.jsonl");
    assert!(matches!(try_open(&inside), Err(SinkError::NotPrivate(PrivateFileError::TooOpen { .. }))));
    assert!(!inside.exists());
}

/// Keeps the numbers of what it is given; refuses as long as it is told to.
#[derive(Clone, Default)]
struct Numbers {
    taken: Arc<Mutex<Vec<u64>>>,
    refuses: Arc<Mutex<bool>>,
    /// The first and the last of each message that was refused.
    refused: Arc<Mutex<Vec<(u64, u64)>>>,
    /// This one is never taken.
    poison: Option<u64>,
    names_messages: bool,
}

impl Sink for Numbers {
    fn give(&mut self, records: &[Exported<'_>]) -> Result<(), SinkError> {
        if records.iter().any(|record| Some(record.index) == self.poison) {
            return Err(SinkError::Unacceptable("nonsense".into()));
        }
        if *self.refuses.lock().unwrap() {
            self.refused.lock().unwrap().push((records[0].index, records[records.len() - 1].index));
            return Err(SinkError::Position("refused".into()));
        }
        self.taken.lock().unwrap().extend(records.iter().map(|record| record.index));
        Ok(())
    }

    fn names_messages(&self) -> bool {
        self.names_messages
    }
}

impl Numbers {
    async fn until(&self, count: usize) {
        while self.taken.lock().unwrap().len() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_is_given_every_record_in_order_across_failures_and_restarts() {
    let directory = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap();
    let log = crate::evidence::log::tests::of_records(directory.path(), 700);
    let position = directory.path().join("position");
    let (published, seen) = watch::channel(256_u64);
    let (numbers, readiness) = (Numbers::default(), Readiness::default());
    let exports = || {
        let mut exports = Exports::new(LogReader::new(&log), seen.clone(), told(&readiness));
        exports.follow("numbers", numbers.clone(), Position::load(&position, 0).unwrap());
        exports
    };
    let first = exports();
    numbers.until(256).await;
    *numbers.refuses.lock().unwrap() = true;
    published.send_replace(512);
    while readiness.report().notices.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    *numbers.refuses.lock().unwrap() = false;
    numbers.until(512).await;
    first.finish(Duration::from_mins(1)).await;
    assert!(readiness.report().notices.is_empty());
    published.send_replace(700);
    exports().finish(Duration::from_mins(1)).await;
    assert_eq!(*numbers.taken.lock().unwrap(), (0..700).collect::<Vec<_>>());
    fs::write(&position, "many\n").unwrap();
    assert!(matches!(Position::load(&position, 0), Err(SinkError::Position(_))));
}

/// Else entries could be taken out of the log that it has not got.
#[test]
fn a_new_sink_has_a_position_that_others_see_before_it_is_given_anything() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("export-siem");
    drop(Position::load(&path, 5).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), "5\n");
    fs::write(&path, "9\n").unwrap();
    drop(Position::load(&path, 5).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), "9\n");
}

/// Its id follows from its first and its last record.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_failed_is_given_again_as_it_was_though_more_has_come() {
    let (directory, _) = place();
    let log = crate::evidence::log::tests::of_records(directory.path(), 256);
    let (published, seen) = watch::channel(100_u64);
    let (numbers, readiness) = (Numbers::default(), Readiness::default());
    *numbers.refuses.lock().unwrap() = true;
    let mut exports = Exports::new(LogReader::new(&log), seen, told(&readiness));
    exports.follow("numbers", numbers.clone(), Position::load(&directory.path().join("position"), 150).unwrap());
    published.send_replace(160);
    while numbers.refused.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    published.send_replace(200);
    while numbers.refused.lock().unwrap().len() < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    *numbers.refuses.lock().unwrap() = false;
    exports.finish(Duration::from_mins(1)).await;
    let refused = numbers.refused.lock().unwrap().clone();
    assert!(refused.iter().all(|message| *message == (150, 159)), "{refused:?}");
    assert_eq!(*numbers.taken.lock().unwrap(), (150..200).collect::<Vec<_>>());
}

/// The process ends after it has given a message and before it knows that it arrived. The next one gives the same, though there is more.
#[test]
fn a_message_that_has_a_name_is_the_same_from_another_process() {
    let (directory, path) = place();
    let (log, file) = (crate::evidence::log::tests::of_records(directory.path(), 256), path.with_file_name("position"));
    let give = |numbers: &mut Numbers, size| {
        let mut position = Position::load(&file, 150).unwrap();
        pace::give_all(&LogReader::new(&log), size, (numbers, &mut position), |_| {})
    };
    let mut numbers = Numbers { names_messages: true, ..Numbers::default() };
    *numbers.refuses.lock().unwrap() = true;
    give(&mut numbers, 160).unwrap_err();
    assert_eq!(fs::read_to_string(&file).unwrap(), "150 160\n");
    give(&mut numbers, 200).unwrap_err();
    give(&mut numbers, 256).unwrap_err();
    assert_eq!(*numbers.refused.lock().unwrap(), [(150, 159); 3]);
    *numbers.refuses.lock().unwrap() = false;
    give(&mut numbers, 256).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "256\n");
    assert_eq!(*numbers.taken.lock().unwrap(), (150..256).collect::<Vec<_>>());
    for wrong in ["", "1 2 3\n", "one\n", "1 x\n", "-1\n"] {
        fs::write(&file, wrong).unwrap();
        assert!(matches!(Position::load(&file, 0), Err(SinkError::Position(_))), "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_never_taken_is_passed_over_alone_and_told() {
    let (directory, _) = place();
    let log = crate::evidence::log::tests::of_records(directory.path(), 700);
    let (_published, seen) = watch::channel(700_u64);
    let (numbers, readiness) = (Numbers { poison: Some(300), ..Numbers::default() }, Readiness::default());
    let told = told(&readiness);
    let mut registry = prometheus_client::registry::Registry::default();
    let told = Told { metrics: ExportMetrics::new(&mut registry), ..told };
    let mut exports = Exports::new(LogReader::new(&log), seen, told);
    let position = directory.path().join("position");
    exports.follow("numbers", numbers.clone(), Position::load(&position, 0).unwrap());
    exports.finish(Duration::from_mins(1)).await;
    assert_eq!(*numbers.taken.lock().unwrap(), (0..300).chain(301..700).collect::<Vec<_>>());
    assert_eq!(fs::read_to_string(&position).unwrap(), "700\n");
    let notices = serde_json::to_string(&readiness.report()).unwrap();
    assert!(notices.contains("numbers_skipped") && notices.contains("record 300"), "{notices}");
    let mut metrics = String::new();
    prometheus_client::encoding::text::encode(&mut metrics, &registry).unwrap();
    assert!(metrics.contains("portcullis_audit_export_skipped_records_total{sink=\"numbers\"} 1"), "{metrics}");
}

/// However many there are, a message has a bound, and a record longer than that goes alone.
#[test]
fn a_message_has_a_bound_in_bytes() {
    let (directory, _) = place();
    let text = "x".repeat(50_000);
    let decisions: Vec<_> = (0..20)
        .map(|_| DecisionRecord { principal: text.as_str().into(), ..example::decision(Timestamp::default()) })
        .collect();
    let (log, _) = crate::evidence::log::tests::of_decisions(directory.path(), &decisions);
    let sizes = std::cell::RefCell::new(Vec::new());
    let mut position = Position::load(&directory.path().join("position"), 0).unwrap();
    let given = |step| {
        if let pace::Step::Given { count, .. } = step {
            sizes.borrow_mut().push(count);
        }
    };
    pace::give_all(&LogReader::new(&log), 20, (&mut Numbers::default(), &mut position), given).unwrap();
    assert_eq!(sizes.into_inner(), [0, 5, 5, 5, 5]);
}
