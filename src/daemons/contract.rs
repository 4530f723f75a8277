//! What every attestor must do, whichever daemon it asks; and daemons that do as they are told.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::task::JoinSet;

use crate::foundation::clock::SystemClock;
use crate::foundation::telemetry::Registry;
use crate::identity::attest::attestors::{Attestors, Metrics};
use crate::identity::attest::container::{Container, ContainerError, ContainerId, Pod, Runtime};
use crate::identity::attest::{AttestFuture, AttestorError, Caller, WorkloadAttestor};
use crate::identity::selector::Selector;
use crate::server::UnixPeer;

/// The container that the answers in `tests/data/attest` are about.
pub(super) const CONTAINER: &str = "09bc3d7ade839efec32b6bec4ec79d099027a668ddba043083ec21d3c3b8f1e6";
pub(super) const POD: &str = "a2830d0d-b0f0-4ff0-81b5-0ee4e299cf80";

/// How a daemon behaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Behaviour {
    /// As it should.
    Answers,
    /// It takes connections and says nothing.
    Hangs,
    /// It ends each connection at once.
    HangsUp,
    /// What it says is of no protocol.
    Raves,
}

/// A daemon under test, with the attestor that asks it.
pub(super) trait Daemon {
    fn attestor(&self) -> Arc<dyn WorkloadAttestor>;
    fn behave(&self, behaviour: Behaviour);
    /// A caller that it knows.
    fn known(&self) -> Caller;
    /// The selectors of that one.
    fn selectors(&self) -> BTreeSet<String>;
    /// Callers that are no concern of it.
    fn strangers(&self) -> Vec<Caller>;
}

/// Runs every case on a daemon made by `make`.
pub(super) async fn keeps_the_contract<D: Daemon>(make: impl AsyncFn() -> D) {
    a_known_caller_gets_exactly_its_selectors(make().await).await;
    a_stranger_gets_nothing_and_that_is_no_failure(make().await).await;
    a_daemon_that_does_not_answer_well_leaves_its_selectors_out_and_no_others(&make).await;
    a_daemon_that_comes_back_is_believed_again(make().await).await;
}

async fn a_known_caller_gets_exactly_its_selectors(daemon: impl Daemon) {
    let (attestor, caller) = (daemon.attestor(), daemon.known());
    for _again in 0..2 {
        let found = attestor.attest(&caller).await.unwrap();
        assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>(), daemon.selectors());
    }
}

async fn a_stranger_gets_nothing_and_that_is_no_failure(daemon: impl Daemon) {
    for stranger in daemon.strangers() {
        assert_eq!(daemon.attestor().attest(&stranger).await, Ok(Vec::new()), "{stranger:?}");
    }
}

async fn a_daemon_that_does_not_answer_well_leaves_its_selectors_out_and_no_others<D: Daemon>(
    make: &impl AsyncFn() -> D,
) {
    for behaviour in [Behaviour::Hangs, Behaviour::HangsUp, Behaviour::Raves] {
        let daemon = make().await;
        daemon.behave(behaviour);
        let (attestor, kind) = (daemon.attestor(), daemon.attestor().kind());
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        let clock = Arc::new(SystemClock::new());
        let all: Vec<Arc<dyn WorkloadAttestor>> = vec![attestor, Arc::new(Healthy)];
        let attestors = Attestors::new(all, Duration::from_secs(2), clock, &metrics);

        let (selectors, failures) = attestors.attest(&daemon.known()).await;
        assert_eq!(selectors, [Selector::new("healthy", "yes")].into(), "{behaviour:?}");
        let [failure] = &*failures else { panic!("{behaviour:?}: {failures:?}") };
        assert_eq!(failure.attestor, kind);
        assert!(!failure.reason.is_empty() && !failure.reason.contains(char::is_control), "{failure:?}");
        let mut counted = String::new();
        prometheus_client::encoding::text::encode(&mut counted, &registry).unwrap();
        assert!(counted.contains(&format!("portcullis_attestor_failures_total{{attestor=\"{kind}\"}} 1")), "{counted}");
    }
}

async fn a_daemon_that_comes_back_is_believed_again(daemon: impl Daemon) {
    let (attestor, caller) = (daemon.attestor(), daemon.known());
    daemon.behave(Behaviour::HangsUp);
    assert!(matches!(attestor.attest(&caller).await, Err(AttestorError::Daemon(_))));
    daemon.behave(Behaviour::Answers);
    assert_eq!(attestor.attest(&caller).await.map(|found| found.len()), Ok(daemon.selectors().len()));
}

/// Knows one thing about everybody.
#[derive(Debug)]
struct Healthy;

impl WorkloadAttestor for Healthy {
    fn kind(&self) -> &'static str {
        "healthy"
    }

    fn attest<'a>(&'a self, _caller: &'a Caller) -> AttestFuture<'a> {
        Box::pin(async { Ok(vec!["yes".to_owned()]) })
    }
}

/// This very process, as if it were in `container`.
pub(super) fn caller(container: Result<Option<Container>, ContainerError>) -> Caller {
    let pid = i32::try_from(std::process::id()).unwrap();
    Caller { peer: UnixPeer::named(pid).unwrap().unwrap(), container }
}

/// A container that the recorded answers are about.
pub(super) fn container(runtime: Runtime, pod: Option<Pod>) -> Container {
    Container { id: ContainerId::parse(CONTAINER).unwrap(), runtime, pod }
}

pub(super) fn recorded(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/attest").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A server of HTTP that does as it is told, and keeps what it was asked.
#[derive(Clone, Debug)]
pub(super) struct FakeHttp(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    behaviour: Behaviour,
    answers: Vec<(String, StatusCode, Bytes)>,
    asked: Vec<(String, Option<String>)>,
}

impl FakeHttp {
    /// A server that answers nothing but 404.
    pub(super) fn new() -> Self {
        let (answers, asked) = (Vec::new(), Vec::new());
        Self(Arc::new(Mutex::new(State { behaviour: Behaviour::Answers, answers, asked })))
    }

    pub(super) fn behave(&self, behaviour: Behaviour) {
        self.0.lock().unwrap().behaviour = behaviour;
    }

    /// What is answered to `path`, from now on.
    pub(super) fn answer(&self, path: &str, status: StatusCode, body: impl Into<Bytes>) {
        let mut state = self.0.lock().unwrap();
        state.answers.retain(|(known, ..)| known != path);
        state.answers.push((path.to_owned(), status, body.into()));
    }

    /// The paths that were asked for, each with its authorization.
    pub(super) fn asked(&self) -> Vec<(String, Option<String>)> {
        self.0.lock().unwrap().asked.clone()
    }

    /// Serves on `listener` as long as what is returned lives.
    pub(super) fn serve_unix(&self, listener: UnixListener) -> JoinSet<()> {
        let (server, mut serving) = (self.clone(), JoinSet::new());
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(server.clone().serve(stream));
            }
        });
        serving
    }

    /// Serves one connection.
    pub(super) async fn serve(self, mut stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let behaviour = self.0.lock().unwrap().behaviour;
        match behaviour {
            Behaviour::Answers => {
                let service = service_fn(move |request| {
                    let response = self.respond(&request);
                    async { Ok::<_, Infallible>(response) }
                });
                let serving =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                let _hung_up = serving.await;
            }
            Behaviour::Hangs => std::future::pending().await,
            Behaviour::HangsUp => {}
            Behaviour::Raves => {
                let _hung_up = stream.write_all(b"\x1b[2J\r\n\0 I am no protocol\n\n").await;
            }
        }
    }

    fn respond(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let mut state = self.0.lock().unwrap();
        let (path, header) = (request.uri().to_string(), request.headers().get("authorization"));
        state.asked.push((path.clone(), header.map(|header| header.to_str().unwrap().to_owned())));
        let known = state.answers.iter().find(|(known, ..)| *known == path);
        let (status, body) = known.map_or((StatusCode::NOT_FOUND, Bytes::new()), |(_, s, b)| (*s, b.clone()));
        Response::builder().status(status).body(Full::new(body)).unwrap()
    }
}
