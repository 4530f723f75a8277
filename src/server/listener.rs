//! Where the process listens: addresses as they stand in the configuration, and how they become sockets.

mod address;
mod inherited;
mod unix;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use socket2::{Domain, Protocol, Type};

pub use address::{ListenAddress, ListenAddressError};
pub use inherited::InheritedSockets;
pub(super) use unix::Claim;

/// The kernel cuts it to its own limit (`net.core.somaxconn`).
const LONGEST_QUEUE: i32 = 65_535;

/// A socket that listens already, though nobody accepts yet.
#[derive(Debug)]
pub struct Bound {
    pub(super) socket: Socket,
    pub(super) origin: Origin,
    address: BoundAddress,
}

/// Where a bound socket really listens; it prints as the [`ListenAddress`] that a client of it would use.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BoundAddress {
    /// With the port that the kernel chose if 0 was asked for.
    Tcp(SocketAddr),
    /// In the file system.
    Unix(PathBuf),
    /// An inherited Unix socket without a path, by the name it was given.
    Inherited(String),
}

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Whose the socket is, which decides what to do with it at the end.
#[derive(Debug)]
pub(super) enum Origin {
    /// Ours alone: what waits in its queue is lost unless we take it.
    Own,
    /// Ours, with a path in the file system.
    OwnPath(Claim),
    /// Somebody else's, who hands it to our successor with all that waits in its queue.
    Inherited,
}

/// Why an address can't be listened on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// unix(7) leaves no room for a longer one.
    #[error("the socket path `{}` is longer than {limit} bytes", path.display())]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// How long it may be.
        limit: usize,
    },
    /// Something that is not a socket is in the way, and is left alone.
    #[error("`{}` exists and is not a socket", .0.display())]
    NotASocket(PathBuf),
    /// Another process answers there.
    #[error("another process listens on `{}`; a takeover must be asked for", .0.display())]
    Live(PathBuf),
    /// Another process is changing sockets in that directory and does not finish.
    #[error("the directory `{}` stays locked by another process", .0.display())]
    Locked(PathBuf),
    /// No such socket was passed to us.
    #[error("no socket named `{0}` was passed to this process")]
    NotInherited(String),
    /// The sockets passed to us make no sense.
    #[error("the sockets passed to this process can't be used: {0}")]
    Inheritance(String),
    /// The system said no.
    #[error("can't listen on `{address}`: {source}")]
    Io {
        /// The address.
        address: String,
        /// The system's reason.
        source: io::Error,
    },
}

/// Listens on `address`.
///
/// A Unix socket gets `default_mode` unless its address names another. A socket file that nobody answers on is
/// replaced; one that somebody answers on only with `takeover`, and then in a way that there is always one or the other
/// under the path. On TCP a takeover shares the port until the other process lets go of it; new connections go to either.
///
/// # Errors
/// [`BindError`]
pub fn bind(
    address: &ListenAddress,
    default_mode: u32,
    takeover: bool,
    inherited: &mut InheritedSockets,
) -> Result<Bound, BindError> {
    match address {
        ListenAddress::Tcp(socket_address) => {
            bind_tcp(*socket_address, takeover).map_err(|source| BindError::Io { address: address.to_string(), source })
        }
        ListenAddress::Unix { path, mode } => {
            let (listener, claim) = unix::bind(path, mode.unwrap_or(default_mode), takeover)?;
            Ok(Bound {
                socket: Socket::Unix(listener),
                origin: Origin::OwnPath(claim),
                address: BoundAddress::Unix(path.clone()),
            })
        }
        ListenAddress::Inherited(name) => {
            let (socket, address) = inherited.take(name)?;
            Ok(Bound { socket, origin: Origin::Inherited, address })
        }
    }
}

impl Bound {
    /// Where it really listens.
    pub const fn address(&self) -> &BoundAddress {
        &self.address
    }

    /// The address and port of a TCP socket.
    pub const fn tcp_address(&self) -> Option<SocketAddr> {
        match self.address {
            BoundAddress::Tcp(address) => Some(address),
            BoundAddress::Unix(_) | BoundAddress::Inherited(_) => None,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl fmt::Display for BoundAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inherited(name) => write!(f, "fd:{name}"),
        }
    }
}

/// A successor binds the port while we still serve on it, which the kernel lets processes of one user do if both asked
/// for it (socket(7), `SO_REUSEPORT`). Who was not told to take over must find the port free all the same.
fn bind_tcp(address: SocketAddr, takeover: bool) -> io::Result<Bound> {
    if !takeover {
        drop(TcpListener::bind(address)?);
    }
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    // The standard library asks for a queue of 128, which a fleet that reconnects at once overruns.
    socket.listen(LONGEST_QUEUE)?;
    let listener = TcpListener::from(socket);
    let real = listener.local_addr()?;
    Ok(Bound { socket: Socket::Tcp(listener), origin: Origin::Own, address: BoundAddress::Tcp(real) })
}

#[cfg(test)]
mod tests;
