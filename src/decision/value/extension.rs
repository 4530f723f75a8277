//! Values of Cedar's extension types (language reference, "Data types: extension types").

mod datetime;
mod decimal;

use std::net::IpAddr;

/// The extension types.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ExtensionKind {
    /// `ipaddr`.
    Ip,
    /// `decimal`.
    Decimal,
    /// `datetime`.
    Datetime,
    /// `duration`.
    Duration,
}

/// A value of an extension type.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Extension {
    /// An address or a range of them.
    Ip(IpNet),
    /// Ten-thousandths.
    Decimal(i64),
    /// Milliseconds since 1970-01-01T00:00:00Z.
    Datetime(i64),
    /// Milliseconds.
    Duration(i64),
}

/// An address, or the range of those that begin with the same bits.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct IpNet {
    address: IpAddr,
    prefix: u8,
}

impl ExtensionKind {
    /// The function that makes a value of a text.
    pub const fn function(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Decimal => "decimal",
            Self::Datetime => "datetime",
            Self::Duration => "duration",
        }
    }
}

impl Extension {
    /// What [`ExtensionKind::function`] makes of a text; `None` if it fails.
    pub fn parse(kind: ExtensionKind, text: &str) -> Option<Self> {
        match kind {
            ExtensionKind::Ip => IpNet::parse(text).map(Self::Ip),
            ExtensionKind::Decimal => decimal::parse(text).map(Self::Decimal),
            ExtensionKind::Datetime => datetime::parse_datetime(text).map(Self::Datetime),
            ExtensionKind::Duration => datetime::parse_duration(text).map(Self::Duration),
        }
    }

    /// Its type.
    pub const fn kind(&self) -> ExtensionKind {
        match self {
            Self::Ip(_) => ExtensionKind::Ip,
            Self::Decimal(_) => ExtensionKind::Decimal,
            Self::Datetime(_) => ExtensionKind::Datetime,
            Self::Duration(_) => ExtensionKind::Duration,
        }
    }
}

impl IpNet {
    /// The longest text that is one, in bytes.
    const LONGEST: usize = "ABCD:EF01:2345:6789:ABCD:EF01:2345:6789/128".len();

    /// Reads `10.1.1.0`, `10.1.1.0/24`, `::1` and the like, as Cedar's `ip` does: no IPv4 address within an IPv6 one, no
    /// leading zeros.
    pub fn parse(text: &str) -> Option<Self> {
        let twice = |character| text.bytes().filter(|byte| *byte == character).nth(1).is_some();
        if text.len() > Self::LONGEST || (twice(b':') && twice(b'.')) {
            return None;
        }
        let (address, prefix) = match text.split_once('/') {
            None => (text, None),
            Some((address, prefix)) => (address, Some(prefix)),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = bits(address);
        let prefix = prefix.map_or(Some(most), |prefix| parse_prefix(prefix, most))?;
        Some(Self { address, prefix })
    }

    /// The address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// How many of its first bits count.
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether all of it is loopback.
    pub const fn is_loopback(&self) -> bool {
        self.address.is_loopback() && self.prefix >= if self.address.is_ipv4() { 8 } else { 128 }
    }

    /// Whether all of it is multicast.
    pub const fn is_multicast(&self) -> bool {
        self.address.is_multicast() && self.prefix >= if self.address.is_ipv4() { 4 } else { 8 }
    }

    /// Whether all of it lies in `range`.
    pub fn is_in_range(&self, range: &Self) -> bool {
        self.address.is_ipv4() == range.address.is_ipv4()
            && range.prefix <= self.prefix
            && leading(self.address, range.prefix) == leading(range.address, range.prefix)
    }
}

const fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The first `count` bits.
fn leading(address: IpAddr, count: u8) -> u128 {
    let (number, width) = match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32_u32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    number.checked_shr(width.saturating_sub(u32::from(count))).unwrap_or(0)
}

fn parse_prefix(text: &str, most: u8) -> Option<u8> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (text.starts_with('0') && text != "0") {
        return None;
    }
    text.parse().ok().filter(|prefix| *prefix <= most)
}

#[cfg(test)]
mod tests;
