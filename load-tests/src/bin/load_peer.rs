//! `load-peer`: the servers that Portcullis is measured against, and the service behind the Envoys.

#![expect(clippy::print_stderr, reason = "a program of its own, for people")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use load_tests::Failure;
use load_tests::address::Address;
use load_tests::peer::{AlwaysAllow, PlainCedar, serve, serve_service};

// The same as Portcullis's, so that no difference is the allocator's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Servers to measure against.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where: unix:PATH, or tcp:IP:PORT on the loopback interface.
    #[arg(long)]
    listen: Address,
    #[command(subcommand)]
    peer: Peer,
}

#[derive(Debug, Subcommand)]
enum Peer {
    /// A bare tonic server that says yes to every Check.
    AlwaysAllow,
    /// The same deciding with the cedar-policy crate.
    PlainCedar {
        /// The policy directory.
        #[arg(long)]
        policies: PathBuf,
    },
    /// A service that answers every request over HTTP/2 with 200.
    Service,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(70)
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new("starting a runtime", error))?;
    match &arguments.peer {
        Peer::AlwaysAllow => runtime.block_on(serve(&arguments.listen, AlwaysAllow)),
        Peer::PlainCedar { policies } => runtime.block_on(serve(&arguments.listen, PlainCedar::load(policies)?)),
        Peer::Service => runtime.block_on(serve_service(&arguments.listen)),
    }
}
