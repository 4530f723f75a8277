//! `portcullis bundle`: our trust bundle, and those of the trust domains that we federate with.

mod format;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use portcullis_spiffe_api::spire::api::server::bundle::v1::batch_delete_federated_bundle_request::Mode;
use portcullis_spiffe_api::spire::api::server::bundle::v1::bundle_client::BundleClient;
use portcullis_spiffe_api::spire::api::server::bundle::v1::{
    BatchDeleteFederatedBundleRequest, BatchSetFederatedBundleRequest, CountBundlesRequest, GetBundleRequest,
    GetFederatedBundleRequest, ListFederatedBundlesRequest, ListFederatedBundlesResponse,
};
use portcullis_spiffe_api::spire::api::types::{Bundle, Status};
use tonic::transport::Channel;

pub(super) use self::format::{BundleFormat, certificates_pem, parse, pem_block};

use super::connection::MAX_ANSWER;
use super::console::{Console, Failure, Format};
use super::entry::read_bytes;
use super::{AdminArgs, Outcome, go};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Show our own bundle.
    Show(Show),
    /// Show the bundles of other trust domains.
    List(List),
    /// Create or replace the bundle of another trust domain.
    Set(Set),
    /// Delete the bundle of another trust domain.
    Delete(Delete),
    /// Count bundles, ours included.
    Count(Count),
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Show {
    #[command(flatten)]
    admin: AdminArgs,
    /// How to write it; `-output json` goes before.
    #[arg(long, value_enum, value_name = "FORMAT", ignore_case = true, default_value_t = BundleFormat::Pem)]
    format: BundleFormat,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    admin: AdminArgs,
    /// Only that of this trust domain, as SPIFFE ID or name.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// How to write them; `-output json` goes before.
    #[arg(long, value_enum, value_name = "FORMAT", ignore_case = true, default_value_t = BundleFormat::Pem)]
    format: BundleFormat,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Set {
    #[command(flatten)]
    admin: AdminArgs,
    /// Whose bundle, as SPIFFE ID or name.
    #[arg(long, value_name = "ID")]
    id: String,
    /// The file with the bundle; without it, standard input.
    #[arg(long, value_name = "PATH", default_value = "-")]
    path: PathBuf,
    /// What is in there.
    #[arg(long, value_enum, value_name = "FORMAT", ignore_case = true, default_value_t = BundleFormat::Pem)]
    format: BundleFormat,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Delete {
    #[command(flatten)]
    admin: AdminArgs,
    /// Whose bundle, as SPIFFE ID or name.
    #[arg(long, value_name = "ID")]
    id: String,
    /// What to do with entries that federate with the trust domain.
    #[arg(long, value_enum, value_name = "MODE", default_value_t = DeleteMode::Restrict)]
    mode: DeleteMode,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Count {
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DeleteMode {
    /// If there is one, delete nothing.
    Restrict,
    /// Delete them too.
    Delete,
    /// They federate with it no longer.
    Dissociate,
}

impl Command {
    pub(super) async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        match self {
            Self::Show(Show { admin, format }) => {
                let mut client = client(&admin, console).await?;
                let bundle = client.get_bundle(GetBundleRequest { output_mask: None }).await?.into_inner();
                print(&bundle, format, false, console)
            }
            Self::List(asked) => asked.run(console).await,
            Self::Set(asked) => asked.run(console).await,
            Self::Delete(asked) => asked.run(console).await,
            Self::Count(Count { admin }) => {
                let mut client = client(&admin, console).await?;
                let answer = client.count_bundles(CountBundlesRequest {}).await?.into_inner();
                if !console.json(&answer)? {
                    let number = usize::try_from(answer.count).unwrap_or_default();
                    console.say(format!("{}\n", go::count(number, "bundle", "bundles")));
                }
                Ok(())
            }
        }
    }
}

impl List {
    async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        let mut client = client(&self.admin, console).await?;
        if let Some(trust_domain) = self.id {
            let request = GetFederatedBundleRequest { trust_domain, output_mask: None };
            let bundle = client.get_federated_bundle(request).await?.into_inner();
            return print(&bundle, self.format, false, console);
        }
        let mut found = ListFederatedBundlesResponse::default();
        loop {
            let page_token = std::mem::take(&mut found.next_page_token);
            let request = ListFederatedBundlesRequest { output_mask: None, page_size: 0, page_token };
            let page = client.list_federated_bundles(request).await?.into_inner();
            found.bundles.extend(page.bundles);
            found.next_page_token = page.next_page_token;
            if found.next_page_token.is_empty() {
                break;
            }
        }
        if console.json(&found)? {
            return Ok(());
        }
        for (index, bundle) in found.bundles.iter().enumerate() {
            if index > 0 {
                console.say("\n");
            }
            print(bundle, self.format, true, console)?;
        }
        Ok(())
    }
}

impl Set {
    async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        let data = read_bytes(&self.path).map_err(|failure| Failure::of("unable to load bundle data", failure))?;
        let bundle = vec![parse(&data, self.format, &self.id)?];
        let mut client = client(&self.admin, console).await?;
        let request = BatchSetFederatedBundleRequest { bundle, output_mask: None };
        let answer = client.batch_set_federated_bundle(request).await;
        let failed = |status| Failure::of("failed to set federated bundle", Failure::from(status));
        let answer = answer.map_err(failed)?.into_inner();
        if console.json(&answer)? {
            return Ok(());
        }
        let status = answer.results.first().and_then(|result| result.status.as_ref());
        refused(status, "failed to set federated bundle")?;
        console.say("bundle set.\n");
        Ok(())
    }
}

impl Delete {
    async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        let mode = match self.mode {
            DeleteMode::Restrict => Mode::Restrict,
            DeleteMode::Delete => Mode::Delete,
            DeleteMode::Dissociate => Mode::Dissociate,
        };
        let mut client = client(&self.admin, console).await?;
        let request = BatchDeleteFederatedBundleRequest { trust_domains: vec![self.id.clone()], mode: mode.into() };
        let answer = client.batch_delete_federated_bundle(request).await;
        let failed = |status| Failure::of("failed to delete federated bundle", Failure::from(status));
        let answer = answer.map_err(failed)?.into_inner();
        if console.json(&answer)? {
            return Ok(());
        }
        let status = answer.results.first().and_then(|result| result.status.as_ref());
        refused(status, &format!("failed to delete federated bundle {:?}", self.id))?;
        console.say("bundle deleted.\n");
        Ok(())
    }
}

/// The failure that a result's status stands for, if it is one.
pub(super) fn refused(status: Option<&Status>, what: &str) -> Outcome {
    match status {
        Some(status) if status.code == 0 => Ok(()),
        Some(status) => Err(Failure::of(what, &status.message)),
        None => Err(Failure::of(what, "the answer does not say what happened")),
    }
}

async fn client(admin: &AdminArgs, console: &mut Console<'_, '_>) -> Result<BundleClient<Channel>, Failure> {
    Ok(BundleClient::new(admin.connect(console).await?.channel).max_decoding_message_size(MAX_ANSWER))
}

fn print(bundle: &Bundle, format: BundleFormat, header: bool, console: &mut Console<'_, '_>) -> Outcome {
    if console.format == Format::Json {
        console.json(bundle)?;
        return Ok(());
    }
    if header {
        let stars = "*".repeat(40);
        console.say(format!("{stars}\n* {}\n{stars}\n", bundle.trust_domain));
    }
    console.say(format::text(bundle, format)?);
    Ok(())
}
