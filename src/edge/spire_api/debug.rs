//! `spire.api.server.debug.v1.Debug`: the process about itself.

use std::sync::Arc;
use std::time::Duration;

use portcullis_spiffe::TrustDomain;
use portcullis_spiffe::x509::Authority;
use portcullis_spiffe_api::spire::api::server::debug::v1::debug_server::{Debug as DebugApi, DebugServer};
use portcullis_spiffe_api::spire::api::server::debug::v1::get_info_response::Cert;
use portcullis_spiffe_api::spire::api::server::debug::v1::{GetInfoRequest, GetInfoResponse};
use portcullis_spiffe_api::spire::api::types::Spiffeid;
use tonic::{Request, Response, Status};
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::x509::X509Name;

use super::MAX_MESSAGE_BYTES;
use crate::foundation::clock::{Clock, Timestamp};
use crate::foundation::telemetry::printable;
use crate::foundation::watched::Watched;
use crate::identity::bundle::Bundles;
use crate::identity::registry::Registry;

/// How much of a subject is told, in bytes.
const MAX_SUBJECT: usize = 1000;

/// The service.
#[derive(Clone, Debug)]
pub struct DebugService {
    trust_domain: TrustDomain,
    bundles: Arc<Watched<Bundles>>,
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    started: Duration,
}

impl DebugService {
    /// A service over the parts of the authority of `trust_domain`. The process counts as started now.
    pub fn new(
        trust_domain: TrustDomain,
        bundles: Arc<Watched<Bundles>>,
        registry: Arc<Registry>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let started = clock.elapsed();
        Self { trust_domain, bundles, registry, clock, started }
    }

    /// As tonic takes it, with its limits set.
    pub fn into_server(self) -> DebugServer<Self> {
        DebugServer::new(self).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The authority that signs: the oldest that is valid and trusted. It is its own root, and the process has no SVID.
    fn signer(&self, bundles: &Bundles, now: Timestamp) -> Option<Cert> {
        let authorities = bundles.get(&self.trust_domain)?.x509_authorities.iter();
        authorities.filter(|authority| !authority.tainted).find_map(|authority| {
            let parsed = Authority::parse(&authority.certificate).ok()?;
            let (_, certificate) = x509_parser::parse_x509_certificate(&authority.certificate).ok()?;
            let expires_at = parsed.not_after;
            (Timestamp::from_unix_seconds(expires_at) > now).then(|| Cert {
                id: Some(Spiffeid { trust_domain: self.trust_domain.to_string(), path: String::new() }),
                expires_at,
                subject: distinguished(certificate.subject()),
            })
        })
    }
}

#[tonic::async_trait]
impl DebugApi for DebugService {
    async fn get_info(&self, _request: Request<GetInfoRequest>) -> Result<Response<GetInfoResponse>, Status> {
        let bundles = self.bundles.load();
        let uptime = self.clock.elapsed().saturating_sub(self.started).as_secs();
        Ok(Response::new(GetInfoResponse {
            svid_chain: self.signer(&bundles, self.clock.now()).into_iter().collect(),
            uptime: i32::try_from(uptime).unwrap_or(i32::MAX),
            agents_count: 1,
            federated_bundles_count: count(bundles.iter().count()),
            entries_count: count(self.registry.load().len()),
        }))
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// A distinguished name as text, most specific part first (RFC 4514 section 2.1).
fn distinguished(name: &X509Name<'_>) -> String {
    let part = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        let kind = match oid2abbrev(attribute.attr_type(), oid_registry()) {
            Ok("serialNumber") => "SERIALNUMBER".to_owned(),
            Ok(known) => known.to_owned(),
            Err(_unknown) => attribute.attr_type().to_id_string(),
        };
        format!("{kind}={}", attribute.as_str().unwrap_or_default())
    };
    let parts: Vec<String> =
        name.iter_rdn().map(|relative| relative.iter().map(part).collect::<Vec<_>>().join("+")).collect();
    let reversed: Vec<&str> = parts.iter().rev().map(String::as_str).collect();
    printable(&reversed.join(","), MAX_SUBJECT)
}
