//! Tells all who must know when a log is found to be cut back or forked: the log of the process, the metrics, `/readyz`,
//! and the audit log. Once for each finding, however often it is found, and seldom if it comes and goes: nobody can fill the
//! audit log by asking.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::WitnessMetrics;
use crate::evidence::backlog::Backlog;
use crate::evidence::record::{Record, WitnessFinding, WitnessRecord};
use crate::foundation::clock::Timestamp;
use crate::foundation::readiness::Readiness;

/// How many records there are at most of a log and a witness in [`WINDOW`].
const RECORDS: u32 = 4;
const WINDOW: Duration = Duration::from_hours(1);

/// Those that stand, by log and witness.
#[derive(Debug)]
pub(super) struct Alarms {
    notice: &'static str,
    standing: Mutex<BTreeMap<(String, String), Standing>>,
    /// How many were recorded since when.
    recorded: Mutex<BTreeMap<(String, String), (Timestamp, u32)>>,
    backlog: Backlog,
    readiness: Readiness,
    metrics: WitnessMetrics,
}

#[derive(Debug)]
struct Standing {
    finding: WitnessFinding,
    text: String,
}

impl Alarms {
    /// None yet. `notice` is the name under which `/readyz` has them.
    pub(super) fn new(notice: &'static str, backlog: Backlog, readiness: Readiness, metrics: WitnessMetrics) -> Self {
        Self { notice, standing: Mutex::default(), recorded: Mutex::default(), backlog, readiness, metrics }
    }

    /// Raises one, unless it stands.
    pub(super) fn raise(&self, record: WitnessRecord, text: String) {
        let key = (record.log.clone(), record.witness.clone());
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        // A fork is proof. What is found afterwards adds nothing to it.
        let is_known = |known: &Standing| known.finding == record.finding || known.finding == WitnessFinding::Forked;
        if standing.get(&key).is_some_and(is_known) {
            return;
        }
        tracing::error!(log = record.log, witness = record.witness, finding = record.finding.name(), "{text}");
        self.metrics.alarm(&record.log, &record.witness, record.finding);
        standing.insert(key.clone(), Standing { finding: record.finding, text });
        self.show(&standing);
        drop(standing);
        if !self.may_record(key, record.time) {
            return;
        }
        self.backlog.note(Record::Witness(Box::new(record)));
    }

    fn may_record(&self, key: (String, String), now: Timestamp) -> bool {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = recorded.entry(key).or_insert((now, 0));
        if now.since(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= RECORDS
    }

    /// All is well again between this log and this witness. A fork is never undone.
    pub(super) fn clear(&self, log: &str, witness: &str) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (log.to_owned(), witness.to_owned());
        if standing.get(&key).is_some_and(|known| known.finding != WitnessFinding::Forked) {
            standing.remove(&key);
            tracing::info!(log, witness, "the log is again what its witness has cosigned, with more at its end");
            self.show(&standing);
        }
    }

    fn show(&self, standing: &BTreeMap<(String, String), Standing>) {
        if standing.is_empty() {
            return self.readiness.clear_notice(self.notice);
        }
        let all: Vec<&str> = standing.values().map(|standing| standing.text.as_str()).collect();
        self.readiness.notice(self.notice, all.join("; "));
    }
}
