//! Who is at the other end of a connection, as the kernel tells it.

mod lookup;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::socket::{UnixCredentials, getsockopt, sockopt};
use rustls_pki_types::CertificateDer;

pub use self::lookup::{BootTicks, LookedUp};

/// What a handler may know of its connection; every request carries one in its extensions.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// The other end.
    pub peer: Peer,
    /// The certificate whose key the peer proved to have in the TLS handshake, if it showed one. Whether it proves
    /// anybody is not looked at there.
    pub certificate: Option<CertificateDer<'static>>,
}

impl ConnectionInfo {
    /// A connection of `peer` without a certificate.
    pub const fn of(peer: Peer) -> Self {
        Self { peer, certificate: None }
    }

    /// The user of this machine that it is from, if that can be told.
    pub(super) const fn user(&self) -> Option<u32> {
        match &self.peer {
            Peer::Unix(peer) => Some(peer.uid),
            Peer::Tcp(_) => None,
        }
    }

    /// Whose it is, as far as can be told.
    pub(super) const fn owner(&self) -> Owner {
        match &self.peer {
            Peer::Unix(peer) => Owner::User(peer.uid),
            Peer::Tcp(address) => Owner::Host(address.ip().to_canonical()),
        }
    }

    /// Whose it is where strangers come from: of IPv6, all of a network, since who has one address of it has them all.
    pub(super) fn network(&self) -> Owner {
        match &self.peer {
            Peer::Unix(peer) => Owner::User(peer.uid),
            Peer::Tcp(address) => Owner::Host(network(address.ip())),
        }
    }
}

/// Whose connections belong together.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Owner {
    /// Those of a user of this machine.
    User(u32),
    /// Those from an address of IPv4, or from a network of IPv6.
    Host(IpAddr),
}

/// The network that an address stands for. Of IPv6 that is a /64: whoever has one address mostly has its 2^64 neighbours (RFC
/// 4291 section 2.5.4). One of IPv4 stands for itself.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
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
/// `SO_PEERCRED`).
#[derive(Clone, Debug)]
pub struct UnixPeer {
    /// The process id in our PID namespace; 0 if the process is in one that we can't see.
    pub pid: i32,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// A handle on that process. `None` if it had ended before we could take one; such a caller can't be attested.
    pub pidfd: Option<PeerPidfd>,
}

/// A handle on the process at the other end, by what stands behind it.
#[derive(Clone, Debug)]
pub enum PeerPidfd {
    /// The kernel's word: this is the very process that called `connect`, and no later one with its id
    /// (`SO_PEERPIDFD`, Linux 6.5).
    Vouched(Arc<OwnedFd>),
    /// The kernel has no such word to give. This is the process that had the id when we looked.
    LookedUp(LookedUp),
    /// Nobody connected: this is the process whose id somebody gave who asks about it.
    Named(Arc<OwnedFd>),
}

impl UnixPeer {
    /// Who connected `socket`, which was accepted just now.
    ///
    /// A kernel that knows `SO_PEERPIDFD` is never second-guessed: if it says that the process is gone, there is no
    /// handle, whoever may have the id by now.
    ///
    /// # Errors
    /// The socket is not a connected Unix socket, or the system has no file descriptor left.
    pub fn of(socket: &impl AsFd) -> io::Result<Self> {
        let accepted = BootTicks::now();
        let credentials = getsockopt(socket, sockopt::PeerCredentials)?;
        Self::from_answers(credentials, getsockopt(socket, sockopt::PeerPidfd), accepted)
    }

    /// The process that has the id `pid` now, as if it had connected; `None` if there is none, if we may not see it, or if
    /// this system gives out no handles.
    ///
    /// # Errors
    /// The system has no file descriptor left, or procfs can't be read.
    pub fn named(pid: i32) -> io::Result<Option<Self>> {
        lookup::named(pid)
    }

    /// Whether this kernel vouches for peers, that is, knows `SO_PEERPIDFD`.
    ///
    /// # Errors
    /// No socket could be had to try it on.
    pub fn is_vouched_for() -> io::Result<bool> {
        let (one, _other) = UnixStream::pair()?;
        Ok(knows_option(&getsockopt(&one, sockopt::PeerPidfd)))
    }

    /// Who connected, by the kernel's answers to `SO_PEERCRED` and `SO_PEERPIDFD`. Apart from [`Self::of`], so that the
    /// answers of an old kernel can be tried on a new one.
    pub(crate) fn from_answers(
        credentials: UnixCredentials,
        pidfd: nix::Result<OwnedFd>,
        accepted: BootTicks,
    ) -> io::Result<Self> {
        let (pid, uid, gid) = (credentials.pid(), credentials.uid(), credentials.gid());
        let pidfd = match pidfd {
            answer if !knows_option(&answer) => LookedUp::by_id(pid, accepted)?.map(PeerPidfd::LookedUp),
            Ok(pidfd) => Some(PeerPidfd::Vouched(Arc::new(pidfd))),
            // The process was reaped: ESRCH, and EINVAL or ENODATA in some kernels.
            Err(Errno::ESRCH | Errno::EINVAL | Errno::ENODATA) => None,
            // Out of descriptors, for instance: the caller is there, but we can't take hold of it now.
            Err(errno) => return Err(errno.into()),
        };
        Ok(Self { pid, uid, gid, pidfd })
    }
}

impl AsFd for PeerPidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Vouched(pidfd) | Self::Named(pidfd) => pidfd.as_fd(),
            Self::LookedUp(found) => found.pidfd.as_fd(),
        }
    }
}

/// Whether this is an answer of a kernel that has the option at all.
fn knows_option(answer: &nix::Result<OwnedFd>) -> bool {
    !matches!(answer, Err(Errno::ENOPROTOOPT))
}

#[cfg(test)]
mod tests;
