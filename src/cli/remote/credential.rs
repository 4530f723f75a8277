//! `portcullis credential`: credentials of clouds, in the protocols by which their own tools take them from a program.

mod aws;
mod azure;
mod cache;
mod exchange;
mod gcp;
mod svid;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use clap::Subcommand;

use super::Outcome;
use super::console::Console;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Assume a role of AWS, as a `credential_process` does.
    ///
    /// Shows this process's JWT-SVID to AWS's token service and prints temporary credentials as JSON. They are kept in a
    /// private file until shortly before their end, for who gets the same SVID and asks for the same.
    Aws(aws::Aws),
    /// Print this process's JWT-SVID as the executable of an external account of Google Cloud does.
    ///
    /// Google's libraries run it, and exchange the token themselves. An error is printed as JSON too, with exit code 1.
    Gcp(gcp::Gcp),
    /// Keep a file with this process's JWT-SVID, as Azure's SDKs take a federated token.
    Azure(azure::Azure),
}

type Environment = BTreeMap<String, String>;

impl Command {
    pub(super) async fn run(self, environment: &Environment, console: &mut Console<'_, '_>) -> Outcome {
        match self {
            Self::Aws(asked) => asked.run(environment, console).await,
            Self::Gcp(asked) => asked.run(environment, console).await,
            Self::Azure(asked) => asked.run(environment, console).await,
        }
    }
}
