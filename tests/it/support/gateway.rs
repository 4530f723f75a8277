//! A Portcullis of one's own, in a directory of its own.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::http::{self, Answer};
use super::process::Process;
use super::{eventually, root};

/// Where a test keeps its files. Short, since the path of a Unix socket is limited to 107 bytes.
pub(crate) struct Home(TempDir);

impl Home {
    /// A new directory with the quickstart's policies in it.
    pub(crate) fn new() -> Self {
        let home = Self(tempfile::Builder::new().prefix("pc-").tempdir_in("/tmp").unwrap());
        std::fs::create_dir(home.policies()).unwrap();
        home.copy_policies("policies/quickstart");
        home
    }

    /// Puts the policies of a folder of this repository in place of what is there. For a gateway not yet started.
    pub(crate) fn take_policies(&self, folder: &str) {
        std::fs::remove_dir_all(self.policies()).unwrap();
        std::fs::create_dir(self.policies()).unwrap();
        self.copy_policies(folder);
    }

    fn copy_policies(&self, folder: &str) {
        for file in std::fs::read_dir(root().join(folder)).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), self.policies().join(file.file_name())).unwrap();
        }
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Where the gateway's policies are.
    pub(crate) fn policies(&self) -> PathBuf {
        self.path().join("policies")
    }

    /// The socket that SDS is served on.
    pub(crate) fn workload_socket(&self) -> PathBuf {
        self.path().join("workload.sock")
    }

    /// The socket that `ext_authz` is served on.
    pub(crate) fn ext_authz_socket(&self) -> PathBuf {
        self.path().join("ext_authz.sock")
    }

    fn operations_socket(&self) -> PathBuf {
        self.path().join("operations.sock")
    }

    /// The socket that the admin API is served on.
    pub(crate) fn admin_socket(&self) -> PathBuf {
        self.path().join("admin.sock")
    }

    /// The socket that `AuthZEN` is served on.
    pub(crate) fn authzen_socket(&self) -> PathBuf {
        self.path().join("authzen.sock")
    }

    /// The audit log so far: all that was answered before this was called, if the gateway runs.
    pub(crate) fn records(&self) -> Vec<Value> {
        for _ in 0..2000 {
            let written = self.written();
            if self.entries_in_the_log().is_none_or(|entries| i64::try_from(written.len()) == Ok(entries)) {
                return written;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the audit file never has all that is in the log");
    }

    /// How many entries there are, those that wait included; `None` if nobody answers.
    fn entries_in_the_log(&self) -> Option<i64> {
        let mut stream = UnixStream::connect(self.operations_socket()).ok()?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n").ok()?;
        let mut metrics = String::new();
        stream.read_to_string(&mut metrics).ok()?;
        let value = |name: &str| {
            metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<i64>().ok())
        };
        Some(value("portcullis_audit_entries")? + value("portcullis_audit_waiting_records")?)
    }

    fn written(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path().join("data/audit.jsonl")).unwrap_or_default();
        text.split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}")))
            .collect()
    }

    /// The record of a decision.
    pub(crate) async fn decision(&self, id: &str) -> Value {
        eventually(&format!("decision `{id}` is in the log"), async || {
            self.records().into_iter().find(|record| record["decision_id"] == id)
        })
        .await
    }

    /// The registration entries: `orders` for the sidecar at `orders/envoy`, and so on, told apart by path, and
    /// `tester` for this test process.
    fn entries(&self) -> String {
        let mut entries: Vec<Value> = ["web", "batch", "orders"]
            .iter()
            .map(|name| {
                let binary = self.path().join(name).join("envoy");
                serde_json::json!({
                    "id": name,
                    "spiffe_id": format!("spiffe://example.org/{name}"),
                    "selectors": [format!("unix:path:{}", binary.display())],
                })
            })
            .collect();
        let tests = std::env::current_exe().unwrap();
        entries.push(serde_json::json!({
            "id": "tester",
            "spiffe_id": "spiffe://example.org/web",
            "selectors": [format!("unix:path:{}", tests.display())],
        }));
        serde_json::to_string(&entries).unwrap()
    }

    fn command(&self, settings: &[(&str, &str)]) -> Command {
        self.configured(Command::new(env!("CARGO_BIN_EXE_portcullis")), settings)
    }

    /// The gateway under what stands for a service manager, which holds two of its sockets.
    fn activated_command(&self) -> Command {
        let mut command = Command::new("python3");
        command
            .arg(root().join("tests/it/support/activate.py"))
            .arg(format!("workload={}", self.workload_socket().display()))
            .arg(format!("ext_authz={}", self.ext_authz_socket().display()))
            .args(["--", env!("CARGO_BIN_EXE_portcullis")]);
        self.configured(command, &[("LISTEN__WORKLOAD", "fd:workload"), ("LISTEN__EXT_AUTHZ", "fd:ext_authz")])
    }

    /// The gateway where no file can grow beyond so many bytes, which stands for a disk that is full.
    fn limited_command(&self, bytes: u64, settings: &[(&str, &str)]) -> Command {
        let mut command = Command::new("sh");
        // The signal that comes with the error would end the process.
        command
            .args(["-c", "trap '' XFSZ; ulimit -S -f \"$1\"; shift; exec \"$@\"", "sh"])
            .arg((bytes / 512).to_string())
            .arg(env!("CARGO_BIN_EXE_portcullis"));
        self.configured(command, settings)
    }

    /// The gateway where a directory can only be read: in a mount namespace of its own, for which nobody has to be root.
    fn read_only_command(&self, directory: &Path, settings: &[(&str, &str)]) -> Command {
        const READ_ONLY: &str = "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && shift && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["-Urm", "sh", "-c", READ_ONLY, "sh"]).arg(directory).arg(env!("CARGO_BIN_EXE_portcullis"));
        self.configured(command, settings)
    }

    /// The gateway where a directory is a file system of eight megabytes, which it alone sees.
    fn small_disk_command(&self, directory: &Path, settings: &[(&str, &str)]) -> Command {
        const SMALL: &str = "mount -t tmpfs -o size=8m,mode=0700 tmpfs \"$1\" && shift && exec \"$@\"";
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).unwrap();
        let mut command = Command::new("unshare");
        command.args(["-Urm", "sh", "-c", SMALL, "sh"]).arg(directory).arg(env!("CARGO_BIN_EXE_portcullis"));
        self.configured(command, settings)
    }

    fn configured(&self, mut command: Command, settings: &[(&str, &str)]) -> Command {
        let at = |name: &str| self.path().join(name).display().to_string();
        command
            .args(["serve", "-c"])
            .arg(root().join("examples/quickstart/portcullis.yaml"))
            .env("PORTCULLIS_DATA_DIR", at("data"))
            .env("PORTCULLIS_AUDIT__CHECKPOINT_EVERY", "20ms")
            .env("PORTCULLIS_AUDIT__FILE", at("data/audit.jsonl"))
            .env("PORTCULLIS_LISTEN__WORKLOAD", format!("unix:{}", self.workload_socket().display()))
            .env("PORTCULLIS_LISTEN__EXT_AUTHZ", format!("unix:{}", self.ext_authz_socket().display()))
            .env("PORTCULLIS_LISTEN__AUTHZEN", format!("unix:{}", self.authzen_socket().display()))
            .env("PORTCULLIS_LISTEN__OPERATIONS", format!("unix:{}", self.operations_socket().display()))
            .env("PORTCULLIS_LISTEN__ADMIN", format!("unix:{}", self.admin_socket().display()))
            .env("PORTCULLIS_DECISION__POLICIES", at("policies"))
            // On a kernel before 6.5 there is no other way, and on a later one it changes nothing.
            .env("PORTCULLIS_IDENTITY__ATTEST_BY_PID_LOOKUP", "true")
            .env("PORTCULLIS_IDENTITY__ENTRIES", self.entries());
        for (name, value) in settings {
            command.env(format!("PORTCULLIS_{name}"), value);
        }
        command
    }
}

/// A running gateway.
pub(crate) struct Gateway {
    /// The process.
    pub(crate) process: Process,
    operations: PathBuf,
}

impl Gateway {
    /// Starts one on `home`, with `settings` (`SECTION__KEY`, value) over the quickstart's, and waits until it is
    /// ready.
    pub(crate) async fn start(home: &Home, settings: &[(&str, &str)]) -> Self {
        Self::start_with(home, settings, &[]).await
    }

    /// Starts one that takes the sockets over from the one that is running, but has an operations socket of its own:
    /// whether it is ready must not be answered by its predecessor.
    pub(crate) async fn take_over(home: &Home, settings: &[(&str, &str)], generation: u32) -> Self {
        let operations = home.path().join(format!("operations-{generation}.sock"));
        let address = format!("unix:{}", operations.display());
        let mut gateway =
            Self::spawn(home, &[settings, &[("LISTEN__OPERATIONS", address.as_str())]].concat(), &["--takeover"]);
        gateway.operations = operations;
        gateway.ready().await;
        gateway
    }

    /// Starts one with further arguments.
    pub(crate) async fn start_with(home: &Home, settings: &[(&str, &str)], arguments: &[&str]) -> Self {
        let mut gateway = Self::spawn(home, settings, arguments);
        gateway.ready().await;
        gateway
    }

    /// Starts one whose sockets are held by a service manager, which starts it again on SIGHUP.
    pub(crate) async fn start_activated(home: &Home) -> Self {
        let process = Process::start(&mut home.activated_command(), &home.path().join("portcullis.log"));
        let mut gateway = Self { process, operations: home.operations_socket() };
        gateway.ready().await;
        gateway
    }

    /// Starts one whose files can't grow beyond so many bytes.
    pub(crate) async fn start_limited(home: &Home, bytes: u64, settings: &[(&str, &str)]) -> Self {
        let process = Process::start(&mut home.limited_command(bytes, settings), &home.path().join("portcullis.log"));
        let mut gateway = Self { process, operations: home.operations_socket() };
        gateway.ready().await;
        gateway
    }

    /// Starts one for which a directory is a file system of eight megabytes.
    pub(crate) async fn start_on_small_disk(home: &Home, directory: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = home.small_disk_command(directory, settings);
        let process = Process::start(&mut command, &home.path().join("portcullis.log"));
        let mut gateway = Self { process, operations: home.operations_socket() };
        gateway.ready().await;
        gateway
    }

    /// Starts one without waiting for anything.
    pub(crate) fn spawn(home: &Home, settings: &[(&str, &str)], arguments: &[&str]) -> Self {
        let process = Process::start(home.command(settings).args(arguments), &home.path().join("portcullis.log"));
        Self { process, operations: home.operations_socket() }
    }

    /// Starts one that can only read a directory, without waiting for anything.
    pub(crate) fn spawn_read_only(home: &Home, directory: &Path) -> Self {
        let process = Process::start(&mut home.read_only_command(directory, &[]), &home.path().join("portcullis.log"));
        Self { process, operations: home.operations_socket() }
    }

    /// Starts one whose log nobody reads, and waits until it is ready.
    pub(crate) async fn start_unheard(home: &Home, settings: &[(&str, &str)]) -> Self {
        let process = Process::start_unheard(&mut home.command(settings));
        let mut gateway = Self { process, operations: home.operations_socket() };
        gateway.ready().await;
        gateway
    }

    /// Waits until `/readyz` says ready.
    pub(crate) async fn ready(&mut self) {
        eventually("the gateway is ready", async || {
            self.process.assert_running();
            (http::get_unix(&self.operations, "/readyz").await.status == 200).then_some(())
        })
        .await;
    }

    /// `GET path` at the operations listener.
    pub(crate) async fn operations(&self, path: &str) -> Answer {
        http::get_unix(&self.operations, path).await
    }

    /// The value of one line of `/metrics`, by everything before the value.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let metrics = self.operations("/metrics").await.body;
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no metric `{name}` in:\n{metrics}"))
    }
}
