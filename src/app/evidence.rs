//! Building the evidence plane: the log, its key, and who follows it.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis_tlog::policy::Policy;
use tokio::runtime::Handle;

use super::AppError;
use super::witnesses::log_key;
use crate::config::{self, AuditFile, AuditRequest, Config, ExportTo};
use crate::decision::recording::Recording;
use crate::evidence::DisclosureKey;
use crate::evidence::export::{
    Destination, ExportMetrics, Exports, Form, JsonLines, LineForm, Otlp, POSITION_PREFIX, Position, Posts, Told,
    Webhook, WebhookKey,
};
use crate::evidence::log::{
    Archive, CertificateKeeper, Checkpoints, Keeper, Log, LogConfig, LogError, LogKey, LogMetrics, LogReader,
    ML_DSA_44_VERIFIER, Retention, Shelf,
};
use crate::evidence::receipt::Receipts;
use crate::evidence::record::encoding::Writer;
use crate::feeds::courier::HttpCourier;
use crate::feeds::fetch::{FeedUrl, FetchConfig};
use crate::foundation::clock::Clock;
use crate::foundation::digest::Digest;
use crate::foundation::entropy::Entropy;
use crate::foundation::files::write_private;
use crate::foundation::readiness::Readiness;

/// The files of the log's key, below its directory, and of what verifies its checkpoints by Ed25519.
pub(crate) const VERIFIER_FILE: &str = "verifier";
pub(crate) const KEY_FILE: &str = "key";

/// The file of what opens redacted fields, below the log's directory.
pub(crate) const DISCLOSURE_FILE: &str = "disclosure.key";

/// The log, and what has to be ended with it.
pub(super) struct Evidence {
    pub(super) log: Arc<Log>,
    pub(super) keeper: Keeper,
    pub(super) exports: Exports,
    directory: PathBuf,
    /// What others need to verify the log, by the names of the files.
    verifiers: Vec<(&'static str, String)>,
    /// The gateway's name.
    pub(super) gateway: String,
    /// SHA-256 of the public key that verifies the log.
    pub(super) key: Digest,
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
        clock: &Arc<dyn Clock>,
        entropy: &Arc<dyn Entropy>,
        readiness: &Readiness,
        (metrics, export_metrics): (LogMetrics, ExportMetrics),
    ) -> Result<Self, AppError> {
        let directory = &config.audit.log;
        let key = log_key(&config.audit, &**entropy)?;
        let gateway = gateway(&config.audit, &key)?;
        let origin = format!("{}/audit/{gateway}", config.trust_domain);
        let verifier = key.verifier(&origin)?;
        let key_digest = Digest::of(verifier.bytes());
        let policy = Policy::log_only(&origin, verifier);
        let receipts = Receipts::new(directory, policy);
        let log_config = LogConfig {
            directory: directory.clone(),
            origin: origin.clone(),
            writer: Writer { gateway: gateway.as_str().into(), config: config.digest },
            queue: NonZeroUsize::new(config.audit.queue).unwrap_or(NonZeroUsize::MIN),
            durability: config.audit.durability,
            unavailable: config.audit.unavailable,
            sync_every: config.audit.sync_every,
            checkpoint_every: config.audit.checkpoint_every,
        };
        refuse_if_emptied(directory)?;
        let (log, keeper) = Log::open(log_config, &key, Arc::clone(clock), readiness.clone(), metrics)?;
        let verifiers = verifiers(&key, &origin)?;
        let told = Told { readiness: readiness.clone(), metrics: export_metrics, entropy: Arc::clone(entropy) };
        let mut exports = Exports::new(LogReader::new(directory), log.published(), told);
        follow(&mut exports, &config.audit, &log)?;
        follow_named(&mut exports, &config.audit, (&origin, &gateway), clock)?;
        let archive = Archive::new(directory);
        archive.keep(Shelf::Configurations, config.text.as_bytes())?;
        let certificates = Arc::new(CertificateKeeper::start(archive.clone())?);
        let recording = recording(&config.audit, &**entropy)?;
        Ok(Self {
            log: Arc::new(log),
            directory: directory.clone(),
            verifiers,
            keeper,
            exports,
            gateway,
            key: key_digest,
            receipts,
            archive,
            certificates,
            recording,
        })
    }
}

impl Evidence {
    /// Writes down what others need to verify the log, beside it. To be done once something is in the log and on the disk: from
    /// then on an empty log is one that was emptied.
    pub(super) fn hand_out_verifiers(&self) -> Result<(), LogError> {
        for (name, verifier) in &self.verifiers {
            write_private(&self.directory.join(name), format!("{verifier}\n").as_bytes())?;
        }
        Ok(())
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

fn verifiers(key: &LogKey, origin: &str) -> Result<Vec<(&'static str, String)>, LogError> {
    let ml_dsa_44 = key.ml_dsa_44_verifier(origin)?.map(|verifier| (ML_DSA_44_VERIFIER, verifier.to_string()));
    Ok([(VERIFIER_FILE, key.verifier(origin)?.to_string())].into_iter().chain(ml_dsa_44).collect())
}

/// With the same key a log that begins anew would contradict what was signed before.
fn refuse_if_emptied(directory: &Path) -> Result<(), LogError> {
    if !directory.join(VERIFIER_FILE).exists() || Checkpoints::of(directory).latest()?.is_some() {
        return Ok(());
    }
    let mut entries = 0_u64;
    LogReader::new(directory).unpublished(0, |_entry| entries = entries.saturating_add(1))?;
    if entries == 0 { Err(LogError::Emptied(directory.to_owned())) } else { Ok(()) }
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
        Destination::File(_) => first(config)?,
    };
    let position = Position::load(&position_file(config, "json"), start)?;
    exports.follow("audit_file", JsonLines::open(&destination, LineForm::Record)?, position);
    Ok(())
}

/// Those whom the configuration names, besides.
fn follow_named(
    exports: &mut Exports,
    config: &config::Audit,
    (origin, gateway): (&str, &str),
    clock: &Arc<dyn Clock>,
) -> Result<(), AppError> {
    for export in &config.exports {
        let position = Position::load(&position_file(config, &export.name), first(config)?)?;
        let name = format!("audit_export_{}", export.name);
        let (log, courier) = (origin.to_owned(), |url: &FeedUrl, fetch: &FetchConfig| {
            Box::new(HttpCourier::new(url.clone(), fetch.clone(), Arc::clone(clock)))
        });
        let (form, courier) = match &export.to {
            ExportTo::OcsfFile(path) => {
                let lines = JsonLines::open(&Destination::File(path.clone()), LineForm::Ocsf(log))?;
                exports.follow(&name, lines, position);
                continue;
            }
            ExportTo::Otlp(url, fetch) => (Form::Otlp(Otlp { log, gateway: gateway.to_owned() }), courier(url, fetch)),
            ExportTo::Webhook { url, fetch, key_file, shape } => {
                let keys = WebhookKey::load(key_file).map_err(|error| AppError::Setting(error.to_string()))?;
                (Form::Webhook(Webhook::new(log, *shape, keys)), courier(url, fetch))
            }
        };
        exports.follow(&name, Posts::new(form, courier, Arc::clone(clock), Handle::current()), position);
    }
    Ok(())
}

/// The first entry that can be told.
fn first(config: &config::Audit) -> Result<u64, AppError> {
    Retention::of(&config.log).first().map_err(|error| AppError::Setting(error.to_string()))
}

fn position_file(config: &config::Audit, name: &str) -> PathBuf {
    config.log.join(format!("{POSITION_PREFIX}{name}"))
}
