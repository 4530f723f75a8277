//! The gRPC service: who may call, how much, and what each method is.

use std::collections::BTreeSet;
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
use tokio::sync::Semaphore;
use tonic::{Extensions, Request, Response, Status, Streaming};

use super::identify::{Identify, IdentifyError, IdentityPlane};
use super::names::Asked;
use super::node::Validation;
use super::session::Session;
use super::stream::{check, shown};
use super::{Metrics, SdsConfig, secret};
use crate::foundation::clock::Clock;
use crate::foundation::entropy::Entropy;
use crate::foundation::shutdown::ShutdownSignal;
use crate::foundation::telemetry::Seldom;
use crate::identity::attest::unix::UnixAttestor;
use crate::identity::issue::{Identities, Issuer};
use crate::server::{ConnectionInfo, Peer, Place, Places, UnixPeer};

/// How many streams may be open at once, three quarters of them by one user. Envoy opens one for each secret.
const MAX_STREAMS: usize = 4096;

/// How many callers are identified at once, so that a change that concerns every stream does not take every thread.
const MAX_IDENTIFYING: usize = 16;

/// The largest request. Envoy's node, with all its extensions, takes about a tenth of this.
const MAX_REQUEST_BYTES: usize = 1 << 20;

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
    identifying: Semaphore,
    streams: Places,
}

/// A stream's place among those that may be open, given back when dropped.
#[derive(Debug)]
pub(super) struct OpenStream {
    streams: Gauge,
    _place: Place,
}

impl SecretService {
    /// A service that hands out what `issuer` issues to callers whom `attestor` attests. Its streams end on `signal`.
    pub fn new(
        config: SdsConfig,
        issuer: Arc<Issuer>,
        attestor: Arc<UnixAttestor>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        signal: ShutdownSignal,
        metrics: Metrics,
    ) -> Self {
        Self::with_identities(config, Arc::new(IdentityPlane { issuer, attestor }), clock, entropy, signal, metrics)
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
            identifying: Semaphore::new(MAX_IDENTIFYING),
            streams: Places::new(MAX_STREAMS),
        };
        Self { shared: Arc::new(shared) }
    }
}

#[tonic::async_trait]
impl SecretDiscoveryService for SecretService {
    type StreamSecretsStream = BoxStream<'static, Result<DiscoveryResponse, Status>>;
    type DeltaSecretsStream = BoxStream<'static, Result<DeltaDiscoveryResponse, Status>>;

    async fn stream_secrets(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamSecretsStream>, Status> {
        let peer = unix_peer(request.extensions())?;
        let open = self.shared.open(&peer)?;
        let session = Session::new(Arc::clone(&self.shared), peer, request.into_inner(), open);
        Ok(Response::new(session.responses().boxed()))
    }

    async fn fetch_secrets(&self, request: Request<DiscoveryRequest>) -> Result<Response<DiscoveryResponse>, Status> {
        let peer = unix_peer(request.extensions())?;
        let request = request.into_inner();
        check(&request).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let identities = self.shared.identify(&peer).await?.map_err(|error| match error {
            IdentifyError::NotAttested(_) => not_attested(),
            IdentifyError::NotIssued(_) => Status::unavailable("no identity could be issued"),
        })?;
        self.shared.fetch(&request, &identities).map(Response::new)
    }

    async fn delta_secrets(
        &self,
        _request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaSecretsStream>, Status> {
        Err(Status::unimplemented(
            "secrets are not served incrementally: set `api_type: GRPC` in the SDS config source",
        ))
    }
}

impl Shared {
    /// What `peer` is entitled to. The outer error is ours.
    pub(super) async fn identify(&self, peer: &UnixPeer) -> Result<Result<Identities, IdentifyError>, Status> {
        let _turn = self.identifying.acquire().await.map_err(|_closed| Status::unavailable("stopping"))?;
        let (identities, peer) = (Arc::clone(&self.identities), peer.clone());
        let found = tokio::task::spawn_blocking(move || identities.identify(&peer)).await;
        let found = found.map_err(|_panic| Status::internal("the caller could not be identified"))?;
        if let Err(error) = &found {
            self.metrics.failures.inc();
            tracing::debug!(%error, "a caller could not be identified");
        }
        Ok(found)
    }

    fn open(&self, peer: &UnixPeer) -> Result<OpenStream, Status> {
        let place = self.streams.take(Some(peer.uid));
        let place = place.ok_or_else(|| Status::resource_exhausted("too many streams are open"))?;
        self.metrics.streams.inc();
        Ok(OpenStream { streams: self.metrics.streams.clone(), _place: place })
    }

    /// All that is asked for or nothing.
    fn fetch(&self, request: &DiscoveryRequest, identities: &Identities) -> Result<DiscoveryResponse, Status> {
        let validation = Validation::new(self.config.disable_spiffe_cert_validation, request.node.as_ref());
        let now = self.clock.now();
        let names: BTreeSet<_> = request.resource_names.iter().collect();
        let mut resources = Vec::new();
        let mut refused = Vec::new();
        for name in names {
            match secret::answer(name, &Asked::new(name, &self.config), identities, validation, now) {
                Ok(resource) => resources.push(resource),
                Err(_missing) => refused.push(name.as_str()),
            }
        }
        if !refused.is_empty() {
            self.metrics.unanswered.inc_by(u64::try_from(refused.len()).unwrap_or(u64::MAX));
            let refused = shown(&format!("{refused:?}"));
            return Err(Status::permission_denied(format!(
                "workload is not authorized for the requested identities {refused}"
            )));
        }
        self.metrics.responses.inc();
        Ok(DiscoveryResponse { resources, type_url: secret::type_url(), ..DiscoveryResponse::default() })
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.streams.dec();
    }
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
