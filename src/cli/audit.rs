//! `portcullis audit …`: what anyone who has a log's files and its public key can do with them. Nothing here asks a
//! running gateway, and nothing needs a secret.

mod beside;
mod disclose;
mod explain;
mod index;
mod prune;
mod receipt;
mod show;
mod verify;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use portcullis_tlog::checkpoint::SignedCheckpoint;
use portcullis_tlog::note::VerifierKey;
use portcullis_tlog::policy::Policy;

use super::{Exit, Output};
use crate::app::evidence::VERIFIER_FILE;
use crate::evidence::log::Checkpoints;
use crate::evidence::receipt::Receipts;
use crate::evidence::record::encoding::{self, OwnedRecord};
use crate::evidence::{DecisionId, DecisionRecord};
use crate::foundation::files::read_up_to;

/// What to do with a log.
#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Check that a log is whole: every entry, every tile, the checkpoint and its signature, and what lies beside it by digest.
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
    /// It is a proof in C2SP's tlog-proof format, whose extra data are the record, and after it the certificates by which
    /// the caller was known.
    Receipt {
        /// The decision's id, as it is in the answer's headers.
        decision_id: String,
        #[command(flatten)]
        log: LogArgs,
        /// Write it to this file.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Say why a decision is as it is: make it again, by the policies that were in force then.
    ///
    /// Shows which policies decided, what would be without each of them, and which nearly applied. How much of that is certain
    /// depends on what the record has of the question and of the entities, and is said.
    Explain {
        /// The decision's id.
        decision_id: String,
        #[command(flatten)]
        log: LogArgs,
        /// Print a JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Open redacted fields of a decision's record, for someone who is to know them.
    ///
    /// Prints salt and value of each as JSON. Needs the gateway's disclosure key.
    Disclose {
        /// The decision's id.
        decision_id: String,
        #[command(flatten)]
        log: LogArgs,
        /// The field. May be repeated; without it all redacted fields are opened.
        #[arg(long = "field", value_name = "NAME")]
        fields: Vec<String>,
        /// The value, as JSON, of the one field whose value was too long to be kept.
        #[arg(long, value_name = "JSON")]
        value: Option<String>,
        /// The file of the disclosure key.
        #[arg(long, value_name = "FILE")]
        disclosure_key: Option<PathBuf>,
    },
    /// Check openings of fields against the receipt of their decision, with nothing but the log's public key, and print them.
    VerifyDisclosure {
        /// What `disclose` printed.
        disclosure: PathBuf,
        /// The receipt of the decision.
        #[arg(long, value_name = "FILE")]
        receipt: PathBuf,
        /// The log's public key, or a file that has it.
        #[arg(long, value_name = "KEY")]
        key: String,
    },
    /// Check a receipt, with nothing but the log's public key, and print the record that it proves.
    ///
    /// If it has the certificates by which the caller was known, these are checked too, as of the time of the decision.
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
        /// Go on with those that come, once a checkpoint has them. Each checkpoint must continue the one before. It ends when there is
        /// something to say and nobody reads any more.
        #[arg(short, long)]
        follow: bool,
    },
    /// Make the index that searches use, or bring it up to date.
    ///
    /// It is a SQLite file that is made of the log alone and can be deleted at any time. What is in the log and not in the index yet is
    /// found all the same.
    Index {
        #[command(flatten)]
        log: LogArgs,
        /// The file; that beside the log if none is named.
        #[arg(long, value_name = "FILE")]
        index: Option<PathBuf>,
        /// Make it anew.
        #[arg(long)]
        rebuild: bool,
    },
    /// Print the records that have all of these, one JSON object a line.
    ///
    /// Uses the index if there is one, and else reads the whole log: what is found is the same.
    Search {
        #[command(flatten)]
        log: LogArgs,
        #[command(flatten)]
        wanted: show::Wanted,
        /// The index; that beside the log, if it is there, if none is named.
        #[arg(long, value_name = "FILE")]
        index: Option<PathBuf>,
        /// Read the whole log, whatever index there is.
        #[arg(long, conflicts_with = "index")]
        no_index: bool,
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
        AuditCommand::Explain { decision_id, log, json } => explain::run(&log, &decision_id, json, output),
        AuditCommand::Disclose { decision_id, log, fields, value, disclosure_key } => {
            let wanted = disclose::Wanted { fields, value, key: disclosure_key };
            disclose::run(&log, &decision_id, &wanted, output)
        }
        AuditCommand::VerifyDisclosure { disclosure, receipt, key } => {
            disclose::verify(&disclosure, &receipt, &key, output)
        }
        AuditCommand::VerifyReceipt { receipt, trust } => receipt::verify(&receipt, &trust, output),
        AuditCommand::Prune { log, before, dry_run } => prune::run(&log, &before, dry_run, output),
        AuditCommand::Hold(command) => prune::hold(command, output),
        AuditCommand::Tail { log, lines, follow } => show::tail(&log, lines, follow, output),
        AuditCommand::Index { log, index, rebuild } => index::run(&log, index.as_deref(), rebuild, output),
        AuditCommand::Search { log, wanted, index, no_index } => {
            search(&log, &wanted, index.as_deref(), no_index, output)
        }
    };
    match done {
        Ok(exit) => exit,
        Err(AuditError::Usage(message)) => output.error(&format!("portcullis: {message}"), Exit::Usage),
        Err(AuditError::Unproven(message)) => output.error(&message, Exit::Refused),
    }
}

fn search(
    log: &LogArgs,
    wanted: &show::Wanted,
    index: Option<&Path>,
    no_index: bool,
    output: &mut Output<'_>,
) -> Result<Exit, AuditError> {
    let index = if no_index { None } else { index::to_search_by(log, index)? };
    show::search(log, wanted, index.as_ref(), output)
}

impl LogArgs {
    /// What proves the decisions of this log.
    fn receipts(&self) -> Result<Receipts, AuditError> {
        Ok(Receipts::new(&self.log, self.policy()?))
    }

    /// The entry of a decision, with its number.
    fn entry(&self, decision_id: &str) -> Result<(u64, Vec<u8>), AuditError> {
        let receipts = self.receipts()?;
        let (size, _) = receipts.checkpoint().map_err(unproven)?;
        let found = receipts.entry(id(decision_id)?, size).map_err(unproven)?;
        found.ok_or_else(|| none_of(decision_id))
    }

    /// Whom to believe about this log.
    fn policy(&self) -> Result<Policy, AuditError> {
        let beside = || policy_of_key(&self.log.join(VERIFIER_FILE).display().to_string());
        self.trust.policy()?.map_or_else(beside, Ok)
    }

    /// The same, if there is any checkpoint.
    fn believed(&self) -> Result<Option<SignedCheckpoint>, AuditError> {
        Checkpoints::of(&self.log).believed(&self.policy()?).map_err(unproven)
    }

    /// The checkpoint that is believed: the latest, unless only an earlier one is cosigned by enough witnesses.
    fn checkpoint(&self, policy: &Policy) -> Result<SignedCheckpoint, AuditError> {
        let none = || AuditError::Unproven(format!("`{}` has no checkpoint", self.log.display()));
        Checkpoints::of(&self.log).believed(policy).map_err(unproven)?.ok_or_else(none)
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
        // What has the form of a key and no file of its name is a key that something is wrong with.
        Err(error) if key.matches('+').count() >= 2 && !Path::new(key).exists() => {
            return Err(AuditError::Usage(format!("`{key}`: {error}")));
        }
        Err(_) => read_text(Path::new(key))?,
    };
    let key: VerifierKey = text.trim_end().parse().map_err(|error| AuditError::Usage(format!("`{key}`: {error}")))?;
    Ok(Policy::log_only(&key.name().to_string(), key))
}

fn id(decision_id: &str) -> Result<DecisionId, AuditError> {
    decision_id.parse().map_err(|error| AuditError::Usage(format!("`{decision_id}` is no decision's id: {error}")))
}

fn none_of(decision_id: &str) -> AuditError {
    AuditError::Unproven(format!("no entry under the checkpoint is of the decision `{decision_id}`"))
}

/// The decision of an entry.
fn decision(index: u64, entry: &[u8]) -> Result<DecisionRecord<'_>, AuditError> {
    match encoding::read(entry).map_err(|error| unproven(format!("entry {index}: {error}")))?.record {
        OwnedRecord::Decision(record) => Ok(*record),
        _ => Err(AuditError::Unproven(format!("entry {index} is no decision"))),
    }
}

/// How long a file that is named may be, in bytes: a receipt with its certificates is a thousandth of that.
const MOST: u64 = 32 << 20;

/// What is in a file, or comes through a pipe.
fn read(path: &Path) -> Result<Vec<u8>, AuditError> {
    let read = std::fs::File::open(path).and_then(|file| read_up_to(file, 0, MOST));
    read.map_err(|error| AuditError::Usage(format!("`{}`: {error}", path.display())))
}

fn read_text(path: &Path) -> Result<String, AuditError> {
    let bytes = read(path)?;
    String::from_utf8(bytes).map_err(|_encoding| AuditError::Usage(format!("`{}` is not text", path.display())))
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn unproven(error: impl ToString) -> AuditError {
    AuditError::Unproven(error.to_string())
}

#[cfg(test)]
mod tests;
