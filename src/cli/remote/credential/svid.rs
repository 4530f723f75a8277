//! The JWT-SVID that is shown: fresh from the Workload API.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use portcullis_spiffe_api::workload::{JwtsvidRequest, JwtsvidResponse};
use serde_json::Value;
use tokio::time::{sleep, timeout};
use tonic::Code;
use zeroize::Zeroizing;

use super::super::api::{with_header, workload_client};
use super::super::console::Failure;
use super::super::go;
use super::Environment;
use crate::foundation::backoff::Backoff;
use crate::foundation::clock::{Clock as _, SystemClock, Timestamp};
use crate::foundation::entropy::SystemEntropy;
use crate::foundation::secret::Secret;

/// The first pause before a gateway that is not there is asked again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

// Not a doc comment: clap would show it in place of the command's own.
#[derive(Args, Debug)]
pub(super) struct SvidArgs {
    /// The workload socket; without it, that of `SPIFFE_ENDPOINT_SOCKET`, or else `run/workload.sock`.
    #[arg(long = "socketPath", value_name = "PATH")]
    pub(super) socket_path: Option<PathBuf>,
    /// Which of this process's identities; the first, if none is named.
    #[arg(long = "spiffeID", value_name = "ID", default_value = "", hide_default_value = true)]
    pub(super) spiffe_id: String,
    /// How long all of it may take.
    #[arg(long, value_name = "DURATION", value_parser = go::duration, default_value = "20s")]
    timeout: Duration,
}

/// A JWT-SVID of this process.
#[derive(Debug)]
pub(super) struct Svid {
    /// Whose it is.
    pub(super) id: String,
    /// The token.
    pub(super) token: Secret<String>,
    /// Until when it is good.
    pub(super) not_after: Timestamp,
}

impl SvidArgs {
    /// What is left of the time, on a clock that was started when it began.
    pub(super) fn left(&self, clock: &SystemClock) -> Duration {
        self.timeout.saturating_sub(clock.elapsed())
    }

    /// The SVID for `audience`. A gateway that is not there, or not yet, may be about to start: it is waited for, as the standard
    /// has it (SPIFFE Workload Endpoint section 6).
    pub(super) async fn fetch(
        &self,
        audience: &str,
        environment: &Environment,
        clock: &SystemClock,
    ) -> Result<Svid, Failure> {
        let mut last = Failure::new("the Workload API did not answer in time");
        let asking = async {
            let (entropy, mut backoff) = (SystemEntropy::new(), Backoff::new(PAUSES.0, PAUSES.1));
            loop {
                match self.ask(audience, environment).await {
                    Ok(answer) => return Ok(answer),
                    Err(Refused { failure, is_passing: false }) => return Err(failure),
                    Err(Refused { failure, is_passing: true }) => last = failure,
                }
                sleep(backoff.pause(&entropy)).await;
            }
        };
        let Ok(answer) = timeout(self.left(clock), asking).await else { return Err(last) };
        let answer = answer?;
        let svid = answer.svids.into_iter().next().ok_or_else(|| Failure::new("the Workload API gave no JWT-SVID"))?;
        let not_after = end_of(&svid.svid).ok_or_else(|| Failure::new("the Workload API gave no JWT"))?;
        Ok(Svid { id: svid.spiffe_id, token: Secret::new(svid.svid), not_after })
    }

    async fn ask(&self, audience: &str, environment: &Environment) -> Result<JwtsvidResponse, Refused> {
        let request = JwtsvidRequest { audience: vec![audience.to_owned()], spiffe_id: self.spiffe_id.clone() };
        let client = workload_client(self.socket_path.as_deref(), environment).await;
        let mut client = client.map_err(|failure| Refused { failure, is_passing: true })?;
        let answer = client.fetch_jwtsvid(with_header(request)).await;
        let refused = |status: tonic::Status| Refused {
            is_passing: status.code() == Code::Unavailable,
            failure: Failure::from(status),
        };
        Ok(answer.map_err(refused)?.into_inner())
    }
}

/// Why there is no SVID.
struct Refused {
    failure: Failure,
    /// Whether there may be one in a moment.
    is_passing: bool,
}

/// `exp` of a token that came from who made it.
fn end_of(token: &str) -> Option<Timestamp> {
    let payload = Zeroizing::new(URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?);
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    claims.get("exp")?.as_i64().map(Timestamp::from_unix_seconds)
}
