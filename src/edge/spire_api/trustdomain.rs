//! `spire.api.server.trustdomain.v1.TrustDomain`: with whom we federate, and where their bundles are to be had.

mod wire;

use std::sync::Arc;

use portcullis_spiffe::TrustDomain;
use portcullis_spiffe_api::spire::api::server::trustdomain::v1::trust_domain_server::{
    TrustDomain as TrustDomainApi, TrustDomainServer,
};
use portcullis_spiffe_api::spire::api::server::trustdomain::v1::{
    BatchCreateFederationRelationshipRequest, BatchCreateFederationRelationshipResponse,
    BatchDeleteFederationRelationshipRequest, BatchDeleteFederationRelationshipResponse,
    BatchUpdateFederationRelationshipRequest, BatchUpdateFederationRelationshipResponse,
    GetFederationRelationshipRequest, ListFederationRelationshipsRequest, ListFederationRelationshipsResponse,
    RefreshBundleRequest, batch_create_federation_relationship_response, batch_delete_federation_relationship_response,
    batch_update_federation_relationship_response,
};
use portcullis_spiffe_api::spire::api::types::{self, FederationRelationshipMask};
use tonic::{Code, Request, Response, Status};

use self::wire::Patch;
use super::bundle::not_done;
use super::{Call, MAX_MESSAGE_BYTES, ids, page, status};
use crate::identity::federation::{EndpointProfile, Federation, FederationError, Poller, RefreshError, Relationship};

/// The service.
#[derive(Clone, Debug)]
pub struct TrustDomainService {
    trust_domain: TrustDomain,
    federation: Arc<Federation>,
    poller: Arc<Poller>,
}

type Outcome = Result<Arc<Relationship>, types::Status>;

impl TrustDomainService {
    /// A service over the relationships of `trust_domain`, whose bundles `poller` fetches.
    pub fn new(trust_domain: TrustDomain, federation: Arc<Federation>, poller: Arc<Poller>) -> Self {
        Self { trust_domain, federation, poller }
    }

    /// As tonic takes it, with its limits set.
    pub fn into_server(self) -> TrustDomainServer<Self> {
        TrustDomainServer::new(self).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    async fn create(&self, given: types::FederationRelationship) -> Outcome {
        let patch = Patch::read(given, None).map_err(|fault| not_converted(&fault))?;
        if patch.trust_domain == self.trust_domain {
            let own = "unable to create federation relationship for server trust domain";
            return Err(status::item(Code::InvalidArgument, own));
        }
        let (relationship, bundle) = patch.into_new().map_err(|fault| not_converted(&fault))?;
        let created = self.federation.create_relationship(relationship, bundle).await;
        let created = created.map_err(|error| refusal("failed to create federation relationship", &error))?;
        self.warn_of_a_missing_bundle(&created);
        Ok(created)
    }

    async fn update(&self, given: types::FederationRelationship, mask: Option<&FederationRelationshipMask>) -> Outcome {
        let mut patch = Patch::read(given, mask).map_err(|fault| not_converted(&fault))?;
        let (trust_domain, bundle) = (patch.trust_domain.clone(), patch.bundle.take());
        let change = move |relationship: &mut Relationship| patch.apply(relationship);
        let updated = self.federation.update_relationship(trust_domain, change, bundle).await;
        let updated = updated.map_err(|error| refusal("failed to update federation relationship", &error))?;
        self.warn_of_a_missing_bundle(&updated);
        Ok(updated)
    }

    async fn delete(&self, name: &str) -> (String, types::Status) {
        if name.is_empty() {
            return (String::new(), status::item(Code::InvalidArgument, "missing trust domain"));
        }
        let trust_domain = match ids::trust_domain(name) {
            Ok(trust_domain) => trust_domain,
            Err(fault) => {
                let status = format!("failed to parse trust domain: {fault}");
                return (name.to_owned(), status::item(Code::InvalidArgument, status));
            }
        };
        let named = trust_domain.to_string();
        match self.federation.delete_relationship(trust_domain).await {
            Ok(()) => (named, status::item_ok()),
            Err(FederationError::Unknown(_)) => {
                (named, status::item(Code::NotFound, "federation relationship not found"))
            }
            Err(error) => (named, refusal("failed to delete federation relationship", &error)),
        }
    }

    /// A server that is to prove itself by an SVID can't, before there is a bundle to verify that with.
    fn warn_of_a_missing_bundle(&self, relationship: &Relationship) {
        if let EndpointProfile::Spiffe(id) = &relationship.profile
            && *id.trust_domain() != self.trust_domain
            && !self.federation.knows(id.trust_domain())
        {
            tracing::warn!(endpoint_spiffe_id = %id, "there is no bundle yet to verify a bundle endpoint with");
        }
    }

    /// What became of one item, and the relationship as it is now.
    fn told(
        &self,
        made: Outcome,
        mask: Option<&FederationRelationshipMask>,
    ) -> (Option<types::Status>, Option<types::FederationRelationship>) {
        match made {
            Ok(relationship) => (Some(status::item_ok()), Some(self.masked(&relationship, mask))),
            Err(refused) => (Some(refused), None),
        }
    }

    fn masked(
        &self,
        relationship: &Relationship,
        mask: Option<&FederationRelationshipMask>,
    ) -> types::FederationRelationship {
        wire::masked(relationship, self.federation.bundle(&relationship.trust_domain).as_deref(), mask)
    }
}

#[tonic::async_trait]
impl TrustDomainApi for TrustDomainService {
    async fn list_federation_relationships(
        &self,
        request: Request<ListFederationRelationshipsRequest>,
    ) -> Result<Response<ListFederationRelationshipsResponse>, Status> {
        let request = request.into_inner();
        let relationships = self.federation.relationships();
        let place = |relationship: &&Arc<Relationship>| (0, relationship.trust_domain.to_string());
        let page = page::take(relationships.values(), place, request.page_size, &request.page_token)
            .map_err(|fault| status::invalid("failed to list federation relationships", fault))?;
        let mask = request.output_mask.as_ref();
        let listed = page.items.into_iter().map(|relationship| self.masked(relationship, mask)).collect();
        Ok(Response::new(ListFederationRelationshipsResponse {
            federation_relationships: listed,
            next_page_token: page.next,
        }))
    }

    async fn get_federation_relationship(
        &self,
        request: Request<GetFederationRelationshipRequest>,
    ) -> Result<Response<types::FederationRelationship>, Status> {
        let (call, request) = Call::open(request)?;
        call.concerns([request.trust_domain.clone()]);
        let trust_domain = parse(&request.trust_domain)?;
        let relationships = self.federation.relationships();
        let relationship = relationships.get(&trust_domain);
        let relationship = relationship.ok_or_else(|| Status::not_found("federation relationship does not exist"))?;
        Ok(Response::new(self.masked(relationship, request.output_mask.as_ref())))
    }

    async fn batch_create_federation_relationship(
        &self,
        request: Request<BatchCreateFederationRelationshipRequest>,
    ) -> Result<Response<BatchCreateFederationRelationshipResponse>, Status> {
        let (call, request) = Call::open(request)?;
        status::check_batch(request.federation_relationships.len())?;
        call.changing(request.federation_relationships.iter().map(|given| given.trust_domain.clone())).await?;
        let mut results = Vec::with_capacity(request.federation_relationships.len());
        for given in request.federation_relationships {
            let (status, federation_relationship) = self.told(self.create(given).await, request.output_mask.as_ref());
            results.push(batch_create_federation_relationship_response::Result { status, federation_relationship });
        }
        call.changed(results.iter().filter_map(|result| name(result.federation_relationship.as_ref())));
        Ok(Response::new(BatchCreateFederationRelationshipResponse { results }))
    }

    async fn batch_update_federation_relationship(
        &self,
        request: Request<BatchUpdateFederationRelationshipRequest>,
    ) -> Result<Response<BatchUpdateFederationRelationshipResponse>, Status> {
        let (call, request) = Call::open(request)?;
        status::check_batch(request.federation_relationships.len())?;
        call.changing(request.federation_relationships.iter().map(|given| given.trust_domain.clone())).await?;
        let (input, output) = (request.input_mask.as_ref(), request.output_mask.as_ref());
        let mut results = Vec::with_capacity(request.federation_relationships.len());
        for given in request.federation_relationships {
            let (status, federation_relationship) = self.told(self.update(given, input).await, output);
            results.push(batch_update_federation_relationship_response::Result { status, federation_relationship });
        }
        call.changed(results.iter().filter_map(|result| name(result.federation_relationship.as_ref())));
        Ok(Response::new(BatchUpdateFederationRelationshipResponse { results }))
    }

    async fn batch_delete_federation_relationship(
        &self,
        request: Request<BatchDeleteFederationRelationshipRequest>,
    ) -> Result<Response<BatchDeleteFederationRelationshipResponse>, Status> {
        let (call, request) = Call::open(request)?;
        status::check_batch(request.trust_domains.len())?;
        call.changing(request.trust_domains.iter().cloned()).await?;
        let (mut results, mut changed) = (Vec::with_capacity(request.trust_domains.len()), Vec::new());
        for given in request.trust_domains {
            let (trust_domain, status) = self.delete(&given).await;
            if status.code == i32::from(Code::Ok) {
                changed.push(trust_domain.clone());
            }
            let status = Some(status);
            results.push(batch_delete_federation_relationship_response::Result { status, trust_domain });
        }
        call.changed(changed);
        Ok(Response::new(BatchDeleteFederationRelationshipResponse { results }))
    }

    async fn refresh_bundle(&self, request: Request<RefreshBundleRequest>) -> Result<Response<()>, Status> {
        let (call, request) = Call::open(request)?;
        let trust_domain = parse(&request.trust_domain)?;
        call.changing([trust_domain.to_string()]).await?;
        match self.poller.refresh(&trust_domain).await {
            Ok(_taken) => Ok(Response::new(())),
            Err(RefreshError::Unknown(_)) => {
                Err(Status::not_found(format!("no relationship with trust domain \"{trust_domain}\"")))
            }
            Err(error) => Err(status::failed(Code::Unavailable, "failed to refresh bundle", error)),
        }
    }
}

fn parse(name: &str) -> Result<TrustDomain, Status> {
    ids::trust_domain(name).map_err(|fault| status::invalid("failed to parse trust domain", fault))
}

fn name(relationship: Option<&types::FederationRelationship>) -> Option<String> {
    relationship.map(|relationship| relationship.trust_domain.clone())
}

fn not_converted(fault: &dyn std::fmt::Display) -> types::Status {
    status::item(Code::InvalidArgument, format_args!("failed to convert federation relationship: {fault}"))
}

/// Why nothing was changed; `what` says what was to be.
fn refusal(what: &'static str, error: &FederationError) -> types::Status {
    match error {
        FederationError::Bundle(problem) => not_converted(&format_args!("failed to parse bundle: {problem}")),
        other => not_done(what, other),
    }
}

#[cfg(test)]
mod tests;
