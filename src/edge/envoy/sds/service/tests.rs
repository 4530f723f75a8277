use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use envoy_types::pb::google::rpc;
use futures_util::stream;
use hyper_util::rt::TokioIo;
use rustls_pki_types::CertificateDer;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Server};

use futures_util::future::BoxFuture;

use super::super::fixture::{certificate, certificates, decode};
use super::super::identify::Change;
use super::*;
use crate::foundation::clock::{ManualClock, Timestamp};
use crate::foundation::entropy::{EntropyError, SystemEntropy};
use crate::foundation::secret::Secret as Hidden;
use crate::foundation::shutdown::{Phase, Shutdown};
use crate::foundation::telemetry::Registry;
use crate::identity::attest::unix::AttestError;
use crate::identity::bundle::Bundle;
use crate::identity::issue::{IssueError, Svid};
use crate::identity::selector::Selector;

const NOW: Timestamp = Timestamp::from_unix_nanos(1_000_000_000_000);
const WEB: &str = "spiffe://prod.example/web";

/// An identity plane that does as it is told.
#[derive(Debug)]
struct FakePlane {
    answer: Mutex<Told>,
    changes: watch::Sender<()>,
    asked: AtomicUsize,
}

#[derive(Clone, Debug)]
enum Told {
    Entitled(Identities),
    Gone,
    Failing,
}

impl FakePlane {
    /// Changes the answer without telling anyone, as a renewal does.
    fn set(&self, told: Told) {
        *self.answer.lock().unwrap() = told;
    }

    /// Changes the answer and tells everyone, as a new entry does.
    fn change(&self, told: Told) {
        self.set(told);
        self.changes.send_replace(());
    }
}

impl Identify for FakePlane {
    fn identify<'a>(&'a self, peer: &'a UnixPeer) -> BoxFuture<'a, Result<(Attested, Identities), IdentifyError>> {
        assert_eq!(peer.pid, 42);
        self.asked.fetch_add(1, Ordering::SeqCst);
        let source = std::io::Error::other("gone");
        let answer = match self.answer.lock().unwrap().clone() {
            Told::Entitled(identities) => {
                Ok((Attested { pid: 42, selectors: BTreeSet::new(), failures: Vec::new() }, identities))
            }
            Told::Gone => Err(AttestError::Unreadable { what: "/proc/42/exe", source }.into()),
            Told::Failing => Err(IssueError::from(EntropyError).into()),
        };
        Box::pin(std::future::ready(answer))
    }

    fn changes(&self) -> Box<dyn Change> {
        Box::new(self.changes.subscribe())
    }
}

impl Change for watch::Receiver<()> {
    fn next<'a>(&'a mut self, _selectors: Option<&'a BTreeSet<Selector>>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if self.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}

/// The service behind one connection, in memory.
struct Fixture {
    plane: Arc<FakePlane>,
    clock: Arc<ManualClock>,
    shutdown: Shutdown,
    service: SecretService,
    client: SecretDiscoveryServiceClient<Channel>,
    _server: JoinSet<Result<(), tonic::transport::Error>>,
}

impl Fixture {
    async fn new(told: Told) -> Self {
        let peer = UnixPeer { pid: 42, uid: 1000, gid: 1000, pidfd: None };
        Self::with_peer(told, Some(Peer::Unix(peer))).await
    }

    async fn with_peer(told: Told, peer: Option<Peer>) -> Self {
        Self::with(UnknownNames::Wait, told, peer).await
    }

    /// One that ends streams for unknown names.
    async fn refusing(told: Told) -> Self {
        let peer = UnixPeer { pid: 42, uid: 1000, gid: 1000, pidfd: None };
        Self::with(UnknownNames::Refuse, told, Some(Peer::Unix(peer))).await
    }

    async fn with(unknown_names: UnknownNames, told: Told, peer: Option<Peer>) -> Self {
        let plane =
            FakePlane { answer: Mutex::new(told), changes: watch::Sender::default(), asked: AtomicUsize::default() };
        let plane = Arc::new(plane);
        let clock = Arc::new(ManualClock::new(NOW));
        let shutdown = Shutdown::default();
        let service = SecretService::with_identities(
            SdsConfig { unknown_names, ..SdsConfig::new("prod.example".parse().unwrap()) },
            Arc::clone(&plane) as Arc<dyn Identify>,
            Arc::clone(&clock) as Arc<dyn Clock>,
            Arc::new(SystemEntropy::new()),
            shutdown.signal(),
            Metrics::new(&mut Registry::default()),
        );
        let (channel, server) = connect(service.clone(), peer).await;
        let client = SecretDiscoveryServiceClient::new(channel);
        Self { plane, clock, shutdown, service, client, _server: server }
    }

    /// A stream that begins with a request for `names`.
    async fn open(&mut self, names: &[&str]) -> Open {
        self.open_with(asking(names)).await.unwrap()
    }

    async fn open_with(&mut self, request: DiscoveryRequest) -> Result<Open, Status> {
        let (requests, outgoing) = mpsc::channel(8);
        requests.send(request).await.unwrap();
        let responses = self.client.stream_secrets(ReceiverStream::new(outgoing)).await?.into_inner();
        Ok(Open { requests, responses })
    }

    /// An incremental stream that begins with a request for `names`.
    async fn open_delta(&mut self, names: &[&str]) -> OpenDelta {
        let (requests, outgoing) = mpsc::channel(8);
        let request = DeltaDiscoveryRequest {
            resource_names_subscribe: names.iter().map(ToString::to_string).collect(),
            ..DeltaDiscoveryRequest::default()
        };
        requests.send(request).await.unwrap();
        let responses = self.client.delta_secrets(ReceiverStream::new(outgoing)).await.unwrap().into_inner();
        OpenDelta { requests, responses }
    }

    async fn fetch(&mut self, names: &[&str]) -> Result<DiscoveryResponse, Status> {
        Ok(self.client.fetch_secrets(asking(names)).await?.into_inner())
    }

    fn metrics(&self) -> &Metrics {
        &self.service.shared.metrics
    }
}

async fn connect(
    service: SecretService,
    peer: Option<Peer>,
) -> (Channel, JoinSet<Result<(), tonic::transport::Error>>) {
    let (near, far) = tokio::io::duplex(1 << 20);
    let service = InterceptedService::new(service.into_server(), move |mut request: Request<()>| {
        if let Some(peer) = peer.clone() {
            request.extensions_mut().insert(ConnectionInfo::of(peer));
        }
        Ok(request)
    });
    let incoming = stream::iter([Ok::<_, std::io::Error>(far)]).chain(stream::pending());
    let mut server = JoinSet::new();
    server.spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
    let mut near = Some(near);
    let connector = tower::service_fn(move |_| {
        let near = near.take();
        async move { near.map(TokioIo::new).ok_or_else(|| std::io::Error::other("the connection is gone")) }
    });
    let channel = Endpoint::from_static("http://sds").connect_with_connector(connector).await.unwrap();
    (channel, server)
}

/// A stream as its client sees it.
struct Open {
    requests: mpsc::Sender<DiscoveryRequest>,
    responses: Streaming<DiscoveryResponse>,
}

/// An incremental stream as its client sees it.
struct OpenDelta {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Open {
    async fn next(&mut self) -> DiscoveryResponse {
        self.responses.message().await.unwrap().unwrap()
    }

    async fn error(&mut self) -> Status {
        self.responses.message().await.unwrap_err()
    }

    async fn acknowledge(&mut self, response: &DiscoveryResponse, names: &[&str]) {
        let request = DiscoveryRequest {
            version_info: response.version_info.clone(),
            response_nonce: response.nonce.clone(),
            ..asking(names)
        };
        self.requests.send(request).await.unwrap();
    }

    /// Whether nothing comes for ten minutes.
    async fn is_silent(&mut self) -> bool {
        tokio::time::timeout(Duration::from_mins(10), self.responses.message()).await.is_err()
    }
}

fn asking(names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest { resource_names: names.iter().map(ToString::to_string).collect(), ..DiscoveryRequest::default() }
}

fn names(response: &DiscoveryResponse) -> Vec<String> {
    decode(&response.resources).into_iter().map(|secret| secret.name).collect()
}

/// The first byte of the leaf in a response of one certificate.
fn first_byte(response: &DiscoveryResponse) -> u8 {
    let secret = &decode(&response.resources)[0];
    certificates(certificate(secret).certificate_chain.as_ref())[0][0]
}

fn entitled(serial: u8, renew_at: Timestamp) -> Told {
    let svid = Svid {
        id: WEB.parse().unwrap(),
        entry_id: "web".into(),
        hint: String::new(),
        chain: vec![CertificateDer::from(vec![serial; 200])],
        key: Hidden::new(vec![serial; 138]),
        not_after: renew_at.after(Duration::from_secs(100)),
        renew_at,
    };
    let bundle = Bundle::of_x509("prod.example".parse().unwrap(), [CertificateDer::from(vec![0xca; 90])], 1);
    let (svids, bundles) = (vec![Arc::new(svid)], vec![Arc::new(bundle)]);
    Told::Entitled(Identities { svids, bundles, ..Identities::default() })
}

fn in_seconds(seconds: u64) -> Timestamp {
    NOW.after(Duration::from_secs(seconds))
}

#[tokio::test]
async fn only_a_unix_socket_gets_secrets() {
    for peer in [None, Some(Peer::Tcp("127.0.0.1:9".parse().unwrap()))] {
        let mut fixture = Fixture::with_peer(entitled(1, in_seconds(100)), peer).await;
        assert_eq!(fixture.open_with(asking(&[WEB])).await.err().unwrap().code(), Code::PermissionDenied);
        assert_eq!(fixture.fetch(&[WEB]).await.unwrap_err().code(), Code::PermissionDenied);
        assert_eq!(fixture.plane.asked.load(Ordering::SeqCst), 0);
    }
}

/// S4, S5.
#[tokio::test(start_paused = true)]
async fn a_stream_answers_takes_an_ack_and_pushes_what_changed() {
    let mut fixture = Fixture::new(entitled(1, in_seconds(100_000))).await;
    let mut open = fixture.open(&[WEB]).await;
    let first = open.next().await;
    assert_eq!(names(&first), [WEB]);
    open.acknowledge(&first, &[WEB]).await;
    assert!(open.is_silent().await);
    fixture.plane.change(entitled(1, in_seconds(100_000)));
    assert!(open.is_silent().await, "the content is the same");
    fixture.plane.change(entitled(2, in_seconds(100_000)));
    let second = open.next().await;
    assert_ne!(second.nonce, first.nonce);
    assert_ne!(second.version_info, first.version_info);
    assert_eq!(names(&second), [WEB]);
    let metrics = fixture.metrics();
    assert_eq!((metrics.responses.get(), metrics.acknowledged.get(), metrics.streams.get()), (2, 1, 1));
}

/// S5: a renewal alone is pushed.
#[tokio::test(start_paused = true)]
async fn a_renewal_is_pushed_when_the_clock_says_so_and_not_when_a_timer_does() {
    let mut fixture = Fixture::new(entitled(1, in_seconds(100))).await;
    let mut open = fixture.open(&["default"]).await;
    open.next().await;
    fixture.plane.set(entitled(2, in_seconds(1000)));
    assert!(open.is_silent().await, "the clock stands still");
    assert_eq!(fixture.plane.asked.load(Ordering::SeqCst), 1);
    fixture.clock.advance(Duration::from_secs(100));
    assert_eq!(first_byte(&open.next().await), 2);
    assert_eq!(fixture.plane.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_does_not_come_is_asked_for_again_but_not_in_a_loop() {
    let mut fixture = Fixture::new(entitled(1, NOW)).await;
    let mut open = fixture.open(&["default"]).await;
    open.next().await;
    assert!(open.is_silent().await);
    let asked = fixture.plane.asked.load(Ordering::SeqCst);
    assert!((500..=700).contains(&asked), "{asked} times in 600 seconds");
}

/// S3: an unknown name waits.
#[tokio::test(start_paused = true)]
async fn a_workload_that_starts_before_its_entry_gets_its_secret_on_the_open_stream() {
    let mut fixture = Fixture::new(Told::Entitled(Identities::default())).await;
    let mut open = fixture.open(&["default", "file-root:system"]).await;
    assert!(open.is_silent().await);
    assert_eq!(fixture.metrics().unanswered.get(), 2);
    fixture.plane.change(entitled(1, in_seconds(100_000)));
    assert_eq!(names(&open.next().await), ["default"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_survives_an_issuer_that_fails_for_a_while() {
    let mut fixture = Fixture::new(Told::Failing).await;
    let mut open = fixture.open(&["default"]).await;
    assert!(open.is_silent().await);
    fixture.plane.set(entitled(1, in_seconds(100_000)));
    assert_eq!(names(&open.next().await), ["default"]);

    fixture.plane.change(Told::Failing);
    assert!(open.is_silent().await);
    fixture.plane.set(entitled(2, in_seconds(100_000)));
    assert_eq!(first_byte(&open.next().await), 2);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_can_not_be_attested_is_hung_up_on_without_a_reason() {
    let mut fixture = Fixture::new(entitled(1, in_seconds(100_000))).await;
    let mut open = fixture.open(&["default"]).await;
    open.next().await;
    fixture.plane.change(Told::Gone);
    let error = open.error().await;
    assert_eq!(error.code(), Code::PermissionDenied);
    assert!(!error.message().contains("/proc"), "{error}");
    assert_eq!(fixture.open(&["default"]).await.error().await.code(), Code::PermissionDenied);
    assert_eq!(fixture.metrics().failures.get(), 2);
}

/// A stream outlives an exec of its process, and can be passed to another: neither is who was attested before.
#[tokio::test(start_paused = true)]
async fn whoever_asks_again_is_attested_again() {
    let mut fixture = Fixture::new(entitled(1, in_seconds(100_000))).await;
    let mut open = fixture.open(&[WEB]).await;
    let first = open.next().await;
    fixture.plane.set(Told::Gone);
    let request = DiscoveryRequest { response_nonce: first.nonce, ..asking(&[WEB, "ROOTCA"]) };
    open.requests.send(request).await.unwrap();
    assert_eq!(open.error().await.code(), Code::PermissionDenied);
}

#[tokio::test(start_paused = true)]
async fn a_wildcard_gets_nothing_and_costs_no_attestation() {
    let mut fixture = Fixture::new(entitled(1, in_seconds(100_000))).await;
    let mut open = fixture.open(&[]).await;
    assert!(open.is_silent().await);
    assert_eq!(fixture.plane.asked.load(Ordering::SeqCst), 0);
    assert_eq!(fixture.fetch(&[]).await.unwrap().resources, []);
}

#[tokio::test]
async fn streams_end_when_the_process_drains() {
    let mut fixture = Fixture::new(entitled(1, in_seconds(100_000))).await;
    let mut open = fixture.open(&["default"]).await;
    open.next().await;
    fixture.shutdown.advance(Phase::Draining);
    let error = open.error().await;
    assert_eq!((error.code(), error.message()), (Code::Unavailable, "draining"));
    assert_eq!(fixture.open(&["default"]).await.error().await.code(), Code::Unavailable);
    assert_eq!(fixture.metrics().streams.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_its_client_leaves_is_given_back() {
    let mut fixture = Fixture::new(entitled(1, in_seconds(100_000))).await;
    let Open { requests, mut responses } = fixture.open(&["default"]).await;
    responses.message().await.unwrap().unwrap();
    drop(requests);
    assert_eq!(responses.message().await.unwrap(), None);
    assert_eq!(fixture.metrics().streams.get(), 0);
    let places: Vec<_> = (0..MAX_STREAMS).map_while(|_| fixture.service.shared.streams.take(None)).collect();
    assert_eq!(places.len(), MAX_STREAMS);
}

/// Found by attack: a process that no entry grants anything could open all streams, and no other got its secrets.
#[tokio::test]
async fn streams_are_bounded_and_no_user_gets_all() {
    let mut fixture = Fixture::new(entitled(1, in_seconds(100_000))).await;
    let streams = fixture.service.shared.streams.clone();
    let stranger = nix::unistd::geteuid().as_raw() + 1;
    let greedy: Vec<_> = (0..MAX_STREAMS).map_while(|_| streams.take(Some(stranger))).collect();
    assert!(greedy.len() < MAX_STREAMS);
    let mut open = fixture.open(&["default"]).await;
    open.next().await;
    let _others: Vec<_> = (0..MAX_STREAMS).map_while(|_| streams.take(None)).collect();
    assert_eq!(fixture.open_with(asking(&["default"])).await.err().unwrap().code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_request_that_breaks_the_protocol_ends_its_stream() {
    let mut fixture = Fixture::new(entitled(1, in_seconds(100_000))).await;
    let cluster = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
    let request = DiscoveryRequest { type_url: cluster.into(), ..asking(&[WEB]) };
    let error = fixture.open_with(request.clone()).await.unwrap().error().await;
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains(cluster), "{error}");
    assert_eq!(fixture.client.fetch_secrets(request).await.unwrap_err().code(), Code::InvalidArgument);
    let error = fixture.fetch(&["a"; 101]).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    let huge = "a".repeat(MAX_REQUEST_BYTES);
    assert_eq!(fixture.open(&[&huge]).await.error().await.code(), Code::OutOfRange);
}

/// S2, S3.
#[tokio::test]
async fn a_fetch_is_answered_whole_or_refused_with_the_names() {
    let mut fixture = Fixture::new(entitled(1, in_seconds(100_000))).await;
    let response = fixture.fetch(&[WEB, "ROOTCA", "default", WEB]).await.unwrap();
    assert_eq!(names(&response), ["ROOTCA", "default", WEB]);
    assert_eq!((response.version_info.as_str(), response.nonce.as_str()), ("", ""));
    let error = fixture.fetch(&[WEB, "spiffe://prod.example/batch", "x\r\ny"]).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    assert_eq!(
        error.message(),
        r#"workload is not authorized for the requested identities ["spiffe://prod.example/batch" "x\r\ny"]"#
    );
    fixture.plane.set(Told::Failing);
    let error = fixture.fetch(&[WEB]).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::Unavailable, "no identity could be issued"));
    fixture.plane.set(Told::Gone);
    assert_eq!(fixture.fetch(&[WEB]).await.unwrap_err().code(), Code::PermissionDenied);
}

/// S4: what Envoy says of a secret that it does not take.
#[tokio::test(start_paused = true)]
async fn a_rejection_is_counted_in_both_protocols() {
    let mut fixture = Fixture::new(entitled(1, in_seconds(100_000))).await;
    let error_detail = Some(rpc::Status { code: 13, message: "KEY_VALUES_MISMATCH".into(), details: Vec::new() });
    let mut open = fixture.open(&[WEB]).await;
    let response_nonce = open.next().await.nonce;
    let request = DiscoveryRequest { response_nonce, error_detail: error_detail.clone(), ..asking(&[WEB]) };
    open.requests.send(request).await.unwrap();
    assert!(open.is_silent().await);
    assert_eq!((fixture.metrics().rejected.get(), fixture.metrics().acknowledged.get()), (1, 0));

    let mut delta = fixture.open_delta(&[WEB]).await;
    let response_nonce = delta.responses.message().await.unwrap().unwrap().nonce;
    let request = DeltaDiscoveryRequest { response_nonce, error_detail, ..DeltaDiscoveryRequest::default() };
    delta.requests.send(request).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_mins(10), delta.responses.message()).await.is_err());
    assert_eq!((fixture.metrics().rejected.get(), fixture.metrics().acknowledged.get()), (2, 0));
}

/// S11: incremental streams live as the others do.
#[tokio::test(start_paused = true)]
async fn an_incremental_stream_answers_pushes_renewals_and_ends_with_the_process() {
    let mut fixture = Fixture::new(entitled(1, in_seconds(100))).await;
    let OpenDelta { requests: _requests, mut responses } = fixture.open_delta(&[WEB, "ROOTCA"]).await;
    let first = responses.message().await.unwrap().unwrap();
    assert_eq!(first.resources.len(), 2);
    fixture.plane.set(entitled(2, in_seconds(1000)));
    fixture.clock.advance(Duration::from_secs(100));
    let second = responses.message().await.unwrap().unwrap();
    assert_eq!(second.resources.iter().map(|resource| resource.name.as_str()).collect::<Vec<_>>(), [WEB]);
    assert_eq!((fixture.metrics().streams.get(), fixture.metrics().responses.get()), (1, 2));
    fixture.shutdown.advance(Phase::Draining);
    assert_eq!(responses.message().await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(fixture.metrics().streams.get(), 0);
}

/// S3: unknown names, as SPIRE answers them.
#[tokio::test(start_paused = true)]
async fn unknown_names_are_refused_by_every_method_where_that_is_wanted() {
    let refused = |status: Status| {
        assert_eq!(status.code(), Code::InvalidArgument);
        let words = r#"workload is not authorized for the requested identities ["file-root:system" "spiffe://a/b"]"#;
        assert_eq!(status.message(), words);
    };
    let asked = ["spiffe://a/b", WEB, "file-root:system"];
    let mut fixture = Fixture::refusing(entitled(1, in_seconds(100_000))).await;
    refused(fixture.open(&asked).await.error().await);
    refused(fixture.open_delta(&asked).await.responses.message().await.unwrap_err());
    refused(fixture.fetch(&asked).await.unwrap_err());
    let metrics = fixture.metrics();
    assert_eq!((metrics.unanswered.get(), metrics.responses.get(), metrics.streams.get()), (6, 0, 0));
    let mut open = fixture.open(&[WEB]).await;
    assert_eq!(names(&open.next().await), [WEB]);
    fixture.plane.change(Told::Entitled(Identities::default()));
    assert_eq!(open.error().await.code(), Code::InvalidArgument);
}

/// S3: SPIRE hands out everything to who asks for nothing. That is every key, so here it is nothing in either mode.
#[tokio::test(start_paused = true)]
async fn a_wildcard_is_not_refused_and_gets_nothing() {
    let mut fixture = Fixture::refusing(entitled(1, in_seconds(100_000))).await;
    assert!(fixture.open(&[]).await.is_silent().await);
    assert_eq!(fixture.fetch(&[]).await.unwrap().resources, []);
}
