//! Bundles of other trust domains, set over the admin API, as those see them who rely on them.

use std::path::Path;

use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::SpiffeCertValidatorConfig;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use envoy_types::pb::envoy::service::discovery::v3::DiscoveryResponse;
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use portcullis_spiffe_api::spire::api::server::bundle::v1::bundle_client::BundleClient;
use portcullis_spiffe_api::spire::api::server::bundle::v1::{
    BatchDeleteFederatedBundleRequest, BatchSetFederatedBundleRequest, GetFederatedBundleRequest,
};
use portcullis_spiffe_api::spire::api::types::{Bundle, X509Certificate};
use prost::Message as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use tonic::Code;
use tonic::transport::Channel;

use crate::bad_input::{allows, ask, good_question, source};
use crate::support::gateway::{Gateway, Home};
use crate::support::sds;

const OTHER: &str = "other.org";

/// Whoever signs for `other.org`, and what that has signed.
pub(crate) struct Other {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Other {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![uri("spiffe://other.org")];
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    pub(crate) fn bundle(&self) -> Bundle {
        let certificate = X509Certificate { asn1: self.issuer.der().to_vec(), tainted: false };
        Bundle { trust_domain: OTHER.into(), x509_authorities: vec![certificate], ..Bundle::default() }
    }

    /// The leaf of `spiffe://other.org/web`, PEM.
    fn leaf(&self) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![uri("spiffe://other.org/web")];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap().pem()
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// A home whose test process federates with `other.org`, and whose policies let that domain's `web` read orders.
pub(crate) fn federating_home() -> (Home, String) {
    let home = Home::new();
    let policy = "@id(\"foreign-web-reads-orders\")\npermit (principal == Workload::\"spiffe://other.org/web\", \
                  action in Action::\"read\", resource in Path::\"/orders\");\n";
    std::fs::write(home.policies().join("federation.cedar"), policy).unwrap();
    let tests = std::env::current_exe().unwrap();
    let entries = serde_json::json!([{
        "id": "tester",
        "spiffe_id": "spiffe://example.org/web",
        "selectors": [format!("unix:path:{}", tests.display())],
        "federates_with": [OTHER],
    }]);
    (home, entries.to_string())
}

async fn admin(home: &Home) -> BundleClient<Channel> {
    BundleClient::new(sds::channel(&home.admin_socket()).await)
}

async fn set(home: &Home, bundle: Bundle) -> (i32, String) {
    let request = BatchSetFederatedBundleRequest { bundle: vec![bundle], output_mask: None };
    let answer = admin(home).await.batch_set_federated_bundle(request).await.unwrap().into_inner();
    let status = answer.results[0].status.clone().unwrap();
    (status.code, status.message)
}

async fn delete(home: &Home) -> i32 {
    let request = BatchDeleteFederatedBundleRequest { trust_domains: vec![OTHER.into()], mode: 0 };
    let answer = admin(home).await.batch_delete_federated_bundle(request).await.unwrap().into_inner();
    answer.results[0].status.as_ref().unwrap().code
}

/// Whether a request of `spiffe://other.org/web` would pass.
pub(crate) async fn passes(socket: &Path, leaf: &str) -> bool {
    let mut question = good_question(leaf);
    source(&mut question).principal = "spiffe://other.org/web".into();
    allows(&ask(socket, &question.encode_to_vec()).await)
}

/// The trust domains that Envoy is told to trust.
pub(crate) fn trusted(response: &DiscoveryResponse) -> Vec<String> {
    let [secret] = sds::secrets(response).try_into().unwrap();
    let Some(Type::ValidationContext(context)) = secret.r#type else { panic!("{:?}", secret.r#type) };
    let validator = context.custom_validator_config.unwrap().typed_config.unwrap();
    let validator = SpiffeCertValidatorConfig::decode(validator.value.as_slice()).unwrap();
    validator.trust_domains.into_iter().map(|domain| domain.name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_bundle_is_trusted_from_when_it_is_set_until_it_is_deleted() {
    let (home, entries) = federating_home();
    let settings = [("IDENTITY__ENTRIES", entries.as_str())];
    let gateway = Gateway::start(&home, &settings).await;
    let (other, checks) = (Other::new(), home.ext_authz_socket());
    let leaf = other.leaf();
    let shown = async || trusted(&sds::fetch(&home.workload_socket(), &["ALL"]).await.unwrap());
    assert_eq!(shown().await, ["example.org"]);
    assert!(!passes(&checks, &leaf).await);

    assert_eq!(set(&home, other.bundle()).await, (0, "OK".into()));
    assert!(passes(&checks, &leaf).await);
    assert!(!passes(&checks, &Other::new().leaf()).await, "another authority of that name is not trusted");
    assert_eq!(shown().await, ["example.org", OTHER]);

    drop(gateway);
    let gateway = Gateway::start(&home, &settings).await;
    assert!(passes(&checks, &leaf).await, "a bundle survives the process");

    // The entry of the configuration needs the bundle, so it stays; an empty one takes the trust away.
    assert_eq!(delete(&home).await, i32::from(Code::FailedPrecondition));
    assert!(passes(&checks, &leaf).await);
    assert_eq!(set(&home, Bundle { trust_domain: OTHER.into(), ..Bundle::default() }).await.0, 0);
    assert!(!passes(&checks, &leaf).await);
    drop(gateway);

    let _gateway = Gateway::start(&home, &[]).await;
    assert_eq!(set(&home, other.bundle()).await.0, 0);
    assert!(passes(&checks, &leaf).await);
    assert_eq!(delete(&home).await, 0);
    assert!(!passes(&checks, &leaf).await, "what was verified before is not remembered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_gets_a_foreign_bundle_when_it_is_set() {
    let (home, entries) = federating_home();
    let _gateway = Gateway::start(&home, &[("IDENTITY__ENTRIES", entries.as_str())]).await;
    let mut client = SecretDiscoveryServiceClient::new(sds::channel(&home.workload_socket()).await);
    let (requests, received) = tokio::sync::mpsc::channel(8);
    requests.send(sds::request(&["ALL"])).await.unwrap();
    let received = tokio_stream::wrappers::ReceiverStream::new(received);
    let mut stream = client.stream_secrets(received).await.unwrap().into_inner();
    let mut next = async || {
        let response = stream.message().await.unwrap().unwrap();
        let mut acknowledged = sds::request(&["ALL"]);
        acknowledged.version_info.clone_from(&response.version_info);
        acknowledged.response_nonce.clone_from(&response.nonce);
        requests.send(acknowledged).await.unwrap();
        trusted(&response)
    };
    assert_eq!(next().await, ["example.org"]);
    assert_eq!(set(&home, Other::new().bundle()).await.0, 0);
    assert_eq!(next().await, ["example.org", OTHER]);
    // S8: an empty bundle is left out, or Envoy would refuse all of them.
    assert_eq!(set(&home, Bundle { trust_domain: OTHER.into(), ..Bundle::default() }).await.0, 0);
    assert_eq!(next().await, ["example.org"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_bundles_change_nothing_and_end_nothing() {
    let home = Home::new();
    let mut gateway = Gateway::start(&home, &[]).await;
    let good = Other::new().bundle();
    assert_eq!(set(&home, good.clone()).await.0, 0);
    let of = |asn1| Bundle { x509_authorities: vec![X509Certificate { asn1, tainted: false }], ..good.clone() };
    let certificate = &good.x509_authorities[0];
    for hostile in [
        of(Vec::new()),
        of(vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff]),
        of(vec![0x30; 2 << 20]),
        of([certificate.asn1.as_slice(), &[0]].concat()),
        Bundle { x509_authorities: vec![certificate.clone(); 1000], ..good.clone() },
        Bundle { refresh_hint: i64::MIN, ..good.clone() },
        Bundle { trust_domain: "a".repeat(256), ..good.clone() },
        Bundle { trust_domain: "example.org".into(), ..good.clone() },
        Bundle { trust_domain: "third.org".into(), ..good.clone() },
    ] {
        let (code, message) = set(&home, hostile).await;
        assert_eq!(code, i32::from(Code::InvalidArgument), "{message}");
    }
    let huge = BatchSetFederatedBundleRequest { bundle: vec![of(vec![0x30; 10 << 20])], output_mask: None };
    let refused = admin(&home).await.batch_set_federated_bundle(huge).await.unwrap_err();
    assert!(matches!(refused.code(), Code::OutOfRange | Code::ResourceExhausted), "{refused}");
    let question = GetFederatedBundleRequest { trust_domain: OTHER.into(), output_mask: None };
    let kept = admin(&home).await.get_federated_bundle(question).await.unwrap().into_inner();
    assert_eq!(kept, good);
    gateway.process.assert_running();
    assert!(!gateway.process.output().contains("panic"), "{}", gateway.process.output());
}
