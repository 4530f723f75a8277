//! Takes entries out of the log once they are older than the operator wants them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::build::Common;
use super::evidence::Evidence;
use crate::config::Config;
use crate::evidence::log::{Log, Plan, Retention};
use crate::evidence::{PruneRecord, Record};
use crate::foundation::clock::{Clock, Timestamp};
use crate::foundation::shutdown::{Shutdown, TaskGroup};

/// How often it is looked after.
const EVERY: Duration = Duration::from_mins(10);

/// The name of the notice while it fails.
const NOTICE: &str = "audit_retention";

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
        loop {
            let (directory, log, clock) = (directory.clone(), Arc::clone(&log), Arc::clone(&clock));
            let runtime = Handle::current();
            match spawn_blocking(move || prune(&directory, &log, &*clock, age, &runtime)).await {
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
    let plan = retention.prune(size, before, |plan| record(log, plan, (now, before), runtime));
    let plan = plan.map_err(|error| error.to_string())?;
    if plan.end > plan.first {
        tracing::info!(first = plan.first, end = plan.end, "entries were taken out of the audit log");
    }
    Ok(())
}

/// Puts it into the log, and waits until it is on the disk.
fn record(log: &Log, plan: &Plan, (time, before): (Timestamp, Timestamp), runtime: &Handle) -> Result<(), String> {
    let record = PruneRecord { time, first: plan.first, end: plan.end, before, by: "retention".into() };
    let taken = log.append_strictly(&Record::Prune(Box::new(record))).map_err(|error| error.to_string())?;
    runtime.block_on(taken.durable()).map_err(|error| error.to_string())
}
