//! `portcullis token`: what a new agent shows once to be let in.

use clap::{Args, Subcommand};
use portcullis_spiffe_api::spire::api::server::agent::v1::CreateJoinTokenRequest;
use portcullis_spiffe_api::spire::api::server::agent::v1::agent_client::AgentClient;

use super::console::Console;
use super::{AdminArgs, Outcome, go};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Generate a join token.
    Generate(Generate),
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Generate {
    #[command(flatten)]
    admin: AdminArgs,
    /// How long the token is good, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, allow_negative_numbers = true)]
    ttl: i32,
    /// A further SPIFFE ID for whoever uses the token.
    #[arg(long = "spiffeID", value_name = "ID")]
    spiffe_id: Option<String>,
}

impl Command {
    pub(super) async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        let Self::Generate(asked) = self;
        let agent_id = asked.spiffe_id.as_deref().map(go::spiffe_id).transpose()?;
        let nameless = agent_id.is_none();
        let mut client = AgentClient::new(asked.admin.connect(console).await?.channel);
        let request = CreateJoinTokenRequest { ttl: asked.ttl, token: String::new(), agent_id };
        let token = client.create_join_token(request).await?.into_inner();
        if !console.json(&token)? {
            console.say(format!("Token: {}\n", token.value));
            if nameless {
                console.say("Warning: Missing SPIFFE ID.\n");
            }
        }
        Ok(())
    }
}
