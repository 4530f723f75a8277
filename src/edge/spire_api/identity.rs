//! `portcullis.identity.v1.Identity`: what an operator needs and SPIRE's API has no word for.

mod revocation;

use std::sync::Arc;

use portcullis_spiffe_api::portcullis::identity::v1::identity_server::{Identity, IdentityServer};
use portcullis_spiffe_api::portcullis::identity::v1::{
    ExplainRequest, ExplainResponse, ListRevokedX509sviDsRequest, ListRevokedX509sviDsResponse, RevokeX509svidRequest,
    RevokeX509svidResponse,
};
use tonic::{Request, Response, Status};

use self::revocation::Revoker;
use super::Call;
use crate::foundation::clock::Clock;
use crate::identity::authority::Authority;

/// The service.
#[derive(Clone, Debug)]
pub struct IdentityService {
    revoker: Revoker,
}

impl IdentityService {
    /// A service that revokes what `authority` signed.
    pub fn new(authority: Arc<Authority>, clock: Arc<dyn Clock>) -> Self {
        Self { revoker: Revoker { authority, clock } }
    }

    /// As tonic takes it.
    pub fn into_server(self) -> IdentityServer<Self> {
        IdentityServer::new(self)
    }
}

#[tonic::async_trait]
impl Identity for IdentityService {
    async fn explain(&self, _request: Request<ExplainRequest>) -> Result<Response<ExplainResponse>, Status> {
        Err(Status::unimplemented("a process can't be explained yet"))
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
