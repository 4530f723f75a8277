//! `portcullis credential aws`: a `credential_process` of the AWS SDKs and command line, version 1.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zeroize::Zeroizing;

use super::super::console::{Console, Failure};
use super::super::{Outcome, go};
use super::Environment;
use super::exchange::{Exchange, ExchangeArgs, Printed};
use super::svid::SvidArgs;
use crate::delegation::cloud::CloudError;
use crate::delegation::cloud::aws::{AssumeRole, Credentials, endpoint, read, session_name};
use crate::delegation::outbound::TokenAnswer;
use crate::foundation::clock::{SystemClock, Timestamp};

#[derive(Args, Debug)]
pub(in crate::cli) struct Aws {
    #[command(flatten)]
    svid: SvidArgs,
    #[command(flatten)]
    exchange: ExchangeArgs,
    /// The role.
    #[arg(long = "role-arn", value_name = "ARN")]
    role_arn: String,
    /// The audience that AWS's identity provider for our issuer has.
    #[arg(long, value_name = "AUDIENCE", default_value = "sts.amazonaws.com")]
    audience: String,
    /// What AWS's logs call the session; the SPIFFE ID, if nothing is said.
    #[arg(long = "session-name", value_name = "NAME")]
    session_name: Option<String>,
    /// The region of the token service; without it, that of `AWS_REGION` or `AWS_DEFAULT_REGION`.
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// The address of the token service, in place of the region's.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// For how long, 15 minutes to 12 hours.
    #[arg(long, value_name = "DURATION", value_parser = go::duration, default_value = "1h")]
    duration: Duration,
    /// A file with a session policy, which narrows what the role may do.
    #[arg(long = "policy-file", value_name = "FILE")]
    policy_file: Option<PathBuf>,
}

impl Aws {
    pub(super) async fn run(self, environment: &Environment, console: &mut Console<'_, '_>) -> Outcome {
        let clock = SystemClock::new();
        let url = self.url(environment)?;
        let policy = self.policy_file.as_ref().map(|file| {
            let failed = |error| Failure::of(&format!("`{}`", file.display()), error);
            std::fs::read_to_string(file).map_err(failed)
        });
        let policy = policy.transpose()?;
        let svid = self.svid.fetch(&self.audience, environment, &clock).await?;
        let session = self.session_name.clone().unwrap_or_else(|| session_name(&svid.id));
        let assumed = AssumeRole { role: self.role_arn.clone(), session, duration: self.duration, policy };
        assumed.check().map_err(Failure::new)?;
        let seconds = self.duration.as_secs().to_string();
        let policy = assumed.policy.as_deref().unwrap_or_default();
        let depends_on = ["aws", &*self.audience, &*assumed.role, &*assumed.session, &*seconds, policy];
        let form = assumed.form(&svid.token);
        let exchange = Exchange { svid: &svid, url: &url, in_xml: true, form, depends_on: &depends_on };
        self.exchange.run(exchange, &self.svid, (environment, clock), console, printed).await
    }

    fn url(&self, environment: &Environment) -> Result<String, Failure> {
        if let Some(url) = &self.endpoint {
            return Ok(url.clone());
        }
        let named = || environment.get("AWS_REGION").or_else(|| environment.get("AWS_DEFAULT_REGION"));
        let region = self.region.as_ref().or_else(named);
        let region = region.ok_or_else(|| Failure::new("no region is named: --region, AWS_REGION or --endpoint"))?;
        endpoint(region).map_err(Failure::new)
    }
}

fn printed(answer: &TokenAnswer, _asked: Timestamp) -> Result<Printed, CloudError> {
    let Credentials { access_key_id, secret_access_key, session_token, expiration } = read(answer)?;
    let ends = OffsetDateTime::parse(&expiration, &Rfc3339)
        .map_err(|_not_a_time| CloudError::last("unexpected_answer", "the answer's `Expiration` is no time"))?;
    let printed = json!({
        "Version": 1,
        "AccessKeyId": access_key_id,
        "SecretAccessKey": secret_access_key.expose(),
        "SessionToken": session_token.expose(),
        "Expiration": expiration,
    });
    let ends = Timestamp::from_unix_seconds(ends.unix_timestamp());
    Ok(Printed { text: Zeroizing::new(format!("{printed}\n")), ends })
}
