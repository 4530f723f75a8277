//! The service behind the gate. What is expected is what SPIRE 1.15 answered to the same, but where a test says otherwise.

use prost::Message;
use tonic::Code;
use tonic::service::Routes;
use types::SelectorMatch;

use super::super::tests::{Desk, clock, now};
use super::*;
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::foundation::entropy::SystemEntropy;
use crate::identity::join_token::{JoinTokenFuture, JoinTokenStore};
use crate::identity::registry::memory::MemoryRegistry;
use list_agents_request::Filter;
use portcullis_spiffe_api::spire::api::server::agent::v1::{count_agents_request, list_agents_request};

/// Keeps digests of tokens.
#[derive(Debug, Default)]
struct Tokens(std::sync::Mutex<Vec<Digest>>);

impl JoinTokenStore for Tokens {
    fn add<'a>(
        &'a self,
        _trust_domain: &'a TrustDomain,
        digest: Digest,
        _expires_at: Timestamp,
        _now: Timestamp,
    ) -> JoinTokenFuture<'a, bool> {
        let mut digests = self.0.lock().unwrap();
        let new = !digests.contains(&digest);
        digests.push(digest);
        Box::pin(async move { Ok(new) })
    }

    fn redeem<'a>(
        &'a self,
        _trust_domain: &'a TrustDomain,
        _digest: Digest,
        _now: Timestamp,
    ) -> JoinTokenFuture<'a, bool> {
        Box::pin(async { Ok(false) })
    }
}

async fn desk() -> (Desk, Arc<Registry>) {
    let trust_domain: TrustDomain = "example.org".parse().unwrap();
    let entropy = Arc::new(SystemEntropy::new());
    let registry = Registry::open(trust_domain.clone(), Arc::new(MemoryRegistry::default()), Arc::clone(&entropy) as _);
    let registry = Arc::new(registry.await.unwrap());
    let service = AgentService::new(AgentPorts {
        trust_domain: trust_domain.clone(),
        bundles: Arc::new(Watched::new(Bundles::default())),
        join_tokens: JoinTokens::new(trust_domain, Arc::new(Tokens::default()), entropy),
        registry: Arc::clone(&registry),
        clock: clock(),
    });
    (Desk::new(Routes::default().add_service(service.into_server())), registry)
}

impl Desk {
    async fn agent<Q: Message, A: Message + Default>(&self, method: &str, question: &Q) -> Result<A, Status> {
        self.call(&format!("spire.api.server.agent.v1.Agent/{method}"), question).await
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as messages have it")]
fn id(path: &str) -> Option<Spiffeid> {
    Some(Spiffeid { trust_domain: "example.org".into(), path: path.into() })
}

fn told(error: Result<impl std::fmt::Debug, Status>) -> (Code, String) {
    let status = error.unwrap_err();
    (status.code(), status.message().to_owned())
}

#[tokio::test]
async fn the_one_agent_is_listed_counted_and_shown() {
    let (desk, _) = desk().await;
    let answer: ListAgentsResponse = desk.agent("ListAgents", &ListAgentsRequest::default()).await.unwrap();
    let [agent] = answer.agents.try_into().unwrap();
    assert_eq!((&agent.id, agent.attestation_type.as_str()), (&id("/spire/agent/portcullis"), "portcullis"));
    let show = |output_mask| GetAgentRequest { id: agent.id.clone(), output_mask };
    assert_eq!(desk.agent::<_, types::Agent>("GetAgent", &show(None)).await.unwrap(), agent);
    let bare: types::Agent = desk.agent("GetAgent", &show(Some(AgentMask::default()))).await.unwrap();
    assert_eq!(bare, types::Agent { id: agent.id.clone(), ..types::Agent::default() });

    let selectors = vec![types::Selector { r#type: "a".into(), value: "b".into() }];
    for (filter, count) in [
        (Filter::default(), 1),
        (Filter { by_attestation_type: "portcullis".into(), ..Filter::default() }, 1),
        (Filter { by_attestation_type: "join_token".into(), ..Filter::default() }, 0),
        (Filter { by_banned: Some(true), ..Filter::default() }, 0),
        (Filter { by_banned: Some(false), by_can_reattest: Some(true), ..Filter::default() }, 1),
        (Filter { by_selector_match: Some(SelectorMatch { selectors, r#match: 1 }), ..Filter::default() }, 0),
        (Filter { by_expires_before: "1969-01-01 00:00:00 +0000 +00".into(), ..Filter::default() }, 0),
        (Filter { by_expires_before: "2100-01-01 00:00:00 +0000 +00".into(), ..Filter::default() }, 1),
    ] {
        let counted = count_agents_request::Filter {
            by_attestation_type: filter.by_attestation_type.clone(),
            by_selector_match: filter.by_selector_match.clone(),
            by_banned: filter.by_banned,
            by_can_reattest: filter.by_can_reattest,
            by_expires_before: filter.by_expires_before.clone(),
        };
        let counted = CountAgentsRequest { filter: Some(counted) };
        let answer: CountAgentsResponse = desk.agent("CountAgents", &counted).await.unwrap();
        let listed = ListAgentsRequest { filter: Some(filter.clone()), page_size: 5, ..ListAgentsRequest::default() };
        let listed: ListAgentsResponse = desk.agent("ListAgents", &listed).await.unwrap();
        assert_eq!(
            (answer.count, listed.agents.len(), listed.next_page_token),
            (count, usize::try_from(count).unwrap(), String::new()),
            "{filter:?}"
        );
    }
}

#[tokio::test]
async fn no_agent_can_be_deleted_or_banned() {
    let (desk, _) = desk().await;
    for (id, code, message) in [
        (None, Code::InvalidArgument, "invalid agent ID: request must specify SPIFFE ID"),
        (
            id("/a"),
            Code::InvalidArgument,
            r#"invalid agent ID: "spiffe://example.org/a" is not an agent in trust domain "example.org"; path is not in the agent namespace"#,
        ),
        (id("/spire/agent/join_token/nope"), Code::NotFound, "agent not found"),
    ] {
        let expected = (code, message.to_owned());
        let show = GetAgentRequest { id: id.clone(), output_mask: None };
        assert_eq!(told(desk.agent::<_, types::Agent>("GetAgent", &show).await), expected);
        assert_eq!(told(desk.agent::<_, ()>("DeleteAgent", &DeleteAgentRequest { id: id.clone() }).await), expected);
        assert_eq!(told(desk.agent::<_, ()>("BanAgent", &BanAgentRequest { id }).await), expected);
    }
    let local = BanAgentRequest { id: id("/spire/agent/portcullis") };
    for method in ["DeleteAgent", "BanAgent"] {
        assert_eq!(told(desk.agent::<_, ()>(method, &local).await).0, Code::FailedPrecondition);
    }
    for method in ["RenewAgent", "PostStatus"] {
        assert_eq!(told(desk.agent::<_, ()>(method, &()).await).0, Code::Unimplemented);
    }
}

#[tokio::test]
async fn a_join_token_is_made_with_its_alias_and_never_recorded() {
    let (desk, registry) = desk().await;
    let create = async |ttl, token: &str, agent_id| {
        let question = CreateJoinTokenRequest { ttl, token: token.into(), agent_id };
        desk.agent::<_, JoinToken>("CreateJoinToken", &question).await
    };
    let made = create(600, "", None).await.unwrap();
    assert_eq!((made.value.len(), made.expires_at), (36, 1_795_325_823));
    assert!(registry.load().is_empty());
    let made = create(60, "withid", id("/alias")).await.unwrap();
    assert_eq!((made.value.as_str(), made.expires_at), ("withid", 1_795_325_283));
    let entries = registry.load();
    let [entry] = entries.iter().collect::<Vec<_>>().try_into().unwrap();
    let agent = "spiffe://example.org/spire/agent/join_token/withid";
    assert_eq!((entry.terms.spiffe_id.as_str(), entry.terms.parent_id.as_str()), ("spiffe://example.org/alias", agent));
    assert_eq!(entry.terms.selectors, [format!("spiffe_id:{agent}").parse().unwrap()].into());
    let records = desk.recorded();
    assert_eq!(records.len(), 4);
    assert_eq!(records[3].subjects, ["spiffe://example.org/alias"]);
    assert!(!format!("{records:?}").contains("withid"));

    let reserved = r#"invalid agent ID: "spiffe://example.org/spire/agent/x" is not a workload in trust domain "example.org"; path is in the reserved namespace"#;
    for (ttl, token, agent_id, code, message) in [
        (0, "", None, Code::InvalidArgument, "ttl is required, you must provide one"),
        (-1, "", None, Code::InvalidArgument, "ttl is required, you must provide one"),
        (60, "", Some(Spiffeid::default()), Code::InvalidArgument, "invalid agent ID: trust domain is missing"),
        (60, "", id("/spire/agent/x"), Code::InvalidArgument, reserved),
        // SPIRE says `Internal`, and shows its database's words.
        (60, "withid", None, Code::AlreadyExists, "failed to create token: the join token exists already"),
    ] {
        assert_eq!(told(create(ttl, token, agent_id).await), (code, message.to_owned()));
    }
    assert_eq!(told(create(60, "a b/c", None).await).0, Code::InvalidArgument);
    assert_eq!(registry.load().len(), 1);
    assert!(registry.load().iter().all(|entry| entry.created_at == now()));
}
