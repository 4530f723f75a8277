//! `portcullis.delegation.v1.Delegation`: revoking tokens that say who acts for whom.

use std::sync::Arc;

use portcullis_spiffe_api::portcullis::delegation::v1::delegation_server::{
    Delegation as DelegationApi, DelegationServer,
};
use portcullis_spiffe_api::portcullis::delegation::v1::restore_request::What as Restored;
use portcullis_spiffe_api::portcullis::delegation::v1::revocation::What;
use portcullis_spiffe_api::portcullis::delegation::v1::{
    ListRevocationsRequest, ListRevocationsResponse, RestoreRequest, RestoreResponse, Revocation as WireRevocation,
    RevokeMemberRequest, RevokeMemberResponse, RevokeTokenRequest, RevokeTokenResponse,
};
use tonic::{Code, Request, Response, Status};

use super::{Call, MAX_MESSAGE_BYTES, status};
use crate::foundation::clock::{Clock, Timestamp};
use crate::identity::delegation::{Revocation, Revocations, RevokeError, Revoked, RevokedKind};

/// What did not work, in the words of statuses.
const REVOKE: &str = "it can't be revoked";
const RESTORE: &str = "it can't be restored";

/// The service.
#[derive(Clone, Debug)]
pub struct DelegationService {
    revocations: Arc<Revocations>,
    clock: Arc<dyn Clock>,
}

impl DelegationService {
    /// A service over `revocations`.
    pub const fn new(revocations: Arc<Revocations>, clock: Arc<dyn Clock>) -> Self {
        Self { revocations, clock }
    }

    /// As tonic takes it, with its limits set.
    pub fn into_server(self) -> DelegationServer<Self> {
        DelegationServer::new(self).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    async fn revoke(&self, call: &Call, revoked: Revoked, until: i64) -> Result<Option<WireRevocation>, Status> {
        let until = match until {
            0 => None,
            seconds => Some(Timestamp::from_unix_seconds(seconds)),
        };
        call.changing([revoked.to_string()]).await?;
        let revocation =
            self.revocations.revoke(revoked, until, self.clock.now()).await.map_err(|error| match error {
                RevokeError::Over(_) => status::invalid(REVOKE, error),
                RevokeError::TooMany => status::failed(Code::ResourceExhausted, REVOKE, error),
                RevokeError::Store(_) => status::internal(REVOKE, error),
            })?;
        Ok(Some(to_wire(&revocation)))
    }
}

#[tonic::async_trait]
impl DelegationApi for DelegationService {
    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        let (call, RevokeTokenRequest { id, issuer, until }) = Call::open(request)?;
        let revoked = named(RevokedKind::Token, &id, &issuer, REVOKE)?;
        let revoked = self.revoke(&call, revoked, until).await?;
        Ok(Response::new(RevokeTokenResponse { revoked }))
    }

    async fn revoke_member(
        &self,
        request: Request<RevokeMemberRequest>,
    ) -> Result<Response<RevokeMemberResponse>, Status> {
        let (call, RevokeMemberRequest { subject, issuer, until }) = Call::open(request)?;
        let revoked = named(RevokedKind::Member, &subject, &issuer, REVOKE)?;
        let revoked = self.revoke(&call, revoked, until).await?;
        Ok(Response::new(RevokeMemberResponse { revoked }))
    }

    async fn list_revocations(
        &self,
        _request: Request<ListRevocationsRequest>,
    ) -> Result<Response<ListRevocationsResponse>, Status> {
        let revoked = self.revocations.list(self.clock.now()).iter().map(to_wire).collect();
        Ok(Response::new(ListRevocationsResponse { revoked }))
    }

    async fn restore(&self, request: Request<RestoreRequest>) -> Result<Response<RestoreResponse>, Status> {
        let (call, RestoreRequest { what, issuer }) = Call::open(request)?;
        let (kind, name) = match what {
            Some(Restored::Token(id)) => (RevokedKind::Token, id),
            Some(Restored::Member(subject)) => (RevokedKind::Member, subject),
            None => return Err(Status::invalid_argument("say what to restore: a token or a member")),
        };
        let revoked = named(kind, &name, &issuer, RESTORE)?;
        call.changing([revoked.to_string()]).await?;
        match self.revocations.restore(&revoked).await {
            Ok(true) => Ok(Response::new(RestoreResponse {})),
            Ok(false) => Err(status::failed(Code::NotFound, RESTORE, "it is not revoked")),
            Err(error) => Err(status::internal(RESTORE, error)),
        }
    }
}

fn named(kind: RevokedKind, name: &str, issuer: &str, failed: &'static str) -> Result<Revoked, Status> {
    let issuer = Some(issuer).filter(|issuer| !issuer.is_empty());
    Revoked::new(kind, name, issuer).map_err(|error| status::invalid(failed, error))
}

fn to_wire(Revocation { revoked, revoked_at, until }: &Revocation) -> WireRevocation {
    let seconds = |time: Timestamp| i64::try_from(time.unix_seconds()).unwrap_or(i64::MAX);
    let name = revoked.name().to_owned();
    let what = match revoked.kind() {
        RevokedKind::Token => What::Token(name),
        RevokedKind::Member => What::Member(name),
    };
    WireRevocation {
        what: Some(what),
        issuer: revoked.issuer().unwrap_or_default().to_owned(),
        revoked_at: seconds(*revoked_at),
        until: until.map_or(0, seconds),
    }
}

#[cfg(test)]
mod tests;
