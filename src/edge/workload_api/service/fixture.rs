//! An identity plane that does as it is told, and the service over it behind one connection in memory.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use futures_util::stream;
use hyper_util::rt::TokioIo;
use portcullis_spiffe_api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint, Server};

use super::super::identify::{AttestedBundles, Change};
use super::*;
use crate::foundation::clock::{ManualClock, Timestamp};
use crate::foundation::entropy::EntropyError;
use crate::foundation::secret::Secret;
use crate::foundation::shutdown::Shutdown;
use crate::foundation::telemetry::Registry;
use crate::identity::attest::Attested;
use crate::identity::attest::unix::AttestError;
use crate::identity::bundle::Bundle;
use crate::identity::foreign::ForeignIdentities;
use crate::identity::issue::Svid;
use crate::identity::selector::Selector;
use crate::server::{ConnectionInfo, Peer};

pub(crate) const NOW: Timestamp = Timestamp::from_unix_nanos(1_800_000_000_000_000_000);

#[derive(Debug)]
pub(crate) struct FakePlane {
    answer: Mutex<Told>,
    pub(crate) own: Mutex<Option<Arc<Bundle>>>,
    pub(crate) tokens: Mutex<Vec<JwtSvid>>,
    pub(crate) foreign: Mutex<Arc<ForeignIdentities>>,
    changes: watch::Sender<()>,
    pub(crate) asked: AtomicUsize,
}

#[derive(Clone, Debug)]
pub(crate) enum Told {
    Entitled(Identities),
    Gone,
    Failing,
}

impl FakePlane {
    /// Changes the answer without telling anyone, as a renewal does.
    pub(crate) fn set(&self, told: Told) {
        *self.answer.lock().unwrap() = told;
    }

    /// Changes the answer and tells everyone, as a new entry does.
    pub(crate) fn change(&self, told: Told) {
        self.set(told);
        self.changes.send_replace(());
    }

    fn answer(&self, peer: &UnixPeer) -> Result<Identities, IdentifyError> {
        assert_eq!(peer.pid, 42);
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.answer.lock().unwrap().clone() {
            Told::Entitled(identities) => Ok(identities),
            Told::Gone => Err(AttestError::Gone.into()),
            Told::Failing => Err(IssueError::Entropy(EntropyError).into()),
        }
    }
}

impl Identify for FakePlane {
    fn identify<'a>(&'a self, peer: &'a UnixPeer) -> BoxFuture<'a, Result<(Attested, Identities), IdentifyError>> {
        Box::pin(async { self.answer(peer).map(|identities| (attested(), identities)) })
    }

    fn bundles<'a>(&'a self, peer: &'a UnixPeer) -> BoxFuture<'a, Result<AttestedBundles, IdentifyError>> {
        Box::pin(async { self.answer(peer).map(|identities| (attested(), identities.bundles)) })
    }

    fn jwt_svids<'a>(
        &'a self,
        peer: &'a UnixPeer,
        _audience: &'a [String],
        only: Option<&'a SpiffeId>,
    ) -> BoxFuture<'a, Result<Vec<JwtSvid>, IdentifyError>> {
        Box::pin(async move {
            self.answer(peer)?;
            let mut tokens = self.tokens.lock().unwrap().clone();
            tokens.retain(|token| only.is_none_or(|only| token.id == *only));
            Ok(tokens)
        })
    }

    fn own_bundle(&self) -> Option<Arc<Bundle>> {
        self.own.lock().unwrap().clone()
    }

    fn foreign(&self) -> Arc<ForeignIdentities> {
        Arc::clone(&self.foreign.lock().unwrap())
    }

    fn changes(&self) -> Box<dyn Change> {
        Box::new(self.changes.subscribe())
    }
}

impl Change for watch::Receiver<()> {
    fn next<'a>(&'a mut self, selectors: &'a BTreeSet<Selector>) -> BoxFuture<'a, ()> {
        assert_eq!(*selectors, attested().selectors, "what was found out before is what is waited for");
        Box::pin(async {
            if self.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}

/// What is true of the one caller.
fn attested() -> Attested {
    Attested { pid: 42, selectors: [Selector::new("unix", String::from("uid:1000"))].into(), failures: Vec::new() }
}

/// The service behind one connection, in memory.
pub(crate) struct Fixture {
    pub(crate) plane: Arc<FakePlane>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) shutdown: Shutdown,
    pub(crate) service: WorkloadService,
    pub(crate) client: SpiffeWorkloadApiClient<Channel>,
    _server: JoinSet<Result<(), tonic::transport::Error>>,
}

impl Fixture {
    pub(crate) async fn new(told: Told) -> Self {
        Self::with(told, |_settings| {}).await
    }

    pub(crate) async fn with(told: Told, change: fn(&mut WorkloadApiConfig)) -> Self {
        Self::with_peer(told, change, Some(Peer::Unix(UnixPeer { pid: 42, uid: 1000, gid: 1000, pidfd: None }))).await
    }

    pub(crate) async fn with_peer(told: Told, change: fn(&mut WorkloadApiConfig), peer: Option<Peer>) -> Self {
        let plane = Arc::new(FakePlane {
            answer: Mutex::new(told),
            own: Mutex::new(Some(Arc::new(bundle("example.org", &[0xca])))),
            tokens: Mutex::default(),
            foreign: Mutex::default(),
            changes: watch::Sender::default(),
            asked: AtomicUsize::default(),
        });
        let mut config = WorkloadApiConfig {
            trust_domain: "example.org".parse().unwrap(),
            allow_unauthenticated_verifiers: false,
            allowed_foreign_jwt_claims: ["kept".to_owned()].into(),
        };
        change(&mut config);
        let (clock, shutdown) = (Arc::new(ManualClock::new(NOW)), Shutdown::default());
        let service = WorkloadService::over(
            config,
            Arc::clone(&plane) as Arc<dyn Identify>,
            Arc::clone(&clock) as Arc<dyn Clock>,
            shutdown.signal(),
            Metrics::new(&mut Registry::default()),
        );
        let (channel, server) = connect(service.clone(), peer).await;
        let client = SpiffeWorkloadApiClient::new(channel);
        Self { plane, clock, shutdown, service, client, _server: server }
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.service.shared.metrics
    }

    pub(crate) fn asked(&self) -> usize {
        self.plane.asked.load(Ordering::SeqCst)
    }
}

/// A request with the security header.
pub(crate) fn with_header<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("workload.spiffe.io", "true".parse().unwrap());
    request
}

async fn connect(
    service: WorkloadService,
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
    let channel = Endpoint::from_static("http://workload").connect_with_connector(connector).await.unwrap();
    (channel, server)
}

/// An SVID of `spiffe://example.org/NAME`, all of whose bytes are `serial`.
pub(crate) fn svid(name: &str, hint: &str, serial: u8, renew_at: Timestamp) -> Svid {
    Svid {
        id: format!("spiffe://example.org/{name}").parse().unwrap(),
        entry_id: name.into(),
        hint: hint.to_owned(),
        chain: vec![CertificateDer::from(vec![serial; 200])],
        key: Secret::new(vec![serial; 138]),
        not_after: renew_at.after(Duration::from_secs(100)),
        renew_at,
    }
}

/// A bundle with an authority for each of `serials`, all of whose bytes are that.
pub(crate) fn bundle(trust_domain: &str, serials: &[u8]) -> Bundle {
    let certificates = serials.iter().map(|serial| CertificateDer::from(vec![*serial; 90]));
    Bundle::of_x509(trust_domain.parse().unwrap(), certificates, 1)
}

pub(crate) fn identities(svids: Vec<Svid>, bundles: Vec<Bundle>) -> Identities {
    Identities {
        svids: svids.into_iter().map(Arc::new).collect(),
        bundles: bundles.into_iter().map(Arc::new).collect(),
        ..Identities::default()
    }
}

/// A caller that is `web`, with an SVID of this serial.
pub(crate) fn web(serial: u8, renew_at: Timestamp) -> Told {
    Told::Entitled(identities(vec![svid("web", "", serial, renew_at)], vec![bundle("example.org", &[0xca])]))
}
