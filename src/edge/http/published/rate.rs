//! How often one machine may ask.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::foundation::clock::{Clock, Timestamp};
use crate::server::{Peer, network};

/// How many machines are told apart; of more, those that asked longest ago begin anew.
const MACHINES: u64 = 65_536;

/// How long one that asks no more is remembered.
const IDLE: Duration = Duration::from_mins(1);

/// For so long a machine may save up what it did not ask.
const BURST: Duration = Duration::from_secs(5);

/// A bucket of tokens for each machine, filled as time passes.
#[derive(Debug)]
pub(super) struct RateLimit {
    /// Between two requests that go on for ever.
    interval: Duration,
    clock: Arc<dyn Clock>,
    /// Until when each has used up its share: a token bucket that needs one number (GCRA, ITU-T I.371).
    used_up: Cache<IpAddr, Arc<Mutex<Timestamp>>>,
}

impl RateLimit {
    pub(super) fn new(per_second: u32, clock: Arc<dyn Clock>) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        let used_up =
            Cache::builder().max_capacity(MACHINES).eviction_policy(EvictionPolicy::lru()).time_to_idle(IDLE).build();
        Self { interval, clock, used_up }
    }

    /// Whether one more request of `peer` is let in. Whoever is on this machine is not counted: mostly it is a proxy, and
    /// stands for many.
    pub(super) fn admits(&self, peer: Option<&Peer>) -> bool {
        let Some(Peer::Tcp(address)) = peer else { return true };
        if address.ip().to_canonical().is_loopback() {
            return true;
        }
        let now = self.clock.now();
        let used_up = self.used_up.get_with(network(address.ip()), || Arc::new(Mutex::new(now)));
        let mut used_up = used_up.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (*used_up).max(now).after(self.interval);
        let is_admitted = next.since(now) <= BURST;
        if is_admitted {
            *used_up = next;
        }
        is_admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::foundation::clock::ManualClock;

    #[test]
    fn a_machine_has_a_burst_and_then_its_rate_and_others_are_not_concerned() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000)));
        let limit = RateLimit::new(10, Arc::clone(&clock) as _);
        let peer = |address: &str| Peer::Tcp(format!("{address}:1").parse().unwrap());
        let admitted = |address: &str, times: usize| (0..times).filter(|_| limit.admits(Some(&peer(address)))).count();
        assert_eq!(admitted("10.0.0.1", 100), 50);
        assert_eq!(admitted("10.0.0.2", 1), 1);
        clock.advance(Duration::from_secs(1));
        assert_eq!(admitted("10.0.0.1", 100), 10);
        assert_eq!(
            (admitted("[::ffff:10.0.0.1]", 1), admitted("[2001:db8::1]", 60), admitted("[2001:db8::2]", 1)),
            (0, 50, 0)
        );
        assert_eq!(admitted("127.0.0.1", 100), 100);
        assert!(limit.admits(None));
    }
}
