//! Where the process listens.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use super::node::{Node, Value};
use super::origin::Origin;
use super::reader::{Section, Setting};
use super::values::{absolute, text};

/// The longest path that fits into a Unix socket address, in bytes (unix(7)): 108 with the NUL at its end.
const MAX_SOCKET_PATH: usize = 107;

/// The mode of a Unix socket whose address names none.
const DEFAULT_MODE: u32 = 0o660;

/// The mode of the workload socket whose address names none: every process may ask who it is.
const WORKLOAD_MODE: u32 = 0o666;

/// The section `listen`. An empty list switches a service off.
#[derive(Clone, Debug)]
pub struct Listen {
    /// SDS for workloads; Unix sockets only, since nothing can be attested over TCP.
    pub workload: Vec<Address>,
    /// `ext_authz` for Envoy.
    pub ext_authz: Vec<Address>,
    /// `AuthZEN` over HTTP.
    pub authzen: Vec<Address>,
    /// Metrics and health.
    pub operations: Vec<Address>,
    /// Whether a TCP address may be other than loopback, although nothing is encrypted there.
    pub plaintext_beyond_loopback: bool,
}

/// An address to listen on, checked: `tcp:IP:PORT`, `unix:/absolute/path?mode=0660` or `fd:NAME`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Address {
    /// The address in full: the path absolute, the mode of a Unix socket always named.
    pub text: String,
    /// Where it was configured, for what can only go wrong when it is bound.
    pub origin: Origin,
}

impl Listen {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let workload = addresses::<WORKLOAD_MODE>(section, "workload", "unix:run/workload.sock");
        let ext_authz = addresses::<DEFAULT_MODE>(section, "ext_authz", "unix:run/ext_authz.sock");
        let authzen = addresses::<DEFAULT_MODE>(section, "authzen", "tcp:127.0.0.1:8181");
        let operations = addresses::<DEFAULT_MODE>(section, "operations", "tcp:127.0.0.1:9901");
        let plaintext_beyond_loopback = section.value("plaintext_beyond_loopback", "false");

        let services =
            [("workload", &workload), ("ext_authz", &ext_authz), ("authzen", &authzen), ("operations", &operations)];
        let all: Vec<(&'static str, &Address)> = services
            .into_iter()
            .flat_map(|(service, addresses)| addresses.iter().flatten().map(move |address| (service, address)))
            .collect();
        check_reach(section, &all, plaintext_beyond_loopback.unwrap_or_default());
        check_collisions(section, all);

        Some(Self {
            workload: workload?,
            ext_authz: ext_authz?,
            authzen: authzen?,
            operations: operations?,
            plaintext_beyond_loopback: plaintext_beyond_loopback?,
        })
    }
}

/// Who could connect must be able to be known, and must not be the whole network by accident.
fn check_reach(section: &mut Section<'_>, all: &[(&'static str, &Address)], plaintext_beyond_loopback: bool) {
    for (service, address) in all {
        let Some(tcp) = address.tcp() else { continue };
        let message = if *service == "workload" {
            format!("`{address}`: a caller over TCP can't be attested; use a Unix socket")
        } else if !plaintext_beyond_loopback && !tcp.ip().to_canonical().is_loopback() {
            format!(
                "`{address}` is not loopback, and nothing is encrypted there; `listen.plaintext_beyond_loopback: true` \
                 allows it"
            )
        } else {
            continue;
        };
        section.complain(address.origin.clone(), service, message);
    }
}

/// Two services can't share an address. The one that was set later is to blame, and a default never is.
fn check_collisions(section: &mut Section<'_>, mut all: Vec<(&'static str, &Address)>) {
    all.sort_by_key(|(_, address)| &address.origin);
    for (index, (service, address)) in all.iter().enumerate() {
        if let Some((other, _)) = all.iter().take(index).find(|(_, other)| other.collides(address)) {
            let message = format!("`{address}` is taken by `listen.{other}`");
            section.complain(address.origin.clone(), service, message);
        }
    }
}

fn addresses<const MODE: u32>(section: &mut Section<'_>, key: &str, default: &str) -> Option<Vec<Address>> {
    let found = section.one_or_more::<Moded<MODE>>(key, default)?;
    Some(found.into_iter().map(|Moded(address)| address).collect())
}

/// An address that gets `MODE` if it is a Unix socket and names no mode itself.
struct Moded<const MODE: u32>(Address);

impl<const MODE: u32> Setting for Moded<MODE> {
    fn read(node: &Node, base: &Path) -> Result<Self, String> {
        let expected = "an address: `tcp:IP:PORT`, `unix:PATH`, `unix:PATH?mode=0660` or `fd:NAME`";
        let given = text(node, expected)?;
        let full = match given.split_once(':') {
            Some(("tcp", address)) => tcp(address),
            Some(("unix", address)) => unix(address, base, MODE),
            Some(("fd", name)) => inherited(name),
            _ => Err(format!("expected {expected}")),
        };
        let text = full.map_err(|reason| format!("`{given}`: {reason}"))?;
        Ok(Self(Address { text, origin: node.origin.clone() }))
    }

    fn shown(&self, _written: &Node) -> Value {
        Value::Text(self.0.text.clone())
    }
}

fn tcp(address: &str) -> Result<String, String> {
    let address: SocketAddr =
        address.parse().map_err(|_| "expected an IP address and a port, as in `127.0.0.1:8181` or `[::1]:8181`")?;
    Ok(format!("tcp:{address}"))
}

fn unix(address: &str, base: &Path, default_mode: u32) -> Result<String, String> {
    let (path, mode) = match address.split_once('?') {
        Some((path, parameter)) => (path, parameter.strip_prefix("mode=").ok_or("the only parameter is `mode`")?),
        None => (address, ""),
    };
    let names_a_file = !path.ends_with('/') && Path::new(path).file_name().is_some();
    if !names_a_file || path.contains(char::is_control) {
        return Err("this is not the path of a file".to_owned());
    }
    let mode = match mode {
        "" if !address.contains('?') => default_mode,
        // Radix parsing alone would take a sign.
        digits if digits.len() <= 4 && digits.bytes().all(|b| b.is_ascii_digit()) => {
            match u32::from_str_radix(digits, 8) {
                Ok(mode @ 0..=0o777) => mode,
                _ => return Err("a mode is octal and at most 0777".to_owned()),
            }
        }
        _ => return Err("a mode is octal and at most 0777".to_owned()),
    };
    let path = absolute(base, path);
    let length = path.as_os_str().len();
    if length > MAX_SOCKET_PATH {
        return Err(format!("the path has {length} bytes, and a Unix socket's can have {MAX_SOCKET_PATH}"));
    }
    Ok(format!("unix:{}?mode={mode:04o}", path.display()))
}

/// A socket that the service manager opened (`LISTEN_FDNAMES`, `sd_listen_fds(3)`).
fn inherited(name: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_graphic() && b != b':';
    if (1..=255).contains(&name.len()) && name.bytes().all(plain) {
        Ok(format!("fd:{name}"))
    } else {
        Err("the name of an inherited socket has 1 to 255 printable characters and no `:`".to_owned())
    }
}

impl Address {
    fn tcp(&self) -> Option<SocketAddr> {
        self.text.strip_prefix("tcp:")?.parse().ok()
    }

    /// Whether both can't be bound. Port 0 is a different port each time.
    fn collides(&self, other: &Self) -> bool {
        let place = |address: &Self| address.text.split('?').next().map(str::to_owned);
        place(self) == place(other) && self.tcp().is_none_or(|tcp| tcp.port() != 0)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
