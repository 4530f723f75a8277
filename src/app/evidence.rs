//! Building the evidence plane: the log, its key, and who follows it.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use portcullis_tlog::policy::Policy;

use super::AppError;
use crate::config::{self, AuditFile, AuditRequest, Config};
use crate::decision::recording::Recording;
use crate::evidence::DisclosureKey;
use crate::evidence::export::{Destination, Exports, JsonLines, Position};
use crate::evidence::log::{
    Archive, CertificateKeeper, Keeper, Log, LogConfig, LogError, LogKey, LogMetrics, LogReader,
};
use crate::evidence::receipt::Receipts;
use crate::evidence::record::encoding::Writer;
use crate::foundation::clock::Clock;
use crate::foundation::digest::Digest;
use crate::foundation::entropy::Entropy;
use crate::foundation::readiness::Readiness;

/// The file of the log's key, below the log's directory, and that of what verifies its checkpoints.
pub(crate) const KEY_FILE: &str = "key";
pub(crate) const VERIFIER_FILE: &str = "verifier";

/// The file of what opens redacted fields, below the log's directory.
pub(crate) const DISCLOSURE_FILE: &str = "disclosure.key";

/// The log, and what has to be ended with it.
pub(super) struct Evidence {
    pub(super) log: Arc<Log>,
    pub(super) keeper: Keeper,
    pub(super) exports: Exports,
    /// What proves its decisions.
    pub(super) receipts: Receipts,
    /// Where what records refer to is kept.
    pub(super) archive: Archive,
    pub(super) certificates: Arc<CertificateKeeper>,
    /// What records keep of questions, if it is more than names.
    pub(super) recording: Option<Recording>,
}

impl Evidence {
    /// Opens the log, and begins to give its records away.
    pub(super) fn open(
        config: &Config,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
        readiness: &Readiness,
        metrics: LogMetrics,
    ) -> Result<Self, AppError> {
        let directory = &config.audit.log;
        let key = LogKey::load_or_create(&directory.join(KEY_FILE), entropy)?;
        let gateway = gateway(&config.audit, &key)?;
        let origin = format!("{}/audit/{gateway}", config.trust_domain);
        write_verifier(directory, &key, &origin)?;
        let policy = Policy::log_only(&origin, key.verifier(&origin)?);
        let receipts = Receipts::new(directory, policy);
        let log_config = LogConfig {
            directory: directory.clone(),
            origin,
            writer: Writer { gateway: gateway.as_str().into(), config: config.digest },
            queue: NonZeroUsize::new(config.audit.queue).unwrap_or(NonZeroUsize::MIN),
            durability: config.audit.durability,
            unavailable: config.audit.unavailable,
            checkpoint_every: config.audit.checkpoint_every,
        };
        let (log, keeper) = Log::open(log_config, key, clock, readiness.clone(), metrics)?;
        let mut exports = Exports::new(LogReader::new(directory), log.published(), readiness.clone());
        follow(&mut exports, &config.audit, &log)?;
        let archive = Archive::new(directory);
        let certificates = Arc::new(CertificateKeeper::start(archive.clone())?);
        let recording = recording(&config.audit, entropy)?;
        Ok(Self { log: Arc::new(log), keeper, exports, receipts, archive, certificates, recording })
    }
}

/// What records keep of questions. The key is made when something is first redacted.
fn recording(config: &config::Audit, entropy: &dyn Entropy) -> Result<Option<Recording>, LogError> {
    if config.context.is_empty() && config.request == AuditRequest::Digest {
        return Ok(None);
    }
    let redacts = config.context.iter().any(|chosen| chosen.redact);
    let key = || DisclosureKey::load_or_create(&config.log.join(DISCLOSURE_FILE), entropy);
    let key = redacts.then(key).transpose()?;
    Ok(Some(Recording::new(config.context.clone(), config.request == AuditRequest::Full, key)))
}

/// What others need to verify the log, beside the log.
fn write_verifier(directory: &Path, key: &LogKey, origin: &str) -> Result<(), AppError> {
    let path = directory.join(VERIFIER_FILE);
    let text = format!("{}\n", key.verifier(origin)?);
    std::fs::write(&path, text).map_err(|source| AppError::Audit(LogError::Io { path, source }))
}

/// The name that the operator gave, or else one that no other log has: it follows from the key.
fn gateway(config: &config::Audit, key: &LogKey) -> Result<String, LogError> {
    if let Some(name) = &config.gateway {
        return Ok(name.0.clone());
    }
    let digest = Digest::of(key.verifier("gateway")?.bytes()).to_string();
    Ok(format!("gateway-{}", digest.get(..12).unwrap_or_default()))
}

/// Those who are given the records.
fn follow(exports: &mut Exports, config: &config::Audit, log: &Log) -> Result<(), AppError> {
    let destination = match &config.file {
        AuditFile::Nowhere => return Ok(()),
        AuditFile::StandardOutput => Destination::Stdout,
        AuditFile::Path(path) => Destination::File(path.clone()),
    };
    let start = match destination {
        // What was printed is not printed again, wherever the last process stopped.
        Destination::Stdout => *log.published().borrow(),
        Destination::File(_) => 0,
    };
    let position = Position::load(&config.log.join("export-json"), start)?;
    exports.follow("audit_file", JsonLines::open(&destination)?, position);
    Ok(())
}
