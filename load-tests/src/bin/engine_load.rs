//! `engine-load`: engines asked in one process, a line of JSON for each.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program of its own, for the driver and for people")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use load_tests::Failure;
use load_tests::engine::{self, Figures};
use load_tests::question::Questions;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a decision costs in one process, with nothing remembered.
#[derive(Debug, Parser)]
struct Arguments {
    /// Seconds for each engine and size.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// SAPL's hospital: Portcullis's engine and the cedar-policy crate.
    Hospital {
        /// An existing directory for what is written.
        #[arg(long)]
        scratch: PathBuf,
        /// How many departments: 33 policies each, and 5.
        #[arg(required = true)]
        departments: Vec<usize>,
    },
    /// The questions that servers are asked: Portcullis's engine.
    Estate {
        /// A policy directory.
        #[arg(long)]
        policies: PathBuf,
        /// The file of questions.
        #[arg(long)]
        questions: PathBuf,
    },
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
    match &arguments.scenario {
        Scenario::Hospital { scratch, departments } => {
            for departments in departments {
                engine::hospital(*departments, scratch, arguments.seconds)?.iter().for_each(print);
            }
        }
        Scenario::Estate { policies, questions } => {
            print(&engine::estate(policies, &Questions::load(questions)?, arguments.seconds)?);
        }
    }
    Ok(())
}

fn print(figures: &Figures) {
    println!("{}", serde_json::to_string(figures).unwrap_or_default());
}
