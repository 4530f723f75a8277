//! Many entries that come and go while many workloads are connected.

use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use portcullis_spiffe_api::spire::api::server::entry::v1::entry_client::EntryClient;
use portcullis_spiffe_api::spire::api::server::entry::v1::{
    BatchCreateEntryRequest, BatchDeleteEntryRequest, CountEntriesRequest,
};
use portcullis_spiffe_api::spire::api::types::{Entry, Selector, Spiffeid};
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::support::gateway::{Gateway, Home};
use crate::support::sds;

const STREAMS: usize = 500;
const ENTRIES: usize = 10_000;
const BATCH: usize = 500;

struct Stream {
    _requests: Sender<DiscoveryRequest>,
    responses: Streaming<DiscoveryResponse>,
}

/// Asks for `name`, which need not be there yet.
async fn subscribe(channel_to: &Channel, names: &[&str]) -> Stream {
    let (requests, receiver) = channel(4);
    requests.send(sds::request(names)).await.unwrap();
    let mut client = SecretDiscoveryServiceClient::new(channel_to.clone());
    let responses = client.stream_secrets(ReceiverStream::new(receiver)).await.unwrap().into_inner();
    Stream { _requests: requests, responses }
}

fn entry(id: &str, selector: String) -> Entry {
    let spiffe_id = |path: String| Some(Spiffeid { trust_domain: "example.org".into(), path });
    Entry {
        id: id.to_owned(),
        spiffe_id: spiffe_id(format!("/churn/{id}")),
        parent_id: spiffe_id("/spire/agent/portcullis".into()),
        selectors: vec![Selector { r#type: "unix".into(), value: selector }],
        ..Entry::default()
    }
}

async fn create(admin: &mut EntryClient<Channel>, entries: Vec<Entry>) {
    let answer = admin.batch_create_entry(BatchCreateEntryRequest { entries, output_mask: None }).await.unwrap();
    for result in answer.into_inner().results {
        assert_eq!(result.status.clone().unwrap().code, 0, "{result:?}");
    }
}

/// What concerns others says nothing to a stream, and what concerns it comes after all that.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_entries_come_and_go_while_five_hundred_streams_are_open() {
    let home = Home::new();
    let gateway = Gateway::start(&home, &[]).await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS / 50 {
        let channel = sds::channel(&home.workload_socket()).await;
        for _ in 0..50 {
            streams.push(subscribe(&channel, &["default", "spiffe://example.org/churn/mine"]).await);
        }
    }
    for stream in &mut streams {
        assert_eq!(stream.responses.message().await.unwrap().unwrap().resources.len(), 1);
    }

    let mut admin = EntryClient::new(sds::channel(&home.admin_socket()).await);
    let ids: Vec<_> = (0..ENTRIES).map(|number| format!("e{number}")).collect();
    for batch in ids.chunks(BATCH) {
        let entries = batch.iter().map(|id| entry(id, format!("path:/nowhere/{id}"))).collect();
        create(&mut admin, entries).await;
    }
    let count = admin.count_entries(CountEntriesRequest { filter: None }).await.unwrap().into_inner().count;
    assert_eq!(usize::try_from(count).unwrap(), ENTRIES + 4);
    for batch in ids.chunks(BATCH) {
        let answer = admin.batch_delete_entry(BatchDeleteEntryRequest { ids: batch.to_vec() }).await.unwrap();
        assert!(answer.into_inner().results.iter().all(|result| result.status.as_ref().unwrap().code == 0));
    }

    let tests = std::env::current_exe().unwrap();
    create(&mut admin, vec![entry("mine", format!("path:{}", tests.display()))]).await;
    for stream in &mut streams {
        let response = tokio::time::timeout(Duration::from_mins(1), stream.responses.message()).await;
        let response = response.expect("a stream hears nothing").unwrap().expect("a stream ended");
        let names: Vec<_> = sds::secrets(&response).into_iter().map(|secret| secret.name).collect();
        assert_eq!(names, ["default", "spiffe://example.org/churn/mine"], "the first word since the beginning");
    }
    assert!(gateway.operations("/readyz").await.body.contains("\"ready\":true"));
}
