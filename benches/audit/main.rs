//! What it costs to record decisions: `cargo bench --bench audit`.
//!
//! The same decisions, by plain evaluation of a hundred policies, 64 at a time, in turns: with no record; with a record in the
//! audit log that answers don't wait for (`group`); with one that they wait for (`strict`); and with a row in SQLite for each,
//! written under a mutex, as programs do that record in a database. Then how long a `strict` answer waits, beside what one sync
//! takes on the same disk. Machines differ, and disks more: read the ratios.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a program of its own, for people"
)]

mod decisions;
mod recorder;
mod waits;

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;

use self::decisions::Decisions;
use self::recorder::Recorder;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Decisions at the same time.
const AT_ONCE: u64 = 64;

/// At most this much less than without a record, in `group`.
const LIMIT: f64 = 0.9;

/// The one that the others are held against: what programs do that record in a database.
const DATABASE: usize = 3;

#[tokio::main]
async fn main() {
    // `cargo test --benches` runs this too, to see that it works; `cargo bench` passes `--bench`.
    let in_earnest = std::env::args().any(|argument| argument == "--bench");
    let (rounds, many, few) = if in_earnest { (5, 200_000, 2_000) } else { (1, 640, 64) };
    let decisions = Arc::new(Decisions::new());
    let directory = tempfile::tempdir().unwrap();
    let recorders = [
        ("none", many, Recorder::none()),
        ("the audit log, group", many, Recorder::group(directory.path())),
        ("the audit log, strict", few * 4, Recorder::strict(directory.path())),
        ("SQLite in WAL mode, a row each under a mutex", few * 4, Recorder::sql(directory.path(), true).await),
        ("SQLite as it is, a row each under a mutex", few, Recorder::sql(directory.path(), false).await),
    ];
    let mut measured: Vec<Vec<f64>> = vec![Vec::new(); recorders.len()];
    let mut waits = waits::Waits::default();
    for _ in 0..rounds {
        for ((_, count, recorder), rates) in recorders.iter().zip(&mut measured) {
            rates.push(rate(&decisions, recorder, *count).await);
        }
        waits.measure(&decisions, &recorders[2].2, directory.path(), few).await;
    }
    println!(
        "\n| record | decisions a second, median of {rounds} | of those without a record | of a row each |\n|---|---|---|---|"
    );
    let rates: Vec<f64> = measured.into_iter().map(median).collect();
    let (without, database) = (rates[0], rates[DATABASE]);
    for ((name, _, _), rate) in recorders.iter().zip(&rates) {
        println!("| {name} | {rate:.0} | {:.3} | {:.1} |", rate / without, rate / database);
    }
    waits.print();
    for (_, _, recorder) in recorders {
        recorder.finish();
    }
    if in_earnest {
        let share = rates.get(1).copied().unwrap_or_default() / without;
        println!("\n`group` keeps {:.0} % (goal: {:.0} %)", share * 100.0, LIMIT * 100.0);
    }
}

/// Decisions a second.
#[expect(clippy::disallowed_methods, reason = "a bench measures the machine's own time")]
async fn rate(decisions: &Arc<Decisions>, recorder: &Recorder, count: u64) -> f64 {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (decisions, recorder) = (Arc::clone(decisions), recorder.clone());
        tasks.spawn(async move {
            for _ in 0..count / AT_ONCE {
                recorder.record(&decisions.decide()).await;
                tokio::task::yield_now().await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let made = u32::try_from(count / AT_ONCE * AT_ONCE).unwrap();
    f64::from(made) / start.elapsed().as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}
