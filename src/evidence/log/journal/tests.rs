//! What a crash may leave, and what no crash leaves.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;

use proptest::prelude::*;

use super::batch::HEAD;
use super::*;

fn entries(texts: &[&str]) -> Vec<u8> {
    let mut entries = Vec::new();
    for text in texts {
        push(&mut entries, text.as_bytes());
    }
    entries
}

fn append(journal: &mut Journal, texts: &[&str]) -> u64 {
    journal.append(u32::try_from(texts.len()).unwrap(), &entries(texts)).unwrap()
}

/// All that is in the journal from entry `from` on.
fn read(directory: &Path, from: u64) -> Vec<String> {
    let mut reader = Reader::new(directory, from);
    let mut texts = Vec::new();
    while let Some(batch) = reader.batch().unwrap() {
        texts.extend(batch.entries().map(|entry| String::from_utf8(entry.to_vec()).unwrap()));
    }
    texts
}

fn only_segment(directory: &Path) -> PathBuf {
    let numbers = Segment::numbers(directory).unwrap();
    assert_eq!(numbers.len(), 1);
    Segment::path(directory, numbers[0])
}

#[test]
fn entries_are_numbered_through_and_read_from_anywhere() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path(), 0).unwrap();
    assert_eq!((append(&mut journal, &["a", "", "c"]), append(&mut journal, &["d"])), (0, 3));
    drop(journal);
    let mut journal = Journal::open(directory.path(), 2).unwrap();
    assert_eq!(append(&mut journal, &["e", "f"]), 4);
    assert_eq!(read(directory.path(), 0), ["a", "", "c", "d", "e", "f"]);
    assert_eq!(read(directory.path(), 1), ["", "c", "d", "e", "f"]);
    assert_eq!(read(directory.path(), 5), ["f"]);
    assert_eq!(read(directory.path(), 6), [""; 0]);
}

#[test]
fn two_processes_append_in_turns() {
    let directory = tempfile::tempdir().unwrap();
    let mut old = Journal::open(directory.path(), 0).unwrap();
    let mut new = Journal::open(directory.path(), 0).unwrap();
    let mut reader = Reader::new(directory.path(), 0);
    let mut owed = Vec::new();
    for turn in 0..20_u64 {
        let journal = if turn % 3 == 0 { &mut old } else { &mut new };
        if turn == 9 {
            journal.catch_up().unwrap();
            journal.begin_another().unwrap();
        }
        let text = turn.to_string();
        assert_eq!(append(journal, &[&text]), turn);
        owed.push(text);
        let batch = reader.batch().unwrap().unwrap();
        assert_eq!(batch.entries().collect::<Vec<_>>(), [turn.to_string().as_bytes()]);
    }
    assert_eq!(read(directory.path(), 0), owed);
    assert_eq!(Segment::numbers(directory.path()).unwrap(), [0, 9]);
    Journal::forget(directory.path(), 8).unwrap();
    assert_eq!(Segment::numbers(directory.path()).unwrap(), [0, 9], "entry 8 is still needed");
    Journal::forget(directory.path(), 9).unwrap();
    assert_eq!(Segment::numbers(directory.path()).unwrap(), [9]);
    assert_eq!(read(directory.path(), 9), owed[9..]);
    let opened = Journal::open(directory.path(), 8);
    assert!(matches!(opened, Err(LogError::Missing { from: 8, to: 9, .. })), "{opened:?}");
}

/// Killed, or without power, at any byte of the last batch.
#[test]
fn a_batch_that_was_left_unfinished_is_cut_off_wherever_it_was_left() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path(), 0).unwrap();
    append(&mut journal, &["first", "second"]);
    let path = only_segment(directory.path());
    let whole = fs::read(&path).unwrap();
    append(&mut journal, &["third", "fourth"]);
    drop(journal);
    let longer = fs::read(&path).unwrap();
    for end in whole.len()..longer.len() {
        for tail in [&[][..], &[0; 50], &[0xff; 50]] {
            fs::write(&path, [&longer[..end], tail].concat()).unwrap();
            let mut journal = Journal::open(directory.path(), 0).unwrap();
            // Zeros at the end are room.
            let left = [&longer[whole.len()..end], tail].concat();
            let torn = left.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            assert_eq!(journal.take_torn(), u64::try_from(torn).unwrap(), "{end}");
            assert_eq!(append(&mut journal, &["another"]), 2);
            assert_eq!(read(directory.path(), 0), ["first", "second", "another"]);
        }
    }
}

/// The same in a segment that has room: what the last batch has not reached is zeros, wherever it is, and the file is no shorter.
#[test]
fn a_batch_that_was_left_unfinished_in_room_is_cut_off_whatever_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    spare::prepare(directory.path(), 400).unwrap();
    let mut journal = Journal::open(directory.path(), 0).unwrap();
    append(&mut journal, &["first", "second"]);
    let path = only_segment(directory.path());
    let before = fs::read(&path).unwrap();
    append(&mut journal, &["third", "fourth"]);
    drop(journal);
    let after = fs::read(&path).unwrap();
    assert_eq!((before.len(), after.len()), (400, 400));
    let (begin, end) = (filled(&before), filled(&after));
    for from in begin..end {
        for to in [from + 1, from + 7, end] {
            let mut torn = after.clone();
            torn[from..to.min(end)].fill(0);
            if torn == after {
                continue;
            }
            fs::write(&path, &torn).unwrap();
            let mut journal = Journal::open(directory.path(), 0).unwrap();
            assert_eq!(journal.take_torn(), u64::try_from(filled(&torn) - begin).unwrap(), "{from}..{to}");
            assert_eq!(append(&mut journal, &["another"]), 2);
            assert_eq!(read(directory.path(), 0), ["first", "second", "another"]);
        }
    }
}

/// A sync that fails takes its batch back, and nobody has made a tile of it by then.
#[test]
fn what_may_yet_be_taken_back_is_not_read_by_who_publishes() {
    for has_room in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        if has_room {
            spare::prepare(directory.path(), 4096).unwrap();
        }
        let mut journal = Journal::open(directory.path(), 0).unwrap();
        append(&mut journal, &["synced"]);
        let whole = journal.segment.length();
        append(&mut journal, &["being synced"]);
        let file = OpenOptions::new().write(true).open(only_segment(directory.path())).unwrap();
        let mut reader = Reader::of_synced(directory.path(), 0).unwrap();
        let next = |reader: &mut Reader| {
            let batch = reader.batch().unwrap();
            batch.map(|batch| batch.entries().flat_map(<[u8]>::to_vec).collect::<Vec<u8>>())
        };
        let locked = Lock::take(&journal.lock, directory.path()).unwrap();
        assert_eq!(next(&mut reader).as_deref(), Some(&b"synced"[..]), "another was begun after it");
        assert_eq!(next(&mut reader), None);
        assert_eq!(read(directory.path(), 0), ["synced", "being synced"], "who only looks sees it");
        file.set_len(whole).unwrap();
        drop(locked);
        assert_eq!(next(&mut reader), None);
        let mut other = Journal::open(directory.path(), 0).unwrap();
        assert_eq!(append(&mut other, &["in its place"]), 1);
        assert_eq!(next(&mut reader).as_deref(), Some(&b"in its place"[..]));
        assert_eq!(next(&mut reader), None);
    }
}

/// Where the zeros begin that go to the end.
fn filled(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// What does not fit goes beyond the room, and nobody notices.
#[test]
fn a_segment_with_room_is_read_and_appended_to_like_any_other() {
    let directory = tempfile::tempdir().unwrap();
    let mut old = Journal::open(directory.path(), 0).unwrap();
    let mut new = Journal::open(directory.path(), 0).unwrap();
    let mut reader = Reader::new(directory.path(), 0);
    let mut owed = Vec::new();
    for turn in 0..40_u64 {
        let journal = if turn % 3 == 0 { &mut old } else { &mut new };
        if turn % 10 == 5 {
            spare::prepare(directory.path(), 200).unwrap();
            journal.catch_up().unwrap();
            journal.begin_another().unwrap();
            assert!(!directory.path().join("spare").exists(), "it was not taken");
        }
        let text = turn.to_string();
        assert_eq!(append(journal, &[&text]), turn);
        owed.push(text);
        let batch = reader.batch().unwrap().unwrap();
        assert_eq!(batch.entries().collect::<Vec<_>>(), [turn.to_string().as_bytes()]);
        assert!(reader.batch().unwrap().is_none());
    }
    assert_eq!(read(directory.path(), 0), owed);
    assert_eq!(Segment::numbers(directory.path()).unwrap(), [0, 5, 15, 25, 35]);
}

#[test]
fn a_spare_is_made_once_and_what_can_not_be_made_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (spare, new) = (directory.path().join("spare"), directory.path().join("spare.new"));
    fs::write(&new, b"left by a crash, and longer than what is made now").unwrap();
    spare::prepare(directory.path(), 10).unwrap();
    assert_eq!(fs::read(&spare).unwrap(), [0; 10]);
    spare::prepare(directory.path(), 20).unwrap();
    assert_eq!(fs::metadata(&spare).unwrap().len(), 10);
    fs::remove_file(&spare).unwrap();
    fs::create_dir(&new).unwrap();
    spare::prepare(directory.path(), 10).unwrap_err();
    assert!(!spare.exists());
    // It goes on without.
    let mut journal = Journal::open(directory.path(), 0).unwrap();
    assert_eq!(append(&mut journal, &["a"]), 0);
}

/// A flipped bit in what was synced is told, and nothing is cut off; in the last batch it can't be told from a crash.
#[test]
fn damage_that_batches_follow_is_no_crash() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path(), 0).unwrap();
    append(&mut journal, &["first", "second"]);
    let path = only_segment(directory.path());
    let first = fs::metadata(&path).unwrap().len();
    append(&mut journal, &["third"]);
    drop(journal);
    let whole = fs::read(&path).unwrap();
    for place in 0..usize::try_from(first).unwrap() {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x10;
        fs::write(&path, &damaged).unwrap();
        let opened = Journal::open(directory.path(), 0);
        assert!(matches!(&opened, Err(LogError::Damaged { offset: 0, .. })), "{place}: {opened:?}");
        assert!(opened.unwrap_err().to_string().contains("at byte 0"));
        assert_eq!(fs::read(&path).unwrap(), damaged, "nothing is touched");
    }
}

#[test]
fn a_journal_that_ends_before_the_tree_goes_on_where_the_tree_ends() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path(), 0).unwrap();
    append(&mut journal, &["a"]);
    drop(journal);
    let mut journal = Journal::open(directory.path(), 7).unwrap();
    assert_eq!(append(&mut journal, &["h"]), 7);
    assert_eq!(read(directory.path(), 7), ["h"]);
}

#[test]
fn what_can_not_be_appended_leaves_no_trace() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path(), 0).unwrap();
    append(&mut journal, &["a"]);
    let path = only_segment(directory.path());
    let before = fs::read(&path).unwrap();
    // A file that may only be read stands for a disk that is full, and can't be cut either.
    journal.segment.make_read_only(&path);
    for _ in 0..2 {
        assert!(matches!(journal.append(1, &entries(&["b"])), Err(LogError::Io { .. })));
        assert_eq!(fs::read(&path).unwrap(), before);
    }
    let mut journal = Journal::open(directory.path(), 0).unwrap();
    assert_eq!(append(&mut journal, &["c"]), 1);
}

/// The batch is there whole although its sync failed, and could not be taken back.
#[test]
fn a_batch_whose_sync_failed_is_never_there_twice() {
    for another_follows in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(directory.path(), 0).unwrap();
        append(&mut journal, &["a"]);
        let path = only_segment(directory.path());
        let head = Head::of(1, 2, &entries(&["b", "c"])).unwrap();
        let mut whole = fs::read(&path).unwrap();
        whole.extend(head.to_bytes());
        whole.extend(entries(&["b", "c"]));
        fs::write(&path, whole).unwrap();
        journal.doubtful = Some(head);
        if another_follows {
            assert_eq!(append(&mut Journal::open(directory.path(), 0).unwrap(), &["d"]), 3);
        }
        assert_eq!(append(&mut journal, &["b", "c"]), 1);
        let last = append(&mut journal, &["e"]);
        let owed: &[&str] = if another_follows { &["a", "b", "c", "d", "e"] } else { &["a", "b", "c", "e"] };
        assert_eq!(read(directory.path(), 0), owed);
        assert_eq!(last, u64::try_from(owed.len()).unwrap() - 1);
    }
}

/// The other process has cut off what was left of ours, and what it put there is synced, however long it is.
#[test]
fn what_another_has_put_in_the_place_of_a_batch_is_not_taken_for_it() {
    for theirs in [&["d"][..], &["a much longer one than ours", "and another"]] {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(directory.path(), 0).unwrap();
        append(&mut journal, &["a"]);
        append(&mut Journal::open(directory.path(), 0).unwrap(), theirs);
        journal.doubtful = Head::of(1, 2, &entries(&["b", "c"]));
        assert_eq!(append(&mut journal, &["b", "c"]), 1 + u64::try_from(theirs.len()).unwrap());
        assert_eq!(read(directory.path(), 0), [&["a"], theirs, &["b", "c"]].concat());
    }
}

#[test]
fn a_segment_that_could_not_be_begun_is_begun_by_whoever_comes_next() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path(), 0).unwrap();
    let mut other = Journal::open(directory.path(), 0).unwrap();
    append(&mut journal, &["a"]);
    let next = Segment::path(directory.path(), 1);
    fs::create_dir(&next).unwrap();
    journal.begin_another().unwrap_err();
    fs::remove_dir(&next).unwrap();
    assert_eq!(append(&mut other, &["b"]), 1);
    assert_eq!(append(&mut journal, &["c"]), 2);
    assert_eq!(append(&mut other, &["d"]), 3);
    assert_eq!(read(directory.path(), 0), ["a", "b", "c", "d"]);
}

/// Else what comes next would be numbered as if nothing were missing.
#[test]
fn a_segment_that_is_cut_while_it_is_written_takes_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path(), 0).unwrap();
    append(&mut journal, &["a"]);
    append(&mut journal, &["b"]);
    let path = only_segment(directory.path());
    let length = fs::metadata(&path).unwrap().len();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(length / 2).unwrap();
    let refused = journal.append(1, &entries(&["c"]));
    assert!(matches!(refused, Err(LogError::Damaged { .. })), "{refused:?}");
    fs::remove_file(&path).unwrap();
    let refused = journal.append(1, &entries(&["c"]));
    assert!(matches!(refused, Err(LogError::Removed(_))), "{refused:?}");
}

/// Entries that were taken out of the log lie in the file that is being written, too, for as long as it is not full.
#[test]
fn what_was_pruned_goes_from_the_file_that_is_being_written_whoever_writes_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path(), 0).unwrap();
    append(&mut journal, &["a", "b", "c"]);
    Journal::clear(directory.path(), 0, 3).unwrap();
    assert_eq!(read(directory.path(), 0), ["a", "b", "c"], "nothing was pruned");
    Journal::clear(directory.path(), 2, 2).unwrap();
    assert_eq!(read(directory.path(), 0), ["a", "b", "c"], "one of them is not published");
    assert_eq!(Segment::numbers(directory.path()).unwrap(), [0, 3]);
    Journal::clear(directory.path(), 2, 3).unwrap();
    assert_eq!(Segment::numbers(directory.path()).unwrap(), [3]);
    // The other process finds the file removed that it has written to, and where it goes on.
    assert_eq!((append(&mut journal, &["d"]), append(&mut journal, &["e"])), (3, 4));
    assert_eq!(read(directory.path(), 3), ["d", "e"]);
    Journal::clear(directory.path(), 3, 5).unwrap();
    assert_eq!(read(directory.path(), 3), ["d", "e"], "neither was pruned");
    // With nothing in it, it is where it should be.
    Journal::clear(directory.path(), 5, 5).unwrap();
    Journal::clear(directory.path(), 5, 5).unwrap();
    assert_eq!(Segment::numbers(directory.path()).unwrap(), [5]);
    assert_eq!((append(&mut journal, &["f"]), read(directory.path(), 5)), (5, vec!["f".to_owned()]));
}

/// While it writes nothing, others may begin and publish several files: it gives no number twice.
#[test]
fn a_process_that_was_idle_goes_on_after_files_that_came_and_went() {
    let directory = tempfile::tempdir().unwrap();
    let mut idle = Journal::open(directory.path(), 0).unwrap();
    append(&mut idle, &["a"]);
    let mut other = Journal::open(directory.path(), 0).unwrap();
    for text in ["b", "c", "d"] {
        other.begin_another().unwrap();
        append(&mut other, &[text]);
    }
    Journal::forget(directory.path(), 4).unwrap();
    assert_eq!(Segment::numbers(directory.path()).unwrap(), [3]);
    assert_eq!((append(&mut idle, &["e"]), append(&mut other, &["f"])), (4, 5));
    assert_eq!(read(directory.path(), 3), ["d", "e", "f"]);
}

#[test]
fn a_batch_out_of_order_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path(), 0).unwrap();
    append(&mut journal, &["a"]);
    let path = only_segment(directory.path());
    let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let end = file.metadata().unwrap().len();
    let head = Head::of(5, 1, &entries(&["x"])).unwrap().to_bytes();
    file.write_all_at(&[&head[..], &entries(&["x"])].concat(), end).unwrap();
    let opened = Journal::open(directory.path(), 0);
    assert!(matches!(opened, Err(LogError::OutOfOrder { found: 5, expected: 1, .. })), "{opened:?}");
}

proptest! {
    /// Whatever is in the file, it is opened or refused; and what is read back was written.
    #[test]
    fn no_file_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), keep in 0..HEAD + 20) {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(directory.path(), 0).unwrap();
        append(&mut journal, &["a"]);
        drop(journal);
        let path = only_segment(directory.path());
        let mut damaged = fs::read(&path).unwrap();
        damaged.truncate(keep);
        damaged.extend(bytes);
        fs::write(&path, &damaged).unwrap();
        if let Ok(mut journal) = Journal::open(directory.path(), 0) {
            let first = append(&mut journal, &["b"]);
            let read = read(directory.path(), 0);
            prop_assert!(read == ["b"] && first == 0 || read == ["a", "b"] && first == 1, "{:?}", read);
        }
    }
}
