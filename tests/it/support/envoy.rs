//! A real Envoy, run from a hard link of its own so that `unix:path` tells it apart.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use super::gateway::Home;
use super::http::{self, Answer};
use super::process::Process;
use super::{envoy_binary, eventually, root};

/// A running sidecar.
pub(crate) struct Sidecar {
    /// The process.
    pub(crate) process: Process,
    home: PathBuf,
}

impl Sidecar {
    /// Starts the sidecar `name` of `home` on a configuration text, without waiting.
    pub(crate) fn spawn(home: &Home, name: &str, configuration: &str) -> Self {
        let directory = home.path().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let binary = directory.join("envoy");
        if !binary.exists() && std::fs::hard_link(envoy_binary(), &binary).is_err() {
            std::fs::copy(envoy_binary(), &binary).unwrap();
        }
        let text = configuration
            .replace("/run/portcullis", &home.path().display().to_string())
            .replace("/run/envoy", &directory.display().to_string());
        let file = directory.join("envoy.yaml");
        std::fs::write(&file, text).unwrap();
        let process = Process::start(
            Command::new(&binary).arg("-c").arg(&file).args([
                "--disable-hot-restart",
                "--concurrency",
                "1",
                "--log-level",
                "warning",
            ]),
            &directory.join("envoy.log"),
        );
        Self { process, home: directory }
    }

    /// Waits until it is ready, which it is once it has its certificate and bundle.
    pub(crate) async fn ready(&mut self) {
        eventually("the sidecar is ready", async || {
            self.process.assert_running();
            (self.admin("/ready").await.status == 200).then_some(())
        })
        .await;
    }

    /// `GET path` at its admin socket.
    pub(crate) async fn admin(&self, path: &str) -> Answer {
        http::get_unix(&self.home.join("admin.sock"), path).await
    }

    /// The sum of all statistics whose name matches the regular expression.
    pub(crate) async fn stat(&self, pattern: &str) -> u64 {
        let lines = self.admin(&format!("/stats?filter={pattern}")).await.body;
        lines.lines().filter_map(|line| line.rsplit_once(": ")?.1.parse::<u64>().ok()).sum()
    }

    /// The serial number of the first certificate it uses.
    pub(crate) async fn serial(&self) -> String {
        let certificates = self.admin("/certs").await.json();
        let all = certificates["certificates"].as_array().unwrap();
        let chain = all.iter().find_map(|one| one["cert_chain"].get(0)).unwrap_or_else(|| panic!("{certificates}"));
        chain["serial_number"].as_str().unwrap().to_owned()
    }
}

/// One of the configurations under `envoy/`.
pub(crate) fn configuration(name: &str) -> String {
    std::fs::read_to_string(root().join("envoy").join(name)).unwrap()
}

/// The configuration of the service's sidecar with one-way TLS: a client may be without a certificate.
pub(crate) fn one_way(backend: &str) -> String {
    backend
        .replace("cluster: orders\n", "cluster: orders\n  metadata: { disable_spiffe_cert_validation: \"true\" }\n")
        .replace("require_client_certificate: true", "require_client_certificate: false")
        .replace("{ name: ALL,", "{ name: ROOTCA,")
        // Envoy demands a certificate wherever it is to look for a name in one.
        .replace("match_typed_subject_alt_names:", "{}")
        .replace("- { san_type: URI, matcher: { prefix: \"spiffe://\" } }", "")
}

/// A port that is free, below those that the kernel gives to outgoing connections, so that none of them takes it before
/// the sidecar does; and another each time.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 12_000 + u16::try_from(std::process::id() % 1000).unwrap() * 20;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// What a sidecar has written into its access log.
pub(crate) fn access_log(home: &Home, name: &str) -> String {
    std::fs::read_to_string(Path::new(&home.path().join(name)).join("access.log")).unwrap_or_default()
}
