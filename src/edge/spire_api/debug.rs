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

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType};
    use tonic::service::Routes;

    use super::super::tests::{Desk, clock};
    use super::*;
    use crate::foundation::entropy::SystemEntropy;
    use crate::identity::bundle::Bundle;
    use crate::identity::registry::memory::MemoryRegistry;

    fn authority(name: &str) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CountryName, "US");
        params.distinguished_name.push(DnType::OrganizationName, name);
        params.subject_alt_names = vec![SanType::URI("spiffe://example.org".try_into().unwrap())];
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[tokio::test]
    async fn what_is_told_is_counted_and_the_signer_is_the_oldest_that_is_trusted() {
        let ours: TrustDomain = "example.org".parse().unwrap();
        let certificates = ["tainted", "signs\n", "prepared"].map(|name| authority(name).into());
        let mut bundle = Bundle::of_x509(ours.clone(), certificates, 1);
        bundle.x509_authorities[0].tainted = true;
        let foreign = Bundle::of_x509("other.org".parse().unwrap(), [], 1);
        let bundles = Arc::new(Watched::new(Bundles::new([bundle, foreign])));
        let store = Arc::new(MemoryRegistry::default());
        let registry = Registry::open(ours.clone(), store, Arc::new(SystemEntropy::new())).await.unwrap();
        let service = DebugService::new(ours, bundles, Arc::new(registry), clock());
        let desk = Desk::new(Routes::default().add_service(service.into_server()));
        let info: GetInfoResponse =
            desk.call("spire.api.server.debug.v1.Debug/GetInfo", &GetInfoRequest {}).await.unwrap();
        let [signer] = info.svid_chain.try_into().unwrap();
        assert_eq!(signer.subject, "O=signs\\u{a},C=US");
        assert_eq!(signer.id.unwrap().trust_domain, "example.org");
        assert!(signer.expires_at > 1_795_325_223);
        assert_eq!((info.uptime, info.agents_count, info.federated_bundles_count, info.entries_count), (0, 1, 2, 0));
    }
}
