//! Building what keeps us current with other trust domains, and telling all who want to know how that goes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use portcullis_spiffe::TrustDomain;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use serde::{Deserialize, Serialize};

use super::AppError;
use super::build::Common;
use crate::config::{self, Config};
use crate::feeds::bundles::BundleEndpoints;
use crate::foundation::clock::{Clock, Timestamp};
use crate::foundation::files::write_private;
use crate::foundation::readiness::Readiness;
use crate::foundation::telemetry::Registry;
use crate::identity::authority::Authority;
use crate::identity::federation::{
    Age, Federation, PeerEvents, PollPorts, Poller, RefreshError, Relationships, Taken, read_document,
};
use crate::store::Store;

/// The name of the notice while bundles can't be fetched.
const NOTICE: &str = "federation";

/// What is counted about those we federate with.
#[derive(Clone, Debug, Default)]
pub(super) struct FederationMetrics {
    fetches: Family<Outcome, Counter>,
    reached: Family<Peer, Gauge<u64, AtomicU64>>,
    sequence: Family<Peer, Gauge<u64, AtomicU64>>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Outcome {
    trust_domain: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Peer {
    trust_domain: String,
}

/// Tells all of them.
#[derive(Debug)]
struct PeerNews {
    ages: Arc<Ages>,
    metrics: FederationMetrics,
    clock: Arc<dyn Clock>,
    readiness: Readiness,
    /// What is wrong, by trust domain.
    failed: Mutex<BTreeMap<TrustDomain, String>>,
}

/// The bundles of others, beside our own.
pub(super) async fn open(
    config: &Config,
    common: &Common,
    store: &Arc<Store>,
    authority: &Authority,
) -> Result<Arc<Federation>, AppError> {
    let _opening = common.readiness.block(NOTICE, "reading the bundles of others");
    let kept = Arc::new(store.federation(config.trust_domain.clone()));
    let bundles = Arc::clone(authority.bundles());
    let foreign = Arc::new(config.federation.identities.clone());
    bundles.update(|known| Some(known.clone().with_foreign(foreign)));
    let configured = &config.federation.relationships;
    let relationships: Relationships = configured
        .iter()
        .map(|given| (given.relationship.trust_domain.clone(), Arc::new(given.relationship.clone())))
        .collect();
    let federation = Federation::load(config.trust_domain.clone(), kept, bundles).await?.with_configured(relationships);
    for given in configured {
        begin(&federation, given).await?;
    }
    Ok(Arc::new(federation))
}

/// Has the bundle to begin with, unless one is held already: that one is newer.
async fn begin(federation: &Federation, given: &config::ConfiguredRelationship) -> Result<(), AppError> {
    let name = &given.relationship.trust_domain;
    let Some(file) = given.first_bundle.as_ref().filter(|_| !federation.knows(name)) else { return Ok(()) };
    let failed = |why: &dyn std::fmt::Display| {
        AppError::Setting(format!("federation: the bundle of `{name}` in `{}`: {why}", file.display()))
    };
    let document = tokio::fs::read(file).await.map_err(|error| failed(&error))?;
    let bundle = read_document(name, &document).map_err(|error| failed(&error))?;
    federation.set_bundle(bundle).await.map_err(|error| failed(&error))?;
    Ok(())
}

/// What fetches the bundles of others.
pub(super) fn poller(
    (config, data_dir): (&config::Federation, &Path),
    common: &Common,
    federation: &Arc<Federation>,
    metrics: FederationMetrics,
) -> Arc<Poller> {
    let clock = &common.clock;
    let ages = Arc::new(Ages::load(data_dir));
    let known = ages.all();
    let events = PeerNews {
        ages,
        metrics,
        clock: Arc::clone(clock),
        readiness: common.readiness.clone(),
        failed: Mutex::default(),
    };
    let ports = PollPorts {
        source: Arc::new(BundleEndpoints::new(config.web_authorities.clone(), Arc::clone(clock))),
        events: Arc::new(events),
        clock: Arc::clone(clock),
        entropy: Arc::clone(&common.entropy),
    };
    let poller = Poller::new(Arc::clone(federation), ports, config.poll).with_ages(known);
    poller.age_what_is_held();
    Arc::new(poller)
}

/// How old the bundle of each trust domain is, kept over restarts: it ages while we are down, too.
#[derive(Debug)]
struct Ages {
    path: PathBuf,
    /// By name.
    known: Mutex<BTreeMap<String, KeptAge>>,
}

/// An [`Age`] in the file, in seconds since 1970.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct KeptAge {
    since: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reached: Option<u64>,
}

impl From<Age> for KeptAge {
    fn from(age: Age) -> Self {
        Self { since: age.since.unix_seconds(), reached: age.reached.map(Timestamp::unix_seconds) }
    }
}

impl From<KeptAge> for Age {
    fn from(kept: KeptAge) -> Self {
        let at = |seconds| Timestamp::from_unix_seconds(i64::try_from(seconds).unwrap_or(i64::MAX));
        Self { since: at(kept.since), reached: kept.reached.map(at) }
    }
}

impl Ages {
    /// What is known. A file that can't be read is none: then bundles age from the start on.
    fn load(data_dir: &Path) -> Self {
        let path = data_dir.join("federation.json");
        let text = std::fs::read(&path).unwrap_or_default();
        Self { path, known: Mutex::new(serde_json::from_slice(&text).unwrap_or_default()) }
    }

    fn all(&self) -> BTreeMap<TrustDomain, Age> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter_map(|(name, kept)| Some((name.parse().ok()?, Age::from(*kept)))).collect()
    }

    fn note(self: &Arc<Self>, trust_domain: &TrustDomain, age: Age) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(trust_domain.to_string(), age.into());
        let this = Arc::clone(self);
        // A disk may take its time.
        tokio::task::spawn_blocking(move || {
            let known = this.known.lock().unwrap_or_else(PoisonError::into_inner);
            let text = serde_json::to_vec(&*known).unwrap_or_default();
            if let Err(error) = write_private(&this.path, &text) {
                tracing::warn!(%error, "how old trust bundles are can't be written down");
            }
        });
    }
}

impl FederationMetrics {
    /// Registers them.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "portcullis_federation_fetches",
            "Questions for the bundles of other trust domains, by what came of them",
            metrics.fetches.clone(),
        );
        registry.register(
            "portcullis_federation_reached_seconds",
            "When a trust domain's endpoint last served a bundle that was taken, in seconds since 1970",
            metrics.reached.clone(),
        );
        registry.register(
            "portcullis_federation_bundle_sequence",
            "The sequence of the bundle that was last fetched of a trust domain",
            metrics.sequence.clone(),
        );
        metrics
    }

    fn count(&self, trust_domain: &TrustDomain, outcome: &'static str) {
        let outcome = Outcome { trust_domain: trust_domain.to_string(), outcome };
        self.fetches.get_or_create_owned(&outcome).inc();
    }
}

impl PeerNews {
    fn stands(&self, trust_domain: &TrustDomain, failure: Option<String>) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match failure {
            Some(why) => drop(failed.insert(trust_domain.clone(), why)),
            None => drop(failed.remove(trust_domain)),
        }
        if failed.is_empty() {
            return self.readiness.clear_notice(NOTICE);
        }
        let all: Vec<String> = failed.iter().map(|(name, why)| format!("the bundle of `{name}`: {why}")).collect();
        self.readiness.notice(NOTICE, all.join("; "));
    }
}

impl PeerEvents for PeerNews {
    fn fetched(&self, taken: &Taken) {
        let bundle = &taken.bundle;
        let trust_domain = &bundle.trust_domain;
        let now = self.clock.now();
        self.ages.note(trust_domain, Age { since: now, reached: Some(now) });
        self.metrics.count(trust_domain, if taken.changed { "changed" } else { "same" });
        let peer = Peer { trust_domain: trust_domain.to_string() };
        self.metrics.reached.get_or_create_owned(&peer).set(now.unix_seconds());
        self.metrics.sequence.get_or_create_owned(&peer).set(bundle.sequence);
        if taken.changed {
            let (x509, jwt) = (bundle.x509_authorities.len(), bundle.jwt_authorities.len());
            if x509 + jwt == 0 {
                tracing::warn!(%trust_domain, "the trust bundle that was fetched has nobody in it, so nobody is believed");
            }
            tracing::info!(%trust_domain, sequence = bundle.sequence, x509, jwt, "a trust bundle of others changed");
        }
        self.stands(trust_domain, None);
    }

    fn failed(&self, trust_domain: &TrustDomain, error: &RefreshError) {
        self.metrics.count(trust_domain, "failed");
        tracing::warn!(%trust_domain, "a trust bundle of others can't be fetched: {error}");
        self.stands(trust_domain, Some(error.to_string()));
    }

    fn stale(&self, trust_domain: &TrustDomain) {
        tracing::error!(%trust_domain, "a trust bundle is too old to be believed, as `federation.max_stale` says");
    }

    fn dated(&self, trust_domain: &TrustDomain, age: Age) {
        self.ages.note(trust_domain, age);
    }

    fn ended(&self, trust_domain: &TrustDomain) {
        let name = trust_domain.to_string();
        for outcome in ["changed", "same", "failed"] {
            self.metrics.fetches.remove(&Outcome { trust_domain: name.clone(), outcome });
        }
        let peer = Peer { trust_domain: name };
        self.metrics.reached.remove(&peer);
        self.metrics.sequence.remove(&peer);
        self.stands(trust_domain, None);
    }
}
