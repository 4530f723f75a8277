//! Building the identity plane: what it is made of, and what keeps it in shape.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tonic::service::Routes;

use super::AppError;
use super::build::Common;
use crate::config::Config;
use crate::edge::envoy::sds::{self, SdsConfig, SecretService};
use crate::edge::grpc::with_introspection;
use crate::edge::spire_api::{
    AgentPorts, AgentService, BundleService, DebugService, EntryService, IdentityService, LocalAuthorityService,
    LoggerService, SvidService, TrustDomainService,
};
use crate::foundation::clock::Clock;
use crate::foundation::shutdown::{Shutdown, ShutdownSignal, TaskGroup};
use crate::foundation::telemetry::LogLevels;
use crate::identity::attest::unix::{UnixAttestConfig, UnixAttestor};
use crate::identity::authority::{self, Authority, AuthorityConfig};
use crate::identity::federation::Federation;
use crate::identity::issue::{self, IssueConfig, Issuer, Ports};
use crate::identity::join_token::JoinTokens;
use crate::identity::registry::Registry;
use crate::identity::workload::Workloads;
use crate::server::UnixPeer;
use crate::store::Store;

/// How long maintenance of the authority that failed is left alone.
const MAINTENANCE_RETRY: Duration = Duration::from_secs(10);

/// How long the authority is not looked at, at the most: another process on its data directory may have changed it, and its
/// word that a leaf is revoked counts here too.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The services of the admin API, for reflection and health.
const ADMIN_SERVICES: &[&str] = &[
    "portcullis.identity.v1.Identity",
    "spire.api.server.agent.v1.Agent",
    "spire.api.server.bundle.v1.Bundle",
    "spire.api.server.debug.v1.Debug",
    "spire.api.server.entry.v1.Entry",
    "spire.api.server.localauthority.v1.LocalAuthority",
    "spire.api.server.logger.v1.Logger",
    "spire.api.server.svid.v1.SVID",
    "spire.api.server.trustdomain.v1.TrustDomain",
];

/// The parts of the identity plane.
pub(super) struct IdentityPlane {
    pub(super) authority: Arc<Authority>,
    pub(super) registry: Arc<Registry>,
    federation: Arc<Federation>,
    issuer: Arc<Issuer>,
    pub(super) workloads: Arc<Workloads>,
    store: Arc<Store>,
}

impl IdentityPlane {
    /// All parts, open.
    pub(super) async fn build(
        config: &Config,
        common: &Common,
        store: &Arc<Store>,
        authority_metrics: authority::Metrics,
        issue_metrics: issue::Metrics,
    ) -> Result<Self, AppError> {
        let authority = open_authority(config, common, Arc::clone(store), authority_metrics).await?;
        let registry = open_registry(config, common, store).await?;
        let federation = open_federation(config, common, store, &authority).await?;
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
        let workloads = Arc::new(Workloads::new(Arc::clone(&issuer), attestor));
        Ok(Self { authority, registry, federation, issuer, workloads, store: Arc::clone(store) })
    }

    /// Starts what keeps the parts in shape until the drain starts.
    pub(super) fn maintain(&self, tasks: &mut TaskGroup, common: &Common, shutdown: &Shutdown) {
        let (authority, clock) = (Arc::clone(&self.authority), Arc::clone(&common.clock));
        tasks.spawn("the authority", maintain_authority(authority, clock, shutdown.signal()));
        let (registry, clock, signal) = (Arc::clone(&self.registry), Arc::clone(&common.clock), shutdown.signal());
        tasks.spawn("the registry", async move { registry.follow(&*clock, signal).await });
        let (federation, signal) = (Arc::clone(&self.federation), shutdown.signal());
        tasks.spawn("the federation", async move { federation.follow(signal).await });
    }

    /// The secret discovery service over these parts.
    pub(super) fn secret_service(
        &self,
        config: &Config,
        common: &Common,
        metrics: sds::Metrics,
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
        SecretService::new(names, Arc::clone(&self.workloads), clock, entropy, signal, metrics)
    }

    /// The services of the admin API over these parts.
    pub(super) fn admin_services(
        &self,
        config: &Config,
        common: &Common,
        log: LogLevels,
        signal: ShutdownSignal,
    ) -> Result<Routes, AppError> {
        let (trust_domain, clock) = (&config.trust_domain, &common.clock);
        let (bundles, registry) = (self.authority.bundles(), &self.registry);
        let entries = EntryService::new(trust_domain.clone(), Arc::clone(registry), Arc::clone(clock));
        let agents = AgentService::new(AgentPorts {
            trust_domain: trust_domain.clone(),
            bundles: Arc::clone(bundles),
            join_tokens: JoinTokens::new(
                trust_domain.clone(),
                Arc::clone(&self.store) as _,
                Arc::clone(&common.entropy),
            ),
            registry: Arc::clone(registry),
            clock: Arc::clone(clock),
        });
        let about =
            DebugService::new(trust_domain.clone(), Arc::clone(bundles), Arc::clone(registry), Arc::clone(clock));
        let authorities = LocalAuthorityService::new(Arc::clone(&self.authority), Arc::clone(clock));
        let identity = IdentityService::new(Arc::clone(&self.authority), Arc::clone(clock));
        let svids = SvidService::new(trust_domain.clone(), Arc::clone(&self.issuer));
        let foreign = BundleService::new(
            trust_domain.clone(),
            Arc::clone(bundles),
            Arc::clone(&self.federation),
            Arc::clone(registry),
            Arc::clone(clock),
        );
        let relationships = TrustDomainService::new(trust_domain.clone(), Arc::clone(&self.federation));
        let services = Routes::default()
            .add_service(agents.into_server())
            .add_service(foreign.into_server())
            .add_service(relationships.into_server())
            .add_service(about.into_server())
            .add_service(entries.into_server())
            .add_service(authorities.into_server())
            .add_service(identity.into_server())
            .add_service(svids.into_server())
            .add_service(LoggerService::new(log).into_server());
        Ok(with_introspection(services, ADMIN_SERVICES, common.readiness.clone(), signal)?)
    }
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
        jwt_key_type: config.identity.jwt_key_type,
        jwt_rsa_hash: config.identity.jwt_rsa_hash,
        data_dir: config.data_dir.clone(),
        seal_key_file: config.identity.seal_key_file.clone(),
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

/// The bundles of others, beside our own.
async fn open_federation(
    config: &Config,
    common: &Common,
    store: &Arc<Store>,
    authority: &Authority,
) -> Result<Arc<Federation>, AppError> {
    let _opening = common.readiness.block("federation", "reading the bundles of others");
    let kept = Arc::new(store.federation(config.trust_domain.clone()));
    let bundles = Arc::clone(authority.bundles());
    Ok(Arc::new(Federation::load(config.trust_domain.clone(), kept, bundles).await?))
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
