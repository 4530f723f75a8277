//! A connection to one of the gateway's Unix sockets.

use std::path::Path;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::console::Failure;

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The largest answer: a page of entries, or a bundle.
pub(super) const MAX_ANSWER: usize = 64 << 20;

/// A running gateway.
#[derive(Clone, Debug)]
pub(super) struct Gateway {
    /// For the generated clients.
    pub(super) channel: Channel,
}

impl Gateway {
    /// Connects to the socket at `path`.
    pub(super) async fn connect(path: &Path) -> Result<Self, Failure> {
        let owned = path.strip_prefix("unix:").unwrap_or(path).to_owned();
        let unreachable =
            |error: &dyn std::fmt::Display| Failure::new(format!("can't connect to `{}`: {error}", path.display()));
        // The name is only there because HTTP wants one.
        let endpoint = Endpoint::from_static("http://gateway").timeout(PATIENCE);
        // Tried by itself first, since the transport hides why it failed.
        drop(UnixStream::connect(&owned).await.map_err(|error| unreachable(&error))?);
        let connector = service_fn(move |_name| {
            let path = owned.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        let channel = endpoint.connect_with_connector(connector).await.map_err(|error| unreachable(&error))?;
        Ok(Self { channel })
    }
}
