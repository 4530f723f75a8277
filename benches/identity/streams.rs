//! Memory per open SDS stream. SPIRE's agent was reported at 3.5 GB for some 450 connections (spire#5348).

use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::gateway::Gateway;

const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// Both directions of one stream.
pub(crate) type Open = (mpsc::Sender<DiscoveryRequest>, Streaming<DiscoveryResponse>);

/// Opens `streams` streams, `per_connection` on each connection, and says what they take.
pub(crate) async fn run(streams: usize, per_connection: usize) {
    let gateway = Gateway::start().await;
    gateway.register("base").await;
    // What is made once is not the streams'.
    drop(open(&gateway, 10, 1, "default").await);
    let before = gateway.resident();
    let open = open(&gateway, streams, per_connection, "default").await;
    let grown = gateway.resident().saturating_sub(before);
    println!(
        "  {streams} streams, {per_connection} on a connection: {:.1} MB before, {:.1} MB more, {:.1} kB each",
        megabytes(before),
        megabytes(grown),
        megabytes(grown) * 1000.0 / f64::from(u32::try_from(open.len()).unwrap()),
    );
}

/// Opens streams for the secret `name`, each of which has got it when this returns.
pub(crate) async fn open(gateway: &Gateway, streams: usize, per_connection: usize, name: &str) -> Vec<Open> {
    let mut open = Vec::with_capacity(streams);
    let mut channel = None;
    for number in 0..streams {
        if number % per_connection == 0 {
            channel = Some(gateway.connect("workload.sock").await);
        }
        let (requests, receiver) = mpsc::channel(4);
        let request =
            DiscoveryRequest { resource_names: vec![name.into()], type_url: SECRET.into(), ..Default::default() };
        requests.send(request.clone()).await.unwrap();
        let mut client = SecretDiscoveryServiceClient::new(channel.clone().unwrap());
        let mut responses = client.stream_secrets(ReceiverStream::new(receiver)).await.unwrap().into_inner();
        let first = responses.next().await.unwrap().unwrap();
        let acknowledged =
            DiscoveryRequest { version_info: first.version_info, response_nonce: first.nonce, ..request };
        requests.send(acknowledged).await.unwrap();
        open.push((requests, responses));
    }
    open
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
