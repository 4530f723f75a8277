//! Records of what happens whether or not it can be recorded: refusals, findings, changes that others make. What the log does
//! not take at once waits here, in order, and is given to it again until it does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::sleep;

use super::audit::{AppendError, Audit, Taken};
use super::log::Log;
use super::record::Record;
use crate::foundation::readiness::Readiness;
use crate::foundation::shutdown::ShutdownSignal;
use crate::foundation::telemetry::Registry;

/// How many records wait at most. None of them comes once a request: those that do are counted first.
const MOST: usize = 4096;

/// How often what waits is given to the log again.
const RETRY: Duration = Duration::from_millis(250);

/// The name of the notice while something waits.
const NOTICE: &str = "audit_backlog";

/// What is counted.
#[derive(Clone, Debug, Default)]
pub struct BacklogMetrics {
    waiting: Gauge,
    lost: Counter,
}

impl BacklogMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "portcullis_audit_backlog_records",
            "Records of what has happened that the log has not taken yet",
            metrics.waiting.clone(),
        );
        registry.register(
            "portcullis_audit_backlog_lost_records",
            "Records of what has happened that there was no room for, or no form",
            metrics.lost.clone(),
        );
        metrics
    }
}

/// A log whose records nothing goes on without, whatever the operator wants of answers.
#[derive(Debug)]
pub struct Insistent(pub Arc<Log>);

impl Audit for Insistent {
    fn append(&self, record: Record<'_>) -> Result<Taken, AppendError> {
        self.0.append_strictly(&record)
    }
}

/// What waits. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Backlog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    audit: Arc<dyn Audit>,
    waiting: Mutex<VecDeque<Record<'static>>>,
    readiness: Readiness,
    metrics: BacklogMetrics,
}

impl Backlog {
    /// Nothing waits for `audit` yet.
    pub fn new(audit: Arc<dyn Audit>, readiness: Readiness, metrics: BacklogMetrics) -> Self {
        Self(Arc::new(Inner { audit, waiting: Mutex::default(), readiness, metrics }))
    }

    /// Takes a record, and gives it to the log now or as soon as it can be. Never blocks.
    pub fn note(&self, record: Record<'static>) {
        let mut waiting = self.waiting();
        if waiting.len() < MOST {
            waiting.push_back(record);
        } else {
            self.lose("too many wait already");
        }
        self.flush(&mut waiting);
    }

    /// Gives the log what waits, again and again, until the drain starts.
    pub async fn run(self, mut signal: ShutdownSignal) {
        loop {
            tokio::select! {
                () = signal.draining() => break,
                () = sleep(RETRY) => self.flush(&mut self.waiting()),
            }
        }
        self.flush(&mut self.waiting());
    }

    /// Gives the log what waits for the last time, as the process ends.
    pub fn end(&self) {
        let mut waiting = self.waiting();
        self.flush(&mut waiting);
        waiting.drain(..).for_each(|_record| self.lose("the process ends before the log takes it"));
    }

    fn flush(&self, waiting: &mut VecDeque<Record<'static>>) {
        let before = waiting.len();
        while let Some(first) = waiting.front() {
            match self.0.audit.append(first.clone()) {
                Ok(_durable_soon) => {}
                Err(AppendError::Unwritable(why)) => self.lose(&why),
                Err(why) => {
                    let count = waiting.len();
                    self.0.readiness.notice(NOTICE, format!("{count} records wait to be taken: {why}"));
                    break;
                }
            }
            waiting.pop_front();
        }
        self.0.metrics.waiting.set(i64::try_from(waiting.len()).unwrap_or(i64::MAX));
        if before > 0 && waiting.is_empty() {
            self.0.readiness.clear_notice(NOTICE);
        }
    }

    fn lose(&self, why: &str) {
        self.0.metrics.lost.inc();
        tracing::error!("a record was lost: {why}");
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Record<'static>>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
