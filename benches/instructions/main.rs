//! How many instructions the hot path of a decision takes, counted by valgrind, against the figures in `baseline.txt`, which
//! `make instructions-baseline` takes down: `make instructions`. Unlike time, the number hardly depends on the machine, so it can fail a build.
//!
//! Each part runs in a process of its own, and only what its rounds take is counted: loading the policies takes many
//! times that, and never the same.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::panic, reason = "a program of its own, for people")]

mod hot_path;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How many rounds are counted.
const ROUNDS: u64 = 1_000;
/// By how much a part may differ from its baseline, in percent. Hash tables are seeded anew in each process.
const TOLERANCE: u64 = 4;
/// The same of a part that goes through the cache, which tidies up by the clock.
const TOLERANCE_OF_CACHE: u64 = 30;

/// As in the binary.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match &arguments[..] {
        ["run", part, rounds] => hot_path::run(part, rounds.parse().unwrap()),
        // `cargo test --benches` runs this too, to see that it works; `cargo bench` passes `--bench`.
        given if given.contains(&"--bench") => compare(given.contains(&"--save")),
        _ => hot_path::PARTS.iter().for_each(|part| hot_path::run(part, 3)),
    }
}

fn compare(save: bool) {
    let counted: BTreeMap<String, u64> = hot_path::PARTS
        .iter()
        .map(|part| ((*part).to_owned(), counted(part) / ROUNDS))
        .collect();
    if save {
        let lines: Vec<_> = counted.iter().map(|(part, count)| format!("{part} {count}")).collect();
        std::fs::write(baseline(), lines.join("\n") + "\n").unwrap();
    }
    let owed = std::fs::read_to_string(baseline()).unwrap();
    let owed: BTreeMap<_, u64> = owed
        .lines()
        .map(|line| line.split_once(' ').map(|(part, count)| (part, count.parse().unwrap())).unwrap())
        .collect();
    println!("{:<28} {:>10} {:>10}   instructions a round", "part", "now", "baseline");
    let mut worse = Vec::new();
    for (part, count) in &counted {
        let before = owed.get(part.as_str()).copied().unwrap_or(0);
        println!("{part:<28} {count:>10} {before:>10}");
        let tolerance =
            if part.starts_with("cached") || part.starts_with("again") { TOLERANCE_OF_CACHE } else { TOLERANCE };
        if count * 100 > before * (100 + tolerance) {
            worse.push(part);
        }
        if count * (100 + tolerance) < before * 100 {
            println!("  fewer than before: `make instructions-baseline` takes that down");
        }
    }
    assert!(worse.is_empty(), "more instructions than the baseline allows: {worse:?}");
}

fn baseline() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions/baseline.txt")
}

/// How many instructions the rounds of a part took.
fn counted(part: &str) -> u64 {
    let mut command = Command::new("valgrind");
    let rounds = format!("--toggle-collect=*{}*", hot_path::COUNTED);
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", &rounds]);
    command.arg(std::env::current_exe().unwrap()).args(["run", part, &ROUNDS.to_string()]);
    let output = command.output().unwrap_or_else(|error| panic!("valgrind: {error}"));
    let told = String::from_utf8_lossy(&output.stderr);
    let count = told.lines().find_map(|line| line.split_once("Collected :")).map(|(_, count)| count.trim());
    assert!(output.status.success(), "{told}");
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no count in: {told}"))
}
