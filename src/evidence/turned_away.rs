//! Requests that were answered without being looked at any further are on record, too: counted where they come in, and put into
//! the log once a minute, so that nobody can fill it by asking.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::time::sleep;

use super::backlog::Backlog;
use super::record::{Record, TurnedAwayRecord};
use crate::foundation::clock::{Clock, Timestamp};
use crate::foundation::shutdown::ShutdownSignal;

/// How often there is a record at most, for each edge and reason.
const EVERY: Duration = Duration::from_mins(1);

/// How many peers a record names.
const PEERS: usize = 8;

/// Counts them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TurnedAway(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    since: Timestamp,
    tallies: BTreeMap<(&'static str, &'static str), Tally>,
    /// What is counted elsewhere, and how much of it is on record.
    counters: Vec<((&'static str, &'static str), Counter, u64)>,
}

#[derive(Debug, Default)]
struct Tally {
    count: u64,
    peers: BTreeSet<String>,
}

impl TurnedAway {
    /// None yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let state = State { since: clock.now(), tallies: BTreeMap::new(), counters: Vec::new() };
        Self(Arc::new(Inner { clock, state: Mutex::new(state) }))
    }

    /// One more at `edge`, for `reason`; `peer` is where it came from.
    pub fn count(&self, edge: &'static str, reason: &'static str, peer: String) {
        let mut state = self.state();
        let tally = state.tallies.entry((edge, reason)).or_default();
        tally.count = tally.count.saturating_add(1);
        if tally.peers.len() < PEERS {
            tally.peers.insert(peer);
        }
    }

    /// Those at `edge`, for `reason`, are counted by `counter`.
    pub fn follow(&self, edge: &'static str, reason: &'static str, counter: Counter) {
        let known = counter.get();
        self.state().counters.push(((edge, reason), counter, known));
    }

    /// Puts them on record until the drain starts, and then those that are left.
    pub async fn run(self, backlog: Backlog, mut signal: ShutdownSignal) {
        loop {
            let is_over = tokio::select! {
                () = signal.draining() => true,
                () = sleep(EVERY) => false,
            };
            self.collect().into_iter().for_each(|record| backlog.note(Record::TurnedAway(Box::new(record))));
            if is_over {
                return;
            }
        }
    }

    fn collect(&self) -> Vec<TurnedAwayRecord> {
        let time = self.0.clock.now();
        let mut guard = self.state();
        let state = &mut *guard;
        let mut tallies = std::mem::take(&mut state.tallies);
        for (key, counter, known) in &mut state.counters {
            let count = counter.get();
            let news = count.saturating_sub(std::mem::replace(known, count));
            if news > 0 {
                let tally = tallies.entry(*key).or_default();
                tally.count = tally.count.saturating_add(news);
            }
        }
        let since = std::mem::replace(&mut state.since, time);
        let record = |((edge, reason), tally): (_, Tally)| TurnedAwayRecord {
            time,
            since,
            edge: Cow::Borrowed(edge),
            reason: Cow::Borrowed(reason),
            count: tally.count,
            peers: tally.peers.into_iter().collect(),
        };
        tallies.into_iter().map(record).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::foundation::clock::ManualClock;

    #[test]
    fn those_who_were_turned_away_are_counted_and_the_first_few_named() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(10)));
        let turned_away = TurnedAway::new(Arc::clone(&clock) as Arc<dyn Clock>);
        assert!(turned_away.collect().is_empty());
        let counter = Counter::default();
        counter.inc_by(3);
        turned_away.follow("ext_authz", "overloaded", counter.clone());
        (0..20).for_each(|number| turned_away.count("authzen", "unknown_caller", format!("10.0.0.{number}")));
        turned_away.count("token", "unknown_caller", "uid 7".to_owned());
        counter.inc_by(2);
        clock.advance(Duration::from_secs(5));
        let told = turned_away.collect();
        let counts: Vec<_> =
            told.iter().map(|told| (&*told.edge, &*told.reason, told.count, told.peers.len())).collect();
        let expected = [
            ("authzen", "unknown_caller", 20, 8),
            ("ext_authz", "overloaded", 2, 0),
            ("token", "unknown_caller", 1, 1),
        ];
        assert_eq!(counts, expected);
        assert_eq!((told[0].since, told[0].time), (Timestamp::from_unix_seconds(10), Timestamp::from_unix_seconds(15)));
        assert!(turned_away.collect().is_empty(), "they are on record once");
    }
}
