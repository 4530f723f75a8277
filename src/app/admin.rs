//! Building the admin API over the identity plane.

use std::sync::Arc;

use tonic::service::Routes;

use super::AppError;
use super::build::Common;
use super::identity::IdentityPlane;
use crate::config::Config;
use crate::decision::cache::Purges;
use crate::edge::grpc::with_introspection;
use crate::edge::spire_api::{
    AgentPorts, AgentService, BundleService, DebugService, DecisionsService, DelegationService, EntryService,
    FederationService, IdentityService, LocalAuthorityService, LoggerService, SvidService, TrustDomainService,
};
use crate::foundation::shutdown::ShutdownSignal;
use crate::foundation::telemetry::LogLevels;
use crate::identity::explain::Explainer;
use crate::identity::join_token::JoinTokens;

/// The services of the admin API, for reflection and health.
const ADMIN_SERVICES: &[&str] = &[
    "portcullis.decision.v1.Decisions",
    "portcullis.delegation.v1.Delegation",
    "portcullis.federation.v1.Federation",
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

impl IdentityPlane {
    /// The services of the admin API over these parts.
    pub(super) fn admin_services(
        &self,
        config: &Config,
        common: &Common,
        log: LogLevels,
        purges: &Arc<Purges>,
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
        let svids = SvidService::new(trust_domain.clone(), Arc::clone(&self.issuer));
        let foreign = BundleService::new(
            trust_domain.clone(),
            Arc::clone(bundles),
            Arc::clone(&self.federation),
            Arc::clone(registry),
            Arc::clone(clock),
        );
        let relationships =
            TrustDomainService::new(trust_domain.clone(), Arc::clone(&self.federation), Arc::clone(&self.poller));
        let peers = FederationService::new(Arc::clone(&self.federation), Arc::clone(&self.poller));
        let (workloads, entries_too) = (Arc::clone(&self.workloads), Arc::clone(registry));
        let explainer = Explainer::new(workloads, entries_too, Arc::clone(clock));
        let services = Routes::default()
            .add_service(agents.into_server())
            .add_service(foreign.into_server())
            .add_service(relationships.into_server())
            .add_service(peers.into_server())
            .add_service(DelegationService::new(Arc::clone(&self.revocations), Arc::clone(clock)).into_server())
            .add_service(about.into_server())
            .add_service(entries.into_server())
            .add_service(authorities.into_server())
            .add_service(svids.into_server())
            .add_service(IdentityService::new(explainer, Arc::clone(&self.authority), Arc::clone(clock)).into_server())
            .add_service(DecisionsService::new(Arc::clone(purges)).into_server())
            .add_service(LoggerService::new(log).into_server());
        Ok(with_introspection(services, ADMIN_SERVICES, common.readiness.clone(), signal)?)
    }
}
