//! Times and memory.

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// What was measured. Seconds for the load, milliseconds for changes, bytes for memory.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Figures {
    pub(crate) load: f64,
    pub(crate) memory: f64,
    pub(crate) peak: f64,
    pub(crate) text: f64,
    pub(crate) upsert: f64,
    pub(crate) upsert_worst: f64,
    pub(crate) delete: f64,
    pub(crate) delete_worst: f64,
    pub(crate) top: f64,
}

/// How long `work` takes, in milliseconds.
#[expect(clippy::disallowed_methods, reason = "a bench measures the machine's own time")]
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed().as_secs_f64() * 1e3, result)
}

/// The median and the slowest of `count` runs.
pub(crate) fn repeated(count: usize, mut work: impl FnMut(usize)) -> (f64, f64) {
    let mut times: Vec<f64> = (0..count).map(|run| timed(|| work(run)).0).collect();
    times.sort_by(f64::total_cmp);
    (*times.get(count / 2).unwrap(), *times.last().unwrap())
}

/// The resident memory of this process, now (`VmRSS`) or at most so far (`VmHWM`), in bytes.
pub(crate) fn memory(what: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
}

/// How long a text is, in bytes.
pub(crate) fn bytes(text: &str) -> f64 {
    u32::try_from(text.len()).unwrap().into()
}
