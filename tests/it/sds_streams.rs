//! Many streams of secrets at once.

use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use tokio::sync::mpsc::{self, Sender};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::support::eventually;
use crate::support::gateway::{Gateway, Home};
use crate::support::sds::{channel, request};

const CONNECTIONS: usize = 100;
const STREAMS: usize = 1000;

/// More than a stream may cost, in KiB: it is about 20, of them 16 the buffers that tonic gives each, and a connection of
/// its own about 35 more. SPIRE's agent was seen to take 8,000 (spiffe/spire#5348).
const TOO_MUCH: u64 = 200;

/// S10: 1,000 streams take little memory, and leave no file behind when they end.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_streams_cost_little_and_leave_nothing_open() {
    let home = Home::new();
    let gateway = Gateway::start(&home, &[]).await;
    let (memory, files) = (gateway.process.memory(), gateway.process.open_files());
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let client = SecretDiscoveryServiceClient::new(channel(&home.workload_socket()).await);
        for number in 0..STREAMS / CONNECTIONS {
            streams.push(open(client.clone(), if number % 2 == 0 { "default" } else { "ALL" }).await);
        }
    }
    let open = gateway.operations("/metrics").await.body;
    assert!(open.contains(&format!("portcullis_sds_streams {STREAMS}\n")), "{open}");
    let each = gateway.process.memory().saturating_sub(memory) / 1024 / u64::try_from(STREAMS).unwrap();
    assert!(each < TOO_MUCH, "a stream takes {each} KiB");
    drop(streams);
    eventually("all is closed", async || (gateway.process.open_files() <= files).then_some(())).await;
    assert!(gateway.metric("portcullis_sds_streams").await < 1.0);
}

type Open = (Sender<DiscoveryRequest>, Streaming<DiscoveryResponse>);

async fn open(mut client: SecretDiscoveryServiceClient<tonic::transport::Channel>, name: &str) -> Open {
    let (requests, outgoing) = mpsc::channel(1);
    requests.send(request(&[name])).await.unwrap();
    let mut responses = client.stream_secrets(ReceiverStream::new(outgoing)).await.unwrap().into_inner();
    assert_eq!(responses.message().await.unwrap().unwrap().resources.len(), 1);
    (requests, responses)
}
