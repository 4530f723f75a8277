//! Commands that speak to a running gateway over its sockets. Their verbs, flags and output are those of `spire-server`
//! and `spire-agent`, so that scripts made for these go on working; so is exit code 1 for whatever fails.

mod agent;
mod api;
mod bundle;
mod cache;
mod connection;
mod console;
mod credential;
mod delegation;
mod entry;
mod explain;
mod federation;
mod go;
mod health;
mod json;
mod local_authority;
mod logger;
mod mint;
mod token;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use self::connection::Gateway;
use self::console::{Console, Failure, Format};
use super::{Exit, Output};

pub(super) use self::go::with_double_dashes;

#[derive(Debug, Subcommand)]
pub(super) enum RemoteCommand {
    /// Ask the Workload API, as this process.
    #[command(subcommand)]
    Api(api::Command),
    /// Credentials of clouds, for this process's JWT-SVID.
    #[command(subcommand)]
    Credential(credential::Command),
    /// Registration entries: which workload gets which identity.
    #[command(subcommand)]
    Entry(entry::Command),
    /// Our trust bundle and those of other trust domains.
    #[command(subcommand)]
    Bundle(bundle::Command),
    /// Join tokens.
    #[command(subcommand)]
    Token(token::Command),
    /// Federation relationships with other trust domains.
    #[command(subcommand)]
    Federation(federation::Command),
    /// Tokens that say who acts for whom, and an end to them.
    #[command(subcommand)]
    Delegation(delegation::Command),
    /// The agents that hand out identities.
    #[command(subcommand)]
    Agent(agent::Command),
    /// X.509-SVIDs by hand.
    #[command(subcommand)]
    X509(mint::X509Command),
    /// JWT-SVIDs by hand.
    #[command(subcommand)]
    Jwt(mint::JwtCommand),
    /// The authorities that sign, and their succession.
    #[command(subcommand)]
    Localauthority(local_authority::Command),
    /// How much is logged.
    #[command(subcommand)]
    Logger(logger::Command),
    /// The decision cache.
    #[command(subcommand)]
    Cache(cache::Command),
    /// Say whether the gateway is well.
    Healthcheck(health::Healthcheck),
    /// Say why things are as they are.
    #[command(subcommand)]
    Explain(explain::Command),
}

// Not a doc comment: clap would show it in place of the command's own.
#[derive(Args, Debug)]
struct AdminArgs {
    /// The gateway's admin socket.
    #[arg(long = "socketPath", value_name = "PATH", default_value = "run/admin.sock")]
    socket_path: PathBuf,
    /// How to print what comes back.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Pretty)]
    output: Format,
}

type Outcome = Result<(), Failure>;

/// Runs `command` to its end.
pub(super) fn run(command: RemoteCommand, environment: &BTreeMap<String, String>, output: &mut Output<'_>) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output.error(&format!("portcullis: {error}"), Exit::Fault),
    };
    let mut console = Console::new(output);
    let outcome = runtime.block_on(dispatch(command, environment, &mut console));
    match outcome {
        Ok(()) => console.exit(),
        Err(failure) => output.error(&format!("Error: {failure}"), Exit::Refused),
    }
}

async fn dispatch(
    command: RemoteCommand,
    environment: &BTreeMap<String, String>,
    console: &mut Console<'_, '_>,
) -> Outcome {
    match command {
        RemoteCommand::Api(command) => command.run(environment, console).await,
        RemoteCommand::Credential(command) => command.run(environment, console).await,
        RemoteCommand::Entry(command) => command.run(console).await,
        RemoteCommand::Bundle(command) => command.run(console).await,
        RemoteCommand::Token(command) => command.run(console).await,
        RemoteCommand::Federation(command) => command.run(console).await,
        RemoteCommand::Delegation(command) => command.run(console).await,
        RemoteCommand::Agent(command) => command.run(console).await,
        RemoteCommand::X509(command) => command.run(console).await,
        RemoteCommand::Jwt(command) => command.run(console).await,
        RemoteCommand::Localauthority(command) => command.run(console).await,
        RemoteCommand::Logger(command) => command.run(console).await,
        RemoteCommand::Cache(command) => command.run(console).await,
        RemoteCommand::Healthcheck(command) => command.run(console).await,
        RemoteCommand::Explain(command) => command.run(console).await,
    }
}

impl AdminArgs {
    /// Connects, and sets how `console` prints.
    async fn connect(&self, console: &mut Console<'_, '_>) -> Result<Gateway, Failure> {
        console.format = self.output;
        Gateway::connect(&self.socket_path).await
    }
}
