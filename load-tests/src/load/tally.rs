//! What came back.

use std::time::Duration;

use super::samples::Samples;
use crate::wire::{Answer, Prepared};

/// Answers, counted, and how long they took.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// How long answers took.
    pub(super) latencies: Samples,
    /// How much later than intended questions were sent; only in an open loop.
    pub(super) lateness: Samples,
    pub(super) allowed: u64,
    pub(super) denied: u64,
    pub(super) wrong: u64,
    pub(super) errors: u64,
    pub(super) first_fault: Option<String>,
    /// How many answers counted.
    pub(super) counted: u64,
}

impl Tally {
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
        self.latencies.push(took);
    }

    pub(super) fn late_by(&mut self, late: Duration) {
        self.lateness.push(late);
    }
}
