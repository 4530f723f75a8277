//! Servers to measure against, each as one would write it with tonic: nothing is tuned, and nothing is left out that the
//! task needs.

mod always_allow;
mod plain_cedar;
mod service;

use std::path::Path;

use envoy_types::pb::envoy::service::auth::v3::authorization_server::{Authorization, AuthorizationServer};
use tokio::net::{TcpListener, UnixListener};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::Server;

pub use self::always_allow::AlwaysAllow;
pub use self::plain_cedar::PlainCedar;
pub use self::service::serve as serve_service;
use crate::Failure;
use crate::address::Address;

/// Serves Envoy's authorization service until the process ends.
///
/// # Errors
/// [`Failure`] if the address can't be had.
pub async fn serve(address: &Address, authorization: impl Authorization) -> Result<(), Failure> {
    let fail = |error: &dyn std::fmt::Display| Failure::new(format_args!("serving on {address:?}"), error);
    let router = Server::builder().add_service(AuthorizationServer::new(authorization));
    match address {
        Address::Unix(path) => {
            let listener = UnixListener::bind(path).map_err(|error| fail(&error))?;
            router.serve_with_incoming(UnixListenerStream::new(listener)).await.map_err(|error| fail(&error))
        }
        Address::Tcp(socket) => {
            let listener = TcpListener::bind(socket).await.map_err(|error| fail(&error))?;
            // tonic sets no option on sockets that it is handed, and Nagle's algorithm would hold answers back.
            let sockets = TcpListenerStream::new(listener);
            let sockets = tokio_stream::StreamExt::map(sockets, |socket| {
                socket.and_then(|socket| socket.set_nodelay(true).map(|()| socket))
            });
            router.serve_with_incoming(sockets).await.map_err(|error| fail(&error))
        }
    }
}

/// All files of a directory with this ending, in order.
fn files(directory: &Path, ending: &str) -> Result<Vec<String>, Failure> {
    let fail = |error: std::io::Error| Failure::new(directory.display(), error);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.to_string_lossy().ends_with(ending) {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| std::fs::read_to_string(path).map_err(fail)).collect()
}
