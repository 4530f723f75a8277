//! What it costs to record decisions: `cargo bench --bench audit`.
//!
//! First how long a `strict` answer waits, beside what one sync takes on the same disk. Then Checks over the wire, and the same
//! decisions by plain evaluation of a hundred policies with no wire around them, 64 at a time, in turns: with no record; with a
//! record in the audit log that answers don't wait for (`group`); with one that they wait for (`strict`); and with a row in SQLite
//! for each, one after another, as programs do that record in a database. Machines differ, and disks more: read the ratios.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a program of its own, for people"
)]

mod checks;
mod decisions;
#[path = "../checks/load.rs"]
mod load;
#[path = "../checks/peers.rs"]
#[expect(dead_code, reason = "the other bench needs more of it")]
mod peers;
#[path = "../checks/question.rs"]
mod question;
mod recorder;
mod sql;
mod waits;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use portcullis::evidence::Audit;
use tokio::task::JoinSet;

use self::decisions::Decisions;
use self::recorder::{COMPARED, PLACES, Recorder, record};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Decisions at the same time.
const AT_ONCE: u64 = 64;

/// The one that the others are held against: what programs do that record in a database.
const DATABASE: usize = 3;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, serve, place, authority, socket] = &arguments[..]
        && serve == "serve"
    {
        return checks::serve(place, Path::new(authority), Path::new(socket)).await;
    }
    // `cargo test --benches` runs this too, to see that it works; `cargo bench` passes `--bench`.
    if arguments.iter().any(|argument| argument == "--bench") {
        let _kept = waits::measure(5, 24_000).await;
        checks::measure(9, 100_000).await;
        bare(5, 200_000, 2_000).await;
    } else {
        let _kept = waits::measure(1, 768).await;
        checks::measure(1, 1_280).await;
        bare(1, 640, 64).await;
    }
}

/// Decisions with no wire around them: `many` where answers don't wait for their records, and `few` where they do.
async fn bare(rounds: usize, many: u64, few: u64) {
    let decisions = Arc::new(Decisions::new());
    let directory = tempfile::tempdir().unwrap();
    let mut recorders = Vec::new();
    for ((place, name), count) in PLACES.into_iter().zip([many, many, few * 4, few * 4, few]) {
        recorders.push((name, count, Recorder::start(place, directory.path()).await));
    }
    let mut measured: Vec<Vec<f64>> = vec![Vec::new(); recorders.len()];
    for (recorders, measured) in recorders.chunks(COMPARED).zip(measured.chunks_mut(COMPARED)) {
        for _ in 0..rounds {
            for ((_, count, recorder), rates) in recorders.iter().zip(&mut *measured) {
                rates.push(rate(&decisions, &recorder.audit, *count).await);
            }
        }
    }
    let rates: Vec<f64> = measured.into_iter().map(median).collect();
    let (without, database) = (rates[0], rates[DATABASE]);
    println!(
        "\n| bare decisions, recorded in | a second, median of {rounds} | of those without | of a row each |\n|---|---|---|---|"
    );
    for ((name, _, _), rate) in recorders.iter().zip(&rates) {
        println!("| {name} | {rate:.0} | {:.3} | {:.1} |", rate / without, rate / database);
    }
    for (_, _, recorder) in recorders {
        recorder.finish();
    }
}

/// Decisions a second.
#[expect(clippy::disallowed_methods, reason = "a bench measures the machine's own time")]
async fn rate(decisions: &Arc<Decisions>, audit: &Arc<dyn Audit>, count: u64) -> f64 {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (decisions, audit) = (Arc::clone(decisions), Arc::clone(audit));
        tasks.spawn(async move {
            for _ in 0..count / AT_ONCE {
                record(&*audit, &decisions.decide()).await;
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
