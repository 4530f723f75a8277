//! `portcullis healthcheck`: for probes and scripts.

use clap::Args;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::console::{Console, Failure};
use super::{AdminArgs, Outcome};

#[derive(Args, Debug)]
pub(in crate::cli) struct Healthcheck {
    #[command(flatten)]
    admin: AdminArgs,
    /// Taken and without effect: the check is always the same.
    #[arg(long)]
    shallow: bool,
    /// Say what is being done.
    #[arg(long)]
    verbose: bool,
}

impl Healthcheck {
    pub(super) async fn run(self, console: &mut Console<'_, '_>) -> Outcome {
        if self.verbose {
            console.say("Checking server health...\n");
        }
        let unhealthy = |reason: &dyn std::fmt::Display| Failure::of("server is unhealthy", reason);
        let gateway = self.admin.connect(console).await.map_err(|failure| unhealthy(&failure))?;
        let answer = HealthClient::new(gateway.channel).check(HealthCheckRequest::default()).await;
        let status = answer.map_err(|_status| unhealthy(&"unable to determine health"))?.into_inner().status();
        if status != ServingStatus::Serving {
            return Err(unhealthy(&format_args!("server returned status {:?}", status.as_str_name())));
        }
        console.say("Server is healthy.\n");
        Ok(())
    }
}
