//! Who is at the other end of a connection, as the kernel tells it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt};

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
    /// before we could take one, or if the kernel is older than 6.5 and has none to give; such a caller can't be
    /// attested.
    pub pidfd: Option<Arc<OwnedFd>>,
}

impl UnixPeer {
    /// Who connected `socket`.
    ///
    /// There is no fallback to opening a pidfd by number. Between `connect` and `accept` a caller can exit and its
    /// number go to another process, and nothing that can be read afterwards, start times included, tells that other
    /// process from the caller: it too started before the accept.
    ///
    /// # Errors
    /// The socket is not a connected Unix socket.
    pub fn of(socket: &impl AsFd) -> io::Result<Self> {
        let credentials = getsockopt(socket, sockopt::PeerCredentials)?;
        let pidfd = match getsockopt(socket, sockopt::PeerPidfd) {
            Ok(pidfd) => Some(Arc::new(pidfd)),
            // The process was reaped (ESRCH, and EINVAL or ENODATA in some kernels), or there is no such option.
            Err(Errno::ESRCH | Errno::EINVAL | Errno::ENODATA | Errno::ENOPROTOOPT) => None,
            // Out of descriptors, for instance: the caller is there, but we can't take hold of it now.
            Err(errno) => return Err(errno.into()),
        };
        Ok(Self { pid: credentials.pid(), uid: credentials.uid(), gid: credentials.gid(), pidfd })
    }
}

#[cfg(test)]
mod tests;
