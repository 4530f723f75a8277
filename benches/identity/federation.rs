//! How long it takes from the call that sets another domain's bundle to each of those who go by it: Envoy over SDS, a
//! workload over the Workload API, a check of a request, the verification of a token. Those who are asked have been asked
//! before, so what they remember is in it.

use std::time::Duration;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request as Asked};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, check_response::HttpResponse};
use envoy_types::pb::envoy::service::discovery::v3::DiscoveryRequest;
use portcullis_spiffe_api::spire::api::server::bundle::v1::BatchSetFederatedBundleRequest;
use portcullis_spiffe_api::spire::api::server::bundle::v1::bundle_client::BundleClient;
use portcullis_spiffe_api::spire::api::types::{Bundle, JwtKey, X509Certificate};
use portcullis_spiffe_api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use portcullis_spiffe_api::workload::{ValidateJwtsvidRequest, X509BundlesRequest};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use tonic::transport::Channel;

use crate::gateway::Gateway;
use crate::propagation::with_header;
use crate::stopwatch::{Stopwatch, percentile};
use crate::streams;

const OTHER: &str = "other.org";
const WEB: &str = "spiffe://other.org/web";

/// The four, and the call itself.
const FACES: [&str; 5] = ["the call", "Check", "ValidateJWTSVID", "SDS", "Workload API"];

/// A state of the other domain: what it publishes, and what its workload shows.
struct Generation {
    bundle: Bundle,
    check: CheckRequest,
    token: String,
}

/// Sets one bundle after the other, `changes` times.
pub(crate) async fn run(gateway: &Gateway, changes: usize) {
    gateway.federate("federated", OTHER).await;
    let generations = [Generation::new("one"), Generation::new("two")];
    let mut sds = streams::open(gateway, 1, 1, "ALL").await.remove(0);
    let mut workload = SpiffeWorkloadApiClient::new(gateway.connect("workload.sock").await);
    let mut bundles = workload.fetch_x509_bundles(with_header(X509BundlesRequest {})).await.unwrap().into_inner();
    bundles.message().await.unwrap();
    let mut admin = BundleClient::new(gateway.connect("admin.sock").await);
    let mut proxy = AuthorizationClient::new(gateway.connect("ext_authz.sock").await);
    let mut times: [Vec<Duration>; 5] = Default::default();
    for Generation { bundle, check, token } in generations.iter().cycle().take(changes) {
        let watch = Stopwatch::start();
        let asked = async {
            let request = BatchSetFederatedBundleRequest { bundle: vec![bundle.clone()], output_mask: None };
            admin.batch_set_federated_bundle(request).await.unwrap();
            let called = watch.elapsed();
            until_checked(&mut proxy, check).await;
            let checked = watch.elapsed();
            until_validated(&mut workload, token).await;
            [called, checked, watch.elapsed()]
        };
        let pushed = async {
            let response = sds.1.message().await.unwrap().unwrap();
            let elapsed = watch.elapsed();
            let acknowledged = DiscoveryRequest {
                resource_names: vec!["ALL".into()],
                type_url: response.type_url,
                version_info: response.version_info,
                response_nonce: response.nonce,
                ..DiscoveryRequest::default()
            };
            sds.0.send(acknowledged).await.unwrap();
            elapsed
        };
        let told = async {
            bundles.message().await.unwrap().unwrap();
            watch.elapsed()
        };
        let ([called, checked, validated], pushed, told) = tokio::join!(asked, pushed, told);
        for (all, one) in times.iter_mut().zip([called, checked, validated, pushed, told]) {
            all.push(one);
        }
    }
    for (name, times) in FACES.iter().zip(&mut times) {
        times.sort_unstable();
        let [half, most, worst] = [50, 99, 100].map(|hundredths| percentile(times, hundredths));
        println!("  {name:<18} p50 {half:.1?}, p99 {most:.1?}, worst {worst:.1?}");
    }
    gateway.deregister("federated").await;
}

/// Asks until the leaf is believed; no policy permits it anything.
async fn until_checked(proxy: &mut AuthorizationClient<Channel>, check: &CheckRequest) {
    loop {
        let answer = proxy.check(check.clone()).await.unwrap().into_inner();
        if let Some(HttpResponse::DeniedResponse(denied)) = answer.http_response
            && denied.body.contains("no_permit")
        {
            return;
        }
    }
}

async fn until_validated(workload: &mut SpiffeWorkloadApiClient<Channel>, token: &str) {
    let request = || ValidateJwtsvidRequest { audience: "bench".into(), svid: token.to_owned() };
    while workload.validate_jwtsvid(with_header(request())).await.is_err() {}
}

impl Generation {
    fn new(key_id: &str) -> Self {
        let issuer = authority();
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let public_key = pair.public_key().as_der().unwrap().as_ref().to_vec();
        let bundle = Bundle {
            trust_domain: OTHER.into(),
            x509_authorities: vec![X509Certificate { asn1: issuer.der().to_vec(), tainted: false }],
            jwt_authorities: vec![JwtKey { public_key, key_id: key_id.to_owned(), ..JwtKey::default() }],
            ..Bundle::default()
        };
        Self { bundle, check: check(&leaf(&issuer)), token: token(&pair, key_id) }
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI("spiffe://other.org".try_into().unwrap())];
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn leaf(issuer: &CertifiedIssuer<'static, KeyPair>) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(WEB.try_into().unwrap())];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().pem()
}

fn check(leaf: &str) -> CheckRequest {
    let certificate = percent_encoding::utf8_percent_encode(leaf, percent_encoding::NON_ALPHANUMERIC).to_string();
    let lines = [(":method", "GET"), (":path", "/orders/17"), (":authority", "orders"), (":scheme", "http")];
    let line = |(key, value): (&str, &str)| envoy_types::pb::envoy::config::core::v3::HeaderValue {
        key: key.into(),
        raw_value: value.as_bytes().to_vec(),
        ..Default::default()
    };
    let headers = lines.into_iter().map(line).collect();
    let http = HttpRequest {
        method: "GET".into(),
        path: "/orders/17".into(),
        host: "orders".into(),
        scheme: "http".into(),
        protocol: "HTTP/2".into(),
        header_map: Some(envoy_types::pb::envoy::config::core::v3::HeaderMap { headers }),
        ..HttpRequest::default()
    };
    CheckRequest {
        attributes: Some(AttributeContext {
            source: Some(Peer { principal: WEB.into(), certificate, ..Peer::default() }),
            request: Some(Asked { time: None, http: Some(http) }),
            context_extensions: [("service".to_owned(), "orders".to_owned())].into(),
            ..AttributeContext::default()
        }),
    }
}

#[expect(clippy::disallowed_methods, reason = "the library demands its own source, in benches too")]
fn token(pair: &EcdsaKeyPair, key_id: &str) -> String {
    let encode = |part: serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let header = encode(serde_json::json!({"alg": "ES256", "kid": key_id, "typ": "JWT"}));
    let claims = encode(serde_json::json!({"sub": WEB, "aud": ["bench"], "exp": 4_000_000_000_u64}));
    let signed = format!("{header}.{claims}");
    let signature = pair.sign(&aws_lc_rs::rand::SystemRandom::new(), signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
