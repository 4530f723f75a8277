//! `portcullis agent`: who hands out identities. There are no remote agents yet, so this is the gateway itself.

use clap::{Args, Subcommand};
use portcullis_spiffe_api::spire::api::server::agent::v1::agent_client::AgentClient;
use portcullis_spiffe_api::spire::api::server::agent::v1::{
    BanAgentRequest, CountAgentsRequest, DeleteAgentRequest, GetAgentRequest, ListAgentsRequest, ListAgentsResponse,
    count_agents_request, list_agents_request,
};
use portcullis_spiffe_api::spire::api::types::{Agent, SelectorMatch};
use tonic::transport::Channel;

use super::connection::MAX_ANSWER;
use super::console::{Console, Failure, Format};
use super::entry::MatchMode;
use super::{AdminArgs, Outcome, go};

/// How many agents are asked for at once.
const PAGE: i32 = 1000;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// List the agents.
    List(Filtered),
    /// Count the agents.
    Count(Filtered),
    /// Show one agent.
    Show(One),
    /// Lock an agent out for good.
    Ban(One),
    /// Lock an agent out until it is attested again.
    Evict(One),
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Filtered {
    #[command(flatten)]
    admin: AdminArgs,
    /// Only agents with these selectors, `type:value`. May be repeated.
    #[arg(long = "selector", value_name = "SELECTOR")]
    selectors: Vec<String>,
    /// How an agent's selectors must relate to those named.
    #[arg(long = "matchSelectorsOn", value_enum, value_name = "MODE", default_value_t = MatchMode::Superset)]
    match_selectors_on: MatchMode,
    /// Only agents that were attested so.
    #[arg(long = "attestationType", value_name = "TYPE", default_value = "", hide_default_value = true)]
    attestation_type: String,
    /// Only agents that can (`true`) or can't (`false`) attest again by themselves.
    #[arg(long = "canReattest", value_name = "BOOL")]
    can_reattest: Option<String>,
    /// Only agents that are (`true`) or are not (`false`) banned.
    #[arg(long, value_name = "BOOL")]
    banned: Option<String>,
    /// Only agents whose SVID expires before, e.g. `2030-01-01 00:00:00 +0000 +00`.
    #[arg(long = "expiresBefore", value_name = "TIME", default_value = "", hide_default_value = true)]
    expires_before: String,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct One {
    #[command(flatten)]
    admin: AdminArgs,
    /// The agent's SPIFFE ID.
    #[arg(long = "spiffeID", value_name = "ID")]
    spiffe_id: String,
}

impl Command {
    pub(super) async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        match self {
            Self::List(asked) => asked.list(console).await,
            Self::Count(asked) => asked.count(console).await,
            Self::Show(asked) => asked.show(console).await,
            Self::Ban(asked) => asked.ban(console).await,
            Self::Evict(asked) => asked.evict(console).await,
        }
    }
}

impl Filtered {
    async fn list(self, console: &mut Console<'_, '_>) -> Outcome {
        let filter = self.filter()?;
        let mut client = client(&self.admin, console).await?;
        let mut found = ListAgentsResponse::default();
        loop {
            let page_token = std::mem::take(&mut found.next_page_token);
            let filter = Some(filter.clone());
            let request = ListAgentsRequest { filter, output_mask: None, page_size: PAGE, page_token };
            let page = client.list_agents(request).await?.into_inner();
            found.agents.extend(page.agents);
            found.next_page_token = page.next_page_token;
            if found.next_page_token.is_empty() {
                break;
            }
        }
        if console.json(&found)? {
            return Ok(());
        }
        if found.agents.is_empty() {
            console.say("No attested agents found\n");
            return Ok(());
        }
        console.say(format!("Found {}:\n\n", go::count(found.agents.len(), "attested agent", "attested agents")));
        for agent in &found.agents {
            console.say(block(agent));
        }
        Ok(())
    }

    async fn count(self, console: &mut Console<'_, '_>) -> Outcome {
        let filter = self.filter()?;
        let filter = count_agents_request::Filter {
            by_attestation_type: filter.by_attestation_type,
            by_selector_match: filter.by_selector_match,
            by_banned: filter.by_banned,
            by_can_reattest: filter.by_can_reattest,
            by_expires_before: filter.by_expires_before,
        };
        let mut client = client(&self.admin, console).await?;
        let answer = client.count_agents(CountAgentsRequest { filter: Some(filter) }).await?.into_inner();
        if !console.json(&answer)? {
            let number = usize::try_from(answer.count).unwrap_or_default();
            console.say(format!("{}\n", go::count(number, "attested agent", "attested agents")));
        }
        Ok(())
    }

    fn filter(&self) -> Result<list_agents_request::Filter, Failure> {
        let selectors: Vec<_> = self.selectors.iter().map(|text| go::selector(text)).collect::<Result<_, _>>()?;
        let match_on = self.match_selectors_on.of_selectors().into();
        // As SPIRE's: anything else asks for all.
        let either = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok());
        Ok(list_agents_request::Filter {
            by_attestation_type: self.attestation_type.clone(),
            by_selector_match: (!selectors.is_empty()).then_some(SelectorMatch { selectors, r#match: match_on }),
            by_banned: either(&self.banned),
            by_can_reattest: either(&self.can_reattest),
            by_expires_before: self.expires_before.clone(),
        })
    }
}

impl One {
    async fn show(self, console: &mut Console<'_, '_>) -> Outcome {
        let id = Some(go::spiffe_id(&self.spiffe_id)?);
        let mut client = client(&self.admin, console).await?;
        let agent = client.get_agent(GetAgentRequest { id, output_mask: None }).await?.into_inner();
        if !console.json(&agent)? {
            console.say(format!("Found an attested agent given its SPIFFE ID\n\n{}", block(&agent)));
            for selector in &agent.selectors {
                console.say(format!("Selectors         : {}:{}\n", selector.r#type, selector.value));
            }
        }
        Ok(())
    }

    async fn ban(self, console: &mut Console<'_, '_>) -> Outcome {
        let id = Some(go::spiffe_id(&self.spiffe_id)?);
        client(&self.admin, console).await?.ban_agent(BanAgentRequest { id }).await?;
        console.say(if console.format == Format::Json { "{}\n" } else { "Agent banned successfully\n" });
        Ok(())
    }

    async fn evict(self, console: &mut Console<'_, '_>) -> Outcome {
        let id = Some(go::spiffe_id(&self.spiffe_id)?);
        client(&self.admin, console).await?.delete_agent(DeleteAgentRequest { id }).await?;
        console.say(if console.format == Format::Json { "{}\n" } else { "Agent evicted successfully\n" });
        Ok(())
    }
}

async fn client(admin: &AdminArgs, console: &mut Console<'_, '_>) -> Result<AgentClient<Channel>, Failure> {
    Ok(AgentClient::new(admin.connect(console).await?.channel).max_decoding_message_size(MAX_ANSWER))
}

fn block(agent: &Agent) -> String {
    let mut lines = vec![
        ("SPIFFE ID", go::id_text(agent.id.as_ref())),
        ("Attestation type", agent.attestation_type.clone()),
        ("Expiration time", go::time(agent.x509svid_expires_at)),
    ];
    if agent.banned {
        lines.push(("Banned", agent.banned.to_string()));
    } else {
        lines.push(("Serial number", agent.x509svid_serial_number.clone()));
    }
    lines.push(("Can re-attest", agent.can_reattest.to_string()));
    lines.extend((!agent.agent_version.is_empty()).then(|| ("Agent version", agent.agent_version.clone())));
    go::table(18, lines) + "\n"
}
