//! Who may ask over `AuthZEN`, as the configuration says.

use std::path::Path;
use std::sync::Arc;

use super::AppError;
use super::build::Common;
use super::tokens::{TokenMetrics, verifier};
use crate::config::{self, Config, KeyDigest};
use crate::decision::Callers;
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

/// All ways to say who asks; `None` if there is none, so that nobody has to.
pub(super) async fn callers(
    config: &Config,
    common: &Common,
    (bundles, revocations): (&Arc<Watched<Bundles>>, &Arc<Revocations>),
    metrics: TokenMetrics,
    (tasks, shutdown): (&mut TaskGroup, &Shutdown),
) -> Result<Option<Callers>, AppError> {
    if config::is_open_to_the_network(&config.listen, &config.authzen.callers) {
        tracing::warn!("anybody who reaches `listen.authzen` may ask: `authzen.callers` says who may");
    }
    let (trust_domain, config) = (&config.trust_domain, &config.authzen.callers);
    if config.is_nobody() {
        return Ok(None);
    }
    let mut callers = Callers::new(Arc::clone(&common.clock))
        .with_keys(api_keys(&config.api_keys)?)
        .with_users(config.users.iter().cloned().collect())
        .with_revocations(Arc::clone(revocations));
    if config.mtls {
        let leaves = LeafVerifier::new(Arc::clone(bundles), LEAVES);
        callers = callers.with_workloads(leaves.with_keeper(Arc::clone(&common.certificates)));
    }
    if !config.issuers.is_empty() {
        let believed = (&*config.issuers, config.remembered, NOTICE);
        let verifier = verifier(believed, common, (trust_domain, bundles), metrics, (tasks, shutdown)).await;
        let mappings = config.issuers.iter().map(|issuer| issuer.mapping.clone()).collect();
        callers = callers.with_tokens(Arc::new(verifier), mappings);
    }
    Ok(Some(callers))
}

fn api_keys(settings: &[config::KeySetting]) -> Result<ApiKeys, AppError> {
    let key = |setting: &config::KeySetting| {
        let digest = match &setting.digest {
            KeyDigest::Known(digest) => *digest,
            KeyDigest::File(path) => read(path)
                .map_err(|why| AppError::Setting(format!("authzen.callers.api_keys: `{}`: {why}", path.display())))?,
        };
        Ok(ApiKey { name: Arc::clone(&setting.name), digest })
    };
    settings.iter().map(key).collect::<Result<_, AppError>>().map(ApiKeys::new)
}

fn read(path: &Path) -> Result<Digest, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    KeyDigest::parse(text.trim_ascii_end())
}
