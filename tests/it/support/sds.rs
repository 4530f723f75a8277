//! SDS as a client: what Envoy does, spoken by the test itself.

use std::path::{Path, PathBuf};

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use futures_util::StreamExt as _;
use hyper_util::rt::TokioIo;
use prost::Message as _;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// The type URL of a secret.
pub(crate) const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// A gRPC channel over a Unix socket.
pub(crate) async fn channel(socket: &Path) -> Channel {
    let socket: PathBuf = socket.to_owned();
    Endpoint::from_static("http://localhost")
        .connect_with_connector(tower::service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        }))
        .await
        .unwrap()
}

/// A request for `names`, as Envoy words its first one.
pub(crate) fn request(names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        node: Some(Node { id: "test".into(), cluster: "test".into(), ..Node::default() }),
        resource_names: names.iter().map(ToString::to_string).collect(),
        type_url: SECRET.into(),
        ..DiscoveryRequest::default()
    }
}

/// `FetchSecrets`.
pub(crate) async fn fetch(socket: &Path, names: &[&str]) -> Result<DiscoveryResponse, Status> {
    let mut client = SecretDiscoveryServiceClient::new(channel(socket).await);
    client.fetch_secrets(request(names)).await.map(tonic::Response::into_inner)
}

/// The first response on a stream that begins with a request for `names`.
pub(crate) async fn stream(socket: &Path, names: &[&str]) -> Result<DiscoveryResponse, Status> {
    let mut client = SecretDiscoveryServiceClient::new(channel(socket).await);
    let requests = futures_util::stream::iter([request(names)]).chain(futures_util::stream::pending());
    client.stream_secrets(requests).await?.into_inner().message().await.map(Option::unwrap)
}

/// The first response on an incremental stream that begins with a request for `names`.
pub(crate) async fn delta(socket: &Path, names: &[&str]) -> Result<DeltaDiscoveryResponse, Status> {
    let mut client = SecretDiscoveryServiceClient::new(channel(socket).await);
    let DiscoveryRequest { node, resource_names, type_url, .. } = request(names);
    let request = DeltaDiscoveryRequest {
        node,
        type_url,
        resource_names_subscribe: resource_names,
        ..DeltaDiscoveryRequest::default()
    };
    let requests = futures_util::stream::iter([request]).chain(futures_util::stream::pending());
    client.delta_secrets(requests).await?.into_inner().message().await.map(Option::unwrap)
}

/// The code of a `FetchSecrets` that must fail.
pub(crate) async fn fetch_code(socket: &Path, names: &[&str]) -> Code {
    fetch(socket, names).await.map_or_else(|status| status.code(), |response| panic!("{response:?}"))
}

/// The secrets in a response.
pub(crate) fn secrets(response: &DiscoveryResponse) -> Vec<Secret> {
    response.resources.iter().map(|any| Secret::decode(any.value.as_slice()).unwrap()).collect()
}

/// Certificate chain and key of a secret, both PEM.
pub(crate) fn certificate(secret: &Secret) -> (String, String) {
    let Some(Type::TlsCertificate(certificate)) = &secret.r#type else { panic!("{secret:?}") };
    let text = |source: &Option<_>| {
        let source: &envoy_types::pb::envoy::config::core::v3::DataSource = source.as_ref().unwrap();
        match source.specifier.as_ref().unwrap() {
            Specifier::InlineBytes(bytes) => String::from_utf8(bytes.clone()).unwrap(),
            Specifier::InlineString(text) => text.clone(),
            other => panic!("{other:?}"),
        }
    };
    (text(&certificate.certificate_chain), text(&certificate.private_key))
}
