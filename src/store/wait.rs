//! Waiting until somebody wrote to the database, without reading what is in it.

use std::io::ErrorKind;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use sqlx::{Connection as _, Executor as _, Pool, Postgres, Sqlite, SqliteConnection};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use super::Backend;

/// How often SQLite is asked whether its file changed: it has no way to tell. The answer comes from shared memory.
const SQLITE_PAUSE: Duration = Duration::from_millis(50);

/// After this long without a notification, one may have been lost.
const POSTGRES_PATIENCE: Duration = Duration::from_secs(5);

/// A connection of its own, kept between calls. Lost with any error, so that the next call makes another.
#[derive(Debug)]
pub(super) struct Waiter {
    /// What PostgreSQL's triggers notify.
    channel: &'static str,
    watch: Mutex<Watch>,
}

#[derive(Debug, Default)]
enum Watch {
    #[default]
    None,
    Sqlite {
        connection: SqliteConnection,
        version: i64,
    },
    Postgres(PgListener),
}

impl Waiter {
    /// Waits for what is told on `channel`; on SQLite, for any write.
    pub(super) fn new(channel: &'static str) -> Self {
        Self { channel, watch: Mutex::default() }
    }

    /// Ends once the database may have changed since the last call.
    pub(super) async fn wait(&self, backend: &Backend) -> Result<(), sqlx::Error> {
        let mut watch = self.watch.lock().await;
        // Put back when all went well, so that a caller that stops waiting makes a new connection next time.
        let next = match (std::mem::take(&mut *watch), backend) {
            (Watch::Sqlite { mut connection, version }, _) => {
                let version = changed(&mut connection, version).await?;
                Watch::Sqlite { connection, version }
            }
            (Watch::Postgres(mut listener), _) => {
                notified(&mut listener).await?;
                Watch::Postgres(listener)
            }
            (Watch::None, Backend::Sqlite(database)) => watch_file(&database.pool).await?,
            (Watch::None, Backend::Postgres(database)) => listen(&database.pool, self.channel).await?,
        };
        *watch = next;
        Ok(())
    }
}

async fn watch_file(pool: &Pool<Sqlite>) -> Result<Watch, sqlx::Error> {
    let mut connection = SqliteConnection::connect_with(&pool.connect_options()).await?;
    let version = data_version(&mut connection).await?;
    Ok(Watch::Sqlite { connection, version })
}

/// Ends with the version that is not `known` any more.
async fn changed(connection: &mut SqliteConnection, known: i64) -> Result<i64, sqlx::Error> {
    loop {
        sleep(SQLITE_PAUSE).await;
        let version = data_version(connection).await?;
        if version != known {
            return Ok(version);
        }
    }
}

/// A number that is another whenever another connection, of any process, has written.
async fn data_version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA data_version").fetch_one(connection).await
}

async fn listen(pool: &Pool<Postgres>, channel: &str) -> Result<Watch, sqlx::Error> {
    let options = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    let own = options.connect_with((*pool.connect_options()).clone()).await?;
    let mut listener = PgListener::connect_with(&own).await?;
    listener.listen(channel).await?;
    Ok(Watch::Postgres(listener))
}

/// Ends with all notifications that have arrived, or when one may have been lost: a connection whose other end went without
/// a word is silent too, so it must answer then.
async fn notified(listener: &mut PgListener) -> Result<(), sqlx::Error> {
    match timeout(POSTGRES_PATIENCE, listener.try_recv()).await {
        Ok(received) => drop(received?.ok_or_else(|| sqlx::Error::Io(ErrorKind::ConnectionAborted.into()))?),
        Err(_silent) => {
            let answer = timeout(POSTGRES_PATIENCE, listener.execute("SELECT 1")).await;
            answer.map_err(|_silent| sqlx::Error::PoolTimedOut)??;
        }
    }
    while listener.next_buffered().is_some() {}
    Ok(())
}
