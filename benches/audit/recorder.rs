//! Where decisions are recorded.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis::evidence::log::{Durability, Keeper, Log, LogConfig, LogKey, LogMetrics, Unavailable};
use portcullis::evidence::record::encoding::Writer;
use portcullis::evidence::{AppendError, Audit, DecisionRecord, Record, Taken};
use portcullis::foundation::clock::SystemClock;
use portcullis::foundation::digest::Digest;
use portcullis::foundation::entropy::SystemEntropy;
use portcullis::foundation::readiness::Readiness;
use portcullis::foundation::telemetry::Registry;

use super::sql::Rows;

/// The places that are compared, as they are called on the command line and in the tables.
pub(crate) const PLACES: [(&str, &str); 5] = [
    ("none", "none"),
    ("group", "the audit log, `group`"),
    ("strict", "the audit log, `strict`"),
    ("wal", "SQLite in WAL mode, a row each, one after another"),
    ("sqlite", "SQLite as it is, a row each, one after another"),
];

/// The first so many of them have their turns before the databases: SQLite makes and deletes a file for each row, and a file system
/// that has just deleted many is slow to make others.
pub(crate) const COMPARED: usize = 3;

/// One place.
pub(crate) struct Recorder {
    pub(crate) audit: Arc<dyn Audit>,
    keeper: Option<Keeper>,
}

impl Recorder {
    /// That of this name, in a directory of its own below this one.
    pub(crate) async fn start(name: &str, directory: &Path) -> Self {
        let directory = directory.join(name);
        match name {
            "none" => Self { audit: Arc::new(Nothing), keeper: None },
            "group" => Self::log(&directory, Durability::Group),
            "strict" => Self::log(&directory, Durability::Strict),
            "wal" => Self { audit: Rows::start(&directory, true).await, keeper: None },
            "sqlite" => Self { audit: Rows::start(&directory, false).await, keeper: None },
            other => panic!("there is no `{other}`"),
        }
    }

    fn log(directory: &Path, durability: Durability) -> Self {
        let key = LogKey::load_or_create(&directory.join("key"), &SystemEntropy::new()).unwrap();
        let config = LogConfig {
            directory: directory.to_owned(),
            origin: "example.org/audit/bench".to_owned(),
            writer: Writer { gateway: "bench".into(), config: Digest::of(b"") },
            queue: NonZeroUsize::new(65_536).unwrap(),
            durability,
            unavailable: Unavailable::Refuse,
            sync_every: Duration::from_millis(50),
            checkpoint_every: Duration::from_secs(1),
        };
        let metrics = LogMetrics::new(&mut Registry::default());
        let (log, keeper) =
            Log::open(config, &key, Arc::new(SystemClock::new()), Readiness::default(), metrics).unwrap();
        Self { audit: Arc::new(log), keeper: Some(keeper) }
    }

    pub(crate) fn finish(self) {
        if let Some(keeper) = self.keeper {
            keeper.finish(Duration::from_mins(1)).unwrap();
        }
    }
}

/// Records a decision, and waits as long as its answer would.
pub(crate) async fn record(audit: &dyn Audit, record: &DecisionRecord<'_>) {
    // A full queue makes an answer an error. Here it is asked again, so that all are counted as done once they are.
    loop {
        match audit.append(Record::Decision(record)) {
            Ok(taken) => break taken.durable().await.unwrap(),
            Err(_full) => tokio::task::yield_now().await,
        }
    }
}

/// Keeps no record.
#[derive(Debug)]
struct Nothing;

impl Audit for Nothing {
    fn append(&self, record: Record<'_>) -> Result<Taken, AppendError> {
        std::hint::black_box(record);
        Ok(Taken::NOW)
    }
}
