//! `hospital`: SAPL's hospital scenario in one process, a line of JSON for each engine and size.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program of its own, for the driver and for people")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use load_tests::hospital::measure;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// SAPL's hospital scenario in one process.
#[derive(Debug, Parser)]
struct Arguments {
    /// An existing directory for what is written.
    #[arg(long)]
    scratch: PathBuf,
    /// Seconds for each engine and size.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How many departments: 33 policies each, and 5.
    #[arg(required = true)]
    departments: Vec<usize>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    for departments in arguments.departments {
        match measure(departments, &arguments.scratch, arguments.seconds) {
            Ok(figures) => {
                for one in figures {
                    println!("{}", serde_json::to_string(&one).unwrap_or_default());
                }
            }
            Err(failure) => {
                eprintln!("{failure}");
                return ExitCode::from(70);
            }
        }
    }
    ExitCode::SUCCESS
}
