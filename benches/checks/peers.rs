//! Servers to ask, each in a process of its own: this program, called again.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::auth::v3::authorization_server::{Authorization, AuthorizationServer};
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse};
use envoy_types::pb::google::rpc;
use portcullis::decision::{Check, Manner, Reason, Verdict};
use portcullis::edge::envoy::ext_authz::{Decide, ExtAuthz, ExtAuthzConfig, Metrics};
use portcullis::evidence::{CacheState, DecisionId, Edge, Outcome, Taken};
use portcullis::foundation::clock::SystemClock;
use portcullis::foundation::shutdown::Shutdown;
use portcullis::foundation::telemetry::Registry;
use portcullis::server::{
    Admission, AdmissionLimits, InheritedSockets, Limits, ServerMetrics, prepare, serve_exchange,
};
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

/// One that runs, ended when dropped.
pub(crate) struct Peer {
    process: Child,
    home: TempDir,
}

impl Peer {
    /// Starts one with these arguments and its socket after them, and waits until it answers.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let home = tempfile::Builder::new().prefix("pc-").tempdir_in("/tmp").unwrap();
        let process = Command::new(std::env::current_exe().unwrap())
            .arg("serve")
            .args(arguments)
            .arg(home.path().join("checks.sock"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let peer = Self { process, home };
        while UnixStream::connect(peer.socket()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        peer
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.home.path().join("checks.sock")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// The least that a server on tonic can do.
struct Always;

#[tonic::async_trait]
impl Authorization for Always {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        std::hint::black_box(request.into_inner());
        Ok(Response::new(CheckResponse { status: Some(rpc::Status::default()), ..CheckResponse::default() }))
    }
}

/// Allows whatever it is asked, until ended.
pub(crate) async fn serve_tonic(socket: &Path) {
    let incoming = UnixListenerStream::new(UnixListener::bind(socket).unwrap());
    let service = AuthorizationServer::new(Always);
    tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
}

/// What every question is answered with.
#[derive(Debug)]
struct Permit(Verdict);

impl Decide for Permit {
    fn check(&self, check: &Check<'_>) -> Verdict {
        std::hint::black_box(check);
        self.0.clone()
    }

    fn refuse(&self, _edge: Edge, what: &str, _reason: Reason) -> Verdict {
        panic!("{what}")
    }
}

/// Decides nothing.
pub(crate) fn permit() -> Arc<dyn Decide> {
    Arc::new(Permit(Verdict {
        id: DecisionId::NIL,
        outcome: Outcome::Allow,
        reason: Reason::Permitted,
        policies: Arc::new(["web-reads-orders".into()]),
        cache: CacheState::Hit,
        principal: Some("spiffe://example.org/web".parse::<portcullis::identity::SpiffeId>().unwrap().into()),
        manner: Manner::default(),
        taken: Taken::NOW,
    }))
}

/// Has our front answer what `decides` says, until ended.
pub(crate) async fn serve(socket: &Path, decides: Arc<dyn Decide>) {
    let registry = &mut Registry::default();
    let (clock, metrics) = (Arc::new(SystemClock::new()), Metrics::new(registry));
    let room = AdmissionLimits { requests: 4096, bytes: 64 << 20 };
    let admission = Admission::new(room, metrics.under_way.clone(), metrics.kept_bytes.clone(), 2);
    let service = Arc::new(ExtAuthz::new(decides, clock.clone(), ExtAuthzConfig::default(), metrics));
    let address = format!("unix:{}", socket.display()).parse().unwrap();
    let bound = prepare(&address, 0o600, false, &mut InheritedSockets::default()).unwrap().publish().unwrap();
    let (listener, shutdown) = (ServerMetrics::new(registry).listener("checks"), Shutdown::default());
    serve_exchange(bound, service, admission, clock, Limits::default(), listener, shutdown.signal()).await;
}
