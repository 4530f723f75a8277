//! Where the process listens.

use std::fmt;
use std::path::Path;

use portcullis_spiffe::TrustDomain;

use super::listener::AuthzenListener;
use super::node::{Node, Value};
use super::origin::Origin;
use super::reader::{Section, Setting};
use super::values::{absolute, text};
use crate::server::ListenAddress;

/// The longest path that fits into a Unix socket address, in bytes (unix(7)): 108 with the NUL at its end.
const MAX_SOCKET_PATH: usize = 107;

/// The mode of a Unix socket whose address names none.
const DEFAULT_MODE: u32 = 0o660;

/// The mode of the workload socket whose address names none: every process may ask who it is.
const WORKLOAD_MODE: u32 = 0o666;

/// The mode of the admin socket whose address names none: only the user that we run as may connect, and root.
const ADMIN_MODE: u32 = 0o600;

/// The section `listen`. An empty list switches a service off.
#[derive(Clone, Debug)]
pub struct Listen {
    /// SDS for workloads; Unix sockets only, since nothing can be attested over TCP.
    pub workload: Vec<Address>,
    /// `ext_authz` for Envoy.
    pub ext_authz: Vec<Address>,
    /// `AuthZEN` over HTTP.
    pub authzen: Vec<AuthzenListener>,
    /// Metrics and health.
    pub operations: Vec<Address>,
    /// SPIRE's server API; Unix sockets only, since it is the kernel that says who calls.
    pub admin: Vec<Address>,
    /// Our bundle, for those who believe a certificate of the Web.
    pub bundle_web: Vec<Address>,
    /// Our bundle, for those who believe an SVID.
    pub bundle_spiffe: Vec<Address>,
    /// The metadata and keys of an OpenID provider.
    pub oidc: Vec<Address>,
    /// Cosignatures for other logs.
    pub witness: Vec<Address>,
    /// Whether a TCP address may be other than loopback, although nothing is encrypted there.
    pub plaintext_beyond_loopback: bool,
    /// Whether an encrypted address may be other than loopback although nobody has to say there who asks.
    pub unauthenticated_beyond_loopback: bool,
}

/// An address to listen on, checked: `tcp:IP:PORT`, `tls:IP:PORT`, `unix:/absolute/path?mode=0660` or `fd:NAME`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Address {
    /// Where; the path of a Unix socket is absolute, and it has a mode.
    pub listen: ListenAddress,
    /// Whether what comes in there is encrypted.
    pub tls: bool,
    /// Which part of the configuration says so.
    pub origin: Origin,
}

impl Listen {
    pub(super) fn read(section: &mut Section<'_>, ours: Option<&TrustDomain>) -> Option<Self> {
        let workload = addresses::<WORKLOAD_MODE>(section, "workload", "unix:run/workload.sock");
        let ext_authz = addresses::<DEFAULT_MODE>(section, "ext_authz", "unix:run/ext_authz.sock");
        let authzen: Option<Vec<AuthzenListener>> =
            section.values_or_mappings::<Moded<DEFAULT_MODE>, _>("authzen", "tcp:127.0.0.1:8181", |section| {
                AuthzenListener::read::<DEFAULT_MODE>(section, ours)
            });
        let asked_at = authzen.as_ref().map(|all| all.iter().map(|listener| listener.address.clone()).collect());
        let operations = addresses::<DEFAULT_MODE>(section, "operations", "tcp:127.0.0.1:9901");
        let admin = addresses::<ADMIN_MODE>(section, "admin", "unix:run/admin.sock");
        let bundle_web = addresses::<DEFAULT_MODE>(section, "bundle_web", "[]");
        let bundle_spiffe = addresses::<DEFAULT_MODE>(section, "bundle_spiffe", "[]");
        let oidc = addresses::<DEFAULT_MODE>(section, "oidc", "[]");
        let witness = addresses::<DEFAULT_MODE>(section, "witness", "[]");
        let plaintext_beyond_loopback = section.value("plaintext_beyond_loopback", "false");
        let unauthenticated_beyond_loopback = section.value("unauthenticated_beyond_loopback", "false");

        let services = [
            ("workload", &workload),
            ("ext_authz", &ext_authz),
            ("authzen", &asked_at),
            ("operations", &operations),
            ("admin", &admin),
            ("bundle_web", &bundle_web),
            ("bundle_spiffe", &bundle_spiffe),
            ("oidc", &oidc),
            ("witness", &witness),
        ];
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
            admin: admin?,
            bundle_web: bundle_web?,
            bundle_spiffe: bundle_spiffe?,
            oidc: oidc?,
            witness: witness?,
            plaintext_beyond_loopback: plaintext_beyond_loopback?,
            unauthenticated_beyond_loopback: unauthenticated_beyond_loopback?,
        })
    }
}

/// Who could connect must be able to be known, and must not be the whole network by accident.
fn check_reach(section: &mut Section<'_>, all: &[(&'static str, &Address)], plaintext_beyond_loopback: bool) {
    for (service, address) in all {
        let is_bundle = matches!(*service, "bundle_web" | "bundle_spiffe");
        if !address.is_tcp() && !is_bundle {
            continue;
        }
        let message = if *service == "workload" {
            format!("`{address}`: a caller over TCP can't be attested; use a Unix socket")
        } else if *service == "admin" {
            format!("`{address}`: over TCP it can't be told who calls; use a Unix socket")
        } else if address.tls && !is_bundle && !matches!(*service, "authzen" | "oidc") {
            format!(
                "`{address}`: this can't be encrypted; `listen.authzen`, `bundle_web`, `bundle_spiffe` and `oidc` can"
            )
        } else if is_bundle && !address.tls {
            format!("`{address}`: a bundle that is not encrypted proves nothing; write `tls:`")
        } else if *service == "witness" {
            // All that is said there is public, and signed on both sides.
            continue;
        } else if !address.tls && !plaintext_beyond_loopback && !address.is_loopback() {
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
pub(super) struct Moded<const MODE: u32>(pub(super) Address);

impl<const MODE: u32> From<Moded<MODE>> for AuthzenListener {
    fn from(Moded(address): Moded<MODE>) -> Self {
        address.into()
    }
}

impl<const MODE: u32> Setting for Moded<MODE> {
    fn read(node: &Node, base: &Path) -> Result<Self, String> {
        let expected = "an address: `tcp:IP:PORT`, `tls:IP:PORT`, `unix:PATH`, `unix:PATH?mode=0660` or `fd:NAME`";
        let given = text(node, expected)?;
        let encrypted = given.strip_prefix("tls:").map(|address| format!("tcp:{address}"));
        let tls = encrypted.is_some();
        let complete = encrypted.unwrap_or_else(|| complete(given, base, MODE));
        let listen: ListenAddress = complete.parse().map_err(|reason| format!("`{given}`: {reason}"))?;
        match &listen {
            ListenAddress::Unix { path, .. } if path.as_os_str().len() > MAX_SOCKET_PATH => {
                let length = path.as_os_str().len();
                Err(format!("`{given}`: the path has {length} bytes, and a Unix socket's can have {MAX_SOCKET_PATH}"))
            }
            _ => Ok(Self(Address { listen, tls, origin: node.origin.clone() })),
        }
    }

    fn shown(&self, _written: &Node) -> Value {
        Value::Text(self.0.to_string())
    }
}

/// The address with an absolute path and a mode, both of which a configuration may leave to us.
fn complete(given: &str, base: &Path, mode: u32) -> String {
    match given.strip_prefix("unix:").map(|rest| rest.split_once('?').unwrap_or((rest, ""))) {
        None | Some(("", _)) => given.to_owned(),
        Some((path, "")) if !given.ends_with('?') => {
            format!("unix:{}?mode={mode:04o}", absolute(base, path).display())
        }
        Some((path, parameter)) => format!("unix:{}?{parameter}", absolute(base, path).display()),
    }
}

impl Address {
    /// Whether it is an address of the network.
    pub const fn is_tcp(&self) -> bool {
        matches!(self.listen, ListenAddress::Tcp(_))
    }

    /// Whether it is one that only this machine reaches.
    pub const fn is_loopback(&self) -> bool {
        matches!(self.listen, ListenAddress::Tcp(address) if address.ip().to_canonical().is_loopback())
    }

    /// Whether both can't be bound. Port 0 is a different port each time.
    fn collides(&self, other: &Self) -> bool {
        match (&self.listen, &other.listen) {
            (ListenAddress::Tcp(one), ListenAddress::Tcp(two)) => one == two && one.port() != 0,
            (ListenAddress::Unix { path: one, .. }, ListenAddress::Unix { path: two, .. }) => one == two,
            (ListenAddress::Inherited(one), ListenAddress::Inherited(two)) => one == two,
            _ => false,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.listen {
            ListenAddress::Tcp(address) if self.tls => write!(f, "tls:{address}"),
            _ => self.listen.fmt(f),
        }
    }
}
