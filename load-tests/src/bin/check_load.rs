//! `check-load`: asks a server and prints, as one JSON object, how fast it answered and what that cost it.
//!
//! It ends with 0 only if every answer was the right one.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program of its own, for the driver and for people")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use load_tests::Failure;
use load_tests::address::Address;
use load_tests::client::Identity;
use load_tests::load::{Pace, Plan, Report, run};
use load_tests::question::Questions;
use load_tests::wire::Wire;
use tokio::task::LocalSet;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Asks a server over HTTP/2, checks every answer, and says how fast they came and what they cost.
#[derive(Debug, Parser)]
struct Arguments {
    /// Whom: unix:PATH, or tcp:IP:PORT on the loopback interface.
    #[arg(long)]
    address: Address,
    /// In which format.
    #[arg(long, value_enum)]
    wire: Wire,
    /// The file of questions.
    #[arg(long)]
    questions: PathBuf,
    /// Over how many connections.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Closed loop: askers on each connection.
    #[arg(long, default_value_t = 16)]
    streams: usize,
    /// Open loop: questions a second in place of as many as can be answered.
    #[arg(long)]
    rate: Option<f64>,
    /// Never ask for the same thing twice; ids begin here.
    #[arg(long)]
    first_item: Option<u64>,
    /// Seconds before it counts.
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// Seconds that count.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// A process whose use of the machine is told. May be repeated.
    #[arg(long = "server-pid")]
    servers: Vec<u32>,
    /// mTLS with the SVID in this directory.
    #[arg(long, requires = "server_name")]
    identity: Option<PathBuf>,
    /// A DNS name in the server's certificate.
    #[arg(long)]
    server_name: Option<String>,
    /// All questions are to be answered with yes, for a server that does nothing else.
    #[arg(long)]
    all_allowed: bool,
}

fn main() -> ExitCode {
    match measure(Arguments::parse()) {
        Ok(report) => {
            let right = report.wrong == 0 && report.errors == 0;
            println!("{}", serde_json::to_string(&report).unwrap_or_default());
            if right { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(70)
        }
    }
}

fn measure(arguments: Arguments) -> Result<Report, Failure> {
    let mut asked = Questions::load(&arguments.questions)?;
    if arguments.all_allowed {
        asked.questions.iter_mut().for_each(|question| question.allow = true);
    }
    let seconds = |seconds: f64| {
        Duration::try_from_secs_f64(seconds).map_err(|error| Failure::new(format_args!("{seconds} s"), error))
    };
    let plan = Plan {
        address: arguments.address,
        identity: arguments
            .identity
            .zip(arguments.server_name)
            .map(|(directory, server_name)| Identity { directory, server_name }),
        wire: arguments.wire,
        connections: arguments.connections,
        pace: arguments.rate.map_or(Pace::Closed { streams: arguments.streams }, |rate| Pace::Open { rate }),
        first_item: arguments.first_item,
        warm_up: seconds(arguments.warm_up)?,
        duration: seconds(arguments.seconds)?,
        servers: arguments.servers,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new("starting a runtime", error))?;
    LocalSet::new().block_on(&runtime, run(&plan, &asked))
}
