//! What it costs to append an entry to a tree: `cargo bench -p portcullis-tlog`.
//!
//! A leaf and an inner node are hashed for each entry. The floor is what SHA-256 itself takes for so many bytes, through
//! the same library in the same run. Machines differ and are noisy: read the ratios.

#![expect(clippy::print_stdout, reason = "a program of its own, for people")]

use std::hint::black_box;
use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};
use portcullis_tlog::{Frontier, Hash, bundle, leaf_hash, node_hash};

/// The size of an entry in bytes: about that of a decision.
const ENTRY: usize = 500;
/// What is hashed for an inner node: a prefix and two hashes, which takes two compressions.
const NODE: [u8; 65] = [1; 65];

fn main() {
    // `cargo test --benches` runs this too, to see that it works; `cargo bench` passes `--bench`.
    let in_earnest = std::env::args().any(|argument| argument == "--bench");
    let (turns, times) = if in_earnest { (15, 200_000) } else { (1, 2_000) };
    let entry = vec![b'x'; ENTRY];
    let prefixed = vec![0; ENTRY + 1];
    let leaf = leaf_hash(&entry);
    let (mut small, mut tree, mut bytes) = (Frontier::new(), Frontier::new(), Vec::new());
    let mut best = [f64::INFINITY; 6];
    // All of them in every turn, so that a noisy minute of the machine touches all.
    for _ in 0..turns {
        let measured = [
            nanos(times, |_| black_box(digest(&SHA256, black_box(&NODE)))),
            nanos(times, |_| black_box(digest(&SHA256, black_box(&prefixed)))),
            nanos(times, |_| black_box(node_hash(black_box(&leaf), &leaf))),
            nanos(times, |_| black_box(leaf_hash(black_box(&entry)))),
            nanos(times, |_| append(&mut small, leaf)),
            nanos(times, |time| append_entry(&mut tree, &mut bytes, &entry, time)),
        ];
        for (best, nanos) in best.iter_mut().zip(measured) {
            *best = best.min(nanos);
        }
    }
    let [sha_node, sha_leaf, node, hash, appended, whole] = best;
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

/// As a log does with each of its entries.
fn append_entry(tree: &mut Frontier, bytes: &mut Vec<u8>, entry: &[u8], time: u32) -> bool {
    if time.is_multiple_of(256) {
        bytes.clear();
    }
    append(tree, leaf_hash(black_box(entry)));
    bundle::push(bytes, entry).is_ok()
}

fn row(name: &str, nanos: f64, floor: &str, floor_nanos: f64) {
    println!("  {name:32} {nanos:7.1}   {floor:22} {floor_nanos:7.1}   {:.2} of it", nanos / floor_nanos);
}

/// Nanoseconds of one run.
fn nanos<T>(times: u32, mut run: impl FnMut(u32) -> T) -> f64 {
    let started = now();
    for time in 0..times {
        black_box(run(time));
    }
    started.elapsed().as_secs_f64() * 1e9 / f64::from(times)
}

#[expect(clippy::disallowed_methods, reason = "a bench measures the machine's own time")]
fn now() -> Instant {
    Instant::now()
}
