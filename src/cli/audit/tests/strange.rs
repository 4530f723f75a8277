//! What is no file, or has no end, in the place of a part of a log: it is refused and named, and holds up nobody.

use std::fs::{self, File};
use std::os::unix::fs::symlink;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;
use crate::app::evidence::KEY_FILE;
use crate::evidence::log::{Archive, Shelf};

/// Puts something in the place of a file.
type Put = fn(&Path);

const STRANGE: [(&str, Put); 5] = [
    ("not a regular file", |path| mkfifo(path, Mode::S_IRWXU).unwrap()),
    ("not a regular file", |path| fs::create_dir(path).unwrap()),
    ("not a regular file", |path| symlink("/dev/zero", path).unwrap()),
    ("Too many levels", |path| symlink(path.file_name().unwrap(), path).unwrap()),
    // A terabyte that takes up no room.
    ("it has more than", |path| File::create(path).unwrap().set_len(1 << 40).unwrap()),
];

#[test]
fn what_is_no_file_or_has_no_end_is_refused_by_name() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), &mut Dice(1), 300);
    let log_directory = home.path().join("log");
    Archive::new(&log_directory).keep(Shelf::Policies, b"permit").unwrap();
    let policy = format!("policies/{}", Digest::of(b"permit"));
    let verify = || said(AuditCommand::Verify { log: log(home.path()), since: None });
    let whole = verify().unwrap();
    for part in ["checkpoint", "tile/0/000", "tile/entries/000", &policy, "verifier"] {
        let (path, aside) = (log_directory.join(part), home.path().join("aside"));
        fs::rename(&path, &aside).unwrap();
        for (why, put) in STRANGE {
            // What is named by hand may come through a pipe.
            if part == "verifier" && why == "not a regular file" {
                continue;
            }
            put(&path);
            let told = verify().unwrap_err();
            assert!(told.contains(part) && told.contains(why), "{part}: {told}");
            if path.is_dir() { fs::remove_dir(&path).unwrap() } else { fs::remove_file(&path).unwrap() }
        }
        fs::rename(&aside, &path).unwrap();
        assert_eq!(verify().unwrap(), whole);
    }
}

/// Somebody took away what decisions are explained by: the log still holds, and it is told.
#[test]
fn what_entries_name_and_what_is_gone_is_told() {
    let home = tempfile::tempdir().unwrap();
    let archive = Archive::new(&home.path().join("log"));
    let (set, other) = (Digest::of(b"permit"), Digest::of(b"forbid"));
    let (log_side, keeper) = open(home.path());
    for policy_digest in [set, other].repeat(150) {
        let record = DecisionRecord { policy_digest: Some(policy_digest), ..decision(&mut Dice(1)) };
        drop(log_side.append(Record::Decision(&record)).unwrap());
    }
    keeper.finish(Duration::from_mins(1)).unwrap();
    let verify = || said(AuditCommand::Verify { log: log(home.path()), since: None }).unwrap();
    assert!(!verify().contains("can't be explained"), "a copy without any is one that leaves them out");
    archive.keep(Shelf::Policies, b"permit").unwrap();
    assert!(verify().contains(&format!("can't be explained in full: policies/{other}\n")), "{}", verify());
    archive.keep(Shelf::Policies, b"forbid").unwrap();
    assert!(!verify().contains("can't be explained"));
    archive.keep(Shelf::Configurations, b"another").unwrap();
    assert!(verify().contains(&format!("can't be explained in full: configurations/{}\n", Digest::of(b""))));
    archive.keep(Shelf::Configurations, b"").unwrap();
    // A command's record names no configuration.
    fs::rename(home.path().join("key"), home.path().join("log").join(KEY_FILE)).unwrap();
    let (log, before) = (log(home.path()), "2100-01-01T00:00:00Z".to_owned());
    said(AuditCommand::Prune { log, before, dry_run: false }).unwrap();
    let whole = verify();
    assert!(whole.contains(": 301 entries") && !whole.contains("can't be explained"), "{whole}");
}

/// Keys and receipts are what others hand out.
#[test]
fn what_is_handed_in_has_an_end() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), &mut Dice(1), 1);
    let key = fs::read_to_string(home.path().join("log").join(VERIFIER_FILE)).unwrap();
    let verify = |receipt: &str, key: &str| {
        let trust = TrustArgs { key: Some(key.to_owned()), trust_policy: None };
        said(AuditCommand::VerifyReceipt { receipt: receipt.into(), trust }).unwrap_err()
    };
    assert!(verify("/dev/zero", &key).contains("it has more than"));
    assert!(verify("/dev/null", "/dev/zero").contains("it has more than"));
    assert!(verify("/dev/null", &key).contains("a proof begins with"));
    let damaged = key.replacen('+', "+0", 1);
    assert!(verify("/dev/null", &damaged).contains("verifier key"), "{}", verify("/dev/null", &damaged));
}
