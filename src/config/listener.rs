//! The listeners of `AuthZEN`, each of which may have a certificate and callers of its own, and whether what is said of them
//! goes together. What is open to the network by accident is refused.

use portcullis_spiffe::TrustDomain;

use super::callers::Callers;
use super::listen::{Address, Listen, Moded};
use super::reader::Section;
use super::sections::Authzen;
use super::server_tls::{self, ServerTls};

/// An address of `AuthZEN`, and what holds there in place of what the section `authzen` says.
#[derive(Clone, Debug)]
pub struct AuthzenListener {
    /// Where.
    pub address: Address,
    /// What it shows for a certificate, if another.
    pub tls: Option<ServerTls>,
    /// Who may ask there, if others.
    pub callers: Option<Callers>,
}

impl AuthzenListener {
    /// An item of the list that says more than an address.
    pub(super) fn read<const MODE: u32>(section: &mut Section<'_>, ours: Option<&TrustDomain>) -> Option<Self> {
        let address = section.required::<Moded<MODE>>("address");
        let tls = section.optional_section("tls", |section| server_tls::read(section, ours));
        let callers = section.optional_section("callers", Callers::read);
        Some(Self { address: address?.0, tls: tls.valid()?, callers: callers.valid()? })
    }

    /// What it shows for a certificate.
    pub fn tls<'a>(&'a self, authzen: &'a Authzen) -> Option<&'a ServerTls> {
        self.tls.as_ref().or(authzen.tls.as_ref())
    }

    /// Who may ask there.
    pub fn callers<'a>(&'a self, authzen: &'a Authzen) -> &'a Callers {
        self.callers.as_ref().unwrap_or(&authzen.callers)
    }

    /// Whether somebody on the network can ask there without anybody knowing who.
    fn is_open_to_the_network(&self, authzen: &Authzen) -> bool {
        self.callers(authzen).is_nobody() && self.address.is_tcp() && !self.address.is_loopback()
    }
}

impl From<Address> for AuthzenListener {
    fn from(address: Address) -> Self {
        Self { address, tls: None, callers: None }
    }
}

/// Whether the listeners of `AuthZEN`, their TLS and their callers go together.
pub(super) fn check(section: &mut Section<'_>, listen: &Listen, authzen: &Authzen) {
    let encrypted = || listen.authzen.iter().filter(|listener| listener.address.tls);
    if authzen.tls.is_some() && !encrypted().any(|listener| listener.tls.is_none()) {
        section.fault("authzen", "`tls` has no use without an address `tls:IP:PORT` in `listen.authzen`");
    }
    if authzen.callers.mtls && !encrypted().any(|listener| listener.callers.is_none()) {
        section.fault(
            "authzen",
            "`callers.mtls` has no use without an address `tls:IP:PORT` in `listen.authzen`: certificates are shown nowhere else",
        );
    }
    for listener in &listen.authzen {
        for problem in problems(listener, listen, authzen) {
            section.complain(listener.address.origin.clone(), "listen.authzen", problem);
        }
    }
}

/// What does not go together at one of them.
fn problems(listener: &AuthzenListener, listen: &Listen, authzen: &Authzen) -> Vec<String> {
    let address = &listener.address;
    let mut found = Vec::new();
    if !address.tls {
        if listener.tls.is_some() {
            found.push(format!("`{address}` is not encrypted, so that its `tls` has no use"));
        }
        if listener.callers.as_ref().is_some_and(|callers| callers.mtls) {
            found.push(format!("`{address}` is not encrypted, so that no certificate is shown for its `callers.mtls`"));
        }
        return found;
    }
    if listener.tls(authzen).is_none() {
        found.push(format!("`{address}` needs `authzen.tls`, which says what certificate is shown"));
    }
    if listener.is_open_to_the_network(authzen) && !listen.unauthenticated_beyond_loopback {
        found.push(format!(
            "`{address}` is not loopback, and nobody has to say there who asks; `authzen.callers` says who may, or \
             `listen.unauthenticated_beyond_loopback: true` leaves it open"
        ));
    }
    found
}

/// Whether somebody on the network can ask without anybody knowing who.
pub fn is_open_to_the_network(listen: &Listen, authzen: &Authzen) -> bool {
    listen.authzen.iter().any(|listener| listener.is_open_to_the_network(authzen))
}

/// Whether policies decide somewhere who may ask about whom.
pub fn decides_on_callers(listen: &Listen, authzen: &Authzen) -> bool {
    authzen.callers.policy || listen.authzen.iter().any(|listener| listener.callers(authzen).policy)
}
