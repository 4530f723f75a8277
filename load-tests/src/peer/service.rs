//! The service behind an Envoy: HTTP/2 without TLS, and the same short answer to every request.

use bytes::Bytes;
use http::Response;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::Failure;
use crate::address::Address;

/// Serves until the process ends.
///
/// # Errors
/// [`Failure`] if the address can't be had.
pub async fn serve(address: &Address) -> Result<(), Failure> {
    let Address::Tcp(address) = address else {
        return Err(Failure::new("serving", "the service wants tcp:IP:PORT"));
    };
    let listener = TcpListener::bind(address).await.map_err(|error| Failure::new(address, error))?;
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.map_err(|error| Failure::new(address, error))?;
        connections.spawn(async move { drop(answer_all(socket).await) });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer_all(socket: TcpStream) -> Result<(), h2::Error> {
    let _ = socket.set_nodelay(true);
    let mut connection = h2::server::handshake(socket).await?;
    while let Some(request) = connection.accept().await {
        let (_, mut respond) = request?;
        respond.send_response(Response::new(()), false)?.send_data(Bytes::from_static(b"{\"ok\":true}\n"), true)?;
    }
    Ok(())
}
