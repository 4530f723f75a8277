//! The section `authzen.tls` and those like it: what the listeners `tls:…` show for a certificate.

use std::path::PathBuf;
use std::time::Duration;

use portcullis_spiffe::{SpiffeId, TrustDomain};

use super::entries::DnsName;
use super::identity::SHORTEST_SVID;
use super::reader::{Optional, Section};
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

/// What files have, and nothing else will do.
pub(super) fn read_files(section: &mut Section<'_>) -> Option<ServerTls> {
    let certificate = section.required::<PathBuf>("certificate_file");
    let key = section.required::<PathBuf>("key_file");
    Some(ServerTls::Files { certificate: certificate?, key: key? })
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
