//! The section `authzen.tls`: what the listeners `tls:…` show for a certificate; and what listeners and callers have to do
//! with each other.

use std::path::PathBuf;
use std::time::Duration;

use portcullis_spiffe::{SpiffeId, TrustDomain};

use super::callers::Callers;
use super::entries::DnsName;
use super::identity::SHORTEST_SVID;
use super::listen::Listen;
use super::reader::{Optional, Section};
use super::sections::Authzen;
use crate::identity::registry::{check_dns_names, check_spiffe_id};

/// What is shown.
#[derive(Clone, Debug)]
pub enum ServerTls {
    /// What files have, read anew when they change.
    Files {
        /// PEM, the server's own certificate first.
        certificate: PathBuf,
        /// PEM.
        key: PathBuf,
    },
    /// An X.509-SVID of our own authority.
    Svid {
        /// Whom it names.
        spiffe_id: SpiffeId,
        /// And under which names it is reached.
        dns_names: Vec<String>,
        /// How long it lives, if not as long as others.
        ttl: Option<Duration>,
    },
}

pub(super) fn read(section: &mut Section<'_>, ours: Option<&TrustDomain>) -> Option<ServerTls> {
    let certificate = section.optional::<PathBuf>("certificate_file");
    let key = section.optional::<PathBuf>("key_file");
    let svid = section.optional_section("svid", |section| read_svid(section, ours));
    let (certificate, key) = (certificate.valid()?, key.valid()?);
    match (certificate, key, svid) {
        (Some(certificate), Some(key), Optional::Absent) => Some(ServerTls::Files { certificate, key }),
        (None, None, Optional::Given(svid)) => Some(svid),
        (_, _, Optional::Wrong) => None,
        _ => {
            section.fault("", "must have either `certificate_file` and `key_file`, or `svid`");
            None
        }
    }
}

fn read_svid(section: &mut Section<'_>, ours: Option<&TrustDomain>) -> Option<ServerTls> {
    let spiffe_id = section.required::<SpiffeId>("spiffe_id");
    let dns_names: Option<Vec<String>> =
        section.list("dns_names", "[]").map(|names| names.into_iter().map(|DnsName(name)| name).collect());
    let ttl = section.optional::<Duration>("ttl");
    if let Some((id, ours)) = spiffe_id.as_ref().zip(ours)
        && let Err(problem) = check_spiffe_id(id, ours)
    {
        section.fault("spiffe_id", problem.to_string());
    }
    if let Some(Err(problem)) = dns_names.as_deref().map(check_dns_names) {
        section.fault("dns_names", problem.to_string());
    }
    if ttl.given().is_some_and(|ttl| *ttl < SHORTEST_SVID) {
        section.fault("ttl", "is less than 10s");
    }
    Some(ServerTls::Svid { spiffe_id: spiffe_id?, dns_names: dns_names?, ttl: ttl.valid()? })
}

/// Whether the listeners of `AuthZEN`, their TLS and their callers go together. What is open to the network by accident is
/// refused.
pub(super) fn check(section: &mut Section<'_>, listen: &Listen, authzen: &Authzen) {
    const LISTENERS: &str = "listen.authzen";
    let Authzen { callers, tls, .. } = authzen;
    let mut encrypted = listen.authzen.iter().filter(|address| address.tls).peekable();
    if encrypted.peek().is_none() {
        if tls.is_some() {
            section.fault("authzen", "`tls` has no use without an address `tls:IP:PORT` in `listen.authzen`");
        }
        if callers.mtls {
            section.fault(
                "authzen",
                "`callers.mtls` has no use without an address `tls:IP:PORT` in `listen.authzen`: certificates are shown nowhere else",
            );
        }
    }
    for address in encrypted {
        let place = address.origin.clone();
        if tls.is_none() {
            let message = format!("`{address}` needs `authzen.tls`, which says what certificate is shown");
            section.complain(place.clone(), LISTENERS, message);
        }
        if callers.is_nobody() && !address.is_loopback() && !listen.unauthenticated_beyond_loopback {
            let message = format!(
                "`{address}` is not loopback, and nobody has to say there who asks; `authzen.callers` says who may, or \
                 `listen.unauthenticated_beyond_loopback: true` leaves it open"
            );
            section.complain(place, LISTENERS, message);
        }
    }
}

/// Whether somebody on the network can ask without anybody knowing who.
pub fn is_open_to_the_network(listen: &Listen, callers: &Callers) -> bool {
    callers.is_nobody() && listen.authzen.iter().any(|address| address.is_tcp() && !address.is_loopback())
}
