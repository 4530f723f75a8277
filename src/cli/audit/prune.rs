//! Takes old entries out of a log, and keeps those that are held.

use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Subcommand;
use prometheus_client::registry::Registry;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{AuditError, Exit, LogArgs, Output, unproven};
use crate::app::evidence::KEY_FILE;
use crate::evidence::PruneRecord;
use crate::evidence::log::{
    Durability, Hold, Log, LogConfig, LogKey, LogMetrics, Plan, Retention, RetentionError, Unavailable,
};
use crate::evidence::record::Record;
use crate::evidence::record::encoding::Writer;
use crate::foundation::clock::{Clock as _, SystemClock, Timestamp};
use crate::foundation::entropy::SystemEntropy;
use crate::foundation::readiness::Readiness;

/// How long the record may take to reach the disk.
const DEADLINE: Duration = Duration::from_secs(30);

/// What to do with holds.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum HoldCommand {
    /// Keep entries, however old they get.
    Add {
        /// The name of the hold.
        name: String,
        #[command(flatten)]
        log: LogArgs,
        /// Keep those from this time on, e.g. `2026-11-22T00:00:00Z`. Without it, all.
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Why.
        #[arg(long, default_value = "", value_name = "TEXT")]
        reason: String,
    },
    /// Keep them no longer for this reason.
    Remove {
        /// The name of the hold.
        name: String,
        #[command(flatten)]
        log: LogArgs,
    },
    /// Print all holds as JSON.
    List {
        #[command(flatten)]
        log: LogArgs,
    },
}

/// Changes or prints holds.
pub(super) fn hold(command: HoldCommand, output: &mut Output<'_>) -> Result<Exit, AuditError> {
    match command {
        HoldCommand::Add { name, log, from, reason } => {
            let from = from.as_deref().map(time).transpose()?.map_or(0, Timestamp::unix_nanos);
            owned(&log)?;
            Retention::of(&log.log).hold(Hold { name, from, reason }).map_err(refused)?;
            Ok(Exit::Success)
        }
        HoldCommand::Remove { name, log } => {
            owned(&log)?;
            Retention::of(&log.log).release(&name).map_err(refused)?;
            Ok(Exit::Success)
        }
        HoldCommand::List { log } => {
            let holds = Retention::of(&log.log).holds().map_err(refused)?;
            let lines = holds.iter().map(|hold| {
                let from = Timestamp::from_unix_nanos(hold.from);
                format!("{}\n", serde_json::json!({"name": hold.name, "from": from, "reason": hold.reason}))
            });
            Ok(output.print(&lines.collect::<Vec<_>>().concat()))
        }
    }
}

/// Takes out what is older than `before`, or says what could go.
pub(super) fn run(log: &LogArgs, before: &str, dry: bool, output: &mut Output<'_>) -> Result<Exit, AuditError> {
    let before = time(before)?;
    if !dry {
        owned(log)?;
    }
    let policy = log.policy()?;
    let signed = log.checkpoint(&policy)?;
    let (origin, size) = (signed.unverified().origin(), signed.unverified().head().size);
    let retention = Retention::of(&log.log);
    let plan = if dry {
        retention.plan(size, before)
    } else {
        retention.prune(size, before, |plan| record(log, origin, &pruning(plan, before, None)))
    };
    let plan = plan.map_err(refused)?;
    let size = log.checkpoint(&policy)?.unverified().head().size;
    if !dry {
        retention.clear_journal(size).map_err(refused)?;
    }
    let times = (before, SystemClock::new().now());
    let unnamed = if dry {
        retention.unnamed(size, times)
    } else {
        retention.sweep(size, times, |count| record(log, origin, &pruning(&plan, before, Some(count))))
    };
    let unnamed = match (unnamed.map_err(refused)?, dry) {
        (0, _) => String::new(),
        (count, true) => format!("; {count} files that no entry left names can go"),
        (count, false) => format!("; {count} files that no entry left names were taken out"),
    };
    let kept = plan.kept_by.as_ref().map(|by| format!("; what follows is kept by {by}")).unwrap_or_default();
    let what = match (plan.end - plan.first, dry) {
        (0, _) => "nothing to take out".to_owned(),
        (_, true) => format!("entries {} to {} can be taken out", plan.first, plan.end - 1),
        (_, false) => format!("entries {} to {} were taken out", plan.first, plan.end - 1),
    };
    Ok(output.print(&format!("{origin}: {what}{unnamed}{kept}\n")))
}

/// The record of what is to go: entries, or so many things that none of those left names.
fn pruning(plan: &Plan, before: Timestamp, archived: Option<u64>) -> PruneRecord {
    let first = if archived.is_some() { plan.end } else { plan.first };
    PruneRecord { time: SystemClock::new().now(), first, end: plan.end, before, by: "command".into(), archived }
}

/// Puts it into the log, beside a gateway that may be running, and on the disk.
fn record(log: &LogArgs, origin: &str, record: &PruneRecord) -> Result<(), String> {
    let clock = Arc::new(SystemClock::new());
    let path = log.log.join(KEY_FILE);
    if !path.exists() {
        return Err(format!("`{}` is not there: only who has the log's key may take entries out", path.display()));
    }
    let key = LogKey::load_or_create(&path, &SystemEntropy::new()).map_err(|error| error.to_string())?;
    let gateway = origin.rsplit('/').next().unwrap_or_default();
    let config = LogConfig {
        directory: log.log.clone(),
        origin: origin.to_owned(),
        writer: Writer { gateway: gateway.into(), config: Writer::NO_CONFIGURATION },
        queue: NonZeroUsize::MIN,
        durability: Durability::Strict,
        unavailable: Unavailable::Refuse,
        sync_every: Duration::ZERO,
        checkpoint_every: Duration::ZERO,
    };
    let metrics = LogMetrics::new(&mut Registry::default());
    let opened = Log::open(config, &key, clock, Readiness::default(), metrics);
    let (opened, keeper) = opened.map_err(|error| error.to_string())?;
    let taken = opened.append_strictly(&Record::Prune(Box::new(record.clone())));
    let finished = keeper.finish(DEADLINE).map_err(|error| error.to_string());
    let taken = taken.map_err(|error| error.to_string())?;
    finished?;
    if taken.is_durable() { Ok(()) } else { Err("the record did not reach the disk".to_owned()) }
}

fn owned(log: &LogArgs) -> Result<(), AuditError> {
    owned_by(&log.log, nix::unistd::geteuid().as_raw())
}

/// What is written into the log's directory is its writer's alone, so a gateway of another user could not go on.
fn owned_by(directory: &Path, user: u32) -> Result<(), AuditError> {
    let name = directory.display();
    let owner = fs::metadata(directory).map_err(|error| AuditError::Usage(format!("`{name}`: {error}")))?.uid();
    if owner == user {
        return Ok(());
    }
    Err(AuditError::Usage(format!(
        "`{name}` belongs to user {owner}: whoever writes there, as this does, must be that user"
    )))
}

pub(super) fn time(text: &str) -> Result<Timestamp, AuditError> {
    let parsed = OffsetDateTime::parse(text, &Rfc3339).ok();
    let nanos = parsed.and_then(|time| u64::try_from(time.unix_timestamp_nanos()).ok());
    nanos
        .map(Timestamp::from_unix_nanos)
        .ok_or_else(|| AuditError::Usage(format!("`{text}` is not a time such as `2026-11-22T00:00:00Z`")))
}

fn refused(error: RetentionError) -> AuditError {
    match error {
        RetentionError::Hold(..) => AuditError::Usage(error.to_string()),
        other => unproven(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_writes_into_the_log_of_another_user() {
        let directory = tempfile::tempdir().unwrap();
        let us = nix::unistd::geteuid().as_raw();
        owned_by(directory.path(), us).unwrap();
        let refused = owned_by(directory.path(), us + 1).unwrap_err().to_string();
        assert!(refused.contains(&format!("belongs to user {us}:")), "{refused}");
        assert!(owned_by(&directory.path().join("none"), us).unwrap_err().to_string().contains("No such file"));
    }
}
