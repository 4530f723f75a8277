//! A row in SQLite for each record, as programs do that record in a database: one connection, one insert after another.

use std::path::Path;
use std::sync::Arc;

use portcullis::evidence::{AppendError, Audit, Progress, Record, Taken};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions as _, SqliteConnection};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Where the rows go.
#[derive(Debug)]
pub(crate) struct Rows {
    /// Their ids and texts, in turn.
    waiting: std::sync::Mutex<(u64, UnboundedSender<(String, String)>)>,
    progress: watch::Receiver<Progress>,
    _inserting: JoinSet<()>,
}

impl Rows {
    /// A database with a table of records, in its own directory.
    pub(crate) async fn start(directory: &Path, is_wal: bool) -> Arc<Self> {
        std::fs::create_dir(directory).unwrap();
        let mode = if is_wal { SqliteJournalMode::Wal } else { SqliteJournalMode::Delete };
        let path = directory.join("records.sqlite");
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).journal_mode(mode);
        let mut connection = options.connect().await.unwrap();
        let table = "CREATE TABLE records (number INTEGER PRIMARY KEY, id TEXT NOT NULL, record TEXT NOT NULL)";
        sqlx::query(table).execute(&mut connection).await.unwrap();
        let ((waiting, taken), (done, progress)) = (unbounded_channel(), watch::channel(Progress::default()));
        let mut inserting = JoinSet::new();
        inserting.spawn(insert(connection, taken, done));
        Arc::new(Self { waiting: std::sync::Mutex::new((0, waiting)), progress, _inserting: inserting })
    }
}

async fn insert(
    mut connection: SqliteConnection,
    mut taken: UnboundedReceiver<(String, String)>,
    done: watch::Sender<Progress>,
) {
    while let Some((id, text)) = taken.recv().await {
        let insert = sqlx::query("INSERT INTO records (id, record) VALUES (?, ?)").bind(id).bind(text);
        insert.execute(&mut connection).await.unwrap();
        done.send_modify(|progress| progress.durable += 1);
    }
}

impl Audit for Rows {
    fn append(&self, record: Record<'_>) -> Result<Taken, AppendError> {
        let Record::Decision(record) = record else { panic!("{record:?}") };
        let row = (record.decision_id.to_string(), serde_json::to_string(record).unwrap());
        let mut waiting = self.waiting.lock().unwrap();
        waiting.1.send(row).unwrap();
        waiting.0 += 1;
        Ok(Taken::at(waiting.0, self.progress.clone()))
    }
}
