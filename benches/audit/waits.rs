//! How long a `strict` answer waits for its record, and how long the disk takes for one sync. This comes before anything is recorded
//! in SQLite, which makes and deletes a file for each row: where the file system tells the disk of what was deleted, the disk
//! has that to do for seconds after.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::evidence::Audit;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::AT_ONCE;
use super::decisions::Decisions;
use super::recorder::{Recorder, record};

/// What is written before each sync, in bytes: about what the records of [`AT_ONCE`] answers have.
const BATCH: usize = 32 << 10;

/// At most so many times what a sync takes, at the 99th percentile.
const LIMIT: f64 = 3.0;

/// For so many answers one sync is measured alone.
const ANSWERS: u64 = 12;

/// In turns: syncs with nothing else on the disk, and `count` answers, as many at a time as there are. The directory is to be kept until
/// all is measured: a file system that has just deleted many files is slow to make others.
pub(crate) async fn measure(rounds: usize, count: u64) -> TempDir {
    let (decisions, directory) = (Arc::new(Decisions::new()), tempfile::tempdir().unwrap());
    let strict = Recorder::start("strict", directory.path()).await;
    // The journal's first file has no room that was made beforehand, and all that follow have.
    answers(&decisions, &strict.audit, count * 2).await;
    let (mut waits, mut alone) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        alone.extend(syncs(directory.path(), count / ANSWERS));
        waits.extend(answers(&decisions, &strict.audit, count).await);
    }
    strict.finish();
    let (waits, alone) = (Percentiles::of(waits), Percentiles::of(alone));
    println!("\n| | p50 | p99 |\n|---|---|---|");
    println!("| a `strict` answer waits for its record, {AT_ONCE} at a time | {waits} |");
    println!("| one write of {} KiB and its sync on the same disk, alone | {alone} |", BATCH >> 10);
    println!("\nat p99 `strict` takes {:.1} syncs (goal: {LIMIT:.0})", waits.p99 / alone.p99);
    directory
}

/// In milliseconds.
struct Percentiles {
    p50: f64,
    p99: f64,
}

impl Percentiles {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        let at =
            |hundredths: usize| times[(times.len() * hundredths / 100).min(times.len() - 1)].as_secs_f64() * 1000.0;
        Self { p50: at(50), p99: at(99) }
    }
}

impl std::fmt::Display for Percentiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ms | {:.2} ms", self.p50, self.p99)
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench measures the machine's own time")]
async fn answers(decisions: &Arc<Decisions>, strict: &Arc<dyn Audit>, count: u64) -> Vec<Duration> {
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (decisions, strict) = (Arc::clone(decisions), Arc::clone(strict));
        tasks.spawn(async move {
            let mut times = Vec::new();
            for _ in 0..count / AT_ONCE {
                let decided = decisions.decide();
                let start = Instant::now();
                record(&*strict, &decided).await;
                times.push(start.elapsed());
            }
            times
        });
    }
    tasks.join_all().await.concat()
}

#[expect(clippy::disallowed_methods, reason = "a bench measures the machine's own time")]
fn syncs(directory: &Path, count: u64) -> Vec<Duration> {
    let mut file = File::options().create(true).append(true).open(directory.join("syncs")).unwrap();
    let batch = vec![7; BATCH];
    let sync = |_| {
        let start = Instant::now();
        file.write_all(&batch).unwrap();
        file.sync_data().unwrap();
        start.elapsed()
    };
    (0..count).map(sync).collect()
}
