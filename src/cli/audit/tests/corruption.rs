//! Every byte of every file of a log is changed, one at a time, and each time someone says so: `audit verify`, or the gateway when it
//! opens the log.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::app::evidence::KEY_FILE;
use crate::evidence::log::{Archive, Hold, Retention, Shelf};

/// The bits that are turned in each byte.
const CHANGES: [u8; 3] = [0x01, 0x20, 0x80];

/// Who says that a file was changed.
#[derive(Debug)]
enum Told {
    /// `audit verify`.
    ByVerifying,
    /// The gateway, which does not start.
    ByStarting,
    /// The gateway, which starts, counts what it cut off, and has all of it in the tree. What is damaged in the last batch of the journal
    /// looks like what a crash leaves; anywhere else it refuses.
    ByCounting,
    /// Nobody, because it proves nothing.
    No(&'static str),
}

impl Told {
    /// That of a file, by its name below the log's directory. A kind that is not known here is none to be passed over.
    fn of(path: &Path) -> Self {
        let name = path.to_str().unwrap();
        match name.split('/').next().unwrap() {
            "tile"
            | "checkpoint"
            | "checkpoint.witnessed"
            | "verifier"
            | "policies"
            | "entities"
            | "certificates"
            | "configurations" => Self::ByVerifying,
            "key" => Self::ByStarting,
            "journal" => Self::ByCounting,
            "holds" => Self::No("it says what is to be kept from now on, and no record depends on it"),
            "export-siem" => Self::No("it says what a sink has got, which the sink knows better"),
            _ => panic!("what of `{name}`?"),
        }
    }
}

/// Starts the gateway's log, and says how many bytes it cut off.
fn start(home: &Path) -> Result<u64, String> {
    let log = home.join("log");
    let key = LogKey::load_or_create(&log.join(KEY_FILE), &SystemEntropy::new()).map_err(|error| error.to_string())?;
    let config = LogConfig {
        directory: log,
        origin: ORIGIN.to_owned(),
        writer: Writer { gateway: "gate".into(), config: Digest::of(b"") },
        queue: NonZeroUsize::MIN,
        durability: Durability::Group,
        unavailable: Unavailable::Refuse,
        sync_every: Duration::from_millis(20),
        checkpoint_every: Duration::from_millis(5),
    };
    let mut registry = Registry::default();
    let metrics = LogMetrics::new(&mut registry);
    let opened = Log::open(config, &key, Arc::new(SystemClock::new()), Readiness::default(), metrics);
    let (log, keeper) = opened.map_err(|error| error.to_string())?;
    // What was cut off at the start is counted with the first batch.
    drop(log.append(Record::Decision(&decision(&mut Dice(9)))).unwrap());
    keeper.finish(Duration::from_mins(1)).unwrap();
    let mut counted = String::new();
    prometheus_client::encoding::text::encode(&mut counted, &registry).unwrap();
    let torn = counted.lines().find_map(|line| line.strip_prefix("portcullis_audit_torn_bytes_total "));
    Ok(torn.unwrap().parse().unwrap())
}

fn verify(home: &Path) -> Result<String, String> {
    said(AuditCommand::Verify { log: log(home), since: None })
}

/// All files below a directory that have anything in them, without the narrower forms of tiles: whoever holds the checkpoint of their time
/// holds them against that, and the widest has all that is in them.
fn files(root: &Path, below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let entry = entry.unwrap();
        let path = below.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(root, &path));
        } else if entry.metadata().unwrap().len() > 0 {
            found.push(path);
        }
    }
    if below.extension().is_some_and(|extension| extension == "p") {
        found.sort_by_key(|path| path.file_name().unwrap().to_str().unwrap().parse::<u16>().unwrap());
        found = found.pop().into_iter().collect();
    }
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A log with everything that can lie in its directory, as small as can be.
fn small_log(home: &Path) {
    // The journal has two batches.
    write(home, &mut Dice(1), 1);
    write(home, &mut Dice(2), 1);
    fs::rename(home.join("key"), home.join("log").join(KEY_FILE)).unwrap();
    let directory = home.join("log");
    let archive = Archive::new(&directory);
    for shelf in Shelf::ALL {
        archive.keep(shelf, b"a thing that is kept").unwrap();
    }
    let checkpoints = Checkpoints::of(&directory);
    checkpoints.keep_witnessed(&checkpoints.latest().unwrap().unwrap()).unwrap();
    Retention::of(&directory).hold(Hold { name: "case-17".into(), from: 0, reason: "a court".into() }).unwrap();
    fs::write(directory.join("export-siem"), "2\n").unwrap();
}

#[test]
fn no_byte_of_a_log_can_be_changed_without_someone_saying_so() {
    let home = tempfile::tempdir().unwrap();
    small_log(home.path());
    let (directory, kept) = (home.path().join("log"), home.path().join("kept"));
    verify(home.path()).unwrap();
    let files = files(&directory, Path::new(""));
    assert!(files.len() >= 11, "{files:?}");
    copy(&directory, &kept);
    for path in files {
        let whole = fs::read(kept.join(&path)).unwrap();
        let told = Told::of(&path);
        // To start it takes a while.
        let masks = if matches!(told, Told::ByCounting) { &CHANGES[..1] } else { &CHANGES[..] };
        for (place, mask) in (0..whole.len()).flat_map(|place| masks.iter().map(move |mask| (place, mask))) {
            let mut changed = whole.clone();
            changed[place] ^= mask;
            fs::write(directory.join(&path), &changed).unwrap();
            let what = format!("{}, byte {place}, {mask:#04x}", path.display());
            match &told {
                Told::ByVerifying => drop(verify(home.path()).expect_err(&what)),
                Told::ByStarting => drop(start(home.path()).expect_err(&what)),
                Told::ByCounting => {
                    if let Ok(torn) = start(home.path()) {
                        assert!(torn > 0, "{what}");
                        let verified = verify(home.path()).expect(&what);
                        assert!(verified.contains("3 entries"), "{what}: {verified}");
                    }
                    fs::remove_dir_all(&directory).unwrap();
                    copy(&kept, &directory);
                }
                Told::No(why) => assert!(verify(home.path()).is_ok(), "{what}: {why}"),
            }
        }
        fs::write(directory.join(&path), &whole).unwrap();
    }
    verify(home.path()).unwrap();
}

/// Where entries begin can't be put off or brought forward by a change of the file that says it.
#[test]
fn no_byte_of_the_beginning_of_a_log_can_be_changed_without_someone_saying_so() {
    let home = tempfile::tempdir().unwrap();
    write(home.path(), &mut Dice(1), 600);
    fs::rename(home.path().join("key"), home.path().join("log").join(KEY_FILE)).unwrap();
    let before = "2100-01-01T00:00:00Z".to_owned();
    said(AuditCommand::Prune { log: log(home.path()), before, dry_run: false }).unwrap();
    assert!(verify(home.path()).unwrap().contains("0 to 511 were taken out"));
    let path = home.path().join("log/pruned");
    let whole = fs::read(&path).unwrap();
    assert_eq!(whole, b"512\n");
    for (place, bit) in (0..whole.len()).flat_map(|place| (0..8).map(move |bit| (place, bit))) {
        let mut changed = whole.clone();
        changed[place] ^= 1 << bit;
        fs::write(&path, &changed).unwrap();
        verify(home.path()).expect_err(&format!("byte {place}, bit {bit}"));
    }
}
