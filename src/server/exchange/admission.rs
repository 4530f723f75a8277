//! How many requests may be under way, and how much of them may be kept, for all clients together and for each of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;

use crate::server::connection::Owner;

/// What of a request's body its place covers, in bytes. Most requests are shorter, and so touch no second account.
const COVERED: usize = 16 * 1024;

/// The bounds. Of each, one client gets three quarters at most.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AdmissionLimits {
    /// Requests that were taken in and whose answer is not yet written.
    pub requests: usize,
    /// Bytes kept of their bodies, beyond the first 16 KiB of each.
    pub bytes: usize,
}

/// Lets requests in as long as there is room. Shared by all listeners of a service.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: Account<i64>,
    most_of_one: Account<i64>,
    /// Both are what is counted by and what is shown.
    requests: Gauge,
    bytes: Gauge,
    /// Requests under way whose body is not there yet: they keep nobody waiting.
    reading: AtomicUsize,
    /// Connections with requests that wait for their turn.
    busy: AtomicUsize,
    /// How long one answer takes, on average of the last few.
    answer_nanos: AtomicU64,
    workers: u64,
    accounts: Mutex<HashMap<Owner, Weak<Account<AtomicI64>>>>,
}

/// What one client has taken, or may take.
#[derive(Debug, Default)]
struct Account<T> {
    requests: T,
    bytes: T,
}

/// One client, with all its connections: a user of this machine, or another machine.
#[derive(Clone, Debug)]
pub(in crate::server) struct Client(Arc<ClientInner>);

#[derive(Debug)]
struct ClientInner {
    admission: Admission,
    account: Arc<Account<AtomicI64>>,
}

/// One request's place, given back when dropped.
#[derive(Debug)]
#[must_use = "the place is held only while this lives"]
pub(super) struct Admitted {
    client: Client,
    bytes: i64,
}

/// While this lives, a request is one whose body is not there yet.
#[derive(Debug)]
pub(super) struct Reading(Admission);

/// While this lives, a connection is one with requests that wait for their turn.
#[derive(Debug)]
pub(super) struct Busy(Admission);

impl Admission {
    /// Room for as much as `limits` say. `requests` and `bytes` show how much of it is taken; `workers` is how many
    /// requests can be answered at the same time.
    pub fn new(limits: AdmissionLimits, requests: Gauge, bytes: Gauge, workers: usize) -> Self {
        let number = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        let most = Account { requests: number(limits.requests), bytes: number(limits.bytes) };
        let share = |most: i64| most - most / 4;
        Self(Arc::new(Inner {
            most_of_one: Account { requests: share(most.requests), bytes: share(most.bytes) },
            most,
            requests,
            bytes,
            reading: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            answer_nanos: AtomicU64::new(0),
            workers: u64::try_from(workers.max(1)).unwrap_or(u64::MAX),
            accounts: Mutex::default(),
        }))
    }

    /// The client at the other end of a new connection.
    pub(in crate::server) fn client(&self, owner: Owner) -> Client {
        let mut accounts = self.0.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let account = accounts.get(&owner).and_then(Weak::upgrade).unwrap_or_else(|| {
            accounts.retain(|_, account| account.strong_count() > 0);
            let account = Arc::default();
            accounts.insert(owner, Arc::downgrade(&account));
            account
        });
        Client(Arc::new(ClientInner { admission: self.clone(), account }))
    }

    /// How long the requests will take that come before one, if they are `of_each` connection at most.
    pub(super) fn ahead(&self, of_each: usize) -> Duration {
        let busy = self.0.busy.load(Ordering::Relaxed);
        let before = u64::try_from(of_each.saturating_mul(busy)).unwrap_or(u64::MAX);
        let under_way = u64::try_from(self.0.requests.get()).unwrap_or_default();
        let reading = u64::try_from(self.0.reading.load(Ordering::Relaxed)).unwrap_or(u64::MAX);
        let waiting = under_way.saturating_sub(reading);
        let each = self.0.answer_nanos.load(Ordering::Relaxed);
        Duration::from_nanos(waiting.min(before).saturating_mul(each) / self.0.workers)
    }

    /// Takes down that `count` answers took `took`.
    pub(super) fn answered(&self, count: usize, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let Some(each) = u64::try_from(count).ok().and_then(|count| took.checked_div(count)) else { return };
        // Of two who do this at once one is not heard, which an average can bear.
        let before = self.0.answer_nanos.load(Ordering::Relaxed);
        self.0.answer_nanos.store(before - before / 8 + each / 8, Ordering::Relaxed);
    }

    pub(super) fn busy(&self) -> Busy {
        self.0.busy.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    fn reading(&self) -> Reading {
        self.0.reading.fetch_add(1, Ordering::Relaxed);
        Reading(self.clone())
    }
}

impl Client {
    pub(super) fn admission(&self) -> &Admission {
        &self.0.admission
    }

    /// A place, if there is one left for this client.
    pub(super) fn admit(&self) -> Option<Admitted> {
        let Inner { most, most_of_one, requests, .. } = &*self.0.admission.0;
        let theirs = &self.0.account.requests;
        if theirs.fetch_add(1, Ordering::Relaxed) >= most_of_one.requests {
            theirs.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        if requests.inc() >= most.requests {
            requests.dec();
            theirs.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Admitted { client: self.clone(), bytes: 0 })
    }
}

impl Admitted {
    /// Notes that the request waits for its body.
    pub(super) fn reading(&self) -> Reading {
        self.client.admission().reading()
    }

    /// Whether a body may take `length` bytes in all. Once this says no, it is of no use to ask again.
    pub(super) fn may_keep(&mut self, length: usize) -> bool {
        let wanted = i64::try_from(length.saturating_sub(COVERED)).unwrap_or(i64::MAX);
        let more = wanted.saturating_sub(self.bytes);
        if more <= 0 {
            return true;
        }
        let Inner { most, most_of_one, bytes, .. } = &*self.client.0.admission.0;
        let theirs = &self.client.0.account.bytes;
        if theirs.fetch_add(more, Ordering::Relaxed).saturating_add(more) > most_of_one.bytes {
            theirs.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        if bytes.inc_by(more).saturating_add(more) > most.bytes {
            bytes.dec_by(more);
            theirs.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.bytes = wanted;
        true
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let ClientInner { admission, account } = &*self.client.0;
        account.requests.fetch_sub(1, Ordering::Relaxed);
        admission.0.requests.dec();
        if self.bytes > 0 {
            account.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
            admission.0.bytes.dec_by(self.bytes);
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.0.reading.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::connection::{ConnectionInfo, Peer};

    fn admission(requests: usize, bytes: usize) -> Admission {
        Admission::new(AdmissionLimits { requests, bytes }, Gauge::default(), Gauge::default(), 2)
    }

    fn taken(admission: &Admission) -> (i64, i64) {
        (admission.0.requests.get(), admission.0.bytes.get())
    }

    #[test]
    fn a_client_gets_three_quarters_and_others_the_rest() {
        let admission = admission(8, 0);
        let (one, same, other) =
            (admission.client(Owner::User(1)), admission.client(Owner::User(1)), admission.client(Owner::User(2)));
        let mut places: Vec<_> = (0..3).flat_map(|_| [one.admit().unwrap(), same.admit().unwrap()]).collect();
        assert!(one.admit().is_none() && same.admit().is_none());
        places.extend([other.admit().unwrap(), other.admit().unwrap()]);
        assert!(other.admit().is_none() && admission.client(Owner::User(3)).admit().is_none(), "all are taken");
        drop(places);
        assert_eq!(taken(&admission), (0, 0));
        assert!(one.admit().is_some());
    }

    #[test]
    fn a_machine_is_one_client_over_whatever_port() {
        let owner = |address: &str| ConnectionInfo::of(Peer::Tcp(address.parse().unwrap())).owner();
        let admission = admission(8, 0);
        let (one, same) = (admission.client(owner("10.0.0.1:1")), admission.client(owner("10.0.0.1:2")));
        let places: Vec<_> = std::iter::from_fn(|| one.admit()).collect();
        assert_eq!(places.len(), 6);
        assert!(same.admit().is_none() && admission.client(owner("10.0.0.2:1")).admit().is_some());
    }

    #[test]
    fn bytes_beyond_those_that_a_place_covers_are_bounded_too() {
        let admission = admission(8, 1000);
        let (one, other) = (admission.client(Owner::User(1)), admission.client(Owner::User(2)));
        let (mut mine, mut also_mine) = (one.admit().unwrap(), one.admit().unwrap());
        assert!(mine.may_keep(COVERED) && also_mine.may_keep(COVERED));
        assert_eq!(taken(&admission), (2, 0));
        assert!(mine.may_keep(COVERED + 700) && mine.may_keep(COVERED + 700));
        assert!(!also_mine.may_keep(COVERED + 51), "that would be more than three quarters");
        assert!(also_mine.may_keep(COVERED + 50));
        assert_eq!(taken(&admission), (2, 750));
        let mut theirs = other.admit().unwrap();
        assert!(theirs.may_keep(COVERED + 250) && !theirs.may_keep(COVERED + 251));
        drop((mine, also_mine, theirs));
        assert_eq!(taken(&admission), (0, 0));
    }

    #[test]
    fn accounts_of_users_who_left_are_forgotten() {
        let admission = admission(8, 0);
        for user in 0..1000 {
            drop(admission.client(Owner::User(user)));
        }
        assert!(admission.0.accounts.lock().unwrap().len() < 3);
    }

    #[test]
    fn what_is_ahead_is_what_waits_for_an_answer_at_the_pace_of_the_last_ones() {
        let admission = admission(100, 0);
        let client = admission.client(Owner::User(1));
        let busy: Vec<_> = (0..2).map(|_| admission.busy()).collect();
        assert_eq!(admission.ahead(1000), Duration::ZERO);
        for _ in 0..200 {
            admission.answered(10, Duration::from_micros(800));
        }
        let places: Vec<_> = (0..50).map(|_| client.admit().unwrap()).collect();
        let about = |of_each: usize, expected: u64| {
            let micros = u64::try_from(admission.ahead(of_each).as_micros()).unwrap();
            assert!(micros.abs_diff(expected) <= 2, "{micros}");
        };
        about(1000, 2000);
        let reading = admission.reading();
        about(1000, 1960);
        about(10, 800);
        drop(busy);
        about(10, 0);
        drop((places, reading));
        assert_eq!(admission.ahead(1000), Duration::ZERO);
        admission.answered(0, Duration::from_secs(1));
    }
}
