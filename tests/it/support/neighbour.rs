//! Another trust domain, `other.org`, with a gateway of its own that signs whatever it is asked to.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::envoy::free_port;
use super::gateway::{Gateway, Home};
use super::pdp::Identity;

/// Its name.
pub(crate) const OTHER: &str = "other.org";

/// The other trust domain.
pub(crate) struct Neighbour {
    home: Home,
    _gateway: Gateway,
    /// Where its bundle endpoint is, which proves itself by the SVID `spiffe://other.org/bundle`.
    pub(crate) endpoint: String,
}

impl Neighbour {
    pub(crate) async fn start() -> Self {
        let (home, port) = (Home::new(), free_port());
        let settings = [
            ("TRUST_DOMAIN", OTHER),
            ("IDENTITY__ENTRIES", "[]"),
            ("LISTEN__BUNDLE_SPIFFE", &format!("tls:127.0.0.1:{port}")),
            ("FEDERATION__ENDPOINT__SPIFFE_ID", "spiffe://other.org/bundle"),
        ];
        let gateway = Gateway::start(&home, &settings).await;
        Self { home, _gateway: gateway, endpoint: format!("https://127.0.0.1:{port}/") }
    }

    /// `portcullis …` at its admin socket; what that printed.
    pub(crate) fn admin(&self, arguments: &[&str]) -> String {
        admin(&self.home, arguments)
    }

    /// A leaf of the workload at `path`, by the authority that signs now.
    pub(crate) fn identity(&self, path: &str) -> Identity {
        let directory = tempfile::tempdir_in(self.home.path()).unwrap();
        let written = directory.path().to_str().unwrap();
        self.admin(&["x509", "mint", "-spiffeID", &format!("spiffe://{OTHER}{path}"), "-write", written]);
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
        (read("svid.pem"), read("key.pem"))
    }

    /// A token of the workload at `path` for `audience`.
    pub(crate) fn token(&self, path: &str, audience: &str) -> String {
        let id = format!("spiffe://{OTHER}{path}");
        self.admin(&["jwt", "mint", "-spiffeID", &id, "-audience", audience]).trim().to_owned()
    }

    /// A file with its bundle as it is now.
    pub(crate) fn bundle(&self) -> PathBuf {
        let file = self.home.path().join("bundle.json");
        std::fs::write(&file, self.admin(&["bundle", "show", "-format", "spiffe"])).unwrap();
        file
    }
}

/// `portcullis …` at the admin socket of `home`; what that printed.
pub(crate) fn admin(home: &Home, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    let output = command.args(arguments).arg("-socketPath").arg(home.admin_socket()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Has the gateway of `home` hold the bundle of `other.org` that is in `file`.
pub(crate) fn hold(home: &Home, file: &Path) {
    admin(home, &["bundle", "set", "-id", "spiffe://other.org", "-format", "spiffe", "-path", file.to_str().unwrap()]);
}
