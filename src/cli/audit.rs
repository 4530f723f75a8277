//! `portcullis audit …`: what anyone who has a log's files and its public key can do with them. Nothing here asks a
//! running gateway, and nothing needs a secret.

mod prune;
mod receipt;
mod show;
mod verify;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use portcullis_tlog::checkpoint::SignedCheckpoint;
use portcullis_tlog::note::VerifierKey;
use portcullis_tlog::policy::{Policy, UntrustedError};

use super::{Exit, Output};
use crate::app::evidence::VERIFIER_FILE;
use crate::evidence::log::Checkpoints;

/// What to do with a log.
#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Check that a log is whole: every entry, every tile, the checkpoint and its signature.
    ///
    /// With `--since`, check also that nothing that an earlier checkpoint had is gone or changed.
    Verify {
        #[command(flatten)]
        log: LogArgs,
        /// An earlier checkpoint of the log.
        #[arg(long, value_name = "CHECKPOINT")]
        since: Option<PathBuf>,
    },
    /// Write the receipt of a decision: its record, and the proof that it is in the log.
    ///
    /// It is a proof in C2SP's tlog-proof format, whose extra data are the record.
    Receipt {
        /// The decision's id, as it is in the answer's headers.
        decision_id: String,
        #[command(flatten)]
        log: LogArgs,
        /// Write it to this file.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Check a receipt, with nothing but the log's public key, and print the record that it proves.
    VerifyReceipt {
        /// The receipt.
        receipt: PathBuf,
        #[command(flatten)]
        trust: TrustArgs,
    },
    /// Take out entries that are older than a time. Their hashes stay, so that the log can be verified as before.
    ///
    /// Nothing goes that a hold keeps or that an export has not got. A record of it is in the log before. A gateway may be
    /// running on the log.
    Prune {
        #[command(flatten)]
        log: LogArgs,
        /// Entries before this time go, 256 at a time, e.g. `2026-11-22T00:00:00Z`.
        #[arg(long, value_name = "TIME")]
        before: String,
        /// Only say what could go.
        #[arg(long)]
        dry_run: bool,
    },
    /// Keep entries although they are old.
    #[command(subcommand)]
    Hold(prune::HoldCommand),
    /// Print the latest records, one JSON object a line.
    Tail {
        #[command(flatten)]
        log: LogArgs,
        /// How many.
        #[arg(short = 'n', long, default_value_t = 10, value_name = "COUNT")]
        lines: u64,
    },
    /// Print the records that have all of these, one JSON object a line.
    ///
    /// Reads the whole log.
    Search {
        #[command(flatten)]
        log: LogArgs,
        #[command(flatten)]
        wanted: show::Wanted,
    },
}

/// Which log.
#[derive(Args, Debug)]
pub(super) struct LogArgs {
    /// The directory of the log.
    #[arg(long, default_value = "data/log", value_name = "DIRECTORY")]
    log: PathBuf,
    #[command(flatten)]
    trust: TrustArgs,
}

/// Whom to believe.
#[derive(Args, Debug)]
pub(super) struct TrustArgs {
    /// The log's public key, or a file that has it. For a log without it, the key that lies beside the log is believed:
    /// that shows damage, and not a forgery by someone who could write there.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// A policy in C2SP's tlog-policy format: the keys of logs, and the witnesses of whom enough must have cosigned.
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    trust_policy: Option<PathBuf>,
}

/// Why a command did not do what was asked for.
#[derive(Debug, thiserror::Error)]
enum AuditError {
    /// What was said on the command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// The log, or a proof, is not what it should be.
    #[error("{0}")]
    Unproven(String),
}

/// Does it.
pub(super) fn run(command: AuditCommand, output: &mut Output<'_>) -> Exit {
    let done = match command {
        AuditCommand::Verify { log, since } => verify::run(&log, since.as_deref(), output),
        AuditCommand::Receipt { decision_id, log, output: file } => {
            receipt::write(&log, &decision_id, file.as_deref(), output)
        }
        AuditCommand::VerifyReceipt { receipt, trust } => receipt::verify(&receipt, &trust, output),
        AuditCommand::Prune { log, before, dry_run } => prune::run(&log, &before, dry_run, output),
        AuditCommand::Hold(command) => prune::hold(command, output),
        AuditCommand::Tail { log, lines } => show::tail(&log, lines, output),
        AuditCommand::Search { log, wanted } => show::search(&log, &wanted, output),
    };
    match done {
        Ok(exit) => exit,
        Err(AuditError::Usage(message)) => output.error(&format!("portcullis: {message}"), Exit::Usage),
        Err(AuditError::Unproven(message)) => output.error(&message, Exit::Refused),
    }
}

impl LogArgs {
    /// Whom to believe about this log.
    fn policy(&self) -> Result<Policy, AuditError> {
        let beside = || policy_of_key(&self.log.join(VERIFIER_FILE).display().to_string());
        self.trust.policy()?.map_or_else(beside, Ok)
    }

    /// The checkpoint that is believed: the latest, unless only an earlier one is cosigned by enough witnesses.
    fn checkpoint(&self, policy: &Policy) -> Result<SignedCheckpoint, AuditError> {
        let checkpoints = Checkpoints::of(&self.log);
        let none = || AuditError::Unproven(format!("`{}` has no checkpoint", self.log.display()));
        let latest = checkpoints.latest().map_err(unproven)?.ok_or_else(none)?;
        match policy.verify(&latest) {
            Ok(_) => Ok(latest),
            Err(error @ UntrustedError::Quorum { .. }) => {
                let witnessed = checkpoints.witnessed().map_err(unproven)?;
                let enough = witnessed.filter(|witnessed| policy.verify(witnessed).is_ok());
                enough.ok_or_else(|| unproven(error))
            }
            Err(error) => Err(unproven(error)),
        }
    }
}

impl TrustArgs {
    /// What was said about whom to believe, if anything was.
    fn policy(&self) -> Result<Option<Policy>, AuditError> {
        match (&self.key, &self.trust_policy) {
            (Some(key), _) => policy_of_key(key).map(Some),
            (None, Some(file)) => {
                let policy = Policy::parse(&read(file)?);
                policy.map(Some).map_err(|error| AuditError::Usage(format!("`{}`: {error}", file.display())))
            }
            (None, None) => Ok(None),
        }
    }
}

/// Whom to believe, from a key or a file of it. A log's key is named as the log is.
fn policy_of_key(key: &str) -> Result<Policy, AuditError> {
    let text = match key.parse::<VerifierKey>() {
        Ok(_) => key.to_owned(),
        Err(_) => read_text(Path::new(key))?,
    };
    let key: VerifierKey = text.trim_end().parse().map_err(|error| AuditError::Usage(format!("`{key}`: {error}")))?;
    Ok(Policy::log_only(&key.name().to_string(), key))
}

fn read(path: &Path) -> Result<Vec<u8>, AuditError> {
    std::fs::read(path).map_err(|error| AuditError::Usage(format!("`{}`: {error}", path.display())))
}

fn read_text(path: &Path) -> Result<String, AuditError> {
    let bytes = read(path)?;
    String::from_utf8(bytes).map_err(|_encoding| AuditError::Usage(format!("`{}` is not text", path.display())))
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn unproven(error: impl ToString) -> AuditError {
    AuditError::Unproven(error.to_string())
}
