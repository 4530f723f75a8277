//! The sources of entities, and what becomes of them, told to all who want to know: the log, the metrics, readiness.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tokio::task::JoinSet;

use super::AppError;
use super::build::Common;
use crate::config::{self, EntityPlace, POLICY_DIRECTORY};
use crate::decision::entity::files::EntityFiles;
use crate::decision::entity::follow::{EntityEvents, Follower};
use crate::decision::entity::intake::Refused;
use crate::decision::entity::progress::Progress;
use crate::decision::entity::source::{EntitySource, SourceError};
use crate::decision::entity::{Applied, EntityStore, SourceIndex};
use crate::decision::policy::{PolicyGate, PolicySet};
use crate::evidence::{Backlog, EntityLoadRecord, Record};
use crate::feeds::entities::EntityFeed;
use crate::foundation::clock::Clock;
use crate::foundation::readiness::Readiness;
use crate::foundation::shutdown::{Shutdown, TaskGroup};
use crate::foundation::telemetry::{Registry, printable};
use crate::foundation::watched::{Epoch, Watched};
use crate::store::EntityTable;

/// The name of the notice while a source can't be read, or has records that are refused.
const NOTICE: &str = "entities";

/// How many refused records of one reading are logged one by one.
const MOST_LOGGED: usize = 100;

/// How much of an error is recorded, in bytes.
const SHOWN: usize = 1024;

/// What the bar of a long reading looks like.
const BAR: &str = "{prefix:>16} {bar:32} {human_pos}/{human_len} entities, {per_sec}, {eta} left";

/// What is counted about sources.
#[derive(Clone, Debug, Default)]
pub(super) struct EntityMetrics {
    epoch: Gauge<u64, AtomicU64>,
    entities: Family<SourceLabels, Gauge<u64, AtomicU64>>,
    refused: Family<SourceLabels, Gauge<u64, AtomicU64>>,
    failures: Family<SourceLabels, Counter>,
    reached: Family<SourceLabels, Gauge<u64, AtomicU64>>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct SourceLabels {
    source: String,
}

/// Tells all of them.
#[derive(Debug)]
struct EntityNews {
    metrics: EntityMetrics,
    backlog: Backlog,
    clock: Arc<dyn Clock>,
    readiness: Readiness,
    sources: Mutex<BTreeMap<String, Standing>>,
}

/// How a source stands.
#[derive(Debug, Default)]
struct Standing {
    failed: Option<String>,
    refused: HashSet<Refused>,
    omitted: usize,
}

/// Reads all sources once, then follows them. What is decided before that would be decided without them, so nothing is.
pub(super) async fn entities(
    config: &config::Decision,
    common: &Common,
    (policies, gate): (&Arc<Watched<PolicySet>>, Arc<dyn PolicyGate>),
    metrics: EntityMetrics,
    (tasks, shutdown): (&mut TaskGroup, &Shutdown),
) -> Result<Arc<EntityStore>, AppError> {
    let loading = common.readiness.block(NOTICE, "waiting for the sources of entities");
    let names =
        std::iter::once(POLICY_DIRECTORY.into()).chain(config.entities.iter().map(|source| Arc::clone(&source.name)));
    let store = Arc::new(EntityStore::new(Arc::clone(policies), names).with_gate(gate));
    let news = Arc::new(EntityNews {
        metrics,
        backlog: common.backlog.clone(),
        clock: Arc::clone(&common.clock),
        readiness: common.readiness.clone(),
        sources: Mutex::default(),
    });
    let (mut readings, bars) = (JoinSet::new(), MultiProgress::new());
    for (index, source) in (1..).zip(&config.entities) {
        let name: (Arc<str>, SourceIndex) = (Arc::clone(&source.name), index);
        let opened = open(source, config.poll_interval, common)?;
        let mut follower = Follower::new(name, opened, Arc::clone(&store), Arc::clone(&news) as Arc<dyn EntityEvents>);
        let bar = Bar::add(&bars, &source.name);
        readings.spawn(async move {
            follower.load(Arc::new(bar)).await;
            follower
        });
    }
    for follower in readings.join_all().await {
        tasks.spawn("the watch over entities", follower.run(shutdown.signal()));
    }
    drop(loading);
    Ok(store)
}

fn open(source: &config::EntitySource, poll: Duration, common: &Common) -> Result<Box<dyn EntitySource>, AppError> {
    Ok(match &source.place {
        EntityPlace::Files(path) => Box::new(EntityFiles::new(path.clone(), poll)),
        EntityPlace::Sql(url) => Box::new(EntityTable::open(url.expose().expose())?),
        EntityPlace::Http(feed) => Box::new(EntityFeed::new(feed.clone(), Arc::clone(&common.clock))),
    })
}

impl EntityMetrics {
    /// Registers them.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "portcullis_entity_epoch",
            "Which state of the entities decides, counted since the start",
            metrics.epoch.clone(),
        );
        registry.register("portcullis_entities", "Entities in force", metrics.entities.clone());
        registry.register(
            "portcullis_entities_refused",
            "Records that are refused, and left out, as long as they are there",
            metrics.refused.clone(),
        );
        registry.register(
            "portcullis_entity_source_failures",
            "Readings of a source that failed; what it said before stands",
            metrics.failures.clone(),
        );
        registry.register(
            "portcullis_entity_source_reached_seconds",
            "When a source last answered, in seconds since 1970",
            metrics.reached.clone(),
        );
        metrics
    }
}

impl EntityEvents for EntityNews {
    fn read(&self, source: &str, applied: &Applied, epoch: Epoch) {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let (labels, entities) = (SourceLabels::of(source), applied.entities);
        let refused = applied.refused.len().saturating_add(applied.omitted);
        self.metrics.epoch.set(epoch.number());
        self.metrics.entities.get_or_create_owned(&labels).set(count(entities));
        self.metrics.refused.get_or_create_owned(&labels).set(count(refused));
        if applied.changed {
            tracing::info!(source, %epoch, entities, refused, "entities read");
        }
        let mut is_news = applied.changed;
        self.stands(source, |standing| {
            is_news |= standing.failed.is_some() || standing.refused.len().saturating_add(standing.omitted) != refused;
            let news = applied.refused.iter().filter(|refused| !standing.refused.contains(refused));
            for refused in news.take(MOST_LOGGED) {
                tracing::warn!(source, "a record is refused: {refused}");
            }
            let refused = applied.refused.iter().cloned().collect();
            *standing = Standing { failed: None, refused, omitted: applied.omitted };
        });
        if is_news {
            self.record(source, epoch, (entities, refused), None);
        }
    }

    fn failed(&self, source: &str, error: &SourceError) {
        self.metrics.failures.get_or_create_owned(&SourceLabels::of(source)).inc();
        let (told, labels) = (error.to_string(), SourceLabels::of(source));
        let mut is_news = false;
        self.stands(source, |standing| {
            is_news = standing.failed.as_ref() != Some(&told);
            if is_news {
                tracing::error!(source, "entities can't be read; what was read before stands: {told}");
            }
            standing.failed = Some(told.clone());
        });
        if is_news {
            let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
            let entities = count(self.metrics.entities.get_or_create_owned(&labels).get());
            let refused = count(self.metrics.refused.get_or_create_owned(&labels).get());
            let epoch = Epoch::of_record(self.metrics.epoch.get());
            self.record(source, epoch, (entities, refused), Some(printable(&told, SHOWN)));
        }
    }

    fn reached(&self, source: &str) {
        let reached = self.metrics.reached.get_or_create_owned(&SourceLabels::of(source));
        reached.set(self.clock.now().unix_seconds());
    }
}

impl EntityNews {
    fn record(&self, source: &str, entity_epoch: Epoch, (entities, refused): (usize, usize), error: Option<String>) {
        let (time, source) = (self.clock.now(), source.to_owned());
        let record = EntityLoadRecord { time, source, entity_epoch, entities, refused, error };
        self.backlog.note(Record::EntityLoad(Box::new(record)));
    }

    /// Changes how a source stands, and the notice with it.
    fn stands(&self, source: &str, change: impl FnOnce(&mut Standing)) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        change(sources.entry(source.to_owned()).or_default());
        let lines: Vec<_> = sources.iter().filter_map(|(name, standing)| standing.notice(name)).collect();
        if lines.is_empty() {
            self.readiness.clear_notice(NOTICE);
        } else {
            self.readiness.notice(NOTICE, lines.join("\n"));
        }
    }
}

impl Standing {
    fn notice(&self, name: &str) -> Option<String> {
        if let Some(error) = &self.failed {
            return Some(format!("`{name}` can't be read: {error}"));
        }
        let one = self.refused.iter().min_by_key(ToString::to_string)?;
        let count = self.refused.len().saturating_add(self.omitted);
        Some(format!("`{name}` has {count} records that are refused, e.g. {one}"))
    }
}

impl SourceLabels {
    fn of(source: &str) -> Self {
        Self { source: source.to_owned() }
    }
}

/// A bar on standard error, if that is a terminal.
#[derive(Debug)]
struct Bar(ProgressBar);

impl Bar {
    fn add(bars: &MultiProgress, source: &str) -> Self {
        let bar = bars.add(ProgressBar::new(0)).with_prefix(source.to_owned());
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            bar.set_style(style);
        }
        Self(bar)
    }
}

impl Progress for Bar {
    fn expect(&self, records: u64) {
        self.0.set_length(records);
    }

    fn reached(&self, records: u64) {
        self.0.set_position(records);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
