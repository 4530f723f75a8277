//! The admin API: SPIRE's server API (`spire.api.server.*`), as SPIRE 1.15 serves it to local callers on its private
//! socket, so that `spire-server`, spire-controller-manager and the like work unchanged.
//!
//! Everything passes one gate: it says who may call, and records each call before its answer leaves. A service is
//! a tonic server in the [`Routes`] that the gate is put before, and learns of its call by [`Call::open`]:
//!
//! ```ignore
//! async fn delete_thing(&self, request: Request<DeleteThingRequest>) -> Result<Response<Empty>, Status> {
//!     let (call, request) = Call::open(request)?;
//!     let id = parse(&request.id)?;          // 1. what is wrong with the request changes nothing
//!     call.changing([id.to_string()])?;      // 2. recorded before it is done, or not done
//!     self.things.delete(&id).await?;        // 3. done
//!     Ok(Response::new(Empty {}))            // 4. the gate records the end
//! }
//! ```
//!
//! A call that only reads says what it is about with [`Call::concerns`], if it is about something in particular; a call
//! that changes several things, and could not change all, says so with [`Call::changed`]. Statuses are made by
//! `status`, which is also where errors' texts are made fit for a wire.

mod agent;
mod bundle;
mod call;
mod debug;
mod decisions;
mod delegation;
mod entry;
mod gate;
mod identity;
mod ids;
mod local_authority;
mod logger;
mod matching;
mod page;
mod peers;
mod status;
mod svid;
mod trustdomain;

use std::sync::Arc;

use axum::Router;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tonic::service::Routes;

pub use self::agent::{AgentPorts, AgentService};
pub use self::bundle::BundleService;
pub use self::call::Call;
pub use self::debug::DebugService;
pub use self::decisions::DecisionsService;
pub use self::delegation::DelegationService;
pub use self::entry::EntryService;
pub use self::gate::Allowed;
use self::gate::Gate;
pub use self::identity::IdentityService;
pub use self::local_authority::LocalAuthorityService;
pub use self::logger::LoggerService;
pub use self::peers::FederationService;
pub use self::svid::SvidService;
pub use self::trustdomain::TrustDomainService;
use crate::evidence::Audit;
use crate::foundation::clock::Clock;
use crate::foundation::shutdown::ShutdownSignal;
use crate::foundation::telemetry::Registry;

/// The most items that one batch may have. SPIRE has no such bound but that of the message.
pub const MAX_BATCH: usize = 10_000;

/// The longest message that a service takes, in bytes: what gRPC in Go takes by default, and so SPIRE.
pub const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// The gate that all calls of the admin API pass.
#[derive(Clone, Debug)]
pub struct AdminApi(Arc<Gate>);

impl AdminApi {
    /// A gate that lets through whom `allowed` names, and records in `audit`.
    pub fn new(allowed: Allowed, audit: Arc<dyn Audit>, clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        Self(Arc::new(Gate::new(allowed, audit, clock, metrics)))
    }

    /// `services` behind the gate.
    pub fn router(&self, services: Routes) -> Router {
        self.0.before(services.into_axum_router())
    }

    /// Ends when no call is under way any more, after the drain has started. A call goes on though its caller has hung
    /// up, so the listener's end is not enough.
    pub async fn finish(self, mut signal: ShutdownSignal) {
        signal.draining().await;
        self.0.finish().await;
    }
}

/// Counts calls.
#[derive(Clone, Debug)]
pub struct Metrics {
    calls: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Metrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> Self {
        let calls = Family::default();
        registry.register("portcullis_admin_calls", "Calls of the admin API, by how they ended", Family::clone(&calls));
        Self { calls }
    }

    fn count(&self, code: &'static str) {
        self.calls.get_or_create_owned(&[("code", code)]).inc();
    }
}

#[cfg(test)]
mod tests;
