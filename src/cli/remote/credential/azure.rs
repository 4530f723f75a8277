//! `portcullis credential azure`: the file that Azure's SDKs read a federated token from (`AZURE_FEDERATED_TOKEN_FILE`), kept
//! current; or an access token.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::time::sleep;

use super::super::Outcome;
use super::super::console::{Console, Failure};
use super::Environment;
use super::exchange::{Exchange, ExchangeArgs, access_token};
use super::svid::SvidArgs;
use crate::cli::files::write_private;
use crate::delegation::cloud::azure::{AUDIENCE, AUTHORITY, SCOPE, endpoint, read, request};
use crate::foundation::backoff::Backoff;
use crate::foundation::clock::{Clock as _, SystemClock};
use crate::foundation::entropy::SystemEntropy;

/// The first pause after a failure, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// For how long Azure's SDKs use what they read of the file. A token that is half over when it is read must outlive that.
const READ_AGAIN: Duration = Duration::from_mins(10);

/// How long a new token is left alone at the least.
const LEAST: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
pub(in crate::cli) struct Azure {
    #[command(flatten)]
    svid: SvidArgs,
    #[command(flatten)]
    exchange_with: ExchangeArgs,
    /// The audience of the federated credential.
    #[arg(long, value_name = "AUDIENCE", default_value = AUDIENCE)]
    audience: String,
    /// The file; without it, that of `AZURE_FEDERATED_TOKEN_FILE`.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Renew the file at half of each token's life, until told to end.
    #[arg(long)]
    watch: bool,
    /// Exchange the token here, and print an access token, instead.
    #[arg(long, conflicts_with_all = ["file", "watch"])]
    exchange: bool,
    /// For `--exchange`: the tenant; without it, that of `AZURE_TENANT_ID`.
    #[arg(long = "tenant-id", value_name = "ID")]
    tenant_id: Option<String>,
    /// For `--exchange`: the application; without it, that of `AZURE_CLIENT_ID`.
    #[arg(long = "client-id", value_name = "ID")]
    client_id: Option<String>,
    /// For `--exchange`: what the access token is to allow.
    #[arg(long, value_name = "SCOPE", default_value = SCOPE)]
    scope: String,
    /// For `--exchange`: the authority; without it, that of `AZURE_AUTHORITY_HOST`, or else the public cloud's.
    #[arg(long, value_name = "URL")]
    authority: Option<String>,
}

impl Azure {
    pub(super) async fn run(self, environment: &Environment, console: &mut Console<'_, '_>) -> Outcome {
        if self.exchange {
            return self.exchanged(environment, console).await;
        }
        let named = environment.get("AZURE_FEDERATED_TOKEN_FILE").map(PathBuf::from);
        let file = self.file.clone().or(named);
        let file = file.ok_or_else(|| Failure::new("no file is named: --file or AZURE_FEDERATED_TOKEN_FILE"))?;
        if !self.watch {
            return self.written(&file, environment).await.map(drop);
        }
        let (entropy, mut backoff) = (SystemEntropy::new(), Backoff::new(PAUSES.0, PAUSES.1));
        let mut is_told = false;
        loop {
            let pause = match self.written(&file, environment).await {
                Ok(lives) => {
                    backoff.reset();
                    // Up to the second that it took to be written.
                    if lives + LEAST < 2 * READ_AGAIN && !std::mem::replace(&mut is_told, true) {
                        console.complain(format!(
                            "Warning: the token lives {lives:.0?}, and Azure's SDKs use what they read for {READ_AGAIN:?}: \
                             the entry's JWT-SVIDs should live for twice as long"
                        ));
                    }
                    (lives / 2).max(LEAST)
                }
                Err(failure) => {
                    console.complain(format!("Error: {failure}"));
                    backoff.pause(&entropy)
                }
            };
            sleep(pause).await;
        }
    }

    /// Writes the file anew; says how long what is in it lives.
    async fn written(&self, file: &Path, environment: &Environment) -> Result<Duration, Failure> {
        let clock = SystemClock::new();
        let svid = self.svid.fetch(&self.audience, environment, &clock).await?;
        let failed = |error| Failure::of(&format!("`{}`", file.display()), error);
        write_private(file, svid.token.expose().as_bytes()).map_err(failed)?;
        Ok(svid.not_after.since(clock.now()))
    }

    async fn exchanged(&self, environment: &Environment, console: &mut Console<'_, '_>) -> Outcome {
        let clock = SystemClock::new();
        let named = |given: &Option<String>, name: &str| given.clone().or_else(|| environment.get(name).cloned());
        let needed = |given: &Option<String>, flag: &str, name: &str| {
            let found = named(given, name).filter(|value| is_name(value));
            found.ok_or_else(|| Failure::new(format!("{flag} or {name} must name one")))
        };
        let tenant = needed(&self.tenant_id, "--tenant-id", "AZURE_TENANT_ID")?;
        let client = needed(&self.client_id, "--client-id", "AZURE_CLIENT_ID")?;
        let authority = named(&self.authority, "AZURE_AUTHORITY_HOST").unwrap_or_else(|| AUTHORITY.to_owned());
        let url = endpoint(&authority, &tenant);
        let svid = self.svid.fetch(&self.audience, environment, &clock).await?;
        let form = request(&client, &self.scope, &svid.token);
        let depends_on = ["azure", &*self.audience, &*client, &*self.scope];
        let exchange = Exchange { svid: &svid, url: &url, in_xml: false, form, depends_on: &depends_on };
        let printed = |answer: &_, asked| Ok(access_token(&read(answer)?, asked));
        self.exchange_with.run(exchange, &self.svid, (environment, clock), console, printed).await
    }
}

/// Whether it can be a part of a path: a tenant's or an application's id, or a tenant's domain.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c)) && !text.starts_with('.')
}
