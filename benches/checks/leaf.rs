//! The caller's leaf: the one that the gateway gives this program.

use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use envoy_types::pb::envoy::service::discovery::v3::DiscoveryRequest;
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use prost::Message as _;

use crate::gateway::Gateway;

/// It, with the chain that goes with it, in PEM.
pub(crate) async fn of_ours(gateway: &Gateway) -> String {
    let mut client = SecretDiscoveryServiceClient::new(gateway.connect("workload.sock").await);
    let request = DiscoveryRequest {
        resource_names: vec!["default".into()],
        type_url: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret".into(),
        ..DiscoveryRequest::default()
    };
    let response = client.fetch_secrets(request).await.unwrap().into_inner();
    let secret = Secret::decode(response.resources.first().unwrap().value.as_slice()).unwrap();
    let Some(Type::TlsCertificate(certificate)) = secret.r#type else { panic!("not a certificate") };
    match certificate.certificate_chain.and_then(|chain| chain.specifier) {
        Some(Specifier::InlineBytes(chain)) => String::from_utf8(chain).unwrap(),
        other => panic!("{other:?}"),
    }
}
