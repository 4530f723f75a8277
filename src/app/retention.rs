//! Takes entries out of the log once they are older than the operator wants them.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::build::Common;
use super::evidence::Evidence;
use crate::config::Config;
use crate::evidence::log::{Log, Retention};
use crate::evidence::{PruneRecord, Record};
use crate::foundation::clock::Clock;
use crate::foundation::shutdown::{Shutdown, TaskGroup};

/// How often it is looked after.
const EVERY: Duration = Duration::from_mins(10);

/// Every so many times also what no entry names any more is looked for, which takes reading all of them: once a day.
const SWEEP: u64 = 144;

/// The name of the notice while it fails.
const NOTICE: &str = "audit_retention";

/// Who asks, in records.
const BY: Cow<'static, str> = Cow::Borrowed("retention");

/// Looks after it, if entries are not kept for ever.
pub(super) fn keep(
    config: &Config,
    common: &Common,
    evidence: &Evidence,
    (tasks, shutdown): (&mut TaskGroup, &Shutdown),
) {
    let age = config.audit.retention;
    if age.is_zero() {
        return;
    }
    let (directory, log) = (config.audit.log.clone(), Arc::clone(&evidence.log));
    let (clock, readiness, mut signal) = (Arc::clone(&common.clock), common.readiness.clone(), shutdown.signal());
    tasks.spawn("the retention of the audit log", async move {
        for round in 0_u64.. {
            let (directory, log, clock) = (directory.clone(), Arc::clone(&log), Arc::clone(&clock));
            let runtime = Handle::current();
            let work = move || {
                prune(&directory, &log, &*clock, age, &runtime)?;
                if round % SWEEP == 0 { sweep(&directory, &log, &*clock, age, &runtime) } else { Ok(()) }
            };
            match spawn_blocking(work).await {
                Ok(Ok(())) => readiness.clear_notice(NOTICE),
                Ok(Err(why)) => readiness.notice(NOTICE, why),
                Err(panic) => readiness.notice(NOTICE, panic.to_string()),
            }
            tokio::select! {
                () = sleep(EVERY) => {}
                () = signal.draining() => return,
            }
        }
    });
}

fn prune(directory: &Path, log: &Log, clock: &dyn Clock, age: Duration, runtime: &Handle) -> Result<(), String> {
    let size = *log.published().borrow();
    let (now, retention) = (clock.now(), Retention::of(directory));
    let before = now.before(age);
    let plan = retention.prune(size, before, |plan| {
        record(
            log,
            PruneRecord { time: now, first: plan.first, end: plan.end, before, by: BY, archived: None },
            runtime,
        )
    });
    let plan = plan.map_err(|error| error.to_string())?;
    if plan.end > plan.first {
        tracing::info!(first = plan.first, end = plan.end, "entries were taken out of the audit log");
    }
    let size = *log.published().borrow();
    retention.clear_journal(size).map_err(|error| error.to_string())
}

/// Takes out what no entry names any more.
fn sweep(directory: &Path, log: &Log, clock: &dyn Clock, age: Duration, runtime: &Handle) -> Result<(), String> {
    let size = *log.published().borrow();
    let (now, retention) = (clock.now(), Retention::of(directory));
    let (before, first) = (now.before(age), retention.first().map_err(|error| error.to_string())?);
    let swept = retention.sweep(size, (before, now), |count| {
        let archived = Some(count);
        record(log, PruneRecord { time: now, first, end: first, before, by: BY, archived }, runtime)
    });
    match swept.map_err(|error| error.to_string())? {
        0 => {}
        count => {
            tracing::info!(count, "policies, entities and certificates that no entry names any more were taken out");
        }
    }
    Ok(())
}

/// Puts it into the log, and waits until it is on the disk.
fn record(log: &Log, record: PruneRecord, runtime: &Handle) -> Result<(), String> {
    let taken = log.append_strictly(&Record::Prune(Box::new(record))).map_err(|error| error.to_string())?;
    runtime.block_on(taken.durable()).map_err(|error| error.to_string())
}
