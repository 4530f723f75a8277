//! Tokens of others: their issuers' keys, followed, and what becomes of these told to all who want to know.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use portcullis_spiffe::TrustDomain;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::build::Common;
use crate::config::{self, KeyPlace};
use crate::decision::Principals;
use crate::feeds::jwks::KeyFeed;
use crate::foundation::clock::Clock;
use crate::foundation::readiness::Readiness;
use crate::foundation::shutdown::{Shutdown, TaskGroup};
use crate::foundation::telemetry::Registry;
use crate::foundation::watched::Watched;
use crate::identity::bundle::Bundles;
use crate::identity::delegation::Revocations;
use crate::identity::token::{
    Issuer, IssuerRules, KeyEvents, KeyFile, KeyFollower, KeySource, KeySourceError, PublishedKeys, Tokens,
};

/// The name of the notice while keys of an issuer of principals' tokens can't be had.
const NOTICE: &str = "tokens";

/// What is counted about issuers.
#[derive(Clone, Debug, Default)]
pub(super) struct TokenMetrics {
    keys: Family<IssuerLabels, Gauge<u64, AtomicU64>>,
    failures: Family<IssuerLabels, Counter>,
    reached: Family<IssuerLabels, Gauge<u64, AtomicU64>>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct IssuerLabels {
    issuer: String,
}

/// Tells all of them.
struct KeyNews {
    metrics: TokenMetrics,
    clock: Arc<dyn Clock>,
    readiness: Readiness,
    notice: Cow<'static, str>,
    /// By issuer, why its keys can't be had.
    failed: Mutex<BTreeMap<String, String>>,
}

/// What settles principals, if any issuer is believed. Each is asked for its keys once before anything is served; one that
/// does not answer is no reason not to start, for its tokens are refused until it does.
pub(super) async fn principals(
    config: &config::Tokens,
    common: &Common,
    (trust_domain, bundles, revocations): (&TrustDomain, &Arc<Watched<Bundles>>, &Arc<Revocations>),
    metrics: TokenMetrics,
    (tasks, shutdown): (&mut TaskGroup, &Shutdown),
) -> Option<Principals> {
    if config.issuers.is_empty() {
        return None;
    }
    let believed = (&*config.issuers, config.remembered, Cow::Borrowed(NOTICE));
    let verifier = verifier(believed, common, (trust_domain, bundles), metrics, (tasks, shutdown)).await;
    let mappings = config.issuers.iter().map(|issuer| issuer.mapping.clone()).collect();
    let principals = Principals::new(config.rules.clone(), Arc::new(verifier), mappings);
    Some(principals.with_revocations(Arc::clone(revocations)))
}

/// What verifies tokens of these issuers, in their order, and remembers so many, while their keys are followed; what is wrong
/// with these is told under `notice`.
pub(super) async fn verifier(
    (configured, remembered, notice): (&[config::TokenIssuer], usize, Cow<'static, str>),
    common: &Common,
    trusted: (&TrustDomain, &Arc<Watched<Bundles>>),
    metrics: TokenMetrics,
    running: (&mut TaskGroup, &Shutdown),
) -> Tokens {
    let believed = issuers((configured, notice), common, trusted, metrics, running).await;
    Tokens::new(believed, u64::try_from(remembered).unwrap_or(u64::MAX))
}

/// These issuers, in their order, while their keys are followed; what is wrong with these is told under `notice`.
pub(super) async fn issuers(
    (issuers, notice): (&[config::TokenIssuer], Cow<'static, str>),
    common: &Common,
    (trust_domain, bundles): (&TrustDomain, &Arc<Watched<Bundles>>),
    metrics: TokenMetrics,
    (tasks, shutdown): (&mut TaskGroup, &Shutdown),
) -> Vec<Issuer> {
    let _asking = common.readiness.block("issuers", "asking the issuers of tokens for their keys");
    let news = Arc::new(KeyNews {
        metrics,
        clock: Arc::clone(&common.clock),
        readiness: common.readiness.clone(),
        notice,
        failed: Mutex::default(),
    });
    let (mut believed, mut followers) = (Vec::new(), Vec::new());
    for issuer in issuers {
        let started = common.clock.now();
        let rules = IssuerRules {
            single_use: issuer.rules.single_use.map(|(capacity, _since)| (capacity, started)),
            ..issuer.rules.clone()
        };
        let Some(source) = source(&issuer.keys, &common.clock) else {
            let bundles = Arc::clone(bundles);
            believed.push(match &issuer.keys {
                KeyPlace::Own => Issuer::own(rules, trust_domain.clone(), bundles),
                _ => Issuer::spiffe(rules, bundles),
            });
            continue;
        };
        let (name, keys) = (Arc::clone(&rules.issuer), Arc::new(PublishedKeys::new(issuer.max_stale)));
        believed.push(Issuer::publishing(rules, Arc::clone(&keys)));
        let (clock, events) = (Arc::clone(&common.clock), Arc::clone(&news) as Arc<dyn KeyEvents>);
        followers.push(KeyFollower::new((name, keys), source, issuer.schedule, clock, events));
    }
    join_all(followers.iter_mut().map(KeyFollower::read)).await;
    for follower in followers {
        tasks.spawn("the watch over keys of tokens", follower.run(shutdown.signal()));
    }
    believed
}

/// Nothing of SPIFFE and ourselves, whose bundles are here already.
fn source(place: &KeyPlace, clock: &Arc<dyn Clock>) -> Option<Box<dyn KeySource>> {
    match place {
        KeyPlace::Server(address, fetch) => {
            Some(Box::new(KeyFeed::new(address.clone(), fetch.clone(), Arc::clone(clock))))
        }
        KeyPlace::File(path) => Some(Box::new(KeyFile::new(path.clone()))),
        KeyPlace::Bundles | KeyPlace::Own => None,
    }
}

impl TokenMetrics {
    /// Registers them.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "portcullis_token_keys",
            "Keys of an issuer of tokens that tokens can be verified with",
            metrics.keys.clone(),
        );
        registry.register(
            "portcullis_token_key_failures",
            "Questions for an issuer's keys that failed; its last good keys stand, for a while",
            metrics.failures.clone(),
        );
        registry.register(
            "portcullis_token_keys_reached_seconds",
            "When an issuer last said what its keys are, in seconds since 1970",
            metrics.reached.clone(),
        );
        metrics
    }
}

impl KeyNews {
    fn stands(&self, issuer: &str, failure: Option<String>) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match failure {
            Some(why) => drop(failed.insert(issuer.to_owned(), why)),
            None => drop(failed.remove(issuer)),
        }
        if failed.is_empty() {
            return self.readiness.clear_notice(&self.notice);
        }
        let all: Vec<String> = failed.iter().map(|(issuer, why)| format!("the keys of `{issuer}`: {why}")).collect();
        self.readiness.notice(self.notice.clone(), all.join("; "));
    }
}

impl KeyEvents for KeyNews {
    fn read(&self, issuer: &str, keys: Option<usize>, changed: bool) {
        let labels = IssuerLabels { issuer: issuer.to_owned() };
        let keys = keys.unwrap_or_default();
        self.metrics.keys.get_or_create_owned(&labels).set(u64::try_from(keys).unwrap_or(u64::MAX));
        self.metrics.reached.get_or_create_owned(&labels).set(self.clock.now().unix_seconds());
        if changed {
            tracing::info!(issuer, keys, "keys of an issuer of tokens read");
        }
        self.stands(issuer, None);
    }

    fn failed(&self, issuer: &str, error: &KeySourceError) {
        let labels = IssuerLabels { issuer: issuer.to_owned() };
        self.metrics.failures.get_or_create_owned(&labels).inc();
        tracing::warn!(issuer, "the keys of an issuer of tokens can't be had: {error}");
        self.stands(issuer, Some(error.to_string()));
    }
}
