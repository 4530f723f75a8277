//! What the log says of the process itself: when it began and ended, which bundles it believed, whom it turned away, and how
//! much it left out.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use portcullis_spiffe::TrustDomain;
use tokio::time::sleep;

use super::AppError;
use super::build::Common;
use super::evidence::Evidence;
use crate::config;
use crate::edge::envoy::{ext_authz, sds};
use crate::edge::workload_api;
use crate::evidence::log::{Durability, LogMetrics, Unavailable};
use crate::evidence::{Backlog, BundleRecord, ProcessEvent, ProcessRecord, Record, TurnedAway, UnrecordedRecord};
use crate::foundation::clock::{Clock, Timestamp};
use crate::foundation::digest::Digest;
use crate::foundation::shutdown::{Shutdown, ShutdownSignal, TaskGroup};
use crate::foundation::watched::{Epoch, Snapshot, Watched};
use crate::identity::bundle::{Bundle, Bundles};

/// How often it is looked for answers that have no record.
const LOOK: Duration = Duration::from_secs(1);

/// After how many looks they are told of though there are more.
const PATIENCE: u32 = 60;

/// What is to be said at the end.
#[derive(Debug)]
pub(super) struct Chronicle {
    backlog: Backlog,
    clock: Arc<dyn Clock>,
    process: ProcessRecord,
}

impl Chronicle {
    /// Says that the process begins, and what it leaves out from now on.
    ///
    /// # Errors
    /// What others verify the log by can't be written beside it.
    pub(super) async fn begin(
        common: &Common,
        config: &config::Audit,
        (evidence, takeover): (&Evidence, bool),
        metrics: LogMetrics,
        (tasks, shutdown): (&mut TaskGroup, &Shutdown),
    ) -> Result<Self, AppError> {
        let (backlog, clock) = (common.backlog.clone(), Arc::clone(&common.clock));
        let process = ProcessRecord {
            time: clock.now(),
            event: ProcessEvent::Start,
            version: Cow::Borrowed(env!("CARGO_PKG_VERSION")),
            takeover,
            durability: Cow::Borrowed(match config.durability {
                Durability::Group => "group",
                Durability::Strict => "strict",
            }),
            unavailable: Cow::Borrowed(match config.unavailable {
                Unavailable::Refuse => "refuse",
                Unavailable::Alarm => "alarm",
            }),
            log_key: evidence.key,
        };
        let start = Record::Process(Box::new(process.clone()));
        let recorded = match evidence.log.append_strictly(&start) {
            Ok(taken) => taken.durable().await,
            Err(why) => {
                backlog.note(start);
                Err(why)
            }
        };
        match recorded {
            Ok(()) => evidence.hand_out_verifiers()?,
            Err(why) => tracing::error!("the start of the process is not on record yet: {why}"),
        }
        tasks.spawn("the records that wait", backlog.clone().run(shutdown.signal()));
        let (left_out, turned_away) = (Gaps::new(clock.now(), metrics), common.turned_away.clone());
        tasks.spawn("the account of gaps", left_out.run(backlog.clone(), Arc::clone(&clock), shutdown.signal()));
        tasks.spawn("the account of refusals", turned_away.run(backlog.clone(), shutdown.signal()));
        Ok(Self { backlog, clock, process })
    }

    /// Says that it ends. Nothing is recorded after this.
    pub(super) fn end(self) {
        let (time, event) = (self.clock.now(), ProcessEvent::Stop);
        self.backlog.note(Record::Process(Box::new(ProcessRecord { time, event, ..self.process })));
        self.backlog.end();
    }
}

/// Says which bundles are believed, and each time one is another.
pub(super) fn account_for_bundles(
    bundles: &Arc<Watched<Bundles>>,
    common: &Common,
    (tasks, shutdown): (&mut TaskGroup, &Shutdown),
) {
    let (bundles, backlog, clock) = (Arc::clone(bundles), common.backlog.clone(), Arc::clone(&common.clock));
    let mut signal = shutdown.signal();
    tasks.spawn("the account of bundles", async move {
        let (mut changes, mut told) = (bundles.subscribe(), BTreeMap::new());
        loop {
            changes.mark_unchanged();
            for record in changed(&mut told, &bundles.load(), clock.now()) {
                backlog.note(Record::Bundle(Box::new(record)));
            }
            tokio::select! {
                () = signal.draining() => return,
                // Its sender is ours.
                _ = changes.changed() => {}
            }
        }
    });
}

fn changed(
    told: &mut BTreeMap<TrustDomain, Arc<Bundle>>,
    bundles: &Snapshot<Bundles>,
    time: Timestamp,
) -> Vec<BundleRecord> {
    let now: BTreeMap<_, _> = bundles.iter().map(|bundle| (bundle.trust_domain.clone(), Arc::clone(bundle))).collect();
    let gone = told.keys().filter(|name| !now.contains_key(*name));
    let gone = gone.map(|name| record((name, None), bundles.epoch(), time));
    let new = now.iter().filter(|(name, bundle)| told.get(*name) != Some(*bundle));
    let new = new.map(|(name, bundle)| record((name, Some(&**bundle)), bundles.epoch(), time));
    let records = gone.chain(new).collect();
    *told = now;
    records
}

fn record(
    (trust_domain, bundle): (&TrustDomain, Option<&Bundle>),
    bundle_epoch: Epoch,
    time: Timestamp,
) -> BundleRecord {
    let x509 = bundle.into_iter().flat_map(|bundle| &bundle.x509_authorities);
    let jwt = bundle.into_iter().flat_map(|bundle| &bundle.jwt_authorities);
    BundleRecord {
        time,
        trust_domain: trust_domain.to_string(),
        bundle_epoch,
        bundle_sequence: bundle.map(|bundle| bundle.sequence),
        x509_authorities: x509.map(|authority| Digest::of(&authority.certificate)).collect(),
        jwt_authorities: jwt.map(|authority| authority.key_id.clone()).collect(),
        revocation_lists: bundle.map_or(0, |bundle| bundle.revocations.len()),
    }
}

/// Looks for what has no record.
struct Gaps {
    metrics: LogMetrics,
    /// How many are on record, and before when there were no others.
    told: (u64, Timestamp),
    /// How many there were at the last look, and at how many looks in a row there were more.
    seen: (u64, u32),
}

impl Gaps {
    fn new(now: Timestamp, metrics: LogMetrics) -> Self {
        Self { metrics, told: (0, now), seen: (0, 0) }
    }

    async fn run(mut self, backlog: Backlog, clock: Arc<dyn Clock>, mut signal: ShutdownSignal) {
        loop {
            let is_over = tokio::select! {
                () = signal.draining() => true,
                () = sleep(LOOK) => false,
            };
            if let Some(record) = self.look(self.metrics.unrecorded(), clock.now(), is_over) {
                backlog.note(Record::Unrecorded(Box::new(record)));
            }
            if is_over {
                return;
            }
        }
    }

    /// A record once there are no more of them, or it has taken too long.
    fn look(&mut self, count: u64, now: Timestamp, is_over: bool) -> Option<UnrecordedRecord> {
        let (told, since) = self.told;
        if count == told {
            (self.told, self.seen) = ((count, now), (count, 0));
            return None;
        }
        let (seen, looks) = self.seen;
        self.seen = (count, looks.saturating_add(1));
        if count > seen && looks < PATIENCE && !is_over {
            return None;
        }
        (self.told, self.seen) = ((count, now), (count, 0));
        Some(UnrecordedRecord { time: now, since, count: count.saturating_sub(told) })
    }
}

/// Who counts those that are turned away, each at its own edge.
#[derive(Clone, Copy)]
pub(super) struct Counted<'m> {
    pub(super) checks: &'m ext_authz::Metrics,
    pub(super) sds: &'m sds::Metrics,
    pub(super) workload_api: &'m workload_api::Metrics,
}

impl Counted<'_> {
    /// The account of them.
    pub(super) fn turned_away(self, clock: Arc<dyn Clock>) -> TurnedAway {
        let turned_away = TurnedAway::new(clock);
        let follow = |edge, (reason, counter)| turned_away.follow(edge, reason, counter);
        self.checks.undecided().into_iter().for_each(|counted| follow("ext_authz", counted));
        self.sds.turned_away().into_iter().for_each(|counted| follow("sds", counted));
        self.workload_api.turned_away().into_iter().for_each(|counted| follow("workload_api", counted));
        turned_away
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    #[test]
    fn what_has_no_record_is_told_of_once_it_is_over_and_all_of_it() {
        let metrics = LogMetrics::new(&mut crate::foundation::telemetry::Registry::default());
        let mut gaps = Gaps::new(at(0), metrics);
        assert!(gaps.look(0, at(1), false).is_none());
        assert!(gaps.look(5, at(2), false).is_none());
        assert!(gaps.look(9, at(3), false).is_none());
        let told = gaps.look(9, at(4), false).unwrap();
        assert_eq!((told.count, told.since, told.time), (9, at(1), at(4)));
        assert!(gaps.look(9, at(5), false).is_none());
        assert_eq!(gaps.look(10, at(6), true).map(|told| (told.count, told.since)), Some((1, at(5))));
        let told: u64 = (11..=200).filter_map(|count| gaps.look(count, at(9), false)).map(|told| told.count).sum();
        assert!(told > 100, "they never end and are never told of: {told}");
    }

    #[test]
    fn each_bundle_is_told_of_when_it_is_another() {
        let (one, other): (TrustDomain, TrustDomain) = ("one.test".parse().unwrap(), "other.test".parse().unwrap());
        let bundle = |name: &TrustDomain, sequence| Bundle::of_x509(name.clone(), std::iter::empty(), sequence);
        let watched = Watched::new(Bundles::new([bundle(&one, 1), bundle(&other, 1)]));
        let mut told = BTreeMap::new();
        let mut look = || -> Vec<(String, u64, Option<u64>)> {
            let records = changed(&mut told, &watched.load(), at(1)).into_iter();
            records.map(|record| (record.trust_domain, record.bundle_epoch.number(), record.bundle_sequence)).collect()
        };
        assert_eq!(look(), [("one.test".to_owned(), 1, Some(1)), ("other.test".to_owned(), 1, Some(1))]);
        assert!(look().is_empty());
        watched.replace(Bundles::new([bundle(&one, 2), bundle(&other, 1)]));
        assert_eq!(look(), [("one.test".to_owned(), 2, Some(2))]);
        watched.replace(Bundles::new([bundle(&one, 2)]));
        assert_eq!(look(), [("other.test".to_owned(), 3, None)]);
    }
}
