//! Who is at the other end of a connection, as the kernel tells it.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// What a handler may know of its connection; every request carries one in its extensions.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// The other end.
    pub peer: Peer,
}

/// The other end of a connection.
#[derive(Clone, Debug)]
pub enum Peer {
    /// A TCP socket: an address, which proves nothing.
    Tcp(SocketAddr),
    /// A Unix socket: a process of this machine.
    Unix(UnixPeer),
}

/// The process that called `connect` on a Unix socket, as the kernel recorded it at that moment (unix(7),
/// `SO_PEERCRED` and `SO_PEERPIDFD`).
#[derive(Clone, Debug)]
pub struct UnixPeer {
    /// The process id in our PID namespace; 0 if the process is in one that we can't see.
    pub pid: i32,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// A handle on that very process, which a later process with the same id does not share. `None` if it had ended
    /// before we could take one; such a caller can't be attested.
    pub pidfd: Option<Arc<OwnedFd>>,
}
