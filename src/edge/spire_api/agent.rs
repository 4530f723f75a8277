//! `spire.api.server.agent.v1.Agent`: the nodes that workloads run on. There is one, this very process, which attests the
//! workloads of its machine itself; it can't be deleted or banned.

mod filter;

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use portcullis_spiffe::x509::Authority;
use portcullis_spiffe::{SpiffeId, TrustDomain};
use portcullis_spiffe_api::spire::api::server::agent::v1::agent_server::{Agent as AgentApi, AgentServer};
use portcullis_spiffe_api::spire::api::server::agent::v1::{
    AttestAgentRequest, AttestAgentResponse, BanAgentRequest, CountAgentsRequest, CountAgentsResponse,
    CreateJoinTokenRequest, DeleteAgentRequest, GetAgentRequest, ListAgentsRequest, ListAgentsResponse,
    PostStatusRequest, PostStatusResponse, RenewAgentRequest, RenewAgentResponse,
};
use portcullis_spiffe_api::spire::api::types::{self, AgentMask, JoinToken, Spiffeid};
use tonic::{Request, Response, Status, Streaming};

use self::filter::Filter;
use super::{Call, MAX_MESSAGE_BYTES, ids, page, status};
use crate::foundation::clock::Clock;
use crate::foundation::watched::Watched;
use crate::identity::bundle::Bundles;
use crate::identity::join_token::{JoinTokenError, JoinTokens};
use crate::identity::registry::{Change, EntrySource, EntryTerms, Registry};
use crate::identity::selector::Selector;

/// How the one agent was attested.
const ATTESTATION_TYPE: &str = "portcullis";

/// The service.
#[derive(Clone, Debug)]
pub struct AgentService(Arc<AgentPorts>);

/// What the service is made over.
#[derive(Debug)]
pub struct AgentPorts {
    /// Ours.
    pub trust_domain: TrustDomain,
    /// The bundles; the agent is good as long as our own.
    pub bundles: Arc<Watched<Bundles>>,
    /// Join tokens.
    pub join_tokens: JoinTokens,
    /// Where the entry that comes with a join token goes.
    pub registry: Arc<Registry>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl AgentService {
    /// A service over `ports`.
    pub fn new(ports: AgentPorts) -> Self {
        Self(Arc::new(ports))
    }

    /// As tonic takes it, with its limits set.
    pub fn into_server(self) -> AgentServer<Self> {
        AgentServer::new(self).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The one agent, all fields.
    fn local(&self) -> types::Agent {
        let AgentPorts { trust_domain, bundles, .. } = &*self.0;
        types::Agent {
            id: Some(Spiffeid { trust_domain: trust_domain.to_string(), path: "/spire/agent/portcullis".to_owned() }),
            attestation_type: ATTESTATION_TYPE.to_owned(),
            // It has no SVID of its own; what it hands out ends with the authorities.
            x509svid_serial_number: String::new(),
            x509svid_expires_at: last_expiry(&bundles.load(), trust_domain),
            selectors: Vec::new(),
            banned: false,
            can_reattest: true,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Whether there is an agent of this ID.
    ///
    /// # Errors
    /// It is no agent's, or there is none.
    fn find(&self, call: &Call, id: Option<&Spiffeid>) -> Result<types::Agent, Status> {
        let id = ids::agent(&self.0.trust_domain, id).map_err(|fault| status::invalid("invalid agent ID", fault))?;
        call.concerns([id.to_string()]);
        let local = self.local();
        if local.id == Some(ids::to_wire(&id)) { Ok(local) } else { Err(Status::not_found("agent not found")) }
    }

    /// The entry that gives whoever joins with a token a further ID, as SPIRE makes it.
    async fn alias(&self, agent_id: &SpiffeId, alias: SpiffeId) -> Result<(), Status> {
        const WHAT: &str = "failed to create join token registration entry";

        let selectors = [Selector::new("spiffe_id", agent_id.to_string())].into();
        let terms = EntryTerms::new(alias, agent_id.clone(), selectors);
        let change = Change::Create { id: None, terms };
        let made = self.0.registry.apply(EntrySource::Api, vec![change], self.0.clock.now()).await;
        let made = made.map_err(|error| status::internal(WHAT, error))?;
        made.into_iter().try_for_each(|made| made.map(|_entry| ()).map_err(|problem| status::internal(WHAT, problem)))
    }
}

#[tonic::async_trait]
impl AgentApi for AgentService {
    type AttestAgentStream = BoxStream<'static, Result<AttestAgentResponse, Status>>;

    async fn count_agents(
        &self,
        request: Request<CountAgentsRequest>,
    ) -> Result<Response<CountAgentsResponse>, Status> {
        let filter = Filter::of_count(request.into_inner().filter)?;
        Ok(Response::new(CountAgentsResponse { count: filter.holds(&self.local()).into() }))
    }

    async fn list_agents(&self, request: Request<ListAgentsRequest>) -> Result<Response<ListAgentsResponse>, Status> {
        let request = request.into_inner();
        let filter = Filter::of_list(request.filter)?;
        let fitting = Some(self.local()).filter(|agent| filter.holds(agent)).into_iter();
        let page = page::take(fitting, |_agent| (0, ATTESTATION_TYPE), request.page_size, &request.page_token)
            .map_err(|fault| status::invalid("failed to list agents", fault))?;
        let mask = request.output_mask.as_ref();
        let agents = page.items.into_iter().map(|agent| masked(agent, mask)).collect();
        Ok(Response::new(ListAgentsResponse { agents, next_page_token: page.next }))
    }

    async fn get_agent(&self, request: Request<GetAgentRequest>) -> Result<Response<types::Agent>, Status> {
        let (call, request) = Call::open(request)?;
        let agent = self.find(&call, request.id.as_ref())?;
        Ok(Response::new(masked(agent, request.output_mask.as_ref())))
    }

    async fn delete_agent(&self, request: Request<DeleteAgentRequest>) -> Result<Response<()>, Status> {
        let (call, request) = Call::open(request)?;
        self.find(&call, request.id.as_ref())?;
        Err(Status::failed_precondition("failed to remove agent: this process itself is the agent"))
    }

    async fn ban_agent(&self, request: Request<BanAgentRequest>) -> Result<Response<()>, Status> {
        let (call, request) = Call::open(request)?;
        self.find(&call, request.id.as_ref())?;
        Err(Status::failed_precondition("failed to ban agent: this process itself is the agent"))
    }

    async fn attest_agent(
        &self,
        _request: Request<Streaming<AttestAgentRequest>>,
    ) -> Result<Response<Self::AttestAgentStream>, Status> {
        Err(status::no_agents())
    }

    async fn renew_agent(&self, _request: Request<RenewAgentRequest>) -> Result<Response<RenewAgentResponse>, Status> {
        Err(status::no_agents())
    }

    async fn create_join_token(&self, request: Request<CreateJoinTokenRequest>) -> Result<Response<JoinToken>, Status> {
        let (call, request) = Call::open(request)?;
        let seconds = u64::try_from(request.ttl).unwrap_or(0);
        if seconds == 0 {
            return Err(refused(&JoinTokenError::NoTtl));
        }
        let alias = request.agent_id.map(|id| ids::workload(&self.0.trust_domain, Some(&id))).transpose();
        let alias = alias.map_err(|fault| status::invalid("invalid agent ID", fault))?;
        // Never the token itself: who reads records must not be able to join.
        call.changing(alias.iter().map(ToString::to_string)).await?;
        let given = Some(request.token).filter(|token| !token.is_empty());
        let token = self.0.join_tokens.create(given, Duration::from_secs(seconds), self.0.clock.now()).await;
        let token = token.map_err(|error| refused(&error))?;
        if let Some(alias) = alias {
            self.alias(&token.agent_id, alias).await?;
        }
        let expires_at = i64::try_from(token.expires_at.unix_seconds()).unwrap_or(i64::MAX);
        Ok(Response::new(JoinToken { value: token.value.expose().clone(), expires_at }))
    }

    async fn post_status(&self, _request: Request<PostStatusRequest>) -> Result<Response<PostStatusResponse>, Status> {
        Err(status::no_agents())
    }
}

/// When the last of our X.509 authorities expires, in seconds since 1970.
fn last_expiry(bundles: &Bundles, trust_domain: &TrustDomain) -> i64 {
    let ours = bundles.get(trust_domain).into_iter();
    let expiries = ours.flat_map(|bundle| bundle.certificates()).filter_map(|der| Authority::parse(der).ok());
    expiries.map(|authority| authority.not_after).max().unwrap_or(0)
}

fn masked(agent: types::Agent, mask: Option<&AgentMask>) -> types::Agent {
    let Some(mask) = mask else { return agent };
    let text = |value: String, wanted: bool| if wanted { value } else { String::new() };
    types::Agent {
        id: agent.id,
        attestation_type: text(agent.attestation_type, mask.attestation_type),
        x509svid_serial_number: text(agent.x509svid_serial_number, mask.x509svid_serial_number),
        x509svid_expires_at: if mask.x509svid_expires_at { agent.x509svid_expires_at } else { 0 },
        selectors: if mask.selectors { agent.selectors } else { Vec::new() },
        banned: agent.banned && mask.banned,
        can_reattest: agent.can_reattest && mask.can_reattest,
        agent_version: text(agent.agent_version, mask.agent_version),
    }
}

fn refused(error: &JoinTokenError) -> Status {
    match error {
        JoinTokenError::NoTtl => Status::invalid_argument(error.to_string()),
        JoinTokenError::Form => status::invalid("failed to create token", error),
        JoinTokenError::Exists => status::failed(tonic::Code::AlreadyExists, "failed to create token", error),
        other => status::internal("failed to create token", other),
    }
}

#[cfg(test)]
mod tests;
