//! Building the process, part by part.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::time::sleep;

use super::metrics::Metrics;
use super::policies::PolicyNews;
use super::{App, AppError};
use crate::config::{self, AuditFile, Config};
use crate::decision::cache::DecisionCache;
use crate::decision::policy::{LoadError, PolicyEvents as _, PolicySet, watch};
use crate::decision::{Authorizer, Ports as DecisionPorts};
use crate::edge::envoy::ext_authz::{ExtAuthz, ExtAuthzConfig, HeaderNames};
use crate::edge::envoy::sds::{SdsConfig, SecretService};
use crate::edge::http::authzen::{AuthzenConfig, authzen_router};
use crate::edge::http::operations::operations_router;
use crate::evidence::Audit;
use crate::evidence::json_lines::{Destination, JsonLines, JsonLinesConfig};
use crate::foundation::clock::{Clock, SystemClock};
use crate::foundation::entropy::{Entropy, SystemEntropy};
use crate::foundation::readiness::Readiness;
use crate::foundation::shutdown::{Shutdown, ShutdownSignal, TaskGroup};
use crate::foundation::watched::Watched;
use crate::identity::attest::unix::{UnixAttestConfig, UnixAttestor};
use crate::identity::authority::{Authority, AuthorityConfig};
use crate::identity::issue::{Issuer, Ports as IssuePorts};
use crate::identity::registry;
use crate::identity::svid::LeafVerifier;
use crate::server::{InheritedSockets, Limits, Prepared, ServerMetrics, UnixPeer, prepare, serve};
use crate::store;

/// How long maintenance of the authority that failed is left alone.
const MAINTENANCE_RETRY: Duration = Duration::from_secs(10);

/// The mode of a Unix socket whose address names none; the configuration gives each one.
const UNIX_MODE: u32 = 0o600;

/// What every part needs.
struct Common {
    audit: Arc<dyn Audit>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    readiness: Readiness,
}

/// Opens listeners and serves on them.
struct Listeners {
    inherited: InheritedSockets,
    limits: Limits,
    metrics: ServerMetrics,
    takeover: bool,
    prepared: Vec<(&'static str, Prepared, Router)>,
}

impl App {
    /// Builds all parts and starts serving.
    ///
    /// # Errors
    /// [`AppError`]: the first thing that keeps the process from serving all that it was told to.
    pub async fn build(config: &Config, inherited: InheritedSockets, takeover: bool) -> Result<Self, AppError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let (metrics, registry) = Metrics::register(clock.now());
        let (shutdown, mut tasks, readiness) = (Shutdown::default(), TaskGroup::default(), Readiness::default());
        let starting = readiness.block("start", "the process is starting");
        let mut listeners = Listeners {
            inherited,
            limits: limits(&config.limits),
            metrics: metrics.server,
            takeover,
            prepared: Vec::new(),
        };
        listeners.prepare("operations", &config.listen.operations, &operations_router(readiness.clone(), registry))?;
        if !takeover {
            listeners.open(&mut tasks, &shutdown)?;
        }

        let opening = readiness.block("store", "waiting for the database");
        let store = Arc::new(store::open(config.store.url.expose().expose()).await?);
        drop(opening);
        let (sink, writer) = JsonLines::open(&audit_config(&config.audit), readiness.clone(), metrics.audit)?;
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::new());
        let common = Common { audit: Arc::new(sink), clock, entropy, readiness };

        let authority = authority(config, &common, Arc::clone(&store), metrics.authority).await?;
        tasks.spawn("the authority", maintain(Arc::clone(&authority), Arc::clone(&common.clock), shutdown.signal()));
        let sds = secrets(config, &common, &authority, metrics.issue, metrics.sds, shutdown.signal())?;

        let news = Arc::new(PolicyNews {
            audit: Arc::clone(&common.audit),
            clock: Arc::clone(&common.clock),
            metrics: metrics.policies,
            readiness: common.readiness.clone(),
        });
        let policies = policies(&config.decision.policies, &news).await?;
        let directory = config.decision.policies.clone();
        let watching = watch(directory, Arc::clone(&policies), news, config.decision.poll_interval, shutdown.signal());
        tasks.spawn("the watch over policies", watching);

        let authorizer = Arc::new(Authorizer::new(
            decision_ports(&config.decision, &common, policies, &authority),
            metrics.decision,
        ));
        let checks = ExtAuthz::new(
            Arc::clone(&authorizer) as _,
            Arc::clone(&common.clock),
            ext_authz_config(&config.ext_authz)?,
            metrics.ext_authz,
        );
        let questions = authzen_router(authorizer, &authzen_config(&config.authzen), metrics.authzen);

        let secrets = tonic::service::Routes::new(sds.into_server()).into_axum_router();
        listeners.prepare("authzen", &config.listen.authzen, &questions)?;
        listeners.prepare("ext_authz", &config.listen.ext_authz, &checks.router())?;
        listeners.prepare("workload", &config.listen.workload, &secrets)?;
        std::mem::take(&mut listeners.inherited).finish()?;
        listeners.open(&mut tasks, &shutdown)?;
        drop(starting);
        tracing::info!(trust_domain = %config.trust_domain, version = env!("CARGO_PKG_VERSION"), "serving");
        Ok(Self { tasks, shutdown, audit: writer, store })
    }
}

impl Listeners {
    fn prepare(&mut self, name: &'static str, addresses: &[config::Address], router: &Router) -> Result<(), AppError> {
        for address in addresses {
            let prepared = prepare(&address.listen, UNIX_MODE, self.takeover, &mut self.inherited)?;
            self.prepared.push((name, prepared, router.clone()));
        }
        Ok(())
    }

    /// Serves on all that was prepared.
    fn open(&mut self, tasks: &mut TaskGroup, shutdown: &Shutdown) -> Result<(), AppError> {
        for (name, prepared, router) in self.prepared.drain(..) {
            let metrics = self.metrics.listener(name);
            tasks.spawn(name, serve(prepared.publish()?, router, self.limits.clone(), metrics, shutdown.signal()));
        }
        Ok(())
    }
}

async fn authority(
    config: &Config,
    common: &Common,
    store: Arc<store::Store>,
    metrics: crate::identity::authority::Metrics,
) -> Result<Arc<Authority>, AppError> {
    let _opening = common.readiness.block("authority", "opening the authority");
    let settings = AuthorityConfig {
        trust_domain: config.trust_domain.clone(),
        ttl: config.identity.authority_ttl,
        data_dir: config.data_dir.clone(),
        seal_key_file: config.identity.seal_key_file.clone(),
    };
    let entropy = Arc::clone(&common.entropy);
    Ok(Arc::new(Authority::open(settings, store, entropy, metrics, common.clock.now()).await?))
}

/// Keeps the authority in shape until the drain starts.
async fn maintain(authority: Arc<Authority>, clock: Arc<dyn Clock>, mut signal: ShutdownSignal) {
    loop {
        let now = clock.now();
        let wait = match authority.maintain(now).await {
            Ok(next) => next.since(now),
            Err(error) => {
                tracing::error!("the authority can't be maintained: {error}");
                MAINTENANCE_RETRY
            }
        };
        tokio::select! {
            () = signal.draining() => return,
            () = sleep(wait.max(Duration::from_secs(1))) => {}
        }
    }
}

fn secrets(
    config: &Config,
    common: &Common,
    authority: &Arc<Authority>,
    issue_metrics: crate::identity::issue::Metrics,
    sds_metrics: crate::edge::envoy::sds::Metrics,
    signal: ShutdownSignal,
) -> Result<SecretService, AppError> {
    let identity = &config.identity;
    let entries = registry::checked(&config.trust_domain, identity.entries.iter().cloned())?;
    let ports = IssuePorts {
        authority: Arc::clone(authority),
        registry: Arc::new(Watched::new(entries)),
        audit: Arc::clone(&common.audit),
        clock: Arc::clone(&common.clock),
        entropy: Arc::clone(&common.entropy),
    };
    let issuer = Arc::new(Issuer::new(ports, identity.x509_svid_ttl, issue_metrics));
    if !config.listen.workload.is_empty() {
        warn_of_an_old_kernel(identity.attest_by_pid_lookup);
    }
    let attest = UnixAttestConfig {
        max_executable_size: identity.max_executable_bytes,
        accept_pid_lookup: identity.attest_by_pid_lookup,
    };
    let attestor = Arc::new(UnixAttestor::new(attest, Arc::clone(&common.clock)));
    let names = SdsConfig {
        trust_domain: config.trust_domain.clone(),
        default_svid_name: identity.sds.default_svid_name.clone(),
        default_bundle_name: identity.sds.default_bundle_name.clone(),
        default_all_bundles_name: identity.sds.default_all_bundles_name.clone(),
        disable_spiffe_cert_validation: identity.sds.disable_spiffe_cert_validation,
    };
    let (clock, entropy) = (Arc::clone(&common.clock), Arc::clone(&common.entropy));
    Ok(SecretService::new(names, issuer, attestor, clock, entropy, signal, sds_metrics))
}

/// Says at start what a kernel that can't vouch for callers will mean to them; later, only debug logs would.
fn warn_of_an_old_kernel(lookup: bool) {
    const LACK: &str =
        "this kernel can't say which process is calling: it has no SO_PEERPIDFD, which came with Linux 6.5";

    match UnixPeer::is_vouched_for() {
        Ok(true) => {}
        Ok(false) if lookup => tracing::warn!(
            "{LACK}; callers are looked up by their process ids, as `identity.attest_by_pid_lookup` allows, and one that \
             connects and ends at once can be mistaken for a later process of the same user"
        ),
        Ok(false) => tracing::warn!(
            "{LACK}; every caller of `listen.workload` will be refused, unless `identity.attest_by_pid_lookup` allows to \
             look callers up by their process ids"
        ),
        Err(error) => tracing::warn!(%error, "can't tell whether this kernel says which process is calling"),
    }
}

/// The first set. There is no last good one yet, so a broken one keeps the process from starting.
async fn policies(directory: &Path, news: &PolicyNews) -> Result<Arc<Watched<PolicySet>>, AppError> {
    let _loading = news.readiness.block("policies", "loading the policies");
    let owned = directory.to_owned();
    let loaded = tokio::task::spawn_blocking(move || PolicySet::load(&owned)).await;
    let policies = Arc::new(Watched::new(loaded.map_err(|_panic| LoadError::fault(directory)).flatten()?));
    news.loaded(&policies.load());
    Ok(policies)
}

fn decision_ports(
    config: &config::Decision,
    common: &Common,
    policies: Arc<Watched<PolicySet>>,
    authority: &Authority,
) -> DecisionPorts {
    let remembered = u64::try_from(config.verified_leaves).unwrap_or(u64::MAX);
    DecisionPorts {
        policies,
        leaves: LeafVerifier::new(Arc::clone(authority.bundles()), remembered),
        cache: DecisionCache::new(config.cache.capacity, config.cache.ttl),
        audit: Arc::clone(&common.audit),
        clock: Arc::clone(&common.clock),
        entropy: Arc::clone(&common.entropy),
    }
}

fn ext_authz_config(config: &config::ExtAuthz) -> Result<ExtAuthzConfig, AppError> {
    let headers = HeaderNames::new(config.identity_header.as_str(), config.decision_header.as_str())
        .map_err(|error| AppError::Setting(format!("ext_authz: {error}")))?;
    Ok(ExtAuthzConfig { headers, max_message_bytes: config.max_message_bytes, ..ExtAuthzConfig::default() })
}

fn authzen_config(config: &config::Authzen) -> AuthzenConfig {
    AuthzenConfig { max_body_bytes: config.max_body_bytes, decision_context: config.decision_context }
}

fn audit_config(config: &config::Audit) -> JsonLinesConfig {
    let destination = match &config.file {
        AuditFile::StandardOutput => Destination::Stdout,
        AuditFile::Path(path) => Destination::File(path.clone()),
    };
    JsonLinesConfig { destination, queue: NonZeroUsize::new(config.queue).unwrap_or(NonZeroUsize::MIN) }
}

fn limits(config: &config::Limits) -> Limits {
    Limits {
        max_connections: config.connections,
        max_concurrent_streams: config.streams_per_connection,
        max_header_list: config.header_bytes,
        header_read_timeout: config.header_timeout,
        keepalive_interval: config.keepalive_interval,
        keepalive_timeout: config.keepalive_timeout,
        ..Limits::default()
    }
}
