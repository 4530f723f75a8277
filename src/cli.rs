//! The command line: arguments and environment in, an exit code out. What it says, it says through [`Output`].

mod audit;
mod files;
mod mapping;
mod output;
mod remote;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Termination};

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

pub use output::Output;

use crate::app;
use crate::config::{Loaded, Override, Sources};
use crate::decision::entity;
use crate::decision::policy::PolicySet;
use crate::server::InheritedSockets;

use self::audit::AuditCommand;
use self::mapping::MappingCommand;
use self::remote::{RemoteCommand, with_double_dashes};

/// How the process ends (sysexits.h).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// What was asked for is done.
    Success,
    /// 1: a running gateway refused, or can't be reached; a request that was tried would be denied; a log or a receipt does not hold.
    Refused,
    /// 64, `EX_USAGE`: the command line or the configuration is wrong.
    Usage,
    /// 70, `EX_SOFTWARE`: something failed that the configuration is not to blame for.
    Fault,
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Success => 0,
            Self::Refused => 1,
            Self::Usage => 64,
            Self::Fault => 70,
        })
    }
}

const EXIT_CODES: &str = "\
Exit codes:
   0  done
   1  a running gateway refused, or can't be reached; a request that was tried would be denied;
      a log or a receipt does not hold
  64  the command line or the configuration is wrong
  70  anything else went wrong";

/// The gate beside an Envoy.
///
/// Portcullis gives every workload a SPIFFE identity, hands it to Envoy over SDS, answers Envoy's `ext_authz` questions
/// and AuthZEN's with Cedar policies, and records every decision.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT, then drain.
    ///
    /// On the signal no new work is taken; what is under way may end until `shutdown.deadline` has passed.
    Serve {
        #[command(flatten)]
        source: SourceArgs,
        /// Take the Unix sockets over from a Portcullis that still runs.
        ///
        /// For a restart that loses no request: start the new process with this flag, then end the old one.
        #[arg(long)]
        takeover: bool,
    },
    /// Check a configuration, or see what is in force.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Work with policies.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Read and verify a log of decisions, and prove single ones to others.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Work with the routes by which requests become questions.
    #[command(subcommand)]
    Mapping(MappingCommand),
    /// Print the completions of a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    #[command(flatten)]
    Remote(RemoteCommand),
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Say whether a directory of policies, schema and entities would load.
    ///
    /// Reads it exactly as `serve` does. Prints `DIRECTORY: ok`, or every error with its file, line and column.
    Check {
        /// The directory.
        directory: PathBuf,
        /// Say also which records of this JSON file, or of a directory of them, would be refused as entities. May be
        /// repeated.
        #[arg(long, value_name = "PATH")]
        entities: Vec<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say whether the configuration is valid.
    ///
    /// Prints `FILE: ok`, or every error with its file, line and column. Nothing is opened but the file itself.
    Check {
        #[command(flatten)]
        source: SourceArgs,
    },
    /// Print the configuration that is in force, as YAML.
    ///
    /// Every key is there, with its default if nothing else says. Secrets are hidden.
    Show {
        #[command(flatten)]
        source: SourceArgs,
        /// End each line with where its value came from: `default`, `FILE:LINE`, `env NAME` or `flag NAME`.
        #[arg(long)]
        origins: bool,
    },
}

// Not a doc comment: clap would show it in place of the command's own.
#[derive(Args, Debug)]
struct SourceArgs {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Override one key, e.g. `--set log.filter=debug`. May be repeated; the last one counts.
    ///
    /// Every key can also be overridden by a variable: `PORTCULLIS_` and its path in upper case, with two underscores
    /// for each dot, e.g. `PORTCULLIS_LOG__FILTER=debug`. A flag overrides a variable, a variable the file. Values are
    /// YAML, so a list is written `'[a, b]'`.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = Override::set)]
    overrides: Vec<Override>,
    /// Override `data_dir`, the directory of all state.
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<String>,
    /// Override `log.format`: `json` or `text`.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Override `log.filter`, e.g. `info` or `info,portcullis::edge=debug`.
    #[arg(long, value_name = "FILTER")]
    log_filter: Option<String>,
}

/// The process: its arguments, its environment, its streams.
pub fn main() -> Exit {
    let mut output = Output::standard();
    match environment() {
        Ok(environment) => run(std::env::args_os(), environment, &mut output),
        Err(name) => output.error(&format!("{name}: the value is not UTF-8"), Exit::Usage),
    }
}

/// Does what `arguments` (the program's name first) say.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: BTreeMap<String, String>,
    output: &mut Output<'_>,
) -> Exit {
    let cli = match Cli::try_parse_from(with_double_dashes(arguments)) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return output.error(error.to_string().trim_end(), Exit::Usage),
        Err(help) => return output.print(&help.to_string()),
    };
    match cli.command {
        Command::Serve { source, takeover } => serve(source, takeover, environment, output),
        Command::Audit(command) => audit::run(command, output),
        Command::Completions { shell } => completions(shell, output),
        Command::Mapping(command) => mapping::run(command, output),
        Command::Remote(command) => remote::run(command, &environment, output),
        Command::Policy(PolicyCommand::Check { directory, entities }) => check_policies(&directory, &entities, output),
        Command::Config(ConfigCommand::Check { source }) => {
            let file = source.config.display().to_string();
            match source.load(environment) {
                Ok(_) => output.print(&format!("{file}: ok\n")),
                Err(errors) => output.error(&errors, Exit::Usage),
            }
        }
        Command::Config(ConfigCommand::Show { source, origins }) => match source.load(environment) {
            Ok(loaded) => match loaded.show(origins) {
                Ok(yaml) => output.print(&yaml),
                Err(error) => output.error(&format!("portcullis: {error}"), Exit::Fault),
            },
            Err(errors) => output.error(&errors, Exit::Usage),
        },
    }
}

fn serve(source: SourceArgs, takeover: bool, environment: BTreeMap<String, String>, output: &mut Output<'_>) -> Exit {
    let inherited = match InheritedSockets::from_environment(&|name| environment.get(name).cloned()) {
        Ok(inherited) => inherited,
        Err(error) => return output.error(&format!("portcullis: {error}"), Exit::Usage),
    };
    match source.load(environment) {
        Ok(loaded) => match app::serve(&loaded.config, inherited, takeover) {
            Ok(()) => Exit::Success,
            Err(error) if error.is_usage() => output.error(&error.to_string(), Exit::Usage),
            Err(error) => output.error(&format!("portcullis: {error}"), Exit::Fault),
        },
        Err(errors) => output.error(&errors, Exit::Usage),
    }
}

fn completions(shell: Shell, output: &mut Output<'_>) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "portcullis", &mut script);
    output.print(&String::from_utf8_lossy(&script))
}

fn check_policies(directory: &Path, entities: &[PathBuf], output: &mut Output<'_>) -> Exit {
    let policies = match PolicySet::load(directory) {
        Ok(policies) => policies,
        Err(errors) => return output.error(&errors.to_string(), Exit::Usage),
    };
    let mut lines: Vec<_> = policies.warnings().iter().map(|warning| format!("warning: {warning}\n")).collect();
    let (count, digest) = (policies.len(), policies.policy_digest());
    lines.push(format!("{}: ok, {count} policies, digest {digest}\n", directory.display()));
    let mut complaints = Vec::new();
    for path in entities {
        match entity::files::check(path, &policies) {
            Ok(applied) => {
                lines.push(format!("{}: {} entities\n", path.display(), applied.entities));
                complaints.extend(applied.refused.iter().map(ToString::to_string));
            }
            Err(error) => complaints.push(error.to_string()),
        }
    }
    if complaints.is_empty() {
        output.print(&lines.concat())
    } else {
        output.error(&complaints.join("\n"), Exit::Usage)
    }
}

impl SourceArgs {
    /// The configuration, or all its errors, one a line.
    fn load(self, environment: BTreeMap<String, String>) -> Result<Loaded, String> {
        let direct = [
            ("--data-dir", "data_dir", self.data_dir),
            ("--log-format", "log.format", self.log_format),
            ("--log-filter", "log.filter", self.log_filter),
        ];
        let direct = direct.into_iter().filter_map(|(flag, key, value)| Some(Override::flag(flag, key, &value?)));
        let overrides = self.overrides.into_iter().chain(direct).collect();
        Sources::open(&self.config)
            .and_then(|file| Loaded::read(&file.with_environment(environment).with_overrides(overrides)))
            .map_err(|errors| errors.to_string())
    }
}

/// The environment; the name of a variable of ours whose value is not UTF-8 is an error. This is the only place that
/// reads it.
fn environment() -> Result<BTreeMap<String, String>, String> {
    let mut environment = BTreeMap::new();
    for (name, value) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        match value.into_string() {
            Ok(value) => {
                environment.insert(name, value);
            }
            Err(_) if name.starts_with("PORTCULLIS_") => return Err(name),
            Err(_) => {}
        }
    }
    Ok(environment)
}

#[cfg(test)]
mod tests;
