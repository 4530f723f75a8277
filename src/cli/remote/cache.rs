//! `portcullis cache`: the decision cache of a running gateway.

use clap::{ArgGroup, Args, Subcommand};
use portcullis_spiffe_api::portcullis::decision::v1::decisions_client::DecisionsClient;
use portcullis_spiffe_api::portcullis::decision::v1::purge_cache_request::What;
use portcullis_spiffe_api::portcullis::decision::v1::{Entity, PurgeCacheRequest};

use super::console::{Console, Failure};
use super::{AdminArgs, Outcome};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Have decisions made anew that would have been answered from the cache. No change needs this: a cached decision
    /// follows everything that policies can see.
    Purge(Purge),
}

#[derive(Args, Debug)]
#[command(group(ArgGroup::new("what").required(true)))]
pub(in crate::cli) struct Purge {
    #[command(flatten)]
    admin: AdminArgs,
    /// All decisions.
    #[arg(long, group = "what")]
    all: bool,
    /// Those that this workload asks for.
    #[arg(long = "spiffeID", value_name = "SPIFFE_ID", group = "what")]
    spiffe_id: Option<String>,
    /// Those that this principal asks for: its type and its id, e.g. `User::alice`.
    #[arg(long, value_name = "TYPE::ID", group = "what", value_parser = principal)]
    principal: Option<Entity>,
    /// Those that the policy of this id may have a part in.
    #[arg(long, value_name = "ID", group = "what")]
    policy: Option<String>,
}

impl Command {
    pub(super) async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        let Self::Purge(purge) = self;
        let mut client = DecisionsClient::new(purge.admin.connect(console).await?.channel);
        let request = PurgeCacheRequest { what: Some(purge.what()) };
        let failed = |status| Failure::of("failed to purge the cache", Failure::from(status));
        let response = client.purge_cache(request).await.map_err(failed)?.into_inner();
        if !console.json(&response)? {
            console.say("Purged.\n");
        }
        Ok(())
    }
}

impl Purge {
    fn what(&self) -> What {
        let workload = |id: &String| Entity { r#type: "Workload".to_owned(), id: id.clone() };
        let principal = self.principal.clone().or_else(|| self.spiffe_id.as_ref().map(workload));
        match (principal, &self.policy) {
            (Some(principal), _) => What::Principal(principal),
            (None, Some(policy)) => What::Policy(policy.clone()),
            (None, None) => What::All(self.all),
        }
    }
}

/// The last `::` but those within an id in quotes parts the type from the id.
fn principal(text: &str) -> Result<Entity, String> {
    let (kind, id) = match text.split_once("::\"") {
        Some((kind, quoted)) => (kind, quoted.strip_suffix('"').ok_or("a quote is missing at the end")?),
        None => text.rsplit_once("::").ok_or("write it as TYPE::ID, e.g. User::alice")?,
    };
    if kind.is_empty() {
        return Err("the type is missing".to_owned());
    }
    Ok(Entity { r#type: kind.to_owned(), id: id.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_is_a_type_and_an_id() {
        let read = |text| principal(text).map(|Entity { r#type, id }| (r#type, id)).ok();
        let named = |kind: &str, id: &str| Some((kind.to_owned(), id.to_owned()));
        assert_eq!(read("User::alice"), named("User", "alice"));
        assert_eq!(read("Shop::User::alice"), named("Shop::User", "alice"));
        assert_eq!(read("Workload::\"spiffe://x/a::b\""), named("Workload", "spiffe://x/a::b"));
        assert_eq!([read("alice"), read("::alice"), read("User::\"alice")], [None, None, None]);
    }
}
