//! The limit: a server that reads the question and says yes.

use envoy_types::pb::envoy::service::auth::v3::authorization_server::Authorization;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse, OkHttpResponse};
use envoy_types::pb::google::rpc::Status as Said;
use tonic::{Request, Response, Status};

/// Says yes to everything.
#[derive(Clone, Copy, Debug)]
pub struct AlwaysAllow;

#[tonic::async_trait]
impl Authorization for AlwaysAllow {
    async fn check(&self, _request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        Ok(Response::new(allowed()))
    }
}

/// The shortest yes that Envoy understands.
pub(super) fn allowed() -> CheckResponse {
    CheckResponse {
        status: Some(Said::default()),
        http_response: Some(HttpResponse::OkResponse(OkHttpResponse::default())),
        ..CheckResponse::default()
    }
}
