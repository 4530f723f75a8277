//! Taking connections in.

use std::io;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::server::connection::{ConnectionInfo, Peer, UnixPeer};
use crate::server::listener::{Bound, Origin, Socket};
use crate::server::metrics::ListenerMetrics;

/// How long to leave the kernel alone after it could not hand over a connection. Out of file descriptors, it would say
/// so again at once, and again, for as long as nothing is closed.
const BACK_OFF: Duration = Duration::from_millis(50);

/// The kernel's usual limit of a listener's queue (`net.core.somaxconn`).
const LONGEST_QUEUE: usize = 4096;

/// A new connection, and who it is from.
pub(super) enum Connected {
    Tcp(TcpStream, ConnectionInfo),
    Unix(UnixStream, ConnectionInfo),
}

impl Connected {
    /// The user of this machine that it is from, if that can be told.
    pub(super) const fn user(&self) -> Option<u32> {
        match self {
            Self::Tcp(_, info) | Self::Unix(_, info) => info.user(),
        }
    }
}

/// A listener that hands out connections.
pub(super) struct Acceptor {
    listener: Listener,
    origin: Origin,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Acceptor {
    pub(super) fn new(bound: Bound) -> io::Result<Self> {
        let listener = match bound.socket {
            Socket::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                Listener::Tcp(TcpListener::from_std(listener)?)
            }
            Socket::Unix(listener) => {
                listener.set_nonblocking(true)?;
                Listener::Unix(UnixListener::from_std(listener)?)
            }
        };
        Ok(Self { listener, origin: bound.origin })
    }

    /// The next connection. An error is counted and waited out; it never ends the loop. Dropping the future loses
    /// nothing.
    pub(super) async fn accept(&self, metrics: &ListenerMetrics) -> Connected {
        loop {
            let accepted = match &self.listener {
                Listener::Tcp(listener) => listener.accept().await.map(|(socket, _)| tcp(socket)),
                Listener::Unix(listener) => listener.accept().await.map(|(socket, _)| unix(socket)),
            };
            match accepted {
                Ok(Ok(connected)) => return connected,
                Ok(Err(error)) => refuse(metrics, &error),
                Err(error) => {
                    metrics.accept_errors.inc();
                    if is_of_one_connection(&error) {
                        continue;
                    }
                    tracing::warn!(listener = metrics.name, %error, "could not accept");
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }

    /// Closes the listener, and gives the connections that already waited in its queue: closing alone would reset them.
    /// An inherited socket's queue is left to the successor that gets the same socket.
    pub(super) async fn close(self, metrics: &ListenerMetrics) -> Vec<Connected> {
        match self.origin {
            Origin::Inherited => return Vec::new(),
            Origin::Own => {}
            // First the path, so that nobody can join the queue after it was emptied.
            Origin::OwnPath(claim) => match tokio::task::spawn_blocking(|| claim.release()).await {
                Ok(Ok(())) | Err(_) => {}
                Ok(Err(error)) => tracing::warn!(listener = metrics.name, %error, "the socket file was not removed"),
            },
        }
        let waiting = match self.listener {
            Listener::Tcp(listener) => listener.into_std().map(|listener| {
                waiting(
                    || listener.accept(),
                    |(socket, _)| {
                        socket.set_nonblocking(true)?;
                        tcp(TcpStream::from_std(socket)?)
                    },
                )
            }),
            Listener::Unix(listener) => listener.into_std().map(|listener| {
                waiting(
                    || listener.accept(),
                    |(socket, _)| {
                        socket.set_nonblocking(true)?;
                        unix(UnixStream::from_std(socket)?)
                    },
                )
            }),
        };
        let waiting = waiting.unwrap_or_else(|error| vec![Err(error)]);
        waiting.into_iter().filter_map(|connected| connected.map_err(|error| refuse(metrics, &error)).ok()).collect()
    }
}

/// What waits in a queue. On TCP others may still be joining it, hence the bound.
fn waiting<T>(
    accept: impl Fn() -> io::Result<T>,
    connect: impl Fn(T) -> io::Result<Connected>,
) -> Vec<io::Result<Connected>> {
    std::iter::repeat_with(accept)
        .take(LONGEST_QUEUE)
        .filter(|accepted| !matches!(accepted, Err(error) if is_of_one_connection(error)))
        .map_while(Result::ok)
        .map(connect)
        .collect()
}

fn tcp(socket: TcpStream) -> io::Result<Connected> {
    // With Nagle's algorithm every second small answer waits 40 ms for the peer's delayed ACK.
    socket.set_nodelay(true)?;
    let peer = Peer::Tcp(socket.peer_addr()?);
    Ok(Connected::Tcp(socket, ConnectionInfo::of(peer)))
}

fn unix(socket: UnixStream) -> io::Result<Connected> {
    let peer = Peer::Unix(UnixPeer::of(&socket)?);
    Ok(Connected::Unix(socket, ConnectionInfo::of(peer)))
}

fn refuse(metrics: &ListenerMetrics, error: &io::Error) {
    metrics.refused.inc();
    tracing::debug!(listener = metrics.name, %error, "connection refused, its peer can't be told");
}

/// Whether the next connection may well do better, so that there is nothing to wait for (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};

    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
