//! A PostgreSQL server for one test: the machine's own programs on a temporary directory, reached over a Unix socket
//! in it. As root it runs as the user `postgres`, because it refuses to run as root.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};
use tempfile::TempDir;

/// Runs until dropped. Should the test be killed, the kernel tells the server to stop.
pub(super) struct PostgresServer {
    process: Child,
    directory: TempDir,
}

impl PostgresServer {
    /// A server with empty databases.
    ///
    /// # Panics
    /// If PostgreSQL is not installed or does not start. Without it the contract is not tested, so this is a failure.
    pub(super) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        if geteuid().is_root() {
            let user = User::from_name("postgres").unwrap().expect("there is no user `postgres`: install postgresql");
            chown(directory.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
        }
        let made = as_server_user("initdb", directory.path())
            .args(["--no-sync", "--auth=trust", "--username=portcullis", "--encoding=UTF8", "--locale=C", "--pgdata"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        let process = as_server_user("postgres", directory.path())
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"])
            .arg(directory.path())
            .arg("-D")
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, directory }
    }

    /// Makes a database and returns its URL.
    pub(super) async fn new_database(&self, name: &str) -> String {
        let mut connection = self.connect().await;
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE \"{name}\""))).execute(&mut connection).await.unwrap();
        let socket = self.directory.path().display();
        format!("postgres://portcullis@localhost/{name}?host={socket}")
    }

    /// Waits until the server answers.
    async fn connect(&self) -> PgConnection {
        let options = PgConnectOptions::new_without_pgpass()
            .socket(self.directory.path())
            .username("portcullis")
            .database("postgres");
        for _ in 0..300 {
            if let Ok(connection) = PgConnection::connect_with(&options).await {
                return connection;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the PostgreSQL server did not answer within 30 seconds");
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // A fast shutdown: ends the sessions, then the server.
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap());
        let _gone = kill(pid, Signal::SIGINT);
        let _status = self.process.wait();
    }
}

/// A command of PostgreSQL's, run as a user that it accepts, in a place that this user may enter.
fn as_server_user(program: &str, directory: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=INT").current_dir(directory);
    if geteuid().is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    }
    command.arg("--").arg(find(program));
    command
}

/// The newest of the installed versions. Debian keeps these programs out of the search path.
fn find(program: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = versions.map(|version| version.path().join("bin").join(program));
    let elsewhere = ["/usr/local/bin", "/usr/local/pgsql/bin", "/usr/bin"].map(|place| Path::new(place).join(program));
    elsewhere.into_iter().chain(debian).filter(|path| path.is_file()).max_by_key(|path| version_of(path)).unwrap_or_else(
        || panic!("`{program}` of PostgreSQL is not installed; the store is not tested without it (apt-get install postgresql)"),
    )
}

fn version_of(path: &Path) -> u32 {
    path.components().find_map(|part| part.as_os_str().to_str()?.parse().ok()).unwrap_or(0)
}
