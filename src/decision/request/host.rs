//! Hosts (RFC 9110 section 4.2.3, RFC 3986 section 3.2.2) in one spelling: lower case, without port and final dot.

use std::net::Ipv6Addr;

/// The longest domain name in text form, in bytes (RFC 1035 section 3.1).
const MAX_LENGTH: usize = 253;

/// The longest label of one.
const MAX_LABEL: usize = 63;

/// The `:authority` of a request, or another `host[:port]`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Host {
    name: String,
    port: Option<u16>,
}

/// Why a text is not a host.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// There is none.
    #[error("there is no host")]
    Missing,
    /// More than 253 bytes, or a label of more than 63.
    #[error("the host is too long")]
    TooLong,
    /// A comma (two `Host` lines in one), `@` (userinfo), an escape, a space, anything that no host name has.
    #[error("the host has {0:?}")]
    Character(char),
    /// `a..b`, `.a`.
    #[error("the host has an empty label")]
    EmptyLabel,
    /// Brackets without an IPv6 address in them.
    #[error("the host has brackets but no IPv6 address in them")]
    Ipv6,
    /// Not a number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
}

impl Host {
    /// Reads `host` or `host:port`.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn parse(raw: &str) -> Result<Self, HostError> {
        if raw.is_empty() {
            return Err(HostError::Missing);
        }
        if let Some(inner) = raw.strip_prefix('[') {
            let (address, port) = inner.split_once(']').ok_or(HostError::Ipv6)?;
            let address: Ipv6Addr = address.parse().map_err(|_invalid| HostError::Ipv6)?;
            let port = match port.strip_prefix(':') {
                Some(port) => Some(parse_port(port)?),
                None if port.is_empty() => None,
                None => return Err(HostError::Ipv6),
            };
            return Ok(Self { name: format!("[{address}]"), port });
        }
        let (name, port) = raw.split_once(':').map_or((raw, None), |(name, port)| (name, Some(port)));
        let name = parse_name(name)?;
        Ok(Self { name, port: port.map(parse_port).transpose()? })
    }

    /// The name or address. An IPv6 address stands in brackets and in its shortest form (RFC 5952).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port, if one was named.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }
}

fn parse_name(raw: &str) -> Result<String, HostError> {
    if let Some(stranger) = raw.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '_')) {
        return Err(HostError::Character(stranger));
    }
    let name = raw.strip_suffix('.').unwrap_or(raw);
    if name.len() > MAX_LENGTH || name.split('.').any(|label| label.len() > MAX_LABEL) {
        return Err(HostError::TooLong);
    }
    if name.split('.').any(str::is_empty) {
        return Err(HostError::EmptyLabel);
    }
    Ok(name.to_ascii_lowercase())
}

fn parse_port(raw: &str) -> Result<u16, HostError> {
    if raw.is_empty() || raw.starts_with('0') || !raw.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(HostError::Port);
    }
    raw.parse().map_err(|_out_of_range| HostError::Port)
}

#[cfg(test)]
mod tests;
