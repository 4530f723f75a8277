//! The gateway under measurement: the real binary, on a directory of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use portcullis_spiffe_api::spire::api::server::entry::v1::entry_client::EntryClient;
use portcullis_spiffe_api::spire::api::server::entry::v1::{BatchCreateEntryRequest, BatchDeleteEntryRequest};
use portcullis_spiffe_api::spire::api::types::{Entry, Selector, Spiffeid};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

/// A running gateway, ended when dropped.
pub(crate) struct Gateway {
    process: Child,
    home: TempDir,
}

impl Gateway {
    /// Starts one and waits until both sockets are there.
    pub(crate) async fn start() -> Self {
        let home = tempfile::Builder::new().prefix("pc-").tempdir_in("/tmp").unwrap();
        let policies = home.path().join("policies");
        std::fs::create_dir(&policies).unwrap();
        for file in std::fs::read_dir(root().join("policies/quickstart")).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), policies.join(file.file_name())).unwrap();
        }
        let unix = |name: &str| format!("unix:{}", home.path().join(name).display());
        let config = home.path().join("portcullis.yaml");
        std::fs::write(&config, "trust_domain: example.org\n").unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["serve", "-c"])
            .arg(&config)
            .env("PORTCULLIS_DATA_DIR", home.path().join("data"))
            .env("PORTCULLIS_LISTEN__WORKLOAD", unix("workload.sock"))
            .env("PORTCULLIS_LISTEN__ADMIN", unix("admin.sock"))
            .env("PORTCULLIS_LISTEN__EXT_AUTHZ", unix("ext_authz.sock"))
            .env("PORTCULLIS_LISTEN__AUTHZEN", "[]")
            .env("PORTCULLIS_LISTEN__OPERATIONS", "[]")
            .env("PORTCULLIS_DECISION__POLICIES", policies)
            .env("PORTCULLIS_IDENTITY__ATTEST_BY_PID_LOOKUP", "true")
            .env("PORTCULLIS_LOG__FILTER", "warn")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let gateway = Self { process, home };
        while UnixStream::connect(gateway.socket("workload.sock")).await.is_err()
            || UnixStream::connect(gateway.socket("admin.sock")).await.is_err()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        gateway
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A new connection to the socket of this name.
    pub(crate) async fn connect(&self, name: &str) -> Channel {
        let path = self.socket(name);
        let connector = tower::service_fn(move |_name| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        Endpoint::from_static("http://gateway").connect_with_connector(connector).await.unwrap()
    }

    /// The process's resident memory, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Makes an entry for processes of our own user.
    pub(crate) async fn register(&self, id: &str) {
        self.create(id, Vec::new()).await;
    }

    /// The same with an entry that federates with another trust domain.
    pub(crate) async fn federate(&self, id: &str, trust_domain: &str) {
        self.create(id, vec![trust_domain.to_owned()]).await;
    }

    async fn create(&self, id: &str, federates_with: Vec<String>) {
        let spiffe_id = |path: String| Some(Spiffeid { trust_domain: "example.org".into(), path });
        let selector = Selector { r#type: "unix".into(), value: format!("uid:{}", nix::unistd::getuid()) };
        let entry = Entry {
            id: id.to_owned(),
            spiffe_id: spiffe_id(format!("/{id}")),
            parent_id: spiffe_id(String::from("/spire/agent/portcullis")),
            selectors: vec![selector],
            federates_with,
            ..Entry::default()
        };
        let request = BatchCreateEntryRequest { entries: vec![entry], output_mask: None };
        let mut client = EntryClient::new(self.connect("admin.sock").await);
        let results = client.batch_create_entry(request).await.unwrap().into_inner().results;
        assert!(results.iter().all(|result| result.status.as_ref().unwrap().code == 0), "{results:?}");
    }

    /// Deletes an entry.
    pub(crate) async fn deregister(&self, id: &str) {
        let mut client = EntryClient::new(self.connect("admin.sock").await);
        let request = BatchDeleteEntryRequest { ids: vec![id.to_owned()] };
        client.batch_delete_entry(request).await.unwrap();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
