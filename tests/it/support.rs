//! What the tests share: a gateway, sidecars, clients, and waiting with a limit.

pub(crate) mod authzen;
pub(crate) mod corpus;
pub(crate) mod envoy;
pub(crate) mod gateway;
pub(crate) mod guide;
pub(crate) mod http;
pub(crate) mod idp;
pub(crate) mod mcp;
pub(crate) mod mesh;
pub(crate) mod neighbour;
pub(crate) mod oauth;
pub(crate) mod pdp;
pub(crate) mod process;
pub(crate) mod sds;
pub(crate) mod tls;
pub(crate) mod token;
pub(crate) mod workload_api;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Waits until `probe` gives something, at most 30 seconds.
#[expect(clippy::disallowed_methods, reason = "the tests wait in real time for real processes")]
pub(crate) async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited 30 s in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Where the real Envoy is: `make test` installs it and says so in `ENVOY`.
#[expect(clippy::disallowed_methods, reason = "the tests are told by `make` where Envoy is")]
pub(crate) fn envoy_binary() -> PathBuf {
    let path = std::env::var_os("ENVOY").map_or_else(|| root().join("target/envoy-1.40.0/envoy"), PathBuf::from);
    path.canonicalize().unwrap_or_else(|_| panic!("no Envoy at {}: run `make envoy`, or set ENVOY", path.display()))
}

/// A file or folder of the outside test data: `make vectors` says in `VECTORS` where they are.
#[expect(clippy::disallowed_methods, reason = "the tests are told by `make` where the vectors are")]
pub(crate) fn vectors(name: &str) -> PathBuf {
    let home =
        std::env::var_os("VECTORS").map_or_else(|| panic!("VECTORS is not set: run `make vectors`"), PathBuf::from);
    let path = home.join(name);
    assert!(path.exists(), "no {}: run `make vectors VECTORS=…`", path.display());
    path
}
