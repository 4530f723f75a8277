//! `spire.api.server.svid.v1.SVID`: SVIDs on an administrator's word, for what can't be attested.

mod csr;

use std::sync::Arc;
use std::time::Duration;

use portcullis_spiffe::TrustDomain;
use portcullis_spiffe_api::spire::api::server::svid::v1::svid_server::{Svid as SvidApi, SvidServer};
use portcullis_spiffe_api::spire::api::server::svid::v1::{
    BatchNewWitsvidRequest, BatchNewWitsvidResponse, BatchNewX509svidRequest, BatchNewX509svidResponse,
    MintJwtsvidRequest, MintJwtsvidResponse, MintWitsvidRequest, MintWitsvidResponse, MintX509svidRequest,
    MintX509svidResponse, NewDownstreamX509caRequest, NewDownstreamX509caResponse, NewJwtsvidRequest,
    NewJwtsvidResponse,
};
use portcullis_spiffe_api::spire::api::types;
use tonic::{Request, Response, Status};

use self::csr::SigningRequest;
use super::{Call, MAX_MESSAGE_BYTES, ids, status};
use crate::foundation::clock::Timestamp;
use crate::identity::issue::{IssueError, Issuer, MintJwt, MintX509, NotMintable};

/// The service.
#[derive(Clone, Debug)]
pub struct SvidService {
    trust_domain: TrustDomain,
    issuer: Arc<Issuer>,
}

impl SvidService {
    /// A service that has `issuer` sign for `trust_domain`.
    pub fn new(trust_domain: TrustDomain, issuer: Arc<Issuer>) -> Self {
        Self { trust_domain, issuer }
    }

    /// As tonic takes it, with its limits set.
    pub fn into_server(self) -> SvidServer<Self> {
        SvidServer::new(self).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Has the issuer do `work`, which may take as long as a signature does.
    async fn have<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Issuer) -> Result<T, IssueError> + Send + 'static,
    ) -> Result<T, Status> {
        let issuer = Arc::clone(&self.issuer);
        let done = tokio::task::spawn_blocking(move || work(&issuer)).await;
        done.map_err(|error| status::internal(what, error))?.map_err(|error| refused(what, &error))
    }
}

#[tonic::async_trait]
impl SvidApi for SvidService {
    async fn mint_x509svid(
        &self,
        request: Request<MintX509svidRequest>,
    ) -> Result<Response<MintX509svidResponse>, Status> {
        let (call, request) = Call::open(request)?;
        if request.csr.is_empty() {
            return Err(Status::invalid_argument("missing CSR"));
        }
        let SigningRequest { uri, dns_names, public_key } =
            SigningRequest::parse(&request.csr).map_err(|fault| Status::invalid_argument(fault.to_string()))?;
        let spiffe_id = ids::of_uri(&self.trust_domain, &uri);
        let spiffe_id = spiffe_id.map_err(|fault| status::invalid("CSR URI SAN is invalid", fault))?;
        call.concerns([spiffe_id.to_string()]);
        let wanted = MintX509 { spiffe_id, dns_names, public_key, ttl: ttl(request.ttl) };
        let minted = self.have("failed to sign X509-SVID", move |issuer| issuer.mint_x509(&wanted)).await?;
        let svid = types::X509svid {
            cert_chain: minted.chain.iter().map(|certificate| certificate.to_vec()).collect(),
            id: Some(ids::to_wire(&minted.id)),
            expires_at: unix(minted.not_after),
            hint: String::new(),
        };
        Ok(Response::new(MintX509svidResponse { svid: Some(svid) }))
    }

    async fn mint_jwtsvid(
        &self,
        request: Request<MintJwtsvidRequest>,
    ) -> Result<Response<MintJwtsvidResponse>, Status> {
        let (call, request) = Call::open(request)?;
        let spiffe_id = ids::workload(&self.trust_domain, request.id.as_ref());
        let spiffe_id = spiffe_id.map_err(|fault| status::invalid("invalid SPIFFE ID", fault))?;
        call.concerns([spiffe_id.to_string()]);
        // SPIRE leaves empty ones out.
        let audience: Vec<_> = request.audience.into_iter().filter(|audience| !audience.is_empty()).collect();
        if audience.is_empty() {
            return Err(Status::invalid_argument("at least one audience is required"));
        }
        let wanted = MintJwt { spiffe_id, audience, ttl: ttl(request.ttl) };
        let minted = self.have("failed to sign JWT-SVID", move |issuer| issuer.mint_jwt(&wanted)).await?;
        let svid = types::Jwtsvid {
            token: minted.token.expose().clone(),
            id: Some(ids::to_wire(&minted.id)),
            expires_at: unix(minted.not_after),
            issued_at: unix(minted.issued_at),
            hint: String::new(),
        };
        Ok(Response::new(MintJwtsvidResponse { svid: Some(svid) }))
    }

    async fn mint_witsvid(
        &self,
        _request: Request<MintWitsvidRequest>,
    ) -> Result<Response<MintWitsvidResponse>, Status> {
        Err(status::no_wit())
    }

    async fn batch_new_x509svid(
        &self,
        _request: Request<BatchNewX509svidRequest>,
    ) -> Result<Response<BatchNewX509svidResponse>, Status> {
        Err(status::no_agents())
    }

    async fn new_jwtsvid(&self, _request: Request<NewJwtsvidRequest>) -> Result<Response<NewJwtsvidResponse>, Status> {
        Err(status::no_agents())
    }

    async fn batch_new_witsvid(
        &self,
        _request: Request<BatchNewWitsvidRequest>,
    ) -> Result<Response<BatchNewWitsvidResponse>, Status> {
        Err(status::no_wit())
    }

    async fn new_downstream_x509ca(
        &self,
        _request: Request<NewDownstreamX509caRequest>,
    ) -> Result<Response<NewDownstreamX509caResponse>, Status> {
        Err(Status::unimplemented("this call is for downstream servers, and there are none yet"))
    }
}

/// What is not positive asks for the default, as SPIRE has it.
fn ttl(seconds: i32) -> Option<Duration> {
    u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

fn unix(time: Timestamp) -> i64 {
    i64::try_from(time.unix_seconds()).unwrap_or(i64::MAX)
}

/// What the caller did wrong is told; what we did goes to the log.
fn refused(what: &'static str, error: &IssueError) -> Status {
    match error {
        IssueError::NotMintable(fault @ (NotMintable::DnsName(_) | NotMintable::TooManyDnsNames(_))) => {
            status::invalid("CSR DNS name is invalid", fault)
        }
        IssueError::NotMintable(fault) => status::invalid(what, fault),
        IssueError::Audience(fault) => status::invalid(what, fault),
        IssueError::Record(_) => status::unrecorded(),
        other => status::internal(what, other),
    }
}

#[cfg(test)]
mod tests;
