//! Building both sides of witnessing: those who cosign our log, and what we cosign of others.

use std::path::Path;
use std::sync::Arc;

use axum::Router;

use super::AppError;
use super::build::Common;
use super::evidence::{Evidence, KEY_FILE};
use crate::config::{self, Config};
use crate::edge::http::witness::witness_router;
use crate::evidence::log::{LogError, LogKey};
use crate::evidence::witness::{AskConfig, Asked, Book, Peer, WitnessKey, WitnessMetrics};
use crate::feeds::witness::WitnessFeed;
use crate::foundation::entropy::Entropy;
use crate::foundation::files::write_private;
use crate::foundation::shutdown::{Shutdown, TaskGroup};

/// The file of another key beside each.
const ML_DSA_44_KEY_FILE: &str = "key-ml-dsa-44";

/// The file of what verifies our cosignatures, a line for each key.
const VERIFIER_FILE: &str = "verifier";

/// The keys of the log in `directory`.
pub(super) fn log_key(config: &config::Audit, entropy: &dyn Entropy) -> Result<LogKey, LogError> {
    let key = LogKey::load_or_create(&config.log.join(KEY_FILE), entropy)?;
    if config.ml_dsa_44 { key.with_ml_dsa_44(&config.log.join(ML_DSA_44_KEY_FILE), entropy) } else { Ok(key) }
}

/// Has our log cosigned, and says what cosigns other logs: nothing, if that is to listen nowhere.
pub(super) fn start(
    config: &Config,
    common: &Common,
    evidence: &Evidence,
    metrics: WitnessMetrics,
    (tasks, shutdown): (&mut TaskGroup, &Shutdown),
) -> Result<Router, AppError> {
    let router = router(config, common, &evidence.gateway, metrics.clone())?;
    ask(config, common, evidence, metrics, (tasks, shutdown));
    Ok(router)
}

/// Has our log cosigned, if anyone is named who does.
fn ask(
    config: &Config,
    common: &Common,
    evidence: &Evidence,
    metrics: WitnessMetrics,
    (tasks, shutdown): (&mut TaskGroup, &Shutdown),
) {
    let witnesses = &config.audit.witnesses;
    if witnesses.of.is_empty() {
        return;
    }
    let peer = |witness: &config::WitnessAt| {
        let feed = WitnessFeed::new(&witness.url, witnesses.fetch.clone(), Arc::clone(&common.clock));
        Peer::new(witness.keys.clone(), Box::new(feed))
    };
    let asked = Asked::new(
        AskConfig { directory: config.audit.log.clone(), quorum: witnesses.quorum, every: witnesses.every },
        witnesses.of.iter().map(peer).collect(),
        (Arc::clone(&common.clock), Arc::clone(&common.entropy)),
        common.backlog.clone(),
        (common.readiness.clone(), metrics),
    );
    tasks.spawn("the witnesses of the audit log", asked.run(evidence.log.published(), shutdown.signal()));
}

/// What cosigns other logs.
fn router(config: &Config, common: &Common, gateway: &str, metrics: WitnessMetrics) -> Result<Router, AppError> {
    if config.listen.witness.is_empty() {
        return Ok(Router::new());
    }
    let witness = &config.audit.witness;
    let key = witness_key(&witness.directory, config.audit.ml_dsa_44, &*common.entropy)?;
    let default = || format!("{}/witness/{gateway}", config.trust_domain);
    let name = witness.name.as_ref().map_or_else(default, ToString::to_string);
    let book = Book::open(
        &witness.directory,
        (&name, &key),
        &witness.logs,
        (Arc::clone(&common.clock), common.backlog.clone()),
        (common.readiness.clone(), metrics),
    )?;
    let lines: Vec<String> = book.verifiers().map(|key| format!("{key}\n")).collect();
    let path = witness.directory.join(VERIFIER_FILE);
    write_private(&path, lines.concat().as_bytes()).map_err(LogError::from)?;
    Ok(witness_router(Arc::new(book)))
}

fn witness_key(directory: &Path, ml_dsa_44: bool, entropy: &dyn Entropy) -> Result<WitnessKey, LogError> {
    let key = WitnessKey::load_or_create(&directory.join(KEY_FILE), entropy)?;
    if ml_dsa_44 { key.with_ml_dsa_44(&directory.join(ML_DSA_44_KEY_FILE), entropy) } else { Ok(key) }
}
