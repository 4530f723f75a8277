//! What a million entities cost: memory, loading, changing one. Beside Cedar's own `Entities`, which is what a policy engine
//! holds otherwise, at a size that it can bear. Each measurement is a process of its own, so that memory is its own too.
//!
//! `cargo bench --bench entities`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program of its own, for people")]

mod cedar;
mod ours;
mod population;
mod stopwatch;

use std::process::Command;

use self::stopwatch::Figures;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Before what a child process measures: `ours` or `cedar`, and how many entities.
const PART: &str = "--part";

/// How much memory a million entities may take, in bytes.
const MEMORY_LIMIT: f64 = 1e9;

/// How long a change may take to be visible, in milliseconds.
const CHANGE_LIMIT: f64 = 10.0;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [part, who, count] = arguments.as_slice()
        && part == PART
    {
        let count = count.parse().unwrap();
        let figures = if who == "ours" { ours::measure(count) } else { cedar::measure(count) };
        println!("{}", serde_json::to_string(&figures).unwrap());
        return;
    }
    // `cargo test --benches` runs this too, to see that it works; `cargo bench` passes `--bench`.
    let in_earnest = arguments.iter().any(|argument| argument == "--bench");
    let (large, small) = if in_earnest { (1_000_000, 100_000) } else { (2_000, 1_000) };
    let (ours, peer, beside) = (child("ours", large), child("cedar", small), child("ours", small));
    table(&format!("{large} entities"), &ours);
    let limits = [
        ("memory", ours.memory, MEMORY_LIMIT),
        ("memory while loading", ours.peak, MEMORY_LIMIT),
        ("upsert, slowest of 1000, ms", ours.upsert_worst, CHANGE_LIMIT),
        ("delete, slowest of 1000, ms", ours.delete_worst, CHANGE_LIMIT),
        ("moving the topmost group, ms", ours.top, CHANGE_LIMIT),
    ];
    for (what, value, limit) in limits {
        println!("  {what}: {:.3} of its limit", value / limit);
    }
    table(&format!("{small} entities"), &beside);
    table(&format!("{small} entities, Cedar's own `Entities`"), &peer);
    println!("\nCedar / ours, {small} entities");
    println!("  load {:.1}", peer.load / beside.load);
    println!("  memory {:.1}", peer.memory / beside.memory);
    println!("  upsert, median {:.0}", peer.upsert / beside.upsert);
    println!("  delete, median {:.0}", peer.delete / beside.delete);
}

fn child(who: &str, count: usize) -> Figures {
    let mut command = Command::new(std::env::current_exe().unwrap());
    // What is measured is what is held, so the allocator is to give back at once what is not.
    command.args([PART, who, &count.to_string()]).env("MIMALLOC_PURGE_DELAY", "0");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn table(title: &str, figures: &Figures) {
    println!("\n{title}");
    println!("  load from JSON          {:10.2} s", figures.load);
    println!("  memory                  {:10.0} MB", figures.memory / 1e6);
    println!(
        "  memory while loading    {:10.0} MB, of which {:.0} MB the JSON",
        figures.peak / 1e6,
        figures.text / 1e6
    );
    println!("  upsert until visible    {:10.4} ms median, {:.4} ms slowest", figures.upsert, figures.upsert_worst);
    println!("  delete until visible    {:10.4} ms median, {:.4} ms slowest", figures.delete, figures.delete_worst);
    println!("  moving the topmost group{:10.4} ms", figures.top);
}
