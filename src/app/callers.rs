//! Who may ask over `AuthZEN` and at which listener, as the configuration says.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use portcullis_spiffe::TrustDomain;

use super::AppError;
use super::build::Common;
use super::tokens::{TokenMetrics, verifier};
use crate::config::{self, Config, KeyDigest};
use crate::decision::Callers;
use crate::edge::http::authzen::Access;
use crate::foundation::digest::Digest;
use crate::foundation::shutdown::{Shutdown, TaskGroup};
use crate::foundation::watched::Watched;
use crate::identity::api_key::{ApiKey, ApiKeys};
use crate::identity::bundle::Bundles;
use crate::identity::delegation::Revocations;
use crate::identity::svid::LeafVerifier;

/// The name of the notice while keys of an issuer of callers' tokens can't be had.
const NOTICE: &str = "callers";

/// How many verified leaves of callers are remembered.
const LEAVES: u64 = 10_000;

/// Who may ask at each of the listeners, in their order.
pub(super) async fn access(
    config: &Config,
    common: &Common,
    trusted: (&TrustDomain, &Arc<Watched<Bundles>>, &Arc<Revocations>),
    metrics: TokenMetrics,
    (tasks, shutdown): (&mut TaskGroup, &Shutdown),
) -> Result<Vec<Access>, AppError> {
    if config::is_open_to_the_network(&config.listen, &config.authzen) {
        tracing::warn!("anybody who reaches `listen.authzen` may ask: `authzen.callers` says who may");
    }
    let mut access = async |config: &config::Callers, place: Option<usize>| {
        let of = Of { config, place };
        let callers = callers(&of, common, trusted, metrics.clone(), (&mut *tasks, shutdown)).await?;
        let config::Callers { statements, policy, .. } = config;
        Ok::<_, AppError>(Access { callers: callers.map(Arc::new), statements: statements.clone(), exempt: !policy })
    };
    let shared = access(&config.authzen.callers, None).await?;
    let mut all = Vec::new();
    for (place, listener) in config.listen.authzen.iter().enumerate() {
        all.push(match &listener.callers {
            Some(own) => access(own, Some(place)).await?,
            None => shared.clone(),
        });
    }
    Ok(all)
}

/// Whose callers they are: those of the section, or of the listener at this place.
struct Of<'c> {
    config: &'c config::Callers,
    place: Option<usize>,
}

impl Of<'_> {
    fn notice(&self) -> Cow<'static, str> {
        self.place.map_or(Cow::Borrowed(NOTICE), |place| format!("{NOTICE}_{place}").into())
    }

    fn setting(&self) -> String {
        self.place.map_or_else(|| "authzen.callers".to_owned(), |place| format!("listen.authzen[{place}].callers"))
    }
}

/// All ways to say who asks; `None` if there is none, so that nobody has to.
async fn callers(
    of: &Of<'_>,
    common: &Common,
    (trust_domain, bundles, revocations): (&TrustDomain, &Arc<Watched<Bundles>>, &Arc<Revocations>),
    metrics: TokenMetrics,
    (tasks, shutdown): (&mut TaskGroup, &Shutdown),
) -> Result<Option<Callers>, AppError> {
    let config = of.config;
    if config.is_nobody() {
        return Ok(None);
    }
    let mut callers = Callers::new(Arc::clone(&common.clock))
        .with_keys(api_keys(&config.api_keys, &of.setting())?)
        .with_users(config.users.iter().cloned().collect())
        .with_revocations(Arc::clone(revocations));
    if config.mtls {
        let leaves = LeafVerifier::new(Arc::clone(bundles), LEAVES);
        callers = callers.with_workloads(leaves.with_keeper(Arc::clone(&common.certificates)));
    }
    if !config.issuers.is_empty() {
        let believed = (&*config.issuers, config.remembered, of.notice());
        let verifier = verifier(believed, common, (trust_domain, bundles), metrics, (tasks, shutdown)).await;
        let mappings = config.issuers.iter().map(|issuer| issuer.mapping.clone()).collect();
        callers = callers.with_tokens(Arc::new(verifier), mappings);
    }
    Ok(Some(callers))
}

fn api_keys(settings: &[config::KeySetting], section: &str) -> Result<ApiKeys, AppError> {
    let key = |setting: &config::KeySetting| {
        let digest = match &setting.digest {
            KeyDigest::Known(digest) => *digest,
            KeyDigest::File(path) => read(path)
                .map_err(|why| AppError::Setting(format!("{section}.api_keys: `{}`: {why}", path.display())))?,
        };
        Ok(ApiKey { name: Arc::clone(&setting.name), digest })
    };
    settings.iter().map(key).collect::<Result<_, AppError>>().map(ApiKeys::new)
}

fn read(path: &Path) -> Result<Digest, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    KeyDigest::parse(text.trim_ascii_end())
}
