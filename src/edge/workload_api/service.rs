//! The gRPC service: who may call, how much, and what each method is.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt as _};
use portcullis_spiffe::{IdError, SpiffeId};
use portcullis_spiffe_api::workload::spiffe_workload_api_server::{SpiffeWorkloadApi, SpiffeWorkloadApiServer};
use portcullis_spiffe_api::workload::{
    JwtBundlesRequest, JwtBundlesResponse, Jwtsvid, JwtsvidRequest, JwtsvidResponse, ValidateJwtsvidRequest,
    ValidateJwtsvidResponse, WitBundlesRequest, WitBundlesResponse, WitsvidRequest, WitsvidResponse,
    X509BundlesRequest, X509BundlesResponse, X509svidRequest, X509svidResponse,
};
use prometheus_client::metrics::gauge::Gauge;
use tonic::codegen::InterceptedService;
use tonic::{Extensions, Request, Response, Status};

use super::identify::Identify;
use super::session::Session;
use super::view::{JwtBundles, Look, View, X509Bundles, X509Svids, keep_first_of_hint};
use super::{Metrics, WorkloadApiConfig, claims, header, refusal};
use crate::edge::grpc::unix_peer;
use crate::foundation::clock::Clock;
use crate::foundation::shutdown::ShutdownSignal;
use crate::foundation::telemetry::Seldom;
use crate::identity::issue::{Identities, IssueError, JwtSvid};
use crate::identity::svid::jwt;
use crate::identity::workload::{IdentifyError, Workloads};
use crate::server::{Place, Places, UnixPeer};

/// How many streams may be open at once, three quarters of them by one user. A client has one to three.
const MAX_STREAMS: usize = 4096;

/// The largest request: a token and an audience.
const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// How much a token may name whom it is for, in bytes: what is issued here must be short enough to be verified here, and
/// to travel in a header.
const MAX_AUDIENCE_BYTES: usize = 4096;

/// The Workload API.
#[derive(Clone, Debug)]
pub struct WorkloadService {
    shared: Arc<Shared>,
}

/// What all calls share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: WorkloadApiConfig,
    pub(super) plane: Arc<dyn Identify>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) signal: ShutdownSignal,
    pub(super) metrics: Metrics,
    /// When someone who gets nothing was last told of.
    refusals_told: Seldom,
    streams: Places,
}

/// A stream's place among those that may be open, given back when dropped.
#[derive(Debug)]
pub(super) struct OpenStream {
    streams: Gauge,
    _place: Place,
}

/// A stream of messages, as tonic wants it.
type Messages<M> = BoxStream<'static, Result<M, Status>>;

impl WorkloadService {
    /// A service that hands out what `workloads` does. Its streams end on `signal`.
    pub fn new(
        config: WorkloadApiConfig,
        workloads: Arc<Workloads>,
        clock: Arc<dyn Clock>,
        signal: ShutdownSignal,
        metrics: Metrics,
    ) -> Self {
        Self::over(config, workloads, clock, signal, metrics)
    }

    /// The service as tonic takes it, behind its security header and with its limits set.
    #[expect(clippy::type_complexity, reason = "tonic has no shorter name for it")]
    pub fn into_server(
        self,
    ) -> InterceptedService<SpiffeWorkloadApiServer<Self>, fn(Request<()>) -> Result<Request<()>, Status>> {
        let server = SpiffeWorkloadApiServer::new(self).max_decoding_message_size(MAX_REQUEST_BYTES);
        InterceptedService::new(server, header::demand)
    }

    fn over(
        config: WorkloadApiConfig,
        plane: Arc<dyn Identify>,
        clock: Arc<dyn Clock>,
        signal: ShutdownSignal,
        metrics: Metrics,
    ) -> Self {
        let (refusals_told, streams) = (Seldom::every(Duration::from_secs(1)), Places::new(MAX_STREAMS));
        Self { shared: Arc::new(Shared { config, plane, clock, signal, metrics, refusals_told, streams }) }
    }

    fn open<V: View>(&self, extensions: &Extensions) -> Result<Response<Messages<V::Message>>, Status> {
        let peer = unix_peer(extensions).ok_or_else(refusal::not_unix)?;
        let open = self.shared.open(peer)?;
        let session = Session::<V>::new(Arc::clone(&self.shared), peer.clone(), open);
        Ok(Response::new(session.messages().boxed()))
    }
}

#[tonic::async_trait]
impl SpiffeWorkloadApi for WorkloadService {
    type FetchX509SVIDStream = Messages<X509svidResponse>;
    type FetchX509BundlesStream = Messages<X509BundlesResponse>;
    type FetchJWTBundlesStream = Messages<JwtBundlesResponse>;
    type FetchWITSVIDStream = Messages<WitsvidResponse>;
    type FetchWITBundlesStream = Messages<WitBundlesResponse>;

    async fn fetch_x509svid(
        &self,
        request: Request<X509svidRequest>,
    ) -> Result<Response<Self::FetchX509SVIDStream>, Status> {
        self.open::<X509Svids>(request.extensions())
    }

    async fn fetch_x509_bundles(
        &self,
        request: Request<X509BundlesRequest>,
    ) -> Result<Response<Self::FetchX509BundlesStream>, Status> {
        self.open::<X509Bundles>(request.extensions())
    }

    async fn fetch_jwt_bundles(
        &self,
        request: Request<JwtBundlesRequest>,
    ) -> Result<Response<Self::FetchJWTBundlesStream>, Status> {
        self.open::<JwtBundles>(request.extensions())
    }

    async fn fetch_jwtsvid(&self, request: Request<JwtsvidRequest>) -> Result<Response<JwtsvidResponse>, Status> {
        let peer = unix_peer(request.extensions()).ok_or_else(refusal::not_unix)?.clone();
        let JwtsvidRequest { audience, spiffe_id } = request.into_inner();
        let audience = audience_of(audience)?;
        let only = match spiffe_id.parse::<SpiffeId>() {
            _ if spiffe_id.is_empty() => None,
            Ok(id) => Some(id),
            // A SPIFFE ID, but of no workload.
            Err(IdError::NoPath) => return Err(self.shared.refuse(&peer)),
            Err(error) => return Err(refusal::no_spiffe_id(&error)),
        };
        self.shared.tokens(&peer, &audience, only.as_ref()).await.map(Response::new)
    }

    async fn validate_jwtsvid(
        &self,
        request: Request<ValidateJwtsvidRequest>,
    ) -> Result<Response<ValidateJwtsvidResponse>, Status> {
        let peer = unix_peer(request.extensions()).ok_or_else(refusal::not_unix)?.clone();
        let ValidateJwtsvidRequest { audience, svid } = request.into_inner();
        if audience.is_empty() {
            return Err(refusal::no_audience());
        }
        if svid.is_empty() {
            return Err(refusal::no_token());
        }
        self.shared.validate(&peer, &audience, &svid).await.map(Response::new)
    }

    async fn fetch_witsvid(
        &self,
        _request: Request<WitsvidRequest>,
    ) -> Result<Response<Self::FetchWITSVIDStream>, Status> {
        Err(Status::unimplemented("WIT-SVIDs are not issued"))
    }

    async fn fetch_wit_bundles(
        &self,
        _request: Request<WitBundlesRequest>,
    ) -> Result<Response<Self::FetchWITBundlesStream>, Status> {
        Err(Status::unimplemented("WIT-SVIDs are not issued"))
    }
}

impl Shared {
    fn open(&self, peer: &UnixPeer) -> Result<OpenStream, Status> {
        let place = self.streams.take(Some(peer.uid)).ok_or_else(|| {
            self.metrics.overloaded.inc();
            refusal::too_many_streams()
        })?;
        self.metrics.streams.inc();
        Ok(OpenStream { streams: self.metrics.streams.clone(), _place: place })
    }

    /// What is true of `peer`, and the bundles that it is told.
    pub(super) async fn bundles(&self, peer: &UnixPeer) -> Result<Look, IdentifyError> {
        let (attested, mut bundles) = self.plane.bundles(peer).await?;
        if bundles.is_empty() && self.config.allow_unauthenticated_verifiers {
            bundles.extend(self.plane.own_bundle());
        }
        Ok((attested, (!bundles.is_empty()).then_some(Identities { bundles, ..Identities::default() })))
    }

    async fn tokens(
        &self,
        peer: &UnixPeer,
        audience: &[String],
        only: Option<&SpiffeId>,
    ) -> Result<JwtsvidResponse, Status> {
        let issued = self.plane.jwt_svids(peer, audience, only).await;
        let mut issued = issued.map_err(|error| match &error {
            IdentifyError::NotIssued(IssueError::Audience(reason)) => refusal::bad(reason),
            _ => match (self.fail(peer, &error), error) {
                (_, IdentifyError::NotIssued(_)) => refusal::no_jwt_svid(),
                (status, _) => status,
            },
        })?;
        keep_first_of_hint(&mut issued, |svid| &svid.hint);
        if issued.is_empty() {
            return Err(self.refuse(peer));
        }
        let told = |svid: JwtSvid| Jwtsvid {
            spiffe_id: svid.id.to_string(),
            svid: svid.token.expose().clone(),
            hint: svid.hint,
        };
        Ok(JwtsvidResponse { svids: issued.into_iter().map(told).collect() })
    }

    /// Verifies a token by the bundles that are `peer`'s. A caller without an identity has ours: it learns nothing from
    /// it that the token does not say.
    async fn validate(&self, peer: &UnixPeer, audience: &str, token: &str) -> Result<ValidateJwtsvidResponse, Status> {
        let found = self.plane.bundles(peer).await;
        let (_attested, mut bundles) = found.map_err(|error| self.fail(peer, &error))?;
        if bundles.is_empty() {
            bundles.extend(self.plane.own_bundle());
        }
        // Who read the token from a file may have read the end of the line with it; SPIRE forgives that.
        let (token, foreign) = (token.trim_ascii_end(), self.plane.foreign());
        let verified = jwt::verify_admitted(token, audience, (&bundles, &foreign), self.clock.now());
        let token = verified.map_err(|error| {
            self.metrics.tokens_rejected.inc();
            tracing::debug!(pid = peer.pid, uid = peer.uid, %error, "a token does not hold");
            refusal::bad(&error)
        })?;
        self.metrics.tokens_verified.inc();
        let foreign = *token.id.trust_domain() != self.config.trust_domain;
        let claims = claims::told(token.claims, foreign, &self.config.allowed_foreign_jwt_claims);
        Ok(ValidateJwtsvidResponse { spiffe_id: token.id.to_string(), claims: Some(claims) })
    }

    /// What `peer` is told, to whom no entry grants anything.
    pub(super) fn refuse(&self, peer: &UnixPeer) -> Status {
        self.metrics.refusals.inc();
        // Any process of the machine can ask without end.
        if let Some(more) = self.refusals_told.admit(self.clock.elapsed()) {
            tracing::warn!(pid = peer.pid, uid = peer.uid, more, "no identity issued: no entry fits the caller");
        }
        refusal::no_identity()
    }

    /// What `peer` is told when it could not be identified.
    pub(super) fn fail(&self, peer: &UnixPeer, error: &IdentifyError) -> Status {
        self.metrics.failures.inc();
        if let Some(more) = self.refusals_told.admit(self.clock.elapsed()) {
            tracing::warn!(pid = peer.pid, uid = peer.uid, more, %error, "a caller of the Workload API gets nothing");
        }
        refusal::of(error)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.streams.dec();
    }
}

/// Those whom a token is to be for. Empty names are passed over, as SPIRE does.
fn audience_of(mut names: Vec<String>) -> Result<Vec<String>, Status> {
    names.retain(|name| !name.is_empty());
    match names.iter().map(String::len).sum::<usize>() {
        0 => Err(refusal::no_audience()),
        bytes if bytes > MAX_AUDIENCE_BYTES => {
            Err(refusal::bad(&format_args!("the audience has {bytes} bytes, more than {MAX_AUDIENCE_BYTES}")))
        }
        _ => Ok(names),
    }
}

#[cfg(test)]
pub(super) mod fixture;
#[cfg(test)]
mod tests;
