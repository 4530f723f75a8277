//! The routes of the mapping: read once, then followed, and what becomes of them told to all who want to know.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::sleep;

use super::AppError;
use super::build::Common;
use crate::config;
use crate::decision::mapping::{Mapping, MappingEvents, watch};
use crate::decision::policy::{LoadError, PolicySet};
use crate::evidence::{Audit, Backlog, MappingLoadRecord, Record};
use crate::foundation::clock::Clock;
use crate::foundation::readiness::Readiness;
use crate::foundation::shutdown::{Shutdown, TaskGroup};
use crate::foundation::telemetry::Registry;
use crate::foundation::watched::{Snapshot, Watched};

/// The name of the notice while the files are not those in place, or don't fit the schema.
const NOTICE: &str = "mapping";

/// How soon a first load that the log does not take is given to it again.
const RETRY: Duration = Duration::from_millis(250);

/// What is counted about loads.
#[derive(Clone, Debug, Default)]
pub(super) struct MappingMetrics {
    epoch: Gauge<u64, AtomicU64>,
    routes: Gauge<u64, AtomicU64>,
    failures: Counter,
    held_back: Gauge,
}

impl MappingMetrics {
    /// Registers them.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "portcullis_mapping_epoch",
            "Which load of the mapping is in place, counted since the start; 0 if there is none",
            metrics.epoch.clone(),
        );
        registry.register("portcullis_mapping_routes", "Routes of the mapping", metrics.routes.clone());
        registry.register(
            "portcullis_mapping_load_failures",
            "Changes of the mapping that were refused, and of the schema that it does not fit",
            metrics.failures.clone(),
        );
        registry.register(
            "portcullis_mapping_load_held_back",
            "1 while new routes are not in place yet because the audit log can't take the record of them",
            metrics.held_back.clone(),
        );
        metrics
    }
}

/// The routes, if any are configured. There are no last good ones yet, so broken ones keep the process from starting.
pub(super) async fn mapping(
    config: &config::Decision,
    common: &Common,
    policies: &Arc<Watched<PolicySet>>,
    metrics: MappingMetrics,
    (tasks, shutdown): (&mut TaskGroup, &Shutdown),
) -> Result<Option<Arc<Watched<Mapping>>>, AppError> {
    let Some(path) = config.mapping.clone() else { return Ok(None) };
    let news = Arc::new(MappingNews {
        audit: Arc::clone(&common.audit),
        backlog: common.backlog.clone(),
        clock: Arc::clone(&common.clock),
        metrics,
        readiness: common.readiness.clone(),
    });
    let first = first(&path, policies, &news).await?;
    let mapping = Arc::new(Watched::new(first));
    news.first(&mapping).await;
    let (routes, policies) = (Arc::clone(&mapping), Arc::clone(policies));
    tasks.spawn(
        "the watch over the mapping",
        watch(path, routes, policies, news, config.poll_interval, shutdown.signal()),
    );
    Ok(Some(mapping))
}

async fn first(path: &Path, policies: &Arc<Watched<PolicySet>>, news: &MappingNews) -> Result<Mapping, AppError> {
    let _loading = news.readiness.block("mapping", "loading the mapping");
    let (owned, policies) = (path.to_owned(), policies.load());
    let load = move || Mapping::load(&owned).and_then(|mapping| mapping.fit(&policies).map(|()| mapping));
    let loaded = tokio::task::spawn_blocking(load).await;
    Ok(loaded.map_err(|_panic| LoadError::fault(path)).flatten()?)
}

/// Tells all of them.
#[derive(Debug)]
struct MappingNews {
    audit: Arc<dyn Audit>,
    /// For what is told of routes that don't come in place by it.
    backlog: Backlog,
    clock: Arc<dyn Clock>,
    metrics: MappingMetrics,
    readiness: Readiness,
}

impl MappingEvents for MappingNews {
    fn enter(&self, next: &Snapshot<Mapping>) -> Result<(), String> {
        let recorded = self.audit.append(self.record(next, None)).map(|_durable_soon| ());
        recorded.map_err(|error| format!("their load can't be recorded: {error}"))
    }

    fn held_back(&self, kept: &Snapshot<Mapping>, error: &LoadError) {
        self.metrics.held_back.set(1);
        self.readiness.notice(NOTICE, error.to_string());
        tracing::error!(epoch = %kept.epoch(), "new routes are not in place yet; the ones before map: {error}");
    }

    fn loaded(&self, current: &Snapshot<Mapping>) {
        self.metrics.epoch.set(current.epoch().number());
        self.metrics.routes.set(u64::try_from(current.len()).unwrap_or(u64::MAX));
        self.settled();
        tracing::info!(epoch = %current.epoch(), routes = current.len(), digest = %current.digest(), "mapping loaded");
    }

    fn refused(&self, kept: &Snapshot<Mapping>, error: &LoadError, misfit: bool) {
        self.settled();
        self.metrics.failures.inc();
        self.readiness.notice(NOTICE, error.to_string());
        if misfit {
            tracing::error!(epoch = %kept.epoch(), "the mapping does not fit the new schema, so its requests are denied: {error}");
        } else {
            tracing::error!(epoch = %kept.epoch(), "mapping refused; the last good one maps: {error}");
        }
        self.backlog.note(self.record(kept, Some(error.to_string())));
    }

    fn recovered(&self, current: &Snapshot<Mapping>) {
        self.settled();
        tracing::info!(epoch = %current.epoch(), "the mapping's files are again those in place, and fit the schema");
        self.backlog.note(self.record(current, None));
    }
}

impl MappingNews {
    /// Puts the first routes on record, however often that has to be tried, and tells of them.
    async fn first(&self, mapping: &Watched<Mapping>) {
        let first = mapping.load();
        while let Err(why) = self.enter(&first) {
            let _waiting = self.readiness.block("mapping", why);
            sleep(RETRY).await;
        }
        self.loaded(&first);
    }

    fn settled(&self) {
        self.metrics.held_back.set(0);
        self.readiness.clear_notice(NOTICE);
    }

    fn record(&self, current: &Snapshot<Mapping>, error: Option<String>) -> Record<'static> {
        let record = MappingLoadRecord {
            time: self.clock.now(),
            mapping_digest: current.digest(),
            mapping_epoch: current.epoch(),
            routes: current.len(),
            error,
        };
        Record::MappingLoad(Box::new(record))
    }
}
