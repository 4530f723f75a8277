//! Callers that get nothing are on record. Whoever gets nothing asks again, and a stream looks again at each change: so there
//! is one record a minute for each user and reason, which says how many it stands for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::IdentifyError;
use crate::evidence::{Backlog, Record, RefusalRecord};
use crate::foundation::clock::Clock;
use crate::foundation::telemetry::printable;
use crate::identity::attest::Attested;
use crate::server::UnixPeer;

/// For how long further refusals are only counted.
const PAUSE: Duration = Duration::from_mins(1);

/// How many users and reasons are known at a time. Of any beyond that, each refusal has its record.
const MOST: usize = 10_000;

/// How many selectors go into a record.
const SELECTORS: usize = 32;

/// How much of a selector or an error goes into a record, in bytes.
const SHOWN: usize = 512;

/// Puts refusals on record.
#[derive(Debug)]
pub(super) struct Refusals {
    backlog: Backlog,
    clock: Arc<dyn Clock>,
    noted: Mutex<HashMap<(u32, &'static str), Noted>>,
}

/// When the last record was, by the steady clock, and how many came after it.
#[derive(Debug)]
struct Noted {
    at: Duration,
    since: u64,
}

impl Refusals {
    pub(super) fn new(backlog: Backlog, clock: Arc<dyn Clock>) -> Self {
        Self { backlog, clock, noted: Mutex::default() }
    }

    /// No entry fits `peer`.
    pub(super) fn no_entry(&self, peer: &UnixPeer, attested: &Attested) {
        let known = attested.selectors.iter().take(SELECTORS);
        let selectors = known.map(|selector| printable(&selector.to_string(), SHOWN)).collect();
        self.note(peer, "no_entry", selectors, None);
    }

    /// Who `peer` is could not be said, or nothing could be issued.
    pub(super) fn failed(&self, peer: &UnixPeer, error: &IdentifyError) {
        let reason = match error {
            IdentifyError::NotAttested(_) => "not_attested",
            IdentifyError::NotIssued(_) => "not_issued",
            IdentifyError::Stopping => return,
        };
        self.note(peer, reason, Vec::new(), Some(printable(&error.to_string(), SHOWN)));
    }

    fn note(&self, peer: &UnixPeer, reason: &'static str, selectors: Vec<String>, error: Option<String>) {
        let Some(count) = self.due((peer.uid, reason)) else { return };
        let (time, reason) = (self.clock.now(), reason.into());
        let record = RefusalRecord { time, reason, uid: peer.uid, pid: peer.pid, selectors, error, count };
        self.backlog.note(Record::Refusal(record.into()));
    }

    /// How many refusals a record now stands for; `None` if it is not time for one.
    fn due(&self, who: (u32, &'static str)) -> Option<u64> {
        let now = self.clock.elapsed();
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = noted.get_mut(&who) {
            last.since += 1;
            if now.saturating_sub(last.at) < PAUSE {
                return None;
            }
            last.at = now;
            return Some(std::mem::take(&mut last.since));
        }
        if noted.len() >= MOST {
            noted.retain(|_who, last| last.since > 0 || now.saturating_sub(last.at) < PAUSE);
        }
        if noted.len() < MOST {
            noted.insert(who, Noted { at: now, since: 0 });
        }
        Some(1)
    }
}
