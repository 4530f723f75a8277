//! Where decisions are recorded.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis::evidence::log::{Durability, Keeper, Log, LogConfig, LogKey, LogMetrics, Unavailable};
use portcullis::evidence::record::encoding::Writer;
use portcullis::evidence::{Audit as _, DecisionRecord, Record};
use portcullis::foundation::clock::SystemClock;
use portcullis::foundation::digest::Digest;
use portcullis::foundation::entropy::SystemEntropy;
use portcullis::foundation::readiness::Readiness;
use portcullis::foundation::telemetry::Registry;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions as _, SqliteConnection};

/// One place.
#[derive(Clone)]
pub(crate) enum Recorder {
    None,
    Log(Arc<Log>, Arc<Mutex<Option<Keeper>>>),
    Sql(Arc<tokio::sync::Mutex<SqliteConnection>>),
}

impl Recorder {
    pub(crate) const fn none() -> Self {
        Self::None
    }

    pub(crate) fn group(directory: &Path) -> Self {
        Self::log(&directory.join("group"), Durability::Group)
    }

    pub(crate) fn strict(directory: &Path) -> Self {
        Self::log(&directory.join("strict"), Durability::Strict)
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
            checkpoint_every: Duration::from_secs(1),
        };
        let metrics = LogMetrics::new(&mut Registry::default());
        let (log, keeper) =
            Log::open(config, &key, Arc::new(SystemClock::new()), Readiness::default(), metrics).unwrap();
        Self::Log(Arc::new(log), Arc::new(Mutex::new(Some(keeper))))
    }

    /// A database with a table of records, in its own directory.
    pub(crate) async fn sql(directory: &Path, is_wal: bool) -> Self {
        let mode = if is_wal { SqliteJournalMode::Wal } else { SqliteJournalMode::Delete };
        let path = directory.join(format!("{is_wal}.sqlite"));
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).journal_mode(mode);
        let mut connection = options.connect().await.unwrap();
        let table = "CREATE TABLE records (number INTEGER PRIMARY KEY, id TEXT NOT NULL, record TEXT NOT NULL)";
        sqlx::query(table).execute(&mut connection).await.unwrap();
        Self::Sql(Arc::new(tokio::sync::Mutex::new(connection)))
    }

    /// Records a decision, and waits as long as its answer would.
    pub(crate) async fn record(&self, record: &DecisionRecord<'_>) {
        match self {
            Self::None => {
                std::hint::black_box(record);
            }
            // A full queue makes an answer an error. Here it is asked again, so that all are counted as done once they are.
            Self::Log(log, _) => loop {
                match log.append(Record::Decision(record)) {
                    Ok(taken) => break taken.durable().await.unwrap(),
                    Err(_full) => tokio::task::yield_now().await,
                }
            },
            Self::Sql(connection) => {
                let text = serde_json::to_string(record).unwrap();
                let insert = sqlx::query("INSERT INTO records (id, record) VALUES (?, ?)");
                let insert = insert.bind(record.decision_id.to_string()).bind(text);
                insert.execute(&mut *connection.lock().await).await.unwrap();
            }
        }
    }

    pub(crate) fn finish(self) {
        if let Self::Log(_, keeper) = self
            && let Some(keeper) = keeper.lock().unwrap().take()
        {
            keeper.finish(Duration::from_mins(1)).unwrap();
        }
    }
}
