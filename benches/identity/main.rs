//! What the identity plane costs, measured on the real binary over its sockets: `make bench`.
//!
//! Each figure stands beside its limit or its peer, since machines differ and are noisy: read the ratios. The client runs
//! on the same cores as the gateway, so what it costs is in every figure.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program of its own, for people")]

mod federation;
mod gateway;
mod propagation;
mod signing;
mod stopwatch;
mod streams;

use self::gateway::Gateway;

#[tokio::main]
async fn main() {
    // `cargo test --benches` runs this too, to see that it works; `cargo bench` passes `--bench`.
    let in_earnest = std::env::args().any(|argument| argument == "--bench");
    let scale = if in_earnest { Scale::EARNEST } else { Scale::TRIAL };
    let gateway = Gateway::start().await;
    println!("signing, {} s each", scale.signing.as_secs_f64());
    signing::run(&gateway, scale.signing).await;
    println!("\nfrom registration to the workload, {} changes", scale.changes);
    propagation::run(&gateway, scale.changes, 0).await;
    propagation::run(&gateway, scale.changes, scale.streams / 2).await;
    println!("\nfrom another domain's bundle to those who go by it, {} changes", scale.changes);
    federation::run(&gateway, scale.changes).await;
    println!("\nmemory of open SDS streams");
    streams::run(scale.streams, 1).await;
    streams::run(scale.streams, 100).await;
}

/// How much is measured.
struct Scale {
    signing: std::time::Duration,
    changes: usize,
    streams: usize,
}

impl Scale {
    const EARNEST: Self = Self { signing: std::time::Duration::from_secs(5), changes: 200, streams: 1000 };
    const TRIAL: Self = Self { signing: std::time::Duration::from_millis(200), changes: 3, streams: 10 };
}
