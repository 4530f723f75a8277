//! `portcullis explain`: why things are as they are.

use clap::{Args, Subcommand};
use portcullis_spiffe_api::portcullis::identity::v1::identity_client::IdentityClient;
use portcullis_spiffe_api::portcullis::identity::v1::{ExplainRequest, ExplainResponse, NearMiss};
use portcullis_spiffe_api::spire::api::types::{Entry, Selector};

use super::console::Console;
use super::{AdminArgs, Outcome, go};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Why a process gets the identities that it gets, or none.
    ///
    /// Says which selectors were found, which entries grant something to the process, and which nearly do and why not.
    Identity(Identity),
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Identity {
    #[command(flatten)]
    admin: AdminArgs,
    /// The process.
    #[arg(long, value_name = "PID")]
    pid: i32,
}

impl Command {
    pub(super) async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        let Self::Identity(Identity { admin, pid }) = self;
        let mut client = IdentityClient::new(admin.connect(console).await?.channel);
        let answer = client.explain(ExplainRequest { pid }).await?.into_inner();
        if !console.json(&answer)? {
            console.say(text(&answer));
        }
        Ok(())
    }
}

fn text(answer: &ExplainResponse) -> String {
    let mut text = vec![String::from("Selectors:\n")];
    text.extend(answer.selectors.iter().map(|selector| format!("  {}\n", spelt(selector))));
    let silent = answer.failures.iter();
    text.extend(silent.map(|failure| format!("  ({} can't say anything: {})\n", failure.attestor, failure.reason)));
    text.push(String::from(match answer.granted.len() {
        0 => "\nNo entry grants it an identity.\n",
        _ => "\nIdentities, the first is the default:\n",
    }));
    text.extend(answer.granted.iter().map(|entry| format!("  {}\n", headline(entry))));
    if !answer.near_misses.is_empty() {
        text.push(String::from("\nEntries that don't fit, the nearest first:\n"));
    }
    text.extend(answer.near_misses.iter().flat_map(near_miss));
    text.concat()
}

fn near_miss(miss: &NearMiss) -> Vec<String> {
    let mut text = vec![format!("  {}\n", headline(&miss.entry.clone().unwrap_or_default()))];
    text.extend(miss.missing.iter().map(|selector| format!("    lacks {}\n", spelt(selector))));
    text.extend((!miss.reason.is_empty()).then(|| format!("    {}\n", miss.reason)));
    text
}

fn headline(entry: &Entry) -> String {
    format!("{} (entry {})", go::id_text(entry.spiffe_id.as_ref()), entry.id)
}

fn spelt(selector: &Selector) -> String {
    format!("{}:{}", selector.r#type, selector.value)
}
