//! Sockets that the process got from whoever started it: `sd_listen_fds_with_names(3)`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::os::fd::AsFd;
use std::process;

use listenfd::ListenFd;
use nix::sys::socket::{getsockopt, sockopt};

use super::address::is_socket_name;
use super::{BindError, BoundAddress, Socket};

/// What systemd calls a socket whose unit gives it no name.
const UNNAMED: &str = "unknown";

/// The inherited sockets that no listener has taken yet, by name.
#[derive(Debug, Default)]
pub struct InheritedSockets(BTreeMap<String, Socket>);

impl InheritedSockets {
    /// Takes over the sockets that `LISTEN_FDS`, `LISTEN_FDNAMES` and `LISTEN_PID` announce. If `LISTEN_PID` is not this
    /// process, or missing, they were meant for another that passed its environment on, and none are ours.
    ///
    /// The decision whether there are any, and their names, come through `variable`. The descriptors themselves come
    /// from the `listenfd` crate, which owns the unsafe step from a number to a socket and reads `LISTEN_FDS` and
    /// `LISTEN_PID` of the real environment for it, then removes both so that no child takes them for its own.
    /// Call it once, before there are threads.
    ///
    /// # Errors
    /// [`BindError::Inheritance`]: two sockets of one name, a descriptor that does not listen, names that do not match
    /// the number of sockets.
    pub fn from_environment(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, BindError> {
        // Checked here although `listenfd` looks at it too: that takes a missing or empty one for ours.
        let ours = variable("LISTEN_PID").is_some_and(|pid| pid.parse() == Ok(process::id()));
        if variable("LISTEN_FDS").is_none() || !ours {
            return Ok(Self::default());
        }
        let mut descriptors = ListenFd::from_env();
        let count = descriptors.len();
        let names = match variable("LISTEN_FDNAMES") {
            Some(names) if count > 0 => names.split(':').map(str::to_owned).collect(),
            _ => vec![UNNAMED.to_owned(); count],
        };
        if names.len() != count {
            return Err(unusable(format_args!("{count} sockets, but {} names in LISTEN_FDNAMES", names.len())));
        }
        let mut sockets = Vec::with_capacity(count);
        for (index, name) in names.into_iter().enumerate() {
            sockets.push((name, adopt(&mut descriptors, index)?));
        }
        Self::named(sockets)
    }

    /// Says which sockets no listener has asked for: a name misspelt on one of the two sides.
    ///
    /// # Errors
    /// [`BindError::Inheritance`] with their names.
    pub fn finish(self) -> Result<(), BindError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = self.0.into_keys().map(|name| format!("`fd:{name}`")).collect();
        Err(unusable(format_args!("no listener uses {}", names.join(", "))))
    }

    pub(super) fn named(sockets: impl IntoIterator<Item = (String, Socket)>) -> Result<Self, BindError> {
        let mut by_name = BTreeMap::new();
        for (name, socket) in sockets {
            if !is_socket_name(&name) {
                return Err(unusable(format_args!("`{}` is not a name", name.escape_debug())));
            }
            check_listens(&socket).map_err(|reason| unusable(format_args!("`{name}` {reason}")))?;
            if by_name.insert(name.clone(), socket).is_some() {
                return Err(unusable(format_args!("two of them are named `{name}`")));
            }
        }
        Ok(Self(by_name))
    }

    pub(super) fn take(&mut self, name: &str) -> Result<(Socket, BoundAddress), BindError> {
        let socket = self.0.remove(name).ok_or_else(|| BindError::NotInherited(name.to_owned()))?;
        let address = match &socket {
            Socket::Tcp(listener) => listener.local_addr().map(BoundAddress::Tcp),
            Socket::Unix(listener) => listener.local_addr().map(|address| match address.as_pathname() {
                Some(path) => BoundAddress::Unix(path.to_owned()),
                None => BoundAddress::Inherited(name.to_owned()),
            }),
        };
        let address = address.map_err(|source| BindError::Io { address: format!("fd:{name}"), source })?;
        Ok((socket, address))
    }
}

fn adopt(descriptors: &mut ListenFd, index: usize) -> Result<Socket, BindError> {
    if let Ok(Some(listener)) = descriptors.take_tcp_listener(index) {
        return Ok(Socket::Tcp(listener));
    }
    match descriptors.take_unix_listener(index) {
        Ok(Some(listener)) => Ok(Socket::Unix(listener)),
        Ok(None) => Err(unusable(format_args!("number {index} is missing"))),
        Err(_neither) => Err(unusable(format_args!("number {index} is neither a TCP nor a Unix stream socket"))),
    }
}

fn check_listens(socket: &Socket) -> Result<(), &'static str> {
    let descriptor = match socket {
        Socket::Tcp(listener) => listener.as_fd(),
        Socket::Unix(listener) => listener.as_fd(),
    };
    match getsockopt(&descriptor, sockopt::AcceptConn) {
        Ok(true) => Ok(()),
        Ok(false) => Err("does not listen"),
        Err(_errno) => Err("is not a socket"),
    }
}

fn unusable(reason: impl Display) -> BindError {
    BindError::Inheritance(reason.to_string())
}
