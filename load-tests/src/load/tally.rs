//! What came back.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::Failure;
use crate::wire::{Answer, Prepared};

/// Answers, counted, and how long they took.
#[derive(Debug)]
pub(super) struct Tally {
    /// In nanoseconds.
    pub(super) latencies: Histogram<u64>,
    /// How much later than intended questions were sent, in nanoseconds; only in an open loop.
    pub(super) lateness: Histogram<u64>,
    pub(super) allowed: u64,
    pub(super) denied: u64,
    pub(super) wrong: u64,
    pub(super) errors: u64,
    pub(super) first_fault: Option<String>,
    /// How many answers counted.
    pub(super) counted: u64,
}

impl Tally {
    pub(super) fn new() -> Result<Self, Failure> {
        let histogram = || {
            // From 1 µs to 10 minutes, each value to three digits.
            let made = Histogram::new_with_bounds(1_000, 600_000_000_000, 3);
            made.map_err(|error| Failure::new("making a histogram", error))
        };
        Ok(Self {
            latencies: histogram()?,
            lateness: histogram()?,
            allowed: 0,
            denied: 0,
            wrong: 0,
            errors: 0,
            first_fault: None,
            counted: 0,
        })
    }

    /// Takes an answer down. Right and wrong are told from the first question on, whether or not it counts.
    pub(super) fn told(&mut self, prepared: &Prepared, answer: Result<Answer, String>) -> Option<()> {
        match answer {
            Ok(answer) if answer == prepared.expected => {
                match answer {
                    Answer::Allow => self.allowed += 1,
                    Answer::Deny => self.denied += 1,
                }
                return Some(());
            }
            Ok(answer) => {
                self.wrong += 1;
                self.first_fault.get_or_insert_with(|| format!("{answer:?} to {}", prepared.shown));
            }
            Err(error) => {
                self.errors += 1;
                self.first_fault.get_or_insert_with(|| format!("{error} to {}", prepared.shown));
            }
        }
        None
    }

    pub(super) fn took(&mut self, took: Duration) {
        self.counted += 1;
        self.latencies.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn late_by(&mut self, late: Duration) {
        self.lateness.saturating_record(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX));
    }
}
