//! `portcullis federation`: with whom we federate, and where their bundles are.

mod peers;
mod relationship;

use clap::{Args, Subcommand};
use portcullis_spiffe_api::spire::api::server::trustdomain::v1::trust_domain_client::TrustDomainClient;
use portcullis_spiffe_api::spire::api::server::trustdomain::v1::{
    BatchCreateFederationRelationshipRequest, BatchDeleteFederationRelationshipRequest,
    BatchUpdateFederationRelationshipRequest, GetFederationRelationshipRequest, ListFederationRelationshipsRequest,
    ListFederationRelationshipsResponse, RefreshBundleRequest,
};
use portcullis_spiffe_api::spire::api::types::{FederationRelationship, Status};
use prost::{Message, Name};
use serde_json::Value;
use tonic::Code;
use tonic::transport::Channel;

use self::peers::Peers;
use self::relationship::{RelationshipArgs, lines};
use super::bundle::refused;
use super::connection::MAX_ANSWER;
use super::console::{Console, Failure, Format};
use super::entry::code_and_message;
use super::{AdminArgs, Outcome, go, json};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Create relationships.
    Create(Write),
    /// Change relationships.
    Update(Write),
    /// Delete a relationship; the bundle stays.
    Delete(One),
    /// Show one relationship.
    Show(Show),
    /// List all relationships.
    List(List),
    /// Fetch a trust domain's bundle now.
    Refresh(One),
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Write {
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    relationship: RelationshipArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct One {
    #[command(flatten)]
    admin: AdminArgs,
    /// The trust domain, as SPIFFE ID or name.
    #[arg(long, value_name = "ID")]
    id: String,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Show {
    #[command(flatten)]
    admin: AdminArgs,
    /// The trust domain.
    #[arg(long = "trustDomain", value_name = "NAME")]
    trust_domain: String,
    #[command(flatten)]
    more: More,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    more: More,
}

/// What is beyond SPIRE's, whose output scripts read.
#[derive(Args, Debug)]
struct More {
    /// How fetching the bundle goes, too: its state, its sequence, its age, when it was last fetched, the last error.
    #[arg(long)]
    state: bool,
}

impl More {
    /// What the server knows of fetching, if it is wanted.
    async fn ask(&self, channel: Channel) -> Result<Peers, Failure> {
        if self.state { Peers::ask(channel).await } else { Ok(Peers::default()) }
    }

    /// Prints `answer` as JSON, with what is known beside it as `name`, if that is wanted and there.
    fn print_json<M: Message + Name>(
        &self,
        answer: &M,
        name: &str,
        known: Option<Value>,
        console: &mut Console<'_, '_>,
    ) -> Outcome {
        let mut value = json::value(answer)?;
        if let (true, Some(known), Some(members)) = (self.state, known, value.as_object_mut()) {
            members.insert(name.to_owned(), known);
        }
        console.say(json::line(&value));
        Ok(())
    }
}

impl Command {
    pub(super) async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        match self {
            Self::Create(asked) => asked.create(console).await,
            Self::Update(asked) => asked.update(console).await,
            Self::Delete(asked) => asked.delete(console).await,
            Self::Show(asked) => asked.run(console).await,
            Self::List(asked) => asked.run(console).await,
            Self::Refresh(asked) => asked.refresh(console).await,
        }
    }
}

impl Write {
    async fn create(self, console: &mut Console<'_, '_>) -> Outcome {
        let relationships = self.relationship.read()?;
        let mut client = client(&self.admin, console).await?;
        let federation_relationships = relationships.clone();
        let request = BatchCreateFederationRelationshipRequest { federation_relationships, output_mask: None };
        let answer = client.batch_create_federation_relationship(request).await;
        let mut answer = answer.map_err(request_failed)?.into_inner();
        for (result, asked) in answer.results.iter_mut().zip(relationships) {
            result.federation_relationship.get_or_insert(asked);
        }
        if console.json(&answer)? {
            return Ok(());
        }
        let results = answer.results.into_iter().map(|it| (it.status, it.federation_relationship)).collect();
        print_results(results, "create", console)
    }

    async fn update(self, console: &mut Console<'_, '_>) -> Outcome {
        let relationships = self.relationship.read()?;
        let mut client = client(&self.admin, console).await?;
        let request = BatchUpdateFederationRelationshipRequest {
            federation_relationships: relationships.clone(),
            input_mask: None,
            output_mask: None,
        };
        let answer = client.batch_update_federation_relationship(request).await;
        let mut answer = answer.map_err(request_failed)?.into_inner();
        for (result, asked) in answer.results.iter_mut().zip(relationships) {
            result.federation_relationship.get_or_insert(asked);
        }
        if console.json(&answer)? {
            return Ok(());
        }
        let results = answer.results.into_iter().map(|it| (it.status, it.federation_relationship)).collect();
        print_results(results, "update", console)
    }
}

impl One {
    async fn delete(self, console: &mut Console<'_, '_>) -> Outcome {
        let mut client = client(&self.admin, console).await?;
        let request = BatchDeleteFederationRelationshipRequest { trust_domains: vec![self.id.clone()] };
        let answer = client.batch_delete_federation_relationship(request).await;
        let failed = |status| Failure::of("failed to delete federation relationship", Failure::from(status));
        let answer = answer.map_err(failed)?.into_inner();
        if console.json(&answer)? {
            return Ok(());
        }
        let status = answer.results.first().and_then(|result| result.status.as_ref());
        refused(status, &format!("failed to delete federation relationship {:?}", self.id))?;
        console.say("federation relationship deleted.\n");
        Ok(())
    }

    async fn refresh(self, console: &mut Console<'_, '_>) -> Outcome {
        let mut client = client(&self.admin, console).await?;
        let answer = client.refresh_bundle(RefreshBundleRequest { trust_domain: self.id.clone() }).await;
        answer.map_err(|status| match status.code() {
            Code::NotFound => {
                Failure::new(format!("there is no federation relationship with trust domain {:?}", self.id))
            }
            _ => Failure::of("failed to refresh bundle", Failure::from(status)),
        })?;
        if console.format == Format::Json {
            console.say(json::line(&json::value(&Status { code: 0, message: String::from("OK") })?));
        } else {
            console.say("Bundle refreshed\n");
        }
        Ok(())
    }
}

impl Show {
    async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        let channel = self.admin.connect(console).await?.channel;
        let mut client = client_of(channel.clone());
        let request = GetFederationRelationshipRequest { trust_domain: self.trust_domain.clone(), output_mask: None };
        let answer = client.get_federation_relationship(request).await;
        let failed = |status| Failure::of("error showing federation relationship", Failure::from(status));
        let relationship = answer.map_err(failed)?.into_inner();
        let peers = self.more.ask(channel).await?;
        if console.format == Format::Json {
            let known = peers.json(&relationship.trust_domain)?;
            self.more.print_json(&relationship, "peer", known, console)?;
        } else {
            console.say(format!("Found a federation relationship with trust domain {}:\n\n", self.trust_domain));
            console.say(lines(&relationship));
            console.say(peers.lines(&relationship.trust_domain));
        }
        Ok(())
    }
}

impl List {
    async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        let channel = self.admin.connect(console).await?.channel;
        let mut client = client_of(channel.clone());
        let mut found = ListFederationRelationshipsResponse::default();
        loop {
            let page_token = std::mem::take(&mut found.next_page_token);
            let request = ListFederationRelationshipsRequest { output_mask: None, page_size: 0, page_token };
            let page = client.list_federation_relationships(request).await;
            let failed = |status| Failure::of("error listing federation relationship", Failure::from(status));
            let page = page.map_err(failed)?.into_inner();
            found.federation_relationships.extend(page.federation_relationships);
            found.next_page_token = page.next_page_token;
            if found.next_page_token.is_empty() {
                break;
            }
        }
        let peers = self.more.ask(channel).await?;
        if console.format == Format::Json {
            return self.more.print_json(&found, "peers", Some(peers.all_json()?), console);
        }
        let number = found.federation_relationships.len();
        let number = go::count(number, "federation relationship", "federation relationships");
        console.say(format!("Found {number}\n"));
        for relationship in &found.federation_relationships {
            console.say(format!("\n{}", lines(relationship)));
            console.say(peers.lines(&relationship.trust_domain));
        }
        Ok(())
    }
}

async fn client(admin: &AdminArgs, console: &mut Console<'_, '_>) -> Result<TrustDomainClient<Channel>, Failure> {
    Ok(client_of(admin.connect(console).await?.channel))
}

fn client_of(channel: Channel) -> TrustDomainClient<Channel> {
    TrustDomainClient::new(channel).max_decoding_message_size(MAX_ANSWER)
}

fn request_failed(status: tonic::Status) -> Failure {
    Failure::of("request failed", Failure::from(status))
}

fn print_results(
    results: Vec<(Option<Status>, Option<FederationRelationship>)>,
    verb: &str,
    console: &mut Console<'_, '_>,
) -> Outcome {
    let is_made = |(status, _): &(Option<Status>, _)| status.as_ref().is_none_or(|status| status.code == 0);
    let (made, failed): (Vec<_>, Vec<_>) = results.into_iter().partition(is_made);
    for (_, relationship) in &made {
        console.say(format!("\n{}", lines(&relationship.clone().unwrap_or_default())));
    }
    for (status, relationship) in &failed {
        console.say("\n");
        let why = code_and_message(status.as_ref());
        console.complain(format!("Failed to {verb} the following federation relationship {why}:"));
        console.complain(lines(&relationship.clone().unwrap_or_default()).trim_end_matches('\n'));
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(format!("failed to {verb} one or more federation relationships")))
    }
}
