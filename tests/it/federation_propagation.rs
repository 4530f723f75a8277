//! One change of another domain's bundle, as all those see it who go by it: Envoy over SDS, a workload over the Workload API,
//! a request that is checked, a token that is verified.

use std::path::Path;
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use portcullis_spiffe_api::workload::X509BundlesResponse;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::federation::{federating_home, passes, trusted};
use crate::support::gateway::{Gateway, Home};
use crate::support::neighbour::{Neighbour, OTHER, admin, hold};
use crate::support::{sds, workload_api};

/// Everybody who goes by bundles. Those who are told are told on streams that were open before.
struct Faces {
    home: Home,
    _gateway: Gateway,
    sds: (mpsc::Sender<DiscoveryRequest>, Streaming<DiscoveryResponse>),
    bundles: Streaming<X509BundlesResponse>,
    client: workload_api::Client,
}

/// What a trust domain's workload `/web` shows.
struct Shown {
    leaf: String,
    token: String,
}

impl Shown {
    fn by(neighbour: &Neighbour) -> Self {
        Self { leaf: neighbour.identity("/web").0, token: neighbour.token("/web", "orders") }
    }
}

impl Faces {
    async fn open() -> Self {
        let (home, entries) = federating_home();
        let gateway = Gateway::start(&home, &[("IDENTITY__ENTRIES", entries.as_str())]).await;
        let mut secrets = SecretDiscoveryServiceClient::new(sds::channel(&home.workload_socket()).await);
        let (requests, received) = mpsc::channel(8);
        requests.send(sds::request(&["ALL"])).await.unwrap();
        let secrets = secrets.stream_secrets(ReceiverStream::new(received)).await.unwrap().into_inner();
        let mut client = workload_api::Client::connect(&home.workload_socket()).await;
        let bundles = client.x509_bundles().await;
        Self { home, _gateway: gateway, sds: (requests, secrets), bundles, client }
    }

    /// The trust domains of the next secret that Envoy is pushed, and the bundle of the other domain that the workload is
    /// told next, DER.
    async fn told(&mut self) -> (Vec<String>, Vec<u8>) {
        let response = soon(self.sds.1.message()).await.unwrap().unwrap();
        let mut acknowledged = sds::request(&["ALL"]);
        acknowledged.version_info.clone_from(&response.version_info);
        acknowledged.response_nonce.clone_from(&response.nonce);
        self.sds.0.send(acknowledged).await.unwrap();
        let message = soon(self.bundles.message()).await.unwrap().unwrap();
        let theirs = message.bundles.get(&format!("spiffe://{OTHER}")).cloned();
        (trusted(&response), theirs.unwrap_or_default())
    }

    /// Whether the certificate passes a check, and whether the token is valid. Each is asked for twice: what was answered the
    /// first time could be remembered.
    async fn believe(&mut self, shown: &Shown) -> (bool, bool) {
        let mut answers = Vec::new();
        for _again in 0..2 {
            let passed = passes(&self.home.ext_authz_socket(), &shown.leaf).await;
            answers.push((passed, self.client.validate("orders", &shown.token).await.is_ok()));
        }
        assert_eq!(answers[0], answers[1]);
        answers[0]
    }

    fn hold(&self, file: &Path) {
        hold(&self.home, file);
    }
}

/// An event that comes, if it comes at all, long before this.
async fn soon<T>(event: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), event).await.unwrap_or_else(|_late| panic!("waited 30 s in vain"))
}

fn domains(all: &[&str]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_is_set_or_emptied_reaches_all_who_go_by_it() {
    let neighbour = Neighbour::start().await;
    let shown = Shown::by(&neighbour);
    let mut faces = Faces::open().await;
    assert_eq!(faces.told().await, (domains(&["example.org"]), Vec::new()));
    assert_eq!(faces.believe(&shown).await, (false, false));

    faces.hold(&neighbour.bundle());
    let (trusted, theirs) = faces.told().await;
    assert_eq!(trusted, domains(&["example.org", OTHER]));
    assert!(!theirs.is_empty());
    assert_eq!(faces.believe(&shown).await, (true, true));

    let nobody = faces.home.path().join("nobody.json");
    std::fs::write(&nobody, r#"{"keys":[]}"#).unwrap();
    faces.hold(&nobody);
    assert_eq!(faces.believe(&shown).await, (false, false), "at once, though both were remembered");
    assert_eq!(faces.told().await, (domains(&["example.org"]), Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relationship_and_what_is_fetched_by_it_reach_all_who_go_by_them() {
    let neighbour = Neighbour::start().await;
    let mut faces = Faces::open().await;
    faces.told().await;
    let first = neighbour.bundle();
    let create = [
        "federation",
        "create",
        "-trustDomain",
        OTHER,
        "-bundleEndpointURL",
        &neighbour.endpoint,
        "-bundleEndpointProfile",
        "https_spiffe",
        "-endpointSpiffeID",
        "spiffe://other.org/bundle",
        "-trustDomainBundleFormat",
        "spiffe",
        "-trustDomainBundlePath",
        first.to_str().unwrap(),
    ];
    admin(&faces.home, &create);
    let (trusted, before) = faces.told().await;
    assert_eq!(trusted, domains(&["example.org", OTHER]));
    assert_eq!(faces.believe(&Shown::by(&neighbour)).await, (true, true));

    // They change their keys, and we ask.
    for kind in ["x509", "jwt"] {
        let prepared = neighbour.admin(&["localauthority", kind, "prepare", "-output", "json"]);
        let prepared: serde_json::Value = serde_json::from_str(&prepared).unwrap();
        let id = prepared["prepared_authority"]["authority_id"].as_str().unwrap();
        neighbour.admin(&["localauthority", kind, "activate", "-authorityID", id]);
    }
    let shown = Shown::by(&neighbour);
    assert_eq!(faces.believe(&shown).await, (false, false), "what signed is not known yet");
    admin(&faces.home, &["federation", "refresh", "-id", OTHER]);
    assert_eq!(faces.believe(&shown).await, (true, true));
    let (trusted, after) = faces.told().await;
    assert_eq!(trusted, domains(&["example.org", OTHER]));
    assert!(after.len() > before.len(), "there is one more authority");
}
