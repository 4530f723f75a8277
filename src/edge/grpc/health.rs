//! `grpc.health.v1.Health` over the process's readiness. All services of the process are healthy together.

use futures_util::stream::{self, BoxStream, StreamExt as _};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::OWN;
use crate::foundation::readiness::{Readiness, ReadinessChanges};
use crate::foundation::shutdown::{Phase, ShutdownSignal};
use crate::server::{Place, Places};

/// How many may watch at once.
const MAX_WATCHES: usize = 256;

/// The health of `services`, and of the process under the empty name.
#[derive(Clone, Debug)]
pub(super) struct HealthService {
    services: &'static [&'static str],
    state: State,
    watches: Places,
}

#[derive(Clone, Debug)]
struct State {
    readiness: Readiness,
    signal: ShutdownSignal,
}

impl HealthService {
    pub(super) fn new(services: &'static [&'static str], readiness: Readiness, signal: ShutdownSignal) -> Self {
        Self { services, state: State { readiness, signal }, watches: Places::new(MAX_WATCHES) }
    }

    fn knows(&self, service: &str) -> bool {
        service.is_empty() || self.services.contains(&service) || OWN.contains(&service)
    }
}

impl State {
    fn now(&self) -> ServingStatus {
        if self.signal.phase() == Phase::Running && self.readiness.report().ready {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        }
    }
}

#[tonic::async_trait]
impl Health for HealthService {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        if self.knows(&request.get_ref().service) {
            Ok(Response::new(said(self.state.now())))
        } else {
            Err(Status::not_found("there is no such service"))
        }
    }

    /// The status now and after each change of it. A service that is not there is unknown and stays so, as the protocol
    /// has it. Ends when the process drains.
    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let place = self.watches.take(None);
        let place = place.ok_or_else(|| Status::resource_exhausted("too many watch the health already"))?;
        let watch = Watch {
            known: self.knows(&request.get_ref().service),
            changes: self.state.readiness.changes(),
            state: self.state.clone(),
            told: None,
            _place: place,
        };
        let statuses = stream::unfold(watch, |mut watch| async move {
            let next = watch.next().await?;
            Some((Ok(said(next)), watch))
        });
        Ok(Response::new(statuses.boxed()))
    }
}

/// One open watch.
struct Watch {
    known: bool,
    changes: ReadinessChanges,
    state: State,
    told: Option<ServingStatus>,
    _place: Place,
}

impl Watch {
    /// The next status to tell; `None` once the drain was told of.
    async fn next(&mut self) -> Option<ServingStatus> {
        loop {
            let drains = self.state.signal.phase() != Phase::Running;
            let now = if self.known { self.state.now() } else { ServingStatus::ServiceUnknown };
            if self.told.replace(now) != Some(now) {
                return Some(now);
            }
            if drains {
                return None;
            }
            tokio::select! {
                () = self.changes.changed() => {}
                () = self.state.signal.draining() => {}
            }
        }
    }
}

fn said(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
