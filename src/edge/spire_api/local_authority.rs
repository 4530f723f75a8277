//! `spire.api.server.localauthority.v1.LocalAuthority`: the life of our authorities, step by step.

mod steps;

use std::sync::Arc;

use portcullis_spiffe_api::spire::api::server::localauthority::v1 as wire;
use portcullis_spiffe_api::spire::api::server::localauthority::v1::local_authority_server::{
    LocalAuthority as LocalAuthorityApi, LocalAuthorityServer,
};
use tonic::{Request, Response, Status};

use self::steps::{Step, Steps};
use super::{Call, MAX_MESSAGE_BYTES, status};
use crate::evidence::AuthorityKind::{Jwt, X509};
use crate::foundation::clock::Clock;
use crate::identity::authority::Authority;

/// The service.
#[derive(Clone, Debug)]
pub struct LocalAuthorityService(Steps);

impl LocalAuthorityService {
    /// A service over the authorities of `authority`.
    pub fn new(authority: Arc<Authority>, clock: Arc<dyn Clock>) -> Self {
        Self(Steps { authority, clock })
    }

    /// As tonic takes it, with its limits set.
    pub fn into_server(self) -> LocalAuthorityServer<Self> {
        LocalAuthorityServer::new(self).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl LocalAuthorityApi for LocalAuthorityService {
    async fn get_jwt_authority_state(
        &self,
        _request: Request<wire::GetJwtAuthorityStateRequest>,
    ) -> Answer<wire::GetJwtAuthorityStateResponse> {
        let [active, prepared, old] = self.0.state(Jwt)?;
        Ok(Response::new(wire::GetJwtAuthorityStateResponse { active, prepared, old }))
    }

    async fn prepare_jwt_authority(
        &self,
        request: Request<wire::PrepareJwtAuthorityRequest>,
    ) -> Answer<wire::PrepareJwtAuthorityResponse> {
        let (call, _) = Call::open(request)?;
        let prepared_authority = self.0.prepare(&call, Jwt).await?;
        Ok(Response::new(wire::PrepareJwtAuthorityResponse { prepared_authority }))
    }

    async fn activate_jwt_authority(
        &self,
        request: Request<wire::ActivateJwtAuthorityRequest>,
    ) -> Answer<wire::ActivateJwtAuthorityResponse> {
        let (call, request) = Call::open(request)?;
        let activated_authority = self.0.take(&call, Step::Activate, Jwt, &request.authority_id).await?;
        Ok(Response::new(wire::ActivateJwtAuthorityResponse { activated_authority }))
    }

    async fn taint_jwt_authority(
        &self,
        request: Request<wire::TaintJwtAuthorityRequest>,
    ) -> Answer<wire::TaintJwtAuthorityResponse> {
        let (call, request) = Call::open(request)?;
        let tainted_authority = self.0.take(&call, Step::Taint, Jwt, &request.authority_id).await?;
        Ok(Response::new(wire::TaintJwtAuthorityResponse { tainted_authority }))
    }

    async fn revoke_jwt_authority(
        &self,
        request: Request<wire::RevokeJwtAuthorityRequest>,
    ) -> Answer<wire::RevokeJwtAuthorityResponse> {
        let (call, request) = Call::open(request)?;
        let revoked_authority = self.0.take(&call, Step::Revoke, Jwt, &request.authority_id).await?;
        Ok(Response::new(wire::RevokeJwtAuthorityResponse { revoked_authority }))
    }

    async fn get_x509_authority_state(
        &self,
        _request: Request<wire::GetX509AuthorityStateRequest>,
    ) -> Answer<wire::GetX509AuthorityStateResponse> {
        let [active, prepared, old] = self.0.state(X509)?;
        Ok(Response::new(wire::GetX509AuthorityStateResponse { active, prepared, old }))
    }

    async fn prepare_x509_authority(
        &self,
        request: Request<wire::PrepareX509AuthorityRequest>,
    ) -> Answer<wire::PrepareX509AuthorityResponse> {
        let (call, _) = Call::open(request)?;
        let prepared_authority = self.0.prepare(&call, X509).await?;
        Ok(Response::new(wire::PrepareX509AuthorityResponse { prepared_authority }))
    }

    async fn activate_x509_authority(
        &self,
        request: Request<wire::ActivateX509AuthorityRequest>,
    ) -> Answer<wire::ActivateX509AuthorityResponse> {
        let (call, request) = Call::open(request)?;
        let activated_authority = self.0.take(&call, Step::Activate, X509, &request.authority_id).await?;
        Ok(Response::new(wire::ActivateX509AuthorityResponse { activated_authority }))
    }

    async fn taint_x509_authority(
        &self,
        request: Request<wire::TaintX509AuthorityRequest>,
    ) -> Answer<wire::TaintX509AuthorityResponse> {
        let (call, request) = Call::open(request)?;
        let tainted_authority = self.0.take(&call, Step::Taint, X509, &request.authority_id).await?;
        Ok(Response::new(wire::TaintX509AuthorityResponse { tainted_authority }))
    }

    async fn taint_x509_upstream_authority(
        &self,
        _request: Request<wire::TaintX509UpstreamAuthorityRequest>,
    ) -> Answer<wire::TaintX509UpstreamAuthorityResponse> {
        Err(no_upstream())
    }

    async fn revoke_x509_authority(
        &self,
        request: Request<wire::RevokeX509AuthorityRequest>,
    ) -> Answer<wire::RevokeX509AuthorityResponse> {
        let (call, request) = Call::open(request)?;
        let revoked_authority = self.0.take(&call, Step::Revoke, X509, &request.authority_id).await?;
        Ok(Response::new(wire::RevokeX509AuthorityResponse { revoked_authority }))
    }

    async fn revoke_x509_upstream_authority(
        &self,
        _request: Request<wire::RevokeX509UpstreamAuthorityRequest>,
    ) -> Answer<wire::RevokeX509UpstreamAuthorityResponse> {
        Err(no_upstream())
    }

    async fn get_wit_authority_state(
        &self,
        _request: Request<wire::GetWitAuthorityStateRequest>,
    ) -> Answer<wire::GetWitAuthorityStateResponse> {
        Err(status::no_wit())
    }

    async fn prepare_wit_authority(
        &self,
        _request: Request<wire::PrepareWitAuthorityRequest>,
    ) -> Answer<wire::PrepareWitAuthorityResponse> {
        Err(status::no_wit())
    }

    async fn activate_wit_authority(
        &self,
        _request: Request<wire::ActivateWitAuthorityRequest>,
    ) -> Answer<wire::ActivateWitAuthorityResponse> {
        Err(status::no_wit())
    }

    async fn taint_wit_authority(
        &self,
        _request: Request<wire::TaintWitAuthorityRequest>,
    ) -> Answer<wire::TaintWitAuthorityResponse> {
        Err(status::no_wit())
    }

    async fn revoke_wit_authority(
        &self,
        _request: Request<wire::RevokeWitAuthorityRequest>,
    ) -> Answer<wire::RevokeWitAuthorityResponse> {
        Err(status::no_wit())
    }
}

fn no_upstream() -> Status {
    Status::failed_precondition("upstream authority is not configured")
}
