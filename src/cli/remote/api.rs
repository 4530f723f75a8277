//! `portcullis api`: the Workload API, as this process sees it.

mod x509;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use portcullis_spiffe_api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use portcullis_spiffe_api::workload::{
    JwtBundlesRequest, JwtBundlesResponse, JwtsvidRequest, ValidateJwtsvidRequest, X509svidRequest, X509svidResponse,
};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request};

use self::x509::Received;
use super::connection::{Gateway, MAX_ANSWER};
use super::console::{Console, Failure, Format, rpc_error};
use super::{Outcome, go, json};

/// How long to wait before looking again after the stream failed.
const WATCH_AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Fetch this process's SVIDs: X.509-SVIDs, if nothing else is named.
    #[command(args_conflicts_with_subcommands = true)]
    Fetch {
        #[command(subcommand)]
        what: Option<Fetch>,
        #[command(flatten)]
        x509: FetchX509,
    },
    /// Say whether an SVID is good.
    #[command(subcommand)]
    Validate(Validate),
    /// Print this process's X.509-SVIDs whenever they change.
    Watch(Watch),
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Fetch {
    /// Fetch the X.509-SVIDs.
    X509(FetchX509),
    /// Fetch JWT-SVIDs.
    Jwt(FetchJwt),
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Validate {
    /// Say whether a JWT-SVID is good, and for whom.
    Jwt(ValidateJwt),
}

// Not a doc comment: clap would show it in place of the command's own.
#[derive(Args, Debug)]
struct ApiArgs {
    /// The workload socket; without it, that of `SPIFFE_ENDPOINT_SOCKET`, or else `run/workload.sock`.
    #[arg(long = "socketPath", value_name = "PATH")]
    socket_path: Option<PathBuf>,
    /// How long to wait for an answer.
    #[arg(long, value_name = "DURATION", value_parser = go::duration, default_value = "5s")]
    timeout: Duration,
    /// How to print what comes back.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Pretty)]
    output: Format,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct FetchX509 {
    #[command(flatten)]
    api: ApiArgs,
    /// Print nothing.
    #[arg(long)]
    silent: bool,
    /// Write SVIDs, keys and bundles into this directory too.
    #[arg(long, value_name = "DIRECTORY")]
    write: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct FetchJwt {
    #[command(flatten)]
    api: ApiArgs,
    /// For whom the token is; several are separated by commas.
    #[arg(long, value_name = "AUDIENCE", value_delimiter = ',')]
    audience: Vec<String>,
    /// Only for this identity.
    #[arg(long = "spiffeID", value_name = "ID", default_value = "", hide_default_value = true)]
    spiffe_id: String,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct ValidateJwt {
    #[command(flatten)]
    api: ApiArgs,
    /// For whom the token must be.
    #[arg(long, value_name = "AUDIENCE", default_value = "", hide_default_value = true)]
    audience: String,
    /// The token.
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    svid: String,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Watch {
    #[command(flatten)]
    api: ApiArgs,
}

pub(super) type Client = SpiffeWorkloadApiClient<Channel>;
type Environment = BTreeMap<String, String>;

impl Command {
    pub(super) async fn run(self, environment: &Environment, console: &mut Console<'_, '_>) -> Outcome {
        match self {
            Self::Fetch { what: None, x509 } | Self::Fetch { what: Some(Fetch::X509(x509)), .. } => {
                x509.run(environment, console).await
            }
            Self::Fetch { what: Some(Fetch::Jwt(asked)), .. } => asked.run(environment, console).await,
            Self::Validate(Validate::Jwt(asked)) => asked.run(environment, console).await,
            Self::Watch(asked) => asked.run(environment, console).await,
        }
    }
}

impl ApiArgs {
    async fn client(&self, environment: &Environment, console: &mut Console<'_, '_>) -> Result<Client, Failure> {
        console.format = self.output;
        workload_client(self.socket_path.as_deref(), environment).await
    }

    /// The answer, or why there was none in time.
    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, tonic::Status>>) -> Result<T, tonic::Status> {
        let late = |_elapsed| tonic::Status::deadline_exceeded("context deadline exceeded");
        tokio::time::timeout(self.timeout, answer).await.map_err(late)?
    }
}

/// A client of the workload socket: of this one, or of that which the environment names.
pub(super) async fn workload_client(socket_path: Option<&Path>, environment: &Environment) -> Result<Client, Failure> {
    let named = environment.get("SPIFFE_ENDPOINT_SOCKET").map(String::as_str);
    let path = match (socket_path, named) {
        (Some(path), _) => path.to_owned(),
        (None, Some(url)) => endpoint(url)?,
        (None, None) => PathBuf::from("run/workload.sock"),
    };
    let gateway = Gateway::connect(&path).await?;
    Ok(Client::new(gateway.channel).max_decoding_message_size(MAX_ANSWER))
}

/// The path in an endpoint's address (SPIFFE Workload Endpoint section 4).
fn endpoint(url: &str) -> Result<PathBuf, Failure> {
    let path = url.strip_prefix("unix://").filter(|path| path.starts_with('/')).map(PathBuf::from);
    path.ok_or_else(|| Failure::new(format!("SPIFFE_ENDPOINT_SOCKET: `{url}` is not `unix:///PATH`")))
}

/// A request with the header that shows that the caller knows whom it calls (SPIFFE Workload Endpoint section 6).
pub(super) fn with_header<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("workload.spiffe.io", MetadataValue::from_static("true"));
    request
}

impl FetchX509 {
    async fn run(self, environment: &Environment, console: &mut Console<'_, '_>) -> Outcome {
        let mut client = self.api.client(environment, console).await?;
        let begun = started();
        let answer = self.api.in_time(first_x509(&mut client)).await?;
        let took = begun.elapsed();
        if console.json(&answer)? {
            return Ok(());
        }
        let received = Received::parse(&answer)?;
        received.verify()?;
        if !self.silent {
            console.say(received.text(took));
        }
        match &self.write {
            Some(directory) => received.write(directory, console),
            None => Ok(()),
        }
    }
}

async fn first_x509(client: &mut Client) -> Result<X509svidResponse, tonic::Status> {
    let mut stream = client.fetch_x509svid(with_header(X509svidRequest {})).await?.into_inner();
    stream.message().await?.ok_or_else(ended)
}

impl FetchJwt {
    async fn run(self, environment: &Environment, console: &mut Console<'_, '_>) -> Outcome {
        if self.audience.is_empty() {
            return Err(Failure::new("audience must be specified"));
        }
        let mut client = self.api.client(environment, console).await?;
        let bundles = self.api.in_time(first_jwt_bundles(&mut client)).await?;
        let request = JwtsvidRequest { audience: self.audience.clone(), spiffe_id: self.spiffe_id.clone() };
        let svids = self.api.in_time(client.fetch_jwtsvid(with_header(request))).await?.into_inner();
        if console.format == Format::Json {
            console.say(json::line(&vec![json::value(&svids)?, json::value(&bundles)?].into()));
            return Ok(());
        }
        for svid in &svids.svids {
            console.say(format!("token({}):\n\t{}\n", svid.spiffe_id, svid.svid));
            if !svid.hint.is_empty() {
                console.say(format!("hint({}):\n\t{}\n", svid.spiffe_id, svid.hint));
            }
        }
        let bundles: BTreeMap<_, _> = bundles.bundles.into_iter().collect();
        for (trust_domain, keys) in bundles {
            console.say(format!("bundle({trust_domain}):\n\t{}\n", String::from_utf8_lossy(&keys)));
        }
        Ok(())
    }
}

async fn first_jwt_bundles(client: &mut Client) -> Result<JwtBundlesResponse, tonic::Status> {
    let mut stream = client.fetch_jwt_bundles(with_header(JwtBundlesRequest {})).await?.into_inner();
    stream.message().await?.ok_or_else(ended)
}

impl ValidateJwt {
    async fn run(self, environment: &Environment, console: &mut Console<'_, '_>) -> Outcome {
        if self.audience.is_empty() {
            return Err(Failure::new("audience must be specified"));
        }
        if self.svid.is_empty() {
            return Err(Failure::new("svid must be specified"));
        }
        let mut client = self.api.client(environment, console).await?;
        let request = ValidateJwtsvidRequest { audience: self.audience.clone(), svid: self.svid.clone() };
        let answer = self.api.in_time(client.validate_jwtsvid(with_header(request))).await;
        let answer = answer.map_err(|status| match status.code() {
            Code::InvalidArgument => Failure::of("SVID is not valid", status.message()),
            _ => Failure::of("unable to validate JWT SVID", Failure::from(status)),
        })?;
        let answer = answer.into_inner();
        if !console.json(&answer)? {
            let claims = json::value(&answer)?.get_mut("claims").map(serde_json::Value::take).unwrap_or_default();
            console.say(format!("SVID is valid.\nSPIFFE ID : {}\nClaims    : {claims}\n", answer.spiffe_id));
        }
        Ok(())
    }
}

impl Watch {
    /// Never ends by itself, but for a request that will never be answered otherwise.
    async fn run(self, environment: &Environment, console: &mut Console<'_, '_>) -> Outcome {
        let mut since = started();
        loop {
            let mut client = self.api.client(environment, console).await?;
            let mut stream = match client.fetch_x509svid(with_header(X509svidRequest {})).await {
                Ok(stream) => stream.into_inner(),
                Err(status) => {
                    give_up_or_wait(&status, console).await?;
                    continue;
                }
            };
            loop {
                match stream.message().await.and_then(|message| message.ok_or_else(ended)) {
                    Ok(answer) => {
                        if !console.json(&answer)? {
                            let received = Received::parse(&answer)?;
                            received.verify()?;
                            console.say(received.text(since.elapsed()));
                        }
                        since = started();
                    }
                    Err(status) => {
                        give_up_or_wait(&status, console).await?;
                        break;
                    }
                }
            }
        }
    }
}

/// Says why a stream ended; an error if asking again would be in vain.
async fn give_up_or_wait(status: &tonic::Status, console: &mut Console<'_, '_>) -> Outcome {
    let reason = rpc_error(status);
    if matches!(status.code(), Code::InvalidArgument | Code::Cancelled | Code::Unimplemented) {
        return Err(Failure::new(reason));
    }
    console.complain(reason);
    tokio::time::sleep(WATCH_AGAIN).await;
    Ok(())
}

fn ended() -> tonic::Status {
    tonic::Status::unavailable("the gateway ended the stream")
}

#[expect(clippy::disallowed_methods, reason = "only shown to the one who runs the command")]
fn started() -> Instant {
    Instant::now()
}
