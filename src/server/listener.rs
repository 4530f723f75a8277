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
    /// Another process is at the same point of its start.
    #[error("another process is about to listen on `{}`", .0.display())]
    Starting(PathBuf),
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

/// A socket for an address that all goes on as it was for until it is published. Dropping it leaves no trace.
///
/// Who listens on several addresses prepares all of them first: a start that fails then takes none from a process that
/// runs.
#[derive(Debug)]
pub struct Prepared(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(socket2::Socket, SocketAddr),
    Unix(unix::Draft),
    Inherited(Socket, BoundAddress),
}

/// Makes a socket for `address`.
///
/// A Unix socket gets `default_mode` unless its address names another. A socket file that nobody answers on is to be
/// replaced; one that somebody answers on only with `takeover`. On TCP a takeover shares the port until the other
/// process lets go of it; new connections go to either.
///
/// # Errors
/// [`BindError`]
pub fn prepare(
    address: &ListenAddress,
    default_mode: u32,
    takeover: bool,
    inherited: &mut InheritedSockets,
) -> Result<Prepared, BindError> {
    let kind = match address {
        ListenAddress::Tcp(socket_address) => {
            let prepared = prepare_tcp(*socket_address, takeover);
            let (socket, real) = prepared.map_err(|source| BindError::Io { address: address.to_string(), source })?;
            Kind::Tcp(socket, real)
        }
        ListenAddress::Unix { path, mode } => Kind::Unix(unix::prepare(path, mode.unwrap_or(default_mode), takeover)?),
        ListenAddress::Inherited(name) => {
            let (socket, address) = inherited.take(name)?;
            Kind::Inherited(socket, address)
        }
    };
    Ok(Prepared(kind))
}

impl Prepared {
    /// Listens. On a Unix path there is always this socket or the one before it, at every moment.
    ///
    /// # Errors
    /// [`BindError`]
    pub fn publish(self) -> Result<Bound, BindError> {
        match self.0 {
            Kind::Tcp(socket, real) => {
                // The standard library asks for a queue of 128, which a fleet that reconnects at once overruns.
                let listening = socket.listen(LONGEST_QUEUE);
                listening.map_err(|source| BindError::Io { address: format!("tcp:{real}"), source })?;
                let socket = Socket::Tcp(TcpListener::from(socket));
                Ok(Bound { socket, origin: Origin::Own, address: BoundAddress::Tcp(real) })
            }
            Kind::Unix(draft) => {
                let (listener, claim) = draft.publish()?;
                let address = BoundAddress::Unix(claim.path().to_owned());
                Ok(Bound { socket: Socket::Unix(listener), origin: Origin::OwnPath(claim), address })
            }
            Kind::Inherited(socket, address) => Ok(Bound { socket, origin: Origin::Inherited, address }),
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
/// A TCP socket that has its address and does not listen yet.
fn prepare_tcp(address: SocketAddr, takeover: bool) -> io::Result<(socket2::Socket, SocketAddr)> {
    if !takeover {
        drop(TcpListener::bind(address)?);
    }
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    let real = socket.local_addr()?.as_socket().unwrap_or(address);
    Ok((socket, real))
}

#[cfg(test)]
mod tests;
