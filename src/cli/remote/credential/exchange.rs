//! Showing the SVID at a cloud's token service, unless what it gave the last time is still good.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use zeroize::Zeroizing;

use super::super::console::{Console, Failure};
use super::Environment;
use super::cache::Cache;
use super::svid::{Svid, SvidArgs};
use crate::delegation::cloud::{CloudError, exchange};
use crate::delegation::outbound::{Granted, TokenAnswer};
use crate::feeds::fetch::{FeedUrl, FetchConfig};
use crate::feeds::token_endpoint::HttpTokenEndpoint;
use crate::foundation::clock::{Clock as _, SystemClock, Timestamp};
use crate::foundation::entropy::SystemEntropy;
use crate::foundation::secret::Secret;

/// The most that a token service may answer, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

// Not a doc comment: clap would show it in place of the command's own.
#[derive(Args, Debug)]
pub(super) struct ExchangeArgs {
    /// Who may have signed the certificate of the token service: PEM.
    #[arg(long = "ca-file", value_name = "FILE", default_value = "/etc/ssl/certs/ca-certificates.crt")]
    ca_file: PathBuf,
    /// Keep nothing, and use nothing that was kept.
    #[arg(long = "no-cache")]
    no_cache: bool,
}

/// What is shown, to whom, and in which words.
pub(super) struct Exchange<'a> {
    /// Who shows it.
    pub(super) svid: &'a Svid,
    /// The token service.
    pub(super) url: &'a str,
    /// Whether it answers in XML.
    pub(super) in_xml: bool,
    /// The form.
    pub(super) form: Secret<String>,
    /// All that the answer depends on beside the SVID's identity and the service.
    pub(super) depends_on: &'a [&'a str],
}

/// What is printed, and until when it is good.
pub(super) struct Printed {
    pub(super) text: Zeroizing<String>,
    pub(super) ends: Timestamp,
}

impl ExchangeArgs {
    /// Prints what `read` makes of the answer, which was asked for at the time that it is given.
    pub(super) async fn run(
        &self,
        exchanged: Exchange<'_>,
        svid: &SvidArgs,
        (environment, clock): (&Environment, SystemClock),
        console: &mut Console<'_, '_>,
        read: impl Fn(&TokenAnswer, Timestamp) -> Result<Printed, CloudError>,
    ) -> Result<(), Failure> {
        let url = FeedUrl::parse(exchanged.url).map_err(|error| Failure::of(&format!("`{}`", exchanged.url), error))?;
        let parts = [&[&*exchanged.svid.id, exchanged.url], exchanged.depends_on].concat();
        let cache = if self.no_cache { None } else { Cache::open(environment, &parts)? };
        let _alone = match &cache {
            Some(cache) => Some(cache.lock(svid.left(&clock)).await?),
            None => None,
        };
        if let Some(kept) = cache.as_ref().and_then(|cache| cache.load(clock.now())) {
            console.say(&*kept);
            return Ok(());
        }
        let (within, asked) = (svid.left(&clock), clock.now());
        let timeout = PATIENCE.min(within);
        let fetch = FetchConfig { timeout, max_bytes: MAX_ANSWER, ca_file: self.ca_file.clone(), token_file: None };
        let endpoint = HttpTokenEndpoint::new(url, fetch, Arc::new(clock));
        let endpoint = if exchanged.in_xml { endpoint.in_xml() } else { endpoint };
        let read = |answer: &TokenAnswer| read(answer, asked);
        let printed = exchange(&endpoint, &exchanged.form, within, &SystemEntropy::new(), read).await;
        let printed = printed.map_err(|error| Failure::new(error.to_string()))?;
        if let Some(Err(failure)) = cache.map(|cache| cache.keep(&printed.text, asked, printed.ends)) {
            // What was obtained is good all the same.
            console.complain(format!("Warning: {failure}"));
        }
        console.say(&*printed.text);
        Ok(())
    }
}

/// An access token as it is printed.
pub(super) fn access_token(granted: &Granted, asked: Timestamp) -> Printed {
    let ends = asked.after(granted.lives);
    let token = granted.token.expose();
    let printed = json!({"access_token": token, "token_type": "Bearer", "expires_at": ends.to_string()});
    Printed { text: Zeroizing::new(format!("{printed}\n")), ends }
}
