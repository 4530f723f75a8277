//! What it costs to append an entry to a tree: `cargo bench -p portcullis-tlog`.
//!
//! A leaf and an inner node are hashed for each entry. The floor is what SHA-256 itself takes for so many bytes, through
//! the same library in the same run. Machines differ and are noisy: read the ratios.

#![expect(clippy::print_stdout, reason = "a program of its own, for people")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use portcullis_tlog::{Frontier, Hash, bundle, leaf_hash, node_hash};

/// The size of an entry in bytes: about that of a decision.
const ENTRY: usize = 500;
/// What is hashed for an inner node: a prefix and two hashes, which takes two compressions.
const NODE: [u8; 65] = [1; 65];

fn main() {
    // `cargo test --benches` runs this too, to see that it works; `cargo bench` passes `--bench`.
    let in_earnest = std::env::args().any(|argument| argument == "--bench");
    let (turns, times) = if in_earnest { (7, 1_000_000) } else { (1, 2_000) };
    let entry = vec![b'x'; ENTRY];
    let leaf = leaf_hash(&entry);

    let sha_node = best(turns, times, |_| black_box(digest(&SHA256, black_box(&NODE))));
    let node = best(turns, times, |_| black_box(node_hash(black_box(&leaf), &leaf)));
    let mut frontier = Frontier::new();
    let appended = best(turns, times, |_| append(&mut frontier, leaf));
    let prefixed = vec![0; ENTRY + 1];
    let sha_leaf = best(turns, times, |_| black_box(digest(&SHA256, black_box(&prefixed))));
    let hash = best(turns, times, |_| black_box(leaf_hash(black_box(&entry))));
    let (mut tree, mut bytes) = (Frontier::new(), Vec::new());
    let whole = best(turns, times, |turn| {
        if turn % 256 == 0 {
            bytes.clear();
        }
        let pushed = bundle::push(&mut bytes, black_box(&entry));
        append(&mut tree, leaf_hash(&entry));
        pushed.is_ok()
    });

    println!("nanoseconds each, the best of {turns} turns of {times}:");
    row("an inner node", node, "SHA-256 of 65 bytes", sha_node);
    row("append a leaf hash", appended, "SHA-256 of 65 bytes", sha_node);
    row("leaf hash of 500 bytes", hash, "SHA-256 of 501 bytes", sha_leaf);
    row("an entry: bundle, leaf, append", whole, "both SHA-256", sha_leaf + sha_node);
    println!("  {:.0} entries a second on one core", 1e9 / whole);
}

fn append(frontier: &mut Frontier, leaf: Hash) {
    frontier.append(leaf, |grown| {
        black_box(grown);
    });
}

fn row(name: &str, nanos: f64, floor: &str, floor_nanos: f64) {
    println!("  {name:32} {nanos:7.1}   {floor:22} {floor_nanos:7.1}   {:.2} of it", nanos / floor_nanos);
}

/// Nanoseconds of one run, the best of some turns.
fn best<T>(turns: u32, times: u32, mut run: impl FnMut(u32) -> T) -> f64 {
    let turn = |_| {
        let started = now();
        for time in 0..times {
            black_box(run(time));
        }
        started.elapsed()
    };
    let best: Duration = (0..turns).map(turn).min().unwrap_or_default();
    best.as_secs_f64() * 1e9 / f64::from(times)
}

#[expect(clippy::disallowed_methods, reason = "a bench measures the machine's own time")]
fn now() -> Instant {
    Instant::now()
}
