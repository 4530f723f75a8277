//! The gRPC service: who may call, how much, and what each method is.

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_server::{
    SecretDiscoveryService, SecretDiscoveryServiceServer,
};
use futures_util::stream::{BoxStream, StreamExt as _};
use prometheus_client::metrics::gauge::Gauge;
use tonic::{Code, Extensions, Request, Response, Status, Streaming};

use super::delta::Delta;
use super::identify::{Entitlements, Identify};
use super::protocol::{Protocol, check, shown};
use super::session::Session;
use super::state_of_the_world::StateOfTheWorld;
use super::subscriptions::Subscriptions;
use super::{Metrics, SdsConfig, UnknownNames, secret};
use crate::delegation::outbound::Tokens;
use crate::foundation::clock::Clock;
use crate::foundation::entropy::Entropy;
use crate::foundation::shutdown::ShutdownSignal;
use crate::foundation::telemetry::Seldom;
use crate::identity::attest::Attested;
use crate::identity::issue::Identities;
use crate::identity::workload::{IdentifyError, Workloads};
use crate::server::{ConnectionInfo, Peer, Place, Places, UnixPeer};

/// How many streams may be open at once, three quarters of them by one user. Envoy opens one for each secret.
const MAX_STREAMS: usize = 4096;

/// The largest request. Envoy's node, with all its extensions, takes less than half of this.
const MAX_REQUEST_BYTES: usize = 256 << 10;

/// What one stream sends.
type Responses<R> = BoxStream<'static, Result<R, Status>>;

/// The secret discovery service.
#[derive(Clone, Debug)]
pub struct SecretService {
    shared: Arc<Shared>,
}

/// What all streams share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Arc<SdsConfig>,
    pub(super) identities: Arc<dyn Identify>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) signal: ShutdownSignal,
    pub(super) metrics: Metrics,
    /// When a name that nobody grants was last told of.
    pub(super) refusals_told: Seldom,
    /// When a client that rejects what it is given was last told of.
    pub(super) rejections_told: Seldom,
    streams: Places,
}

/// A stream's place among those that may be open, given back when dropped.
#[derive(Debug)]
pub(super) struct OpenStream {
    streams: Gauge,
    _place: Place,
}

impl SecretService {
    /// A service that hands out what `workloads` says that its callers are entitled to, and of `outbound` what is meant for
    /// them. Its streams end on `signal`.
    pub fn new(
        config: SdsConfig,
        (workloads, outbound): (Arc<Workloads>, Arc<Tokens>),
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        signal: ShutdownSignal,
        metrics: Metrics,
    ) -> Self {
        let entitlements = Entitlements { workloads, outbound, clock: Arc::clone(&clock) };
        Self::with_identities(config, Arc::new(entitlements), clock, entropy, signal, metrics)
    }

    /// The service as tonic takes it, with its limits set.
    pub fn into_server(self) -> SecretDiscoveryServiceServer<Self> {
        SecretDiscoveryServiceServer::new(self).max_decoding_message_size(MAX_REQUEST_BYTES)
    }

    fn with_identities(
        config: SdsConfig,
        identities: Arc<dyn Identify>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        signal: ShutdownSignal,
        metrics: Metrics,
    ) -> Self {
        let shared = Shared {
            config: Arc::new(config),
            identities,
            clock,
            entropy,
            signal,
            metrics,
            refusals_told: Seldom::every(Duration::from_secs(1)),
            rejections_told: Seldom::every(Duration::from_secs(1)),
            streams: Places::new(MAX_STREAMS),
        };
        Self { shared: Arc::new(shared) }
    }
}

impl SecretService {
    fn open<P: Protocol + 'static>(
        &self,
        request: Request<Streaming<P::Request>>,
    ) -> Result<Response<Responses<P::Response>>, Status> {
        let peer = unix_peer(request.extensions())?;
        let open = self.shared.open(&peer)?;
        let session = Session::<P, _>::new(Arc::clone(&self.shared), peer, request.into_inner(), open);
        Ok(Response::new(session.responses().boxed()))
    }
}

#[tonic::async_trait]
impl SecretDiscoveryService for SecretService {
    type StreamSecretsStream = Responses<DiscoveryResponse>;
    type DeltaSecretsStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_secrets(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamSecretsStream>, Status> {
        self.open::<StateOfTheWorld>(request)
    }

    async fn fetch_secrets(&self, request: Request<DiscoveryRequest>) -> Result<Response<DiscoveryResponse>, Status> {
        let peer = unix_peer(request.extensions())?;
        let request = request.into_inner();
        check(&request.type_url, request.resource_names.len(), &request.resource_names)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let (_attested, identities) = self.shared.identify(&peer).await.map_err(|error| match error {
            IdentifyError::NotAttested(_) => not_attested(),
            _ => Status::unavailable("no identity could be issued"),
        })?;
        self.shared.fetch(&request, &identities).map(Response::new)
    }

    async fn delta_secrets(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaSecretsStream>, Status> {
        self.open::<Delta>(request)
    }
}

impl Shared {
    /// What is true of `peer`, and what it is entitled to.
    pub(super) async fn identify(&self, peer: &UnixPeer) -> Result<(Attested, Identities), IdentifyError> {
        self.identities.identify(peer).await.inspect_err(|error| {
            self.metrics.failures.inc();
            tracing::debug!(%error, "a caller could not be identified");
        })
    }

    fn open(&self, peer: &UnixPeer) -> Result<OpenStream, Status> {
        let place = self.streams.take(Some(peer.uid));
        let place = place.ok_or_else(|| {
            self.metrics.overloaded.inc();
            Status::resource_exhausted("too many streams are open")
        })?;
        self.metrics.streams.inc();
        Ok(OpenStream { streams: self.metrics.streams.clone(), _place: place })
    }

    /// All that is asked for or nothing.
    fn fetch(&self, request: &DiscoveryRequest, identities: &Identities) -> Result<DiscoveryResponse, Status> {
        let mut subscriptions = Subscriptions::new(Arc::clone(&self.config));
        subscriptions.heed(request.node.as_ref());
        for name in &request.resource_names {
            subscriptions.want(name, None);
        }
        let look = subscriptions.look(identities, self.clock.now());
        if !look.missing.is_empty() {
            self.metrics.unanswered.inc_by(u64::try_from(look.missing.len()).unwrap_or(u64::MAX));
            let code = match self.config.unknown_names {
                UnknownNames::Wait => Code::PermissionDenied,
                UnknownNames::Refuse => Code::InvalidArgument,
            };
            return Err(refusal(code, &look.missing));
        }
        self.metrics.responses.inc();
        let resources = look.given.into_iter().map(|given| given.secret).collect();
        Ok(DiscoveryResponse { resources, type_url: secret::type_url(), ..DiscoveryResponse::default() })
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.streams.dec();
    }
}

/// What a caller is told who asks for what it does not get. The words are SPIRE's, and so is the way to list names.
pub(super) fn refusal(code: Code, names: &[String]) -> Status {
    let names: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
    let names = shown(&names.join(" "));
    Status::new(code, format!("workload is not authorized for the requested identities [{names}]"))
}

/// What a caller is told of whom nothing can be said; why is ours to know.
pub(super) fn not_attested() -> Status {
    Status::permission_denied("the calling process could not be attested")
}

/// The calling process. No other kind of caller can be attested.
fn unix_peer(extensions: &Extensions) -> Result<UnixPeer, Status> {
    match extensions.get::<ConnectionInfo>().map(|connection| &connection.peer) {
        Some(Peer::Unix(peer)) => Ok(peer.clone()),
        _ => Err(Status::permission_denied("secrets are only served on a Unix socket")),
    }
}

#[cfg(test)]
mod tests;
