//! Where a server listens: `unix:PATH` or `tcp:IP:PORT`, as in Portcullis's own configuration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// An address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Address {
    /// A TCP socket on this machine.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(path.into()));
        }
        let socket = text.strip_prefix("tcp:").and_then(|socket| socket.parse::<SocketAddr>().ok());
        match socket {
            // Load goes to this machine and nowhere else.
            Some(socket) if socket.ip().is_loopback() => Ok(Self::Tcp(socket)),
            Some(_) => Err(format!("`{text}` is not on the loopback interface")),
            None => Err(format!("`{text}` is neither unix:PATH nor tcp:IP:PORT")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_an_address() {
        assert_eq!("unix:/tmp/a".parse(), Ok(Address::Unix("/tmp/a".into())));
        assert_eq!("tcp:127.0.0.1:80".parse(), Ok(Address::Tcp(([127, 0, 0, 1], 80).into())));
        assert_eq!("tcp:[::1]:80".parse::<Address>().map(|_| ()), Ok(()));
        for bad in ["tcp:10.0.0.1:80", "tcp:0.0.0.0:80", "tcp:localhost:80", "127.0.0.1:80", "unix:", ""] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
