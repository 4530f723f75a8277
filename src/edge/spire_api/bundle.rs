//! `spire.api.server.bundle.v1.Bundle`: our bundle, and the bundles of those we federate with.
//!
//! Our own is only ever what our authority makes it: nothing can be appended to it or published in it, for what it holds
//! can vouch for every identity of the trust domain.

mod wire;

use std::sync::Arc;

use portcullis_spiffe::TrustDomain;
use portcullis_spiffe_api::spire::api::server::bundle::v1::batch_delete_federated_bundle_request::Mode;
use portcullis_spiffe_api::spire::api::server::bundle::v1::bundle_server::{Bundle as BundleApi, BundleServer};
use portcullis_spiffe_api::spire::api::server::bundle::v1::{
    AppendBundleRequest, BatchCreateFederatedBundleRequest, BatchCreateFederatedBundleResponse,
    BatchDeleteFederatedBundleRequest, BatchDeleteFederatedBundleResponse, BatchSetFederatedBundleRequest,
    BatchSetFederatedBundleResponse, BatchUpdateFederatedBundleRequest, BatchUpdateFederatedBundleResponse,
    CountBundlesRequest, CountBundlesResponse, GetBundleRequest, GetFederatedBundleRequest,
    ListFederatedBundlesRequest, ListFederatedBundlesResponse, PublishJwtAuthorityRequest, PublishJwtAuthorityResponse,
    PublishWitAuthorityRequest, PublishWitAuthorityResponse, batch_create_federated_bundle_response,
    batch_delete_federated_bundle_response, batch_set_federated_bundle_response,
    batch_update_federated_bundle_response,
};
use portcullis_spiffe_api::spire::api::types::{self, BundleMask};
use tonic::{Code, Request, Response, Status};

pub(super) use self::wire::{BundleFault, masked, read};
use super::{Call, MAX_MESSAGE_BYTES, ids, page, status};
use crate::foundation::clock::Clock;
use crate::foundation::watched::Watched;
use crate::identity::bundle::{Bundle, Bundles};
use crate::identity::federation::{BundleUse, DeleteMode, Federation, FederationError};
use crate::identity::registry::Registry;

/// The service.
#[derive(Clone, Debug)]
pub struct BundleService {
    trust_domain: TrustDomain,
    bundles: Arc<Watched<Bundles>>,
    federation: Arc<Federation>,
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
}

impl BundleService {
    /// A service over `bundles`, of which that of `trust_domain` is ours and the others are kept by `federation`.
    pub fn new(
        trust_domain: TrustDomain,
        bundles: Arc<Watched<Bundles>>,
        federation: Arc<Federation>,
        registry: Arc<Registry>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { trust_domain, bundles, federation, registry, clock }
    }

    /// As tonic takes it, with its limits set.
    pub fn into_server(self) -> BundleServer<Self> {
        BundleServer::new(self).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The trust domain of that name, which must not be ours; `doing` says what would be done to its bundle.
    fn foreign(&self, name: &str, doing: &str) -> Result<TrustDomain, types::Status> {
        let trust_domain = ids::trust_domain(name).map_err(|fault| {
            status::item(Code::InvalidArgument, format_args!("trust domain argument is not valid: {fault}"))
        })?;
        if trust_domain == self.trust_domain {
            return Err(status::item(Code::InvalidArgument, format_args!("{doing} is not allowed")));
        }
        Ok(trust_domain)
    }

    /// The foreign bundle that `given` is.
    fn read(&self, given: types::Bundle, doing: &str) -> Result<Bundle, types::Status> {
        let doing = format!("{doing} a federated bundle for the server's own trust domain");
        let trust_domain = self.foreign(&given.trust_domain, &doing)?;
        read(trust_domain, given).map_err(|fault| not_converted(&fault))
    }

    async fn create(&self, given: types::Bundle) -> Result<Arc<Bundle>, types::Status> {
        let bundle = self.read(given, "creating")?;
        self.federation.create_bundle(bundle).await.map_err(|error| refusal("unable to create bundle", &error))
    }

    async fn update(&self, given: types::Bundle, mask: Option<BundleMask>) -> Result<Arc<Bundle>, types::Status> {
        let given = self.read(given, "updating")?;
        let trust_domain = given.trust_domain.clone();
        let change = move |bundle: &mut Bundle| wire::overwrite(bundle, &given, mask.as_ref());
        let updated = self.federation.update_bundle(trust_domain, change).await;
        updated.map_err(|error| refusal("failed to update bundle", &error))
    }

    async fn set(&self, given: types::Bundle) -> Result<Arc<Bundle>, types::Status> {
        let bundle = self.read(given, "setting")?;
        self.federation.set_bundle(bundle).await.map_err(|error| refusal("failed to set bundle", &error))
    }

    async fn delete(&self, name: &str, mode: DeleteMode) -> Result<(), types::Status> {
        let trust_domain = self.foreign(name, "removing the bundle for the server trust domain")?;
        let deleted = self.federation.delete_bundle(trust_domain, mode, &self.registry, self.clock.now()).await;
        deleted.map_err(|error| refusal("failed to delete federated bundle", &error))
    }
}

#[tonic::async_trait]
impl BundleApi for BundleService {
    async fn count_bundles(
        &self,
        _request: Request<CountBundlesRequest>,
    ) -> Result<Response<CountBundlesResponse>, Status> {
        let count = self.bundles.load().iter().count();
        Ok(Response::new(CountBundlesResponse { count: i32::try_from(count).unwrap_or(i32::MAX) }))
    }

    async fn get_bundle(&self, request: Request<GetBundleRequest>) -> Result<Response<types::Bundle>, Status> {
        let (call, request) = Call::open(request)?;
        call.concerns([self.trust_domain.to_string()]);
        let bundles = self.bundles.load();
        let bundle = bundles.get(&self.trust_domain).ok_or_else(not_found)?;
        Ok(Response::new(masked(bundle, request.output_mask.as_ref())))
    }

    async fn append_bundle(&self, request: Request<AppendBundleRequest>) -> Result<Response<types::Bundle>, Status> {
        let (call, request) = Call::open(request)?;
        call.concerns([self.trust_domain.to_string()]);
        if request.x509_authorities.is_empty() && request.jwt_authorities.is_empty() {
            return Err(Status::invalid_argument("no authorities to append"));
        }
        Err(Status::failed_precondition(
            "failed to append bundle: this trust domain has no authorities but those that this server makes",
        ))
    }

    async fn publish_jwt_authority(
        &self,
        _request: Request<PublishJwtAuthorityRequest>,
    ) -> Result<Response<PublishJwtAuthorityResponse>, Status> {
        Err(not_downstream("PublishJWTAuthority"))
    }

    async fn publish_wit_authority(
        &self,
        _request: Request<PublishWitAuthorityRequest>,
    ) -> Result<Response<PublishWitAuthorityResponse>, Status> {
        Err(not_downstream("PublishWITAuthority"))
    }

    async fn list_federated_bundles(
        &self,
        request: Request<ListFederatedBundlesRequest>,
    ) -> Result<Response<ListFederatedBundlesResponse>, Status> {
        let request = request.into_inner();
        let bundles = self.federation.bundles();
        let place = |bundle: &&Arc<Bundle>| (0, bundle.trust_domain.to_string());
        let page = page::take(bundles.iter(), place, request.page_size, &request.page_token)
            .map_err(|fault| status::invalid("failed to list bundles", fault))?;
        let mask = request.output_mask.as_ref();
        let bundles = page.items.into_iter().map(|bundle| masked(bundle, mask)).collect();
        Ok(Response::new(ListFederatedBundlesResponse { bundles, next_page_token: page.next }))
    }

    async fn get_federated_bundle(
        &self,
        request: Request<GetFederatedBundleRequest>,
    ) -> Result<Response<types::Bundle>, Status> {
        let (call, request) = Call::open(request)?;
        call.concerns([request.trust_domain.clone()]);
        let own = "getting a federated bundle for the server's own trust domain";
        let trust_domain = self.foreign(&request.trust_domain, own);
        let trust_domain = trust_domain.map_err(|refused| Status::invalid_argument(refused.message))?;
        let bundle = self.federation.bundle(&trust_domain).ok_or_else(not_found)?;
        Ok(Response::new(masked(&bundle, request.output_mask.as_ref())))
    }

    async fn batch_create_federated_bundle(
        &self,
        request: Request<BatchCreateFederatedBundleRequest>,
    ) -> Result<Response<BatchCreateFederatedBundleResponse>, Status> {
        let (call, request) = Call::open(request)?;
        status::check_batch(request.bundle.len())?;
        call.changing(request.bundle.iter().map(|bundle| bundle.trust_domain.clone())).await?;
        let mut results = Vec::with_capacity(request.bundle.len());
        for given in request.bundle {
            let (status, bundle) = told(self.create(given).await, request.output_mask.as_ref());
            results.push(batch_create_federated_bundle_response::Result { status, bundle });
        }
        call.changed(results.iter().filter_map(|result| name(result.bundle.as_ref())));
        Ok(Response::new(BatchCreateFederatedBundleResponse { results }))
    }

    async fn batch_update_federated_bundle(
        &self,
        request: Request<BatchUpdateFederatedBundleRequest>,
    ) -> Result<Response<BatchUpdateFederatedBundleResponse>, Status> {
        let (call, request) = Call::open(request)?;
        status::check_batch(request.bundle.len())?;
        call.changing(request.bundle.iter().map(|bundle| bundle.trust_domain.clone())).await?;
        let mut results = Vec::with_capacity(request.bundle.len());
        for given in request.bundle {
            let (status, bundle) = told(self.update(given, request.input_mask).await, request.output_mask.as_ref());
            results.push(batch_update_federated_bundle_response::Result { status, bundle });
        }
        call.changed(results.iter().filter_map(|result| name(result.bundle.as_ref())));
        Ok(Response::new(BatchUpdateFederatedBundleResponse { results }))
    }

    async fn batch_set_federated_bundle(
        &self,
        request: Request<BatchSetFederatedBundleRequest>,
    ) -> Result<Response<BatchSetFederatedBundleResponse>, Status> {
        let (call, request) = Call::open(request)?;
        status::check_batch(request.bundle.len())?;
        call.changing(request.bundle.iter().map(|bundle| bundle.trust_domain.clone())).await?;
        let mut results = Vec::with_capacity(request.bundle.len());
        for given in request.bundle {
            let (status, bundle) = told(self.set(given).await, request.output_mask.as_ref());
            results.push(batch_set_federated_bundle_response::Result { status, bundle });
        }
        call.changed(results.iter().filter_map(|result| name(result.bundle.as_ref())));
        Ok(Response::new(BatchSetFederatedBundleResponse { results }))
    }

    async fn batch_delete_federated_bundle(
        &self,
        request: Request<BatchDeleteFederatedBundleRequest>,
    ) -> Result<Response<BatchDeleteFederatedBundleResponse>, Status> {
        let (call, request) = Call::open(request)?;
        status::check_batch(request.trust_domains.len())?;
        let mode = mode(request.mode)?;
        call.changing(request.trust_domains.iter().cloned()).await?;
        let (mut results, mut changed) = (Vec::with_capacity(request.trust_domains.len()), Vec::new());
        for trust_domain in request.trust_domains {
            let status = match self.delete(&trust_domain, mode).await {
                Ok(()) => {
                    changed.push(trust_domain.clone());
                    status::item_ok()
                }
                Err(refused) => refused,
            };
            results.push(batch_delete_federated_bundle_response::Result { status: Some(status), trust_domain });
        }
        call.changed(changed);
        Ok(Response::new(BatchDeleteFederatedBundleResponse { results }))
    }
}

/// What became of one item, and the bundle as it is now.
fn told(
    made: Result<Arc<Bundle>, types::Status>,
    mask: Option<&BundleMask>,
) -> (Option<types::Status>, Option<types::Bundle>) {
    match made {
        Ok(bundle) => (Some(status::item_ok()), Some(masked(&bundle, mask))),
        Err(refused) => (Some(refused), None),
    }
}

fn name(bundle: Option<&types::Bundle>) -> Option<String> {
    bundle.map(|bundle| bundle.trust_domain.clone())
}

fn mode(number: i32) -> Result<DeleteMode, Status> {
    match Mode::try_from(number) {
        Ok(Mode::Restrict) => Ok(DeleteMode::Restrict),
        Ok(Mode::Dissociate) => Ok(DeleteMode::Dissociate),
        Ok(Mode::Delete) => Ok(DeleteMode::Delete),
        Err(_unknown) => {
            Err(status::invalid("failed to parse deletion mode", format_args!("unhandled delete mode \"{number}\"")))
        }
    }
}

fn not_found() -> Status {
    Status::not_found("bundle not found")
}

/// A call that only a server below ours may make, and there is none yet.
fn not_downstream(method: &str) -> Status {
    Status::permission_denied(format!("authorization denied for method /spire.api.server.bundle.v1.Bundle/{method}"))
}

fn not_converted(fault: &dyn std::fmt::Display) -> types::Status {
    status::item(Code::InvalidArgument, format_args!("failed to convert bundle: {fault}"))
}

/// Why no bundle was changed; `what` says what was to be done.
fn refusal(what: &'static str, error: &FederationError) -> types::Status {
    match error {
        FederationError::Exists(_) => status::item(Code::AlreadyExists, "bundle already exists"),
        FederationError::Unknown(_) => status::item(Code::NotFound, "bundle not found"),
        FederationError::Bundle(problem) => not_converted(problem),
        other => not_done(what, other),
    }
}

/// Why the federation was not changed; `what` says what was to be done. A fault of ours is for the log alone, and unlike
/// SPIRE's `Internal` says that it may pass.
pub(super) fn not_done(what: &'static str, error: &FederationError) -> types::Status {
    let code = match error {
        FederationError::Ourselves(_) | FederationError::Bundle(_) => Code::InvalidArgument,
        FederationError::Exists(_) => Code::AlreadyExists,
        FederationError::Unknown(_) => Code::NotFound,
        FederationError::TooMany => Code::ResourceExhausted,
        FederationError::InUse(BundleUse::Registry(_)) | FederationError::Store(_) => {
            tracing::error!(%error, "{what}");
            return status::item(Code::Unavailable, what);
        }
        FederationError::InUse(_)
        | FederationError::Configured(_)
        | FederationError::Older { .. }
        | FederationError::Unnumbered { .. }
        | FederationError::Sequence(_)
        | FederationError::Stale(_) => Code::FailedPrecondition,
    };
    status::item(code, format_args!("{what}: {error}"))
}

#[cfg(test)]
pub(super) mod tests;
