//! The gate before all services: who may call, how many calls at once, and the record of each.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tokio_util::task::TaskTracker;
use tonic::{Code, Status};

use super::call::{Call, Caller};
use super::{Metrics, status};
use crate::evidence::Audit;
use crate::foundation::clock::Clock;
use crate::foundation::telemetry::printable;
use crate::server::{ConnectionInfo, Peer, Place, Places, UnixPeer};

/// How many calls may be under way at once, three quarters of them by one user. Each may hold a message of some MiB.
const MAX_CALLS: usize = 64;

/// Who may call: whoever has one of these effective ids.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Allowed {
    /// Users.
    pub uids: Vec<u32>,
    /// Groups; a process's supplementary groups don't count.
    pub gids: Vec<u32>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Gate {
    allowed: Allowed,
    audit: Arc<dyn Audit>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    places: Places,
    under_way: TaskTracker,
}

impl Allowed {
    fn allows(&self, peer: &UnixPeer) -> bool {
        self.uids.contains(&peer.uid) || self.gids.contains(&peer.gid)
    }
}

impl Gate {
    pub(super) fn new(allowed: Allowed, audit: Arc<dyn Audit>, clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        Self { allowed, audit, clock, metrics, places: Places::new(MAX_CALLS), under_way: TaskTracker::new() }
    }

    /// `services` behind this gate.
    pub(super) fn before(self: &Arc<Self>, services: Router) -> Router {
        services.layer(from_fn_with_state(Arc::clone(self), pass))
    }

    /// Ends when no call is under way.
    pub(super) async fn finish(&self) {
        self.under_way.close();
        self.under_way.wait().await;
    }

    /// Answers one call.
    async fn answer(&self, call: &Call, peer: Option<&UnixPeer>, request: Request, next: Next) -> Response {
        let response = match self.admit(peer) {
            Ok(_place) => next.run(request).await,
            Err(refusal) => refusal.into_http(),
        };
        let (code, message) = outcome(&response);
        match call.end(status::name(code), message.as_deref()).await {
            Ok(()) => {
                self.metrics.count(status::name(code));
                response
            }
            Err(_logged) => {
                self.metrics.count(status::name(Code::Unavailable));
                status::unrecorded().into_http()
            }
        }
    }

    fn admit(&self, peer: Option<&UnixPeer>) -> Result<Place, Status> {
        let peer = peer.ok_or_else(|| Status::permission_denied("only processes of this machine may call"))?;
        // A caller that has ended cannot be held to account for what it asked, and its pid may be another's by now.
        if peer.pidfd.is_none() {
            return Err(Status::permission_denied("the calling process is gone or can't be told"));
        }
        if !self.allowed.allows(peer) {
            return Err(Status::permission_denied("the calling user may not use this API"));
        }
        self.places.take(Some(peer.uid)).ok_or_else(|| Status::resource_exhausted("too many calls are under way"))
    }
}

/// Lets one request pass. What was begun is finished and recorded though the caller hangs up, so it runs in a task of
/// its own.
async fn pass(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    let peer = match request.extensions().get::<ConnectionInfo>().map(|connection| &connection.peer) {
        Some(Peer::Unix(peer)) => Some(peer.clone()),
        _ => None,
    };
    let caller = peer.as_ref().map(|peer| Caller { uid: peer.uid, pid: peer.pid });
    let call = Call::new(request.uri().path(), caller, Arc::clone(&gate.audit), Arc::clone(&gate.clock));
    request.extensions_mut().insert(call.clone());
    let (owner, begun) = (Arc::clone(&gate), call.clone());
    let answered = gate.under_way.spawn(async move { owner.answer(&begun, peer.as_ref(), request, next).await });
    let error = match answered.await {
        Ok(response) => return response,
        Err(error) => error,
    };
    let panic = printable(&error.to_string(), 200);
    tracing::error!(panic, "a panic ended a call of the admin API");
    gate.metrics.count(status::name(Code::Internal));
    let told = Status::internal("the call failed");
    match call.end(status::name(Code::Internal), Some(told.message())).await {
        Ok(()) => told.into_http(),
        Err(_logged) => status::unrecorded().into_http(),
    }
}

/// How a call ended. Of one that streams its answer, only how that began is known.
fn outcome(response: &Response) -> (Code, Option<String>) {
    if let Some(status) = Status::from_header_map(response.headers()) {
        let message = (status.code() != Code::Ok).then(|| status.message().to_owned());
        return (status.code(), message);
    }
    if response.status().is_success() {
        return (Code::Ok, None);
    }
    // Not gRPC: HTTP's own refusals.
    (Code::Unknown, Some(response.status().to_string()))
}
