//! Building the identity plane: what it is made of, and what keeps it in shape.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::time::sleep;
use tonic::service::Routes;

use super::AppError;
use super::build::Common;
use super::bundle_map::BundleMapFile;
use super::chronicle::account_for_bundles;
use super::federation::{self, FederationMetrics};
use super::outbound::{self, OutboundMetrics};
use crate::config::{self, Config};
use crate::daemons::docker::Docker;
use crate::daemons::kubelet::Kubelet;
use crate::daemons::systemd::Systemd;
use crate::delegation::outbound::Tokens;
use crate::edge::envoy::sds::{self, SdsConfig, SecretService};
use crate::edge::grpc::{with_bounds, with_introspection};
use crate::edge::workload_api::{self, WorkloadApiConfig, WorkloadService};
use crate::foundation::clock::Clock;
use crate::foundation::shutdown::{Shutdown, ShutdownSignal, TaskGroup};
use crate::identity::attest::WorkloadAttestor;
use crate::identity::attest::attestors::{self, Attestors};
use crate::identity::attest::container::Containers;
use crate::identity::attest::unix::{UnixAttestConfig, UnixAttestor};
use crate::identity::authority::{self, Authority, AuthorityConfig};
use crate::identity::delegation::Revocations;
use crate::identity::federation::{Federation, Poller};
use crate::identity::issue::{self, IssueConfig, Issuer, Ports};
use crate::identity::registry::Registry;
use crate::identity::workload::Workloads;
use crate::server::UnixPeer;
use crate::store::Store;

/// How long maintenance of the authority that failed is left alone.
const MAINTENANCE_RETRY: Duration = Duration::from_secs(10);

/// How long the authority is not looked at, at the most: another process on its data directory may have changed it, and its
/// word that a leaf is revoked counts here too.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What is served to workloads and their proxies.
const WORKLOAD_SERVICES: [&str; 2] = ["SpiffeWorkloadAPI", "envoy.service.secret.v3.SecretDiscoveryService"];
/// The parts of the identity plane.
pub(super) struct IdentityPlane {
    pub(super) authority: Arc<Authority>,
    pub(super) registry: Arc<Registry>,
    pub(super) workloads: Arc<Workloads>,
    pub(super) federation: Arc<Federation>,
    pub(super) poller: Arc<Poller>,
    pub(super) issuer: Arc<Issuer>,
    pub(super) revocations: Arc<Revocations>,
    pub(super) store: Arc<Store>,
    bundle_map: Option<Arc<BundleMapFile>>,
}

impl IdentityPlane {
    /// All parts, open.
    pub(super) async fn build(
        config: &Config,
        common: &Common,
        store: &Arc<Store>,
        (authority_metrics, issue_metrics, federation_metrics): (authority::Metrics, issue::Metrics, FederationMetrics),
        attest_metrics: &attestors::Metrics,
    ) -> Result<Self, AppError> {
        let authority = open_authority(config, common, Arc::clone(store), authority_metrics).await?;
        let registry = open_registry(config, common, store).await?;
        let federation = federation::open(config, common, store, &authority).await?;
        let poller =
            federation::poller((&config.federation, &config.data_dir), common, &federation, federation_metrics);
        let ports = Ports {
            authority: Arc::clone(&authority),
            registry: Arc::clone(&registry),
            audit: Arc::clone(&common.audit),
            clock: Arc::clone(&common.clock),
            entropy: Arc::clone(&common.entropy),
        };
        let issuing = IssueConfig {
            x509_svid_ttl: config.identity.x509_svid_ttl,
            jwt_svid_ttl: config.identity.jwt_svid_ttl,
            jwt_issuer: config.identity.jwt_issuer.clone(),
        };
        let issuer = Arc::new(Issuer::new(ports, issuing, issue_metrics));
        if !config.listen.workload.is_empty() {
            warn_of_an_old_kernel(config.identity.attest_by_pid_lookup);
        }
        let attest = UnixAttestConfig {
            max_executable_size: config.identity.max_executable_bytes,
            accept_pid_lookup: config.identity.attest_by_pid_lookup,
        };
        let attestor = Arc::new(UnixAttestor::new(attest, Arc::clone(&common.clock)));
        let others = attestors(&config.identity.attestors, common, attest_metrics);
        let workloads = Workloads::new(Arc::clone(&issuer), attestor)
            .with_attestors(others, Containers::default())
            .with_record(common.backlog.clone(), Arc::clone(&common.clock));
        let revocations = Arc::new(Revocations::load(Arc::new(store.delegations(config.trust_domain.clone()))).await?);
        let (workloads, store) = (Arc::new(workloads), Arc::clone(store));
        let bundle_map = match &config.federation.bundle_map_file {
            Some(file) => Some(Arc::new(BundleMapFile::open(file, common, authority.bundles()).await?)),
            None => None,
        };
        Ok(Self { authority, registry, workloads, federation, poller, issuer, revocations, store, bundle_map })
    }

    /// Starts what keeps the parts in shape until the drain starts.
    pub(super) fn maintain(&self, tasks: &mut TaskGroup, common: &Common, shutdown: &Shutdown) {
        let (authority, clock) = (Arc::clone(&self.authority), Arc::clone(&common.clock));
        account_for_bundles(authority.bundles(), common, (&mut *tasks, shutdown));
        tasks.spawn("the authority", maintain_authority(authority, clock, shutdown.signal()));
        let (registry, clock, signal) = (Arc::clone(&self.registry), Arc::clone(&common.clock), shutdown.signal());
        tasks.spawn("the registry", async move { registry.follow(&*clock, signal).await });
        let (federation, signal) = (Arc::clone(&self.federation), shutdown.signal());
        tasks.spawn("the federation", async move { federation.follow(signal).await });
        let (revocations, signal) = (Arc::clone(&self.revocations), shutdown.signal());
        tasks.spawn("the revocations of delegations", async move { revocations.follow(signal).await });
        tasks.spawn("the bundles of others", Arc::clone(&self.poller).run(shutdown.signal()));
        if let Some(file) = &self.bundle_map {
            tasks.spawn("the bundle map", Arc::clone(file).keep(shutdown.signal()));
        }
    }

    /// All that workloads and their proxies are served.
    pub(super) fn workload_router(
        &self,
        config: &Config,
        common: &Common,
        (sds, workload_api, outbound): (sds::Metrics, workload_api::Metrics, OutboundMetrics),
        (tasks, shutdown): (&mut TaskGroup, &Shutdown),
    ) -> Result<Router, AppError> {
        let assertions = Arc::clone(&self.issuer) as _;
        let outbound = outbound::start(&config.outbound, common, assertions, outbound, (tasks, shutdown));
        let secrets = self.secret_service(config, common, (sds, outbound), shutdown.signal());
        let workload_api = self.workload_api(config, common, workload_api, shutdown.signal());
        let routes = Routes::new(secrets.into_server()).add_service(workload_api.into_server());
        let readiness = common.readiness.clone();
        let routes = with_introspection(routes, &WORKLOAD_SERVICES, readiness, shutdown.signal())?;
        Ok(with_bounds(routes.into_axum_router()))
    }

    /// The secret discovery service over these parts.
    fn secret_service(
        &self,
        config: &Config,
        common: &Common,
        (metrics, outbound): (sds::Metrics, Arc<Tokens>),
        signal: ShutdownSignal,
    ) -> SecretService {
        let settings = &config.identity.sds;
        let names = SdsConfig {
            trust_domain: config.trust_domain.clone(),
            default_svid_name: settings.default_svid_name.clone(),
            default_bundle_name: settings.default_bundle_name.clone(),
            default_all_bundles_name: settings.default_all_bundles_name.clone(),
            disable_spiffe_cert_validation: settings.disable_spiffe_cert_validation,
            unknown_names: settings.unknown_names,
        };
        let (clock, entropy) = (Arc::clone(&common.clock), Arc::clone(&common.entropy));
        SecretService::new(names, (Arc::clone(&self.workloads), outbound), clock, entropy, signal, metrics)
    }

    /// The Workload API over these parts.
    fn workload_api(
        &self,
        config: &Config,
        common: &Common,
        metrics: workload_api::Metrics,
        signal: ShutdownSignal,
    ) -> WorkloadService {
        let settings = &config.identity.workload_api;
        let settings = WorkloadApiConfig {
            trust_domain: config.trust_domain.clone(),
            allow_unauthenticated_verifiers: settings.allow_unauthenticated_verifiers,
            allowed_foreign_jwt_claims: settings.allowed_foreign_jwt_claims.iter().cloned().collect(),
        };
        WorkloadService::new(settings, Arc::clone(&self.workloads), Arc::clone(&common.clock), signal, metrics)
    }
}

/// Those who are asked about callers beside the kernel.
fn attestors(config: &config::Attestors, common: &Common, metrics: &attestors::Metrics) -> Attestors {
    let mut asked: Vec<Arc<dyn WorkloadAttestor>> = Vec::new();
    asked.extend(config.docker.clone().map(|docker| Arc::new(Docker::new(docker)) as _));
    asked.extend(config.k8s.clone().map(|k8s| Arc::new(Kubelet::new(k8s, Arc::clone(&common.clock))) as _));
    asked.extend(config.systemd.clone().map(|bus| Arc::new(Systemd::new(bus)) as _));
    Attestors::new(asked, config.timeout, Arc::clone(&common.clock), metrics)
}

/// The authority, open: it can sign.
async fn open_authority(
    config: &Config,
    common: &Common,
    store: Arc<Store>,
    metrics: authority::Metrics,
) -> Result<Arc<Authority>, AppError> {
    let _opening = common.readiness.block("authority", "opening the authority");
    let settings = AuthorityConfig {
        trust_domain: config.trust_domain.clone(),
        ttl: config.identity.authority_ttl,
        key_type: config.identity.authority_key_type,
        jwt_key_type: config.identity.jwt_key_type,
        jwt_rsa_hash: config.identity.jwt_rsa_hash,
        data_dir: config.data_dir.clone(),
        custody: config.identity.keys.clone(),
    };
    let (audit, entropy) = (Arc::clone(&common.audit), Arc::clone(&common.entropy));
    let ports = authority::Ports { journal: store, audit, entropy };
    Ok(Arc::new(Authority::open(settings, ports, metrics, common.clock.now()).await?))
}

/// The entries: what was kept, with those of the configuration as they stand there now.
async fn open_registry(config: &Config, common: &Common, store: &Arc<Store>) -> Result<Arc<Registry>, AppError> {
    let _opening = common.readiness.block("registry", "reading the registration entries");
    let (trust_domain, entropy) = (config.trust_domain.clone(), Arc::clone(&common.entropy));
    let entries = Arc::new(store.entries(trust_domain.clone()));
    let registry = Registry::open(trust_domain, entries, entropy).await?;
    let registry = registry.handing_out_for(config.identity.parents.clone());
    registry.reconcile(config.identity.entries.clone(), common.clock.now()).await?;
    Ok(Arc::new(registry))
}

/// Keeps the authority in shape until the drain starts.
async fn maintain_authority(authority: Arc<Authority>, clock: Arc<dyn Clock>, mut signal: ShutdownSignal) {
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
            () = sleep(wait.clamp(Duration::from_secs(1), LONGEST_WAIT)) => {}
        }
    }
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
