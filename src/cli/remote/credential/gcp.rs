//! `portcullis credential gcp`: the executable of an external account of Google Cloud (AIP-4117), version 1 of its answer.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::super::Outcome;
use super::super::console::{Console, Failure};
use super::Environment;
use super::exchange::{Exchange, ExchangeArgs, access_token};
use super::svid::SvidArgs;
use crate::cli::files::write_private;
use crate::delegation::cloud::gcp::{ID_TOKEN, JWT, SCOPE, STS, read, request};
use crate::foundation::clock::SystemClock;

#[derive(Args, Debug)]
pub(in crate::cli) struct Gcp {
    #[command(flatten)]
    svid: SvidArgs,
    #[command(flatten)]
    exchange_with: ExchangeArgs,
    /// The audience of the token; without it, that of `GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE`, which Google's libraries set.
    #[arg(long, value_name = "AUDIENCE")]
    audience: Option<String>,
    /// Print the configuration by which Google's libraries run this command, instead.
    #[arg(long = "print-config", requires = "provider")]
    print_config: bool,
    /// Exchange the token here, and print an access token, instead.
    #[arg(long, requires = "provider", conflicts_with = "print_config")]
    exchange: bool,
    /// The provider, as `//iam.googleapis.com/projects/…/workloadIdentityPools/…/providers/…`.
    #[arg(long, value_name = "RESOURCE")]
    provider: Option<String>,
    /// For `--print-config`: the service account to be impersonated.
    #[arg(long = "service-account", value_name = "EMAIL")]
    service_account: Option<String>,
    /// For `--print-config`: where Google's libraries look for an answer before they run the command.
    #[arg(long = "output-file", value_name = "FILE")]
    output_file: Option<PathBuf>,
    /// For `--exchange`: what the access token is to allow.
    #[arg(long, value_name = "SCOPE", default_value = SCOPE)]
    scope: String,
    /// The address of Google's token service.
    #[arg(long = "token-url", value_name = "URL", default_value = STS)]
    token_url: String,
}

impl Gcp {
    pub(super) async fn run(self, environment: &Environment, console: &mut Console<'_, '_>) -> Outcome {
        if let Some(provider) = self.provider.as_ref().filter(|_| self.print_config) {
            console.say(format!("{:#}\n", self.configuration(provider)?));
            return Ok(());
        }
        if let Some(provider) = self.provider.as_ref().filter(|_| self.exchange) {
            return self.exchanged(provider, environment, console).await;
        }
        match self.answer(environment).await {
            Ok(answer) => console.say(&*answer),
            Err(Refused { code, failure }) => {
                let message = failure.to_string();
                console.say(format!("{}\n", json!({"version": 1, "success": false, "code": code, "message": message})));
                console.refuse();
            }
        }
        Ok(())
    }

    /// What Google's libraries read, written to their file too if they have one.
    async fn answer(&self, environment: &Environment) -> Result<Zeroizing<String>, Refused> {
        let usage = |why: &str| Refused { code: "INVALID_ARGUMENT", failure: Failure::new(why) };
        let given = |name: &str| environment.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let audience = self.audience.as_deref().or_else(|| given("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE"));
        let audience = audience.ok_or_else(|| usage("no audience: GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE or --audience"))?;
        let token_type = given("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE").unwrap_or(JWT);
        if ![JWT, ID_TOKEN].contains(&token_type) {
            return Err(usage("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE is neither that of a JWT nor that of an ID token"));
        }
        let svid = self.svid.fetch(audience, environment, &SystemClock::new()).await;
        let svid = svid.map_err(|failure| Refused { code: "UNAVAILABLE", failure })?;
        let answer = json!({
            "version": 1,
            "success": true,
            "token_type": token_type,
            "id_token": svid.token.expose(),
            "expiration_time": svid.not_after.unix_seconds(),
        });
        let answer = Zeroizing::new(format!("{answer}\n"));
        if let Some(file) = given("GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE") {
            let failed = |error| Refused { code: "INTERNAL", failure: Failure::of(&format!("`{file}`"), error) };
            write_private(Path::new(file), answer.as_bytes()).map_err(failed)?;
        }
        Ok(answer)
    }

    async fn exchanged(&self, provider: &str, environment: &Environment, console: &mut Console<'_, '_>) -> Outcome {
        let clock = SystemClock::new();
        let audience = self.audience.as_deref().unwrap_or(provider);
        let svid = self.svid.fetch(audience, environment, &clock).await?;
        let form = request(provider, &self.scope, &svid.token);
        let depends_on = ["gcp", audience, provider, &*self.scope];
        let exchange = Exchange { svid: &svid, url: &self.token_url, in_xml: false, form, depends_on: &depends_on };
        let printed = |answer: &_, asked| Ok(access_token(&read(answer)?, asked));
        self.exchange_with.run(exchange, &self.svid, (environment, clock), console, printed).await
    }

    fn configuration(&self, provider: &str) -> Result<Value, Failure> {
        let program = std::env::current_exe().map_err(|error| Failure::of("where this program is", error))?;
        let mut command = vec![program.display().to_string(), "credential".to_owned(), "gcp".to_owned()];
        if let Some(path) = &self.svid.socket_path {
            command.extend(["--socketPath".to_owned(), path.display().to_string()]);
        }
        let more = [("--spiffeID", Some(&self.svid.spiffe_id)), ("--audience", self.audience.as_ref())];
        for (flag, value) in more {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                command.extend([flag.to_owned(), value.clone()]);
            }
        }
        // Some of the libraries split the command at blanks, and know no quotes.
        if let Some(part) = command.iter().find(|part| part.contains(char::is_whitespace)) {
            return Err(Failure::new(format!("`{part}` has a blank in it, which Google's libraries can't take")));
        }
        let mut executable = json!({"command": command.join(" "), "timeout_millis": 30_000});
        if let (Some(file), Some(members)) = (&self.output_file, executable.as_object_mut()) {
            members.insert("output_file".to_owned(), file.display().to_string().into());
        }
        let mut configuration = json!({
            "type": "external_account",
            "audience": provider,
            "subject_token_type": JWT,
            "token_url": self.token_url,
            "credential_source": {"executable": executable},
        });
        if let (Some(email), Some(members)) = (&self.service_account, configuration.as_object_mut()) {
            let url = format!(
                "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{email}:generateAccessToken"
            );
            members.insert("service_account_impersonation_url".to_owned(), url.into());
        }
        Ok(configuration)
    }
}

/// Why there is no token, with a word for the libraries.
struct Refused {
    code: &'static str,
    failure: Failure,
}
