//! What was found, for the driver to read.

use serde::Serialize;

use super::{Measured, Plan, Shared};
use crate::Failure;
use crate::account::Usage;

/// One measurement. Times are in microseconds where the name says nothing else.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How long it was measured.
    pub seconds: f64,
    /// Right answers in that time; in an open loop, to the questions of that time.
    pub completed: u64,
    /// Right answers a second.
    pub per_second: f64,
    /// The median.
    pub p50_us: f64,
    /// The 99th percentile.
    pub p99_us: f64,
    /// The 99.9th percentile.
    pub p999_us: f64,
    /// The slowest answer.
    pub max_us: f64,
    /// Open loop: how much later than intended the generator sent, 99th percentile. It is part of the latencies.
    pub late_p99_us: Option<f64>,
    /// Open loop: questions that were to be asked.
    pub intended: Option<u64>,
    /// Open loop: those that had no right answer in the end.
    pub unanswered: Option<u64>,
    /// Right answers that were yes, of the warm-up too.
    pub allowed: u64,
    /// Right answers that were no, of the warm-up too.
    pub denied: u64,
    /// Answers that were yes for no, or no for yes.
    pub wrong: u64,
    /// Questions without an answer that can be read.
    pub errors: u64,
    /// The first of either.
    pub first_fault: Option<String>,
    /// The body of a request on average, in bytes.
    pub request_bytes: usize,
    /// The share of one processor that the generator took: near 1, it is the generator that was measured.
    pub generator_share: f64,
    /// Processor time of all servers for each answer.
    pub cpu_us: Option<f64>,
    /// What each server used.
    pub servers: Vec<Usage>,
}

impl Report {
    #[expect(clippy::cast_precision_loss, reason = "counts of a run fit")]
    pub(super) fn new(plan: &Plan, shared: &Shared, measured: &Measured) -> Result<Self, Failure> {
        let tally = shared.tally.borrow();
        let servers = measured.before.until(&measured.after)?;
        let total: f64 = servers.iter().map(|usage| usage.cpu_s).sum();
        let answered = measured.completed > 0 && !plan.servers.is_empty();
        let [median, hundredth, thousandth, slowest] = tally.latencies.quantiles([0.5, 0.99, 0.999, 1.0]);
        let [late] = tally.lateness.quantiles([0.99]);
        Ok(Self {
            seconds: measured.seconds,
            completed: measured.completed,
            per_second: measured.completed as f64 / measured.seconds,
            p50_us: median,
            p99_us: hundredth,
            p999_us: thousandth,
            max_us: slowest,
            late_p99_us: measured.intended.map(|_| late),
            intended: measured.intended.map(|(intended, _)| intended),
            unanswered: measured.intended.map(|(_, unanswered)| unanswered),
            allowed: tally.allowed,
            denied: tally.denied,
            wrong: tally.wrong,
            errors: tally.errors,
            first_fault: tally.first_fault.clone(),
            request_bytes: shared.prepared.iter().map(|one| one.body.len()).sum::<usize>() / shared.prepared.len(),
            generator_share: measured.generator_cpu / measured.seconds,
            cpu_us: answered.then(|| total * 1e6 / measured.completed as f64),
            servers,
        })
    }
}
