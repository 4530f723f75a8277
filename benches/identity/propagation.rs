//! How long it takes from the call that makes an entry to the connected workload that has its SVID: signed, recorded
//! and pushed. SPIRE's way takes up to 10 s (a cache of 5 s in the server, another in the agent; spire#1859).

use portcullis_spiffe_api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use portcullis_spiffe_api::workload::{X509svidRequest, X509svidResponse};
use tonic::metadata::MetadataValue;
use tonic::{Request, Streaming};

use crate::gateway::Gateway;
use crate::stopwatch::{Stopwatch, percentile};
use crate::streams;

/// Makes and deletes an entry `changes` times while `bystanders` SDS streams are open.
pub(crate) async fn run(gateway: &Gateway, changes: usize, bystanders: usize) {
    gateway.register("base").await;
    let open = streams::open(gateway, bystanders, 1, "spiffe://example.org/base").await;
    let mut stream = subscribe(gateway).await;
    let mut times = Vec::with_capacity(changes);
    for change in 0..changes {
        let id = format!("change-{change}");
        let watch = Stopwatch::start();
        gateway.register(&id).await;
        until(&mut stream, &id, true).await;
        times.push(watch.elapsed());
        gateway.deregister(&id).await;
        until(&mut stream, &id, false).await;
    }
    times.sort_unstable();
    let [half, most, worst] = [50, 99, 100].map(|hundredths| percentile(&times, hundredths));
    println!("  {bystanders:>4} other streams open: p50 {half:.1?}, p99 {most:.1?}, worst {worst:.1?}");
    drop(open);
    gateway.deregister("base").await;
}

async fn subscribe(gateway: &Gateway) -> Streaming<X509svidResponse> {
    let mut client = SpiffeWorkloadApiClient::new(gateway.connect("workload.sock").await);
    client.fetch_x509svid(with_header(X509svidRequest {})).await.unwrap().into_inner()
}

/// A request with the security header.
pub(crate) fn with_header<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("workload.spiffe.io", MetadataValue::from_static("true"));
    request
}

/// Reads on until the identity is or is not there.
async fn until(stream: &mut Streaming<X509svidResponse>, id: &str, there: bool) {
    let id = format!("spiffe://example.org/{id}");
    loop {
        let message = stream.message().await.unwrap().unwrap();
        if message.svids.iter().any(|svid| svid.spiffe_id == id) == there {
            return;
        }
    }
}
