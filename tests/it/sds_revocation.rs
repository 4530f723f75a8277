//! What a real Envoy makes of revocation lists, in the two places where the secrets service puts them.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams, SanType, SerialNumber,
    date_time_ymd,
};
use serde_json::{Value, json};

use crate::support::envoy::{Sidecar, free_port};
use crate::support::gateway::Home;
use crate::support::http::{Answer, exchange};
use crate::support::tls;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: orders\r\nconnection: close\r\n\r\n";

/// An authority, and what it has signed: each leaf with its key, in PEM.
struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names = vec![SanType::URI("spiffe://example.org".try_into().unwrap())];
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    fn leaf(&self, serial: u64) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from(serial));
        params.subject_alt_names = vec![SanType::URI(format!("spiffe://example.org/{serial}").try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn list(&self, revoked: &[u64]) -> String {
        self.list_until(2999, revoked)
    }

    fn list_until(&self, year: i32, revoked: &[u64]) -> String {
        let revoked = revoked.iter().map(|&serial| RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(year, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// As the secrets service spells a bundle for Envoy's SPIFFE validator.
fn for_validator(authorities: &str, lists: &str) -> Value {
    json!({ "custom_validator_config": {
        "name": "envoy.tls.cert_validator.spiffe",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig",
            "trust_domains": [{
                "name": "example.org",
                "trust_bundle": { "inline_string": format!("{authorities}{lists}") },
            }],
        },
    }})
}

/// As it spells one of plain authorities.
fn plain(authorities: &str, lists: &str) -> Value {
    json!({ "trusted_ca": { "inline_string": authorities }, "crl": { "inline_string": lists } })
}

/// A sidecar that answers 200 to whom `validation` lets in.
async fn start(home: &Home, validation: &Value, server: &(String, String)) -> (Sidecar, u16) {
    let port = free_port();
    let http = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "http_filters": [{ "name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
        }}],
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [
            { "match": { "prefix": "/" }, "direct_response": { "status": 200 } },
        ]}]},
    });
    let tls = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": true,
        "common_tls_context": {
            "tls_certificates": [{
                "certificate_chain": { "inline_string": server.0 },
                "private_key": { "inline_string": server.1 },
            }],
            "validation_context": validation,
        },
    });
    let configuration = json!({
        "admin": { "address": { "pipe": { "path": "/run/envoy/admin.sock" } } },
        "static_resources": { "listeners": [{
            "name": "ingress",
            "address": { "socket_address": { "address": "127.0.0.1", "port_value": port } },
            "filter_chains": [{
                "transport_socket": { "name": "envoy.transport_sockets.tls", "typed_config": tls },
                "filters": [{ "name": "envoy.filters.network.http_connection_manager", "typed_config": http }],
            }],
        }]},
    });
    let mut sidecar = Sidecar::spawn(home, "orders", &configuration.to_string());
    sidecar.ready().await;
    (sidecar, port)
}

async fn answer(port: u16, leaf: &(String, String)) -> Answer {
    match tls::connect(port, Some(leaf)).await {
        Ok(stream) => exchange(stream, REQUEST).await,
        Err(error) => Answer { body: error.to_string(), ..Answer::default() },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_refuses_a_revoked_leaf_and_takes_another_in_both_spellings() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let authorities = format!("{}{}", old.certificate, new.certificate);
    let lists = format!("{}{}", old.list(&[7]), new.list(&[]));
    for spelling in [for_validator, plain] {
        let home = Home::new();
        let (sidecar, port) = start(&home, &spelling(&authorities, &lists), &old.leaf(1)).await;
        for good in [old.leaf(8), new.leaf(7)] {
            let answer = answer(port, &good).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        let refused = answer(port, &old.leaf(7)).await;
        assert_eq!(refused.status, 0, "{refused:?}");
        assert!(refused.body.contains("ertificate"), "refused, but not for the certificate: {refused:?}");
        assert_eq!(sidecar.stat("ssl.fail_verify_error").await, 1);
    }
}

/// Why a bundle that revokes anything has a list of each authority.
#[tokio::test(flavor = "multi_thread")]
async fn envoy_refuses_whom_an_authority_without_a_list_signed_if_another_has_one() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let authorities = format!("{}{}", old.certificate, new.certificate);
    for spelling in [for_validator, plain] {
        let home = Home::new();
        let (_sidecar, port) = start(&home, &spelling(&authorities, &old.list(&[7])), &old.leaf(1)).await;
        assert_eq!(answer(port, &old.leaf(8)).await.status, 200);
        assert_eq!(answer(port, &new.leaf(8)).await.status, 0);
    }
}

/// Why a list of ours ends no sooner than its authority.
#[tokio::test(flavor = "multi_thread")]
async fn envoy_refuses_everyone_under_a_list_that_has_ended() {
    let authority = Authority::new("only");
    for spelling in [for_validator, plain] {
        let home = Home::new();
        let validation = spelling(&authority.certificate, &authority.list_until(2021, &[]));
        let (_sidecar, port) = start(&home, &validation, &authority.leaf(1)).await;
        assert_eq!(answer(port, &authority.leaf(8)).await.status, 0);
    }
}
