//! `portcullis.identity.v1.Identity`: what an operator needs and SPIRE's API has no word for.

mod revocation;

use std::sync::Arc;

use portcullis_spiffe_api::portcullis::identity::v1::identity_server::{Identity, IdentityServer};
use portcullis_spiffe_api::portcullis::identity::v1::{
    AttestorFailure, ExplainRequest, ExplainResponse, ListRevokedX509sviDsRequest, ListRevokedX509sviDsResponse,
    NearMiss, RevokeX509svidRequest, RevokeX509svidResponse,
};
use tonic::{Code, Request, Response, Status};

use self::revocation::Revoker;
use super::entry::wire;
use super::{Call, matching, status};
use crate::foundation::clock::Clock;
use crate::identity::authority::Authority;
use crate::identity::explain::{self, ExplainError, Explainer};

/// The service.
#[derive(Clone, Debug)]
pub struct IdentityService {
    explainer: Arc<Explainer>,
    revoker: Revoker,
}

impl IdentityService {
    /// A service that explains as `explainer` does, and revokes what `authority` signed.
    pub fn new(explainer: Explainer, authority: Arc<Authority>, clock: Arc<dyn Clock>) -> Self {
        Self { explainer: Arc::new(explainer), revoker: Revoker { authority, clock } }
    }

    /// As tonic takes it.
    pub fn into_server(self) -> IdentityServer<Self> {
        IdentityServer::new(self)
    }
}

#[tonic::async_trait]
impl Identity for IdentityService {
    async fn explain(&self, request: Request<ExplainRequest>) -> Result<Response<ExplainResponse>, Status> {
        let (call, ExplainRequest { pid }) = Call::open(request)?;
        if pid <= 0 {
            return Err(status::invalid("the process id can't be one", pid));
        }
        call.concerns([pid.to_string()]);
        let found = self.explainer.explain(pid).await.map_err(not_explained)?;
        let failures = found.failures.into_iter();
        Ok(Response::new(ExplainResponse {
            selectors: matching::to_wire(&found.selectors),
            failures: failures
                .map(|failure| AttestorFailure { attestor: failure.attestor.to_owned(), reason: failure.reason })
                .collect(),
            granted: found.granted.iter().map(|entry| wire::masked(entry, None)).collect(),
            near_misses: found.near_misses.iter().map(near_miss).collect(),
        }))
    }

    async fn revoke_x509svid(
        &self,
        request: Request<RevokeX509svidRequest>,
    ) -> Result<Response<RevokeX509svidResponse>, Status> {
        let (call, request) = Call::open(request)?;
        let revoked = Some(self.revoker.revoke(&call, &request).await?);
        Ok(Response::new(RevokeX509svidResponse { revoked }))
    }

    async fn list_revoked_x509svi_ds(
        &self,
        _request: Request<ListRevokedX509sviDsRequest>,
    ) -> Result<Response<ListRevokedX509sviDsResponse>, Status> {
        Ok(Response::new(ListRevokedX509sviDsResponse { revoked: self.revoker.list() }))
    }
}

fn near_miss(miss: &explain::NearMiss) -> NearMiss {
    NearMiss {
        entry: Some(wire::masked(&miss.entry, None)),
        missing: matching::to_wire(&miss.missing),
        reason: miss.obstacle.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

fn not_explained(error: ExplainError) -> Status {
    match error {
        ExplainError::NoProcess(_) => status::failed(Code::NotFound, "nothing can be said", error),
        ExplainError::NotIdentified(error) => {
            status::failed(Code::FailedPrecondition, "the process can't be attested", error)
        }
        ExplainError::Unreadable(error) => status::internal("can't take hold of the process", error),
    }
}

#[cfg(test)]
mod tests;
