//! Tokens for calls to services outside: kept, and what becomes of each told to all who want to know.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::build::Common;
use crate::config;
use crate::delegation::outbound::{Assertions, Granted, Keeper, ObtainError, OutboundEvents, Ports, Target, Tokens};
use crate::feeds::token_endpoint::HttpTokenEndpoint;
use crate::foundation::clock::Timestamp;
use crate::foundation::readiness::Readiness;
use crate::foundation::shutdown::{Shutdown, TaskGroup};
use crate::foundation::telemetry::Registry;

/// The name of the notice while tokens can't be had.
const NOTICE: &str = "outbound";

/// What is counted about targets.
#[derive(Clone, Debug, Default)]
pub(super) struct OutboundMetrics {
    requests: Family<Outcome, Counter>,
    ends: Family<OfTarget, Gauge<u64, AtomicU64>>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Outcome {
    target: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OfTarget {
    target: String,
}

/// Tells all of them.
#[derive(Debug)]
struct OutboundNews {
    metrics: OutboundMetrics,
    readiness: Readiness,
    /// What is wrong, by target.
    failed: Mutex<BTreeMap<Arc<str>, String>>,
}

/// Starts to keep the tokens of all targets.
pub(super) fn start(
    config: &config::Outbound,
    common: &Common,
    assertions: Arc<dyn Assertions>,
    metrics: OutboundMetrics,
    (tasks, shutdown): (&mut TaskGroup, &Shutdown),
) -> Arc<Tokens> {
    let tokens = Arc::new(Tokens::new(config.targets.iter().map(|one| &one.target)));
    let news = OutboundNews { metrics, readiness: common.readiness.clone(), failed: Mutex::default() };
    let ports = Ports {
        assertions,
        audit: Arc::clone(&common.audit),
        events: Arc::new(news),
        clock: Arc::clone(&common.clock),
        entropy: Arc::clone(&common.entropy),
    };
    for one in &config.targets {
        let (url, fetch) = (one.token_endpoint.clone(), config.fetch.clone());
        let endpoint = HttpTokenEndpoint::new(url, fetch, Arc::clone(&common.clock));
        let keeper = Keeper::new(one.target.clone(), Box::new(endpoint), Arc::clone(&tokens), ports.clone());
        tasks.spawn("a token for calls outside", keeper.run(shutdown.signal()));
    }
    tokens
}

impl OutboundMetrics {
    /// Registers them.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "portcullis_outbound_requests",
            "Questions for tokens of services outside, by what came of them",
            metrics.requests.clone(),
        );
        registry.register(
            "portcullis_outbound_token_end_seconds",
            "When the token of a service outside ends, in seconds since 1970; 0 if there is none",
            metrics.ends.clone(),
        );
        metrics
    }

    fn count(&self, target: &Target, outcome: &'static str) {
        self.requests.get_or_create_owned(&Outcome { target: target.name.to_string(), outcome }).inc();
    }

    fn ends(&self, target: &Target, at: u64) {
        self.ends.get_or_create_owned(&OfTarget { target: target.name.to_string() }).set(at);
    }
}

impl OutboundNews {
    fn stands(&self, target: &Target, failure: Option<String>) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match failure {
            Some(why) => drop(failed.insert(Arc::clone(&target.name), why)),
            None => drop(failed.remove(&target.name)),
        }
        if failed.is_empty() {
            return self.readiness.clear_notice(NOTICE);
        }
        let all: Vec<String> = failed.iter().map(|(name, why)| format!("the token of `{name}`: {why}")).collect();
        self.readiness.notice(NOTICE, all.join("; "));
    }
}

impl OutboundEvents for OutboundNews {
    fn obtained(&self, target: &Target, granted: &Granted, not_after: Timestamp) {
        self.metrics.count(target, "given");
        self.metrics.ends(target, not_after.unix_seconds());
        tracing::info!(outbound = &*target.name, %not_after, scope = granted.scope, "a token for calls outside obtained");
        self.stands(target, None);
    }

    fn failed(&self, target: &Target, error: &ObtainError, is_held: bool) {
        let outcome =
            if matches!(error, ObtainError::Refused(refusal) if refusal.is_final()) { "refused" } else { "failed" };
        self.metrics.count(target, outcome);
        if !is_held {
            self.metrics.ends(target, 0);
        }
        tracing::warn!(outbound = &*target.name, is_held, "a token for calls outside can't be had: {error}");
        self.stands(target, Some(error.to_string()));
    }

    fn ended(&self, target: &Target) {
        self.metrics.ends(target, 0);
        tracing::error!(outbound = &*target.name, "a token for calls outside is over, and there is no other");
    }
}
