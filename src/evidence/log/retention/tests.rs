//! What goes, what stays, and what keeps it.

use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::super::tests::{Home, ORIGIN};
use super::*;
use crate::evidence::log::{Archive, Checkpoints, Shelf, Tiles};
use crate::foundation::digest::Digest;
use portcullis_tlog::leaf_hash;
use portcullis_tlog::policy::Policy;
use portcullis_tlog::proof::{consistency, inclusion, verify_consistency, verify_inclusion};
use portcullis_tlog::tree::{TreeHead, TreeReader};
use portcullis_tlog::walk;

/// Later than all records of [`Home::run`], which are of the beginning of 1970.
const LATER: Timestamp = Timestamp::from_unix_nanos(1 << 60);

fn home(entries: usize) -> (Home, Retention) {
    let home = Home::new();
    home.run(0..entries);
    let retention = Retention::of(&home.path());
    (home, retention)
}

fn head(home: &Home) -> TreeHead {
    let signed = Checkpoints::of(&home.path()).latest().unwrap().unwrap();
    *Policy::log_only(ORIGIN, home.verifier()).verify(&signed).unwrap().checkpoint.head()
}

fn prune(retention: &Retention, size: u64) -> Plan {
    retention.prune(size, LATER, |_| Ok(())).unwrap()
}

fn hold(name: &str, from: u64) -> Hold {
    Hold { name: name.to_owned(), from, reason: "a case".to_owned() }
}

/// Everything that can be checked of a log whose first entries are gone.
fn check(home: &Home, first: u64) {
    let (directory, head) = (home.path(), head(home));
    let tiles = Tiles(&directory);
    walk::verify_root(&tiles, &head).unwrap();
    for piece in walk::pieces(head.size) {
        if piece.entries().start < first {
            walk::verify_piece(&tiles, head.size, piece).unwrap_err();
            walk::verify_hashes(&tiles, head.size, piece.index()).unwrap();
        } else {
            walk::verify_piece(&tiles, head.size, piece).unwrap();
        }
    }
}

#[test]
fn whole_bundles_go_and_the_tree_stays() {
    let (home, retention) = home(700);
    let kept: Vec<Vec<u8>> = LogReader::new(&home.path()).entries(0, 700).unwrap().entries;
    assert_eq!(prune(&retention, 700), Plan { first: 0, end: 512, kept_by: None });
    assert_eq!(retention.first().unwrap(), 512);
    check(&home, 512);
    // Whoever kept an entry can still show that it was there.
    let (directory, before) = (home.path(), head(&home));
    let tiles = Tiles(&directory);
    let mut tree = TreeReader::new(before.size, &tiles).unwrap();
    for (index, entry) in (0..).zip(&kept).step_by(50) {
        verify_inclusion(&before, index, &leaf_hash(entry), &inclusion(&mut tree, index).unwrap()).unwrap();
    }
    assert!(LogReader::new(&home.path()).entries(3, 700).is_err());
    assert_eq!(LogReader::new(&home.path()).entries(512, 700).unwrap().entries.len(), 188);
    // It is opened, and goes on.
    home.run(700..800);
    let after = head(&home);
    let mut tree = TreeReader::new(after.size, &tiles).unwrap();
    verify_consistency(&before, &after, &consistency(&mut tree, before.size).unwrap()).unwrap();
    assert_eq!(prune(&retention, 800), Plan { first: 512, end: 768, kept_by: None });
    assert_eq!(prune(&retention, 800), Plan { first: 768, end: 768, kept_by: None });
    check(&home, 768);
}

#[test]
fn what_was_taken_out_is_not_in_the_journal_either() {
    let (home, retention) = home(700);
    let entry = LogReader::new(&home.path()).entries(7, 8).unwrap().entries.remove(0);
    let lies_there = || {
        let files =
            fs::read_dir(home.path().join("journal")).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
        files.into_iter().any(|bytes| bytes.windows(entry.len()).any(|window| window == entry))
    };
    retention.clear_journal(700).unwrap();
    assert!(lies_there(), "nothing was taken out");
    prune(&retention, 700);
    retention.clear_journal(700).unwrap();
    assert!(!lies_there());
    home.run(700..800);
    check(&home, 512);
    fs::remove_dir_all(home.path().join("journal")).unwrap();
    retention.clear_journal(800).unwrap();
}

#[test]
fn nothing_goes_without_a_record_of_it_that_is_on_the_disk() {
    let (home, retention) = home(600);
    let refused = retention.prune(600, LATER, |plan| {
        assert_eq!((plan.first, plan.end), (0, 512));
        Err("no room".to_owned())
    });
    assert!(matches!(refused, Err(RetentionError::Unrecorded(_))), "{refused:?}");
    check(&home, 0);
    retention
        .prune(600, LATER, |plan| {
            check(&home, 0);
            assert_eq!(plan.end, 512);
            Ok(())
        })
        .unwrap();
    retention.prune(600, LATER, |_| panic!("there is nothing more to record")).unwrap();
}

#[test]
fn what_is_young_or_held_or_not_exported_stays() {
    let (home, retention) = home(600);
    let young = retention.plan(600, Timestamp::default()).unwrap();
    assert_eq!(young, Plan { first: 0, end: 0, kept_by: None });

    retention.hold(hold("case-17", 0)).unwrap();
    assert!(matches!(retention.hold(hold("case-17", 5)), Err(RetentionError::Hold(..))));
    assert_eq!(prune(&retention, 600), Plan { first: 0, end: 0, kept_by: Some("the hold `case-17`".into()) });
    retention.release("case-17").unwrap();
    assert!(retention.release("case-17").is_err());
    retention.hold(hold("later", 1)).unwrap();
    assert_eq!(retention.plan(600, LATER).unwrap().end, 512, "what it keeps is younger");
    assert_eq!(retention.holds().unwrap(), [hold("later", 1)]);

    let position = home.path().join("export-siem");
    fs::write(&position, "300\n").unwrap();
    let plan = prune(&retention, 600);
    assert_eq!(plan.end, 256);
    assert!(plan.kept_by.unwrap().contains("`siem`"));
    fs::write(&position, "nonsense").unwrap();
    assert!(retention.prune(600, LATER, |_| Ok(())).is_err());
    fs::write(&position, "600\n").unwrap();
    assert_eq!(prune(&retention, 600).end, 512);
    check(&home, 512);
}

/// A crash in the middle of removing leaves bundles that nobody needs; the next time they go.
#[test]
fn what_a_crash_left_goes_the_next_time() {
    let (home, retention) = home(1100);
    let bundles = home.path().join("tile/entries");
    let kept = tempfile::tempdir().unwrap();
    for name in ["001", "002"] {
        fs::copy(bundles.join(name), kept.path().join(name)).unwrap();
    }
    prune(&retention, 800);
    for name in ["001", "002"] {
        fs::copy(kept.path().join(name), bundles.join(name)).unwrap();
    }
    prune(&retention, 1100);
    let mut names: Vec<_> = fs::read_dir(&bundles).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["004.p"]);
    check(&home, 1024);
}

/// What is kept on a shelf, as if it had been kept so many seconds after 1970.
fn shelve(home: &Home, shelf: Shelf, contents: &[u8], seconds: u64) -> Digest {
    let digest = Archive::new(&home.path()).keep(shelf, contents).unwrap();
    let file = fs::File::options().append(true).open(home.path().join(shelf.name()).join(digest.to_string())).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    digest
}

/// A certificate that is valid from 1970 on, for so many seconds.
fn certificate(seconds: i64) -> Vec<u8> {
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.not_before = time::OffsetDateTime::UNIX_EPOCH;
    parameters.not_after = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
    parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

#[test]
fn what_no_entry_left_names_goes_and_what_may_be_in_use_stays() {
    // These are in the entries.
    let (home, retention) = home(600);
    let named = shelve(&home, Shelf::Policies, b"", 10);
    let lone = shelve(&home, Shelf::Entities, b"", 10);
    let unnamed: Vec<_> = (11..20).map(|time| shelve(&home, Shelf::Policies, &[b'p', time], time.into())).collect();
    let valid = shelve(&home, Shelf::Certificates, &certificate(2_000_000_000), 10);
    let expired = shelve(&home, Shelf::Certificates, &certificate(1_000), 10);
    let recent = shelve(&home, Shelf::Certificates, &certificate(1_001), 1_000_000_000);
    let now = Timestamp::from_unix_seconds(1_900_000_000);
    let before = Timestamp::from_unix_seconds(100);
    let there = |shelf, digest: &Digest| Archive::new(&home.path()).find(shelf, digest).unwrap().is_some();

    assert_eq!(retention.unnamed(600, (Timestamp::default(), now)).unwrap(), 0, "none is so old");
    retention.hold(hold("case-17", 0)).unwrap();
    assert_eq!(retention.unnamed(600, (before, now)).unwrap(), 0, "a hold keeps all");
    retention.release("case-17").unwrap();
    assert_eq!(retention.unnamed(600, (before, now)).unwrap(), 8);
    let refused = retention.sweep(600, (before, now), |_| Err("no room".to_owned()));
    assert!(matches!(refused, Err(RetentionError::Unrecorded(_))), "{refused:?}");
    assert!(there(Shelf::Certificates, &expired), "nothing goes without a record");
    // It is wanted again, after the record and before its turn.
    let again = |count| {
        assert_eq!(count, 8);
        Archive::new(&home.path()).keep(Shelf::Policies, &[b'p', 11]).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(retention.sweep(600, (before, now), again).unwrap(), 7);
    assert!(there(Shelf::Policies, &named) && there(Shelf::Entities, &lone));
    assert!(there(Shelf::Certificates, &valid) && there(Shelf::Certificates, &recent));
    assert!(!there(Shelf::Certificates, &expired));
    let left: Vec<bool> = unnamed.iter().map(|digest| there(Shelf::Policies, digest)).collect();
    assert_eq!(left, [true, false, false, false, false, false, false, true, true], "the latest two stay");
    // The first is the latest again, and so one of the latest two is not any more.
    assert_eq!(retention.sweep(600, (before, now), |_| Ok(())).unwrap(), 1);
    retention.sweep(600, (before, now), |_| panic!("there is nothing more to record")).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever the size, and however it was pruned, the tree is whole and what is left can be read.
    #[test]
    fn any_pruning_leaves_the_tree_whole(entries in 1_usize..1400, taken in prop::collection::vec(0_u64..1400, 1..4)) {
        let (home, retention) = home(entries);
        let size = u64::try_from(entries).unwrap();
        let before = head(&home);
        for position in taken {
            fs::write(home.path().join("export-x"), format!("{position}\n")).unwrap();
            let first = retention.first().unwrap();
            let plan = prune(&retention, size);
            prop_assert_eq!(plan.end, first.max(position.min(size) / 256 * 256));
            check(&home, plan.end);
        }
        prop_assert_eq!(head(&home), before);
    }
}
