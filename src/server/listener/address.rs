//! Listen addresses as text.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where to listen: `tcp:IP:PORT`, `unix:/path`, `unix:/path?mode=0660` or `fd:NAME`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum ListenAddress {
    /// An address of this machine; port 0 lets the kernel choose.
    Tcp(SocketAddr),
    /// A path in the file system.
    Unix {
        /// Absolute.
        path: PathBuf,
        /// The socket file's permission bits, if the address names them.
        mode: Option<u32>,
    },
    /// A socket that the process got from its parent under this name (`sd_listen_fds(3)`).
    Inherited(String),
}

/// A text that is not a listen address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ListenAddressError {
    /// It begins with none of the three words.
    #[error("a listen address begins with `tcp:`, `unix:` or `fd:`")]
    Scheme,
    /// Names are not resolved: they may mean several addresses, or others tomorrow.
    #[error("after `tcp:` comes an IP address and a port, as in `tcp:127.0.0.1:9191` or `tcp:[::1]:9191`")]
    Tcp,
    /// Not absolute, or not the path of a file.
    #[error("after `unix:` comes the absolute path of a file, as in `unix:/run/portcullis/sds.sock`")]
    Path,
    /// Something else than a mode, or not one.
    #[error("after the path only `?mode=` with up to four octal digits may stand, as in `?mode=0660`, at most 0777")]
    Mode,
    /// Empty, too long, or with characters that such a name can't have.
    #[error("after `fd:` comes the name of a socket as systemd passes it, without `:` and control characters")]
    Name,
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("tcp", address)) => address.parse().map(Self::Tcp).map_err(|_not_one| ListenAddressError::Tcp),
            Some(("unix", rest)) => unix(rest),
            Some(("fd", name)) if is_socket_name(name) => Ok(Self::Inherited(name.to_owned())),
            Some(("fd", _)) => Err(ListenAddressError::Name),
            _ => Err(ListenAddressError::Scheme),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Unix { path, mode: None } => write!(f, "unix:{}", path.display()),
            Self::Unix { path, mode: Some(mode) } => write!(f, "unix:{}?mode={mode:04o}", path.display()),
            Self::Inherited(name) => write!(f, "fd:{name}"),
        }
    }
}

/// Whether a socket can have this name (`FileDescriptorName=` in systemd.socket(5)).
pub(super) fn is_socket_name(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b':')
}

fn unix(rest: &str) -> Result<ListenAddress, ListenAddressError> {
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    let names_a_file = path.starts_with('/') && !path.ends_with('/') && Path::new(path).file_name().is_some();
    if !names_a_file || path.chars().any(char::is_control) {
        return Err(ListenAddressError::Path);
    }
    let mode = query.map(mode).transpose()?;
    Ok(ListenAddress::Unix { path: PathBuf::from(path), mode })
}

fn mode(query: &str) -> Result<u32, ListenAddressError> {
    let digits = query.strip_prefix("mode=").ok_or(ListenAddressError::Mode)?;
    // Radix parsing alone would take a sign.
    if !(1..=4).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ListenAddressError::Mode);
    }
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err(ListenAddressError::Mode),
    }
}
