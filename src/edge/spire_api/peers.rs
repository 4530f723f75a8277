//! `portcullis.federation.v1.Federation`: how it goes with those we federate with.

use std::sync::Arc;

use portcullis_spiffe_api::portcullis::federation::v1::federation_server::{
    Federation as FederationApi, FederationServer,
};
use portcullis_spiffe_api::portcullis::federation::v1::{ListPeersRequest, ListPeersResponse, Peer};
use tonic::{Request, Response, Status};

use super::MAX_MESSAGE_BYTES;
use crate::foundation::clock::Timestamp;
use crate::identity::federation::{Federation, Poller, Relationship};

/// The service.
#[derive(Clone, Debug)]
pub struct FederationService {
    federation: Arc<Federation>,
    poller: Arc<Poller>,
}

impl FederationService {
    /// A service over what `poller` knows of the relationships of `federation`.
    pub const fn new(federation: Arc<Federation>, poller: Arc<Poller>) -> Self {
        Self { federation, poller }
    }

    /// As tonic takes it, with its limits set.
    pub fn into_server(self) -> FederationServer<Self> {
        FederationServer::new(self).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    fn peer(&self, relationship: &Relationship) -> Peer {
        let name = &relationship.trust_domain;
        let bundle = self.federation.bundle(name);
        let mut peer = Peer {
            trust_domain: name.to_string(),
            bundle_sequence: bundle.as_ref().map_or(0, |bundle| bundle.sequence),
            configured: self.federation.is_configured(name),
            ..Peer::default()
        };
        let Some(state) = self.poller.state(name) else { return peer };
        peer.reached_at = state.reached.map_or(0, seconds);
        peer.ageing_since = bundle.map_or(0, |_held| seconds(state.since));
        peer.stale = state.is_stale;
        if let Some(failure) = state.failure {
            (peer.failure, peer.failed_at, peer.failures) = (failure.reason, seconds(failure.at), failure.times);
        }
        peer
    }
}

#[tonic::async_trait]
impl FederationApi for FederationService {
    async fn list_peers(&self, _request: Request<ListPeersRequest>) -> Result<Response<ListPeersResponse>, Status> {
        let relationships = self.federation.relationships();
        let peers = relationships.values().map(|relationship| self.peer(relationship)).collect();
        Ok(Response::new(ListPeersResponse { peers }))
    }
}

fn seconds(at: Timestamp) -> i64 {
    i64::try_from(at.unix_seconds()).unwrap_or(i64::MAX)
}
