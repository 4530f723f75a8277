mod exchanges;

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::*;
use crate::foundation::shutdown::{Phase, Shutdown};
use crate::foundation::telemetry::Registry;
use crate::server::listener::Origin;
use crate::server::{ConnectionInfo, InheritedSockets, ListenAddress, Peer, ServerMetrics, prepare};

/// Long enough for anything that should happen; what takes it has hung.
const SOON: Duration = Duration::from_secs(10);

/// Long enough to believe that something does not happen.
const A_WHILE: Duration = Duration::from_millis(150);

/// A listener that is being served.
struct Served {
    address: String,
    task: JoinSet<()>,
    shutdown: Shutdown,
    metrics: ListenerMetrics,
}

impl Served {
    fn start(bound: Bound, router: Router, limits: Limits) -> Self {
        Self::run(bound.to_string(), |metrics, signal| serve(bound, None, router, limits, metrics, signal))
    }

    fn run<F>(address: String, serve: impl FnOnce(ListenerMetrics, ShutdownSignal) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let shutdown = Shutdown::default();
        let metrics = ServerMetrics::new(&mut Registry::default()).listener("test");
        let mut task = JoinSet::new();
        task.spawn(serve(metrics.clone(), shutdown.signal()));
        Self { address, task, shutdown, metrics }
    }

    fn tcp(router: Router, limits: Limits) -> Self {
        Self::start(bind_at("tcp:127.0.0.1:0", false), router, limits)
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address.strip_prefix("tcp:").unwrap()).await.unwrap()
    }

    fn drain(&self) {
        self.shutdown.advance(Phase::Draining);
    }

    fn stop(&self) {
        self.shutdown.advance(Phase::Stopped);
    }

    /// Waits until `serve` returns.
    async fn ended(&mut self) {
        timeout(SOON, self.task.join_next()).await.expect("serve did not return").unwrap().unwrap();
    }

    async fn is_serving_after_a_while(&mut self) -> bool {
        timeout(A_WHILE, self.task.join_next()).await.is_err()
    }
}

fn bind_at(address: &str, takeover: bool) -> Bound {
    bind(&address.parse().unwrap(), takeover)
}

fn bind_path(path: &Path, takeover: bool) -> Bound {
    bind(&ListenAddress::Unix { path: path.to_owned(), mode: None }, takeover)
}

fn bind(address: &ListenAddress, takeover: bool) -> Bound {
    prepare(address, 0o600, takeover, &mut InheritedSockets::default()).unwrap().publish().unwrap()
}

/// A client's side of one connection, of either protocol.
enum Client {
    H1(http1::SendRequest<Empty<Bytes>>),
    H2(http2::SendRequest<Empty<Bytes>>),
}

impl Client {
    /// The connection itself runs in `tasks`.
    async fn h1(socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, tasks: &mut JoinSet<()>) -> Self {
        let (client, connection) = http1::handshake(TokioIo::new(socket)).await.unwrap();
        tasks.spawn(async move { drop(connection.await) });
        Self::H1(client)
    }

    async fn h2(socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, tasks: &mut JoinSet<()>) -> Self {
        let (client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
        tasks.spawn(async move { drop(connection.await) });
        Self::H2(client)
    }

    async fn get(&mut self, path: &str) -> hyper::Result<Response<Incoming>> {
        let request = Request::get(format!("http://localhost{path}")).header("host", "localhost");
        let request = request.body(Empty::new()).unwrap();
        match self {
            Self::H1(client) => {
                client.ready().await?;
                client.send_request(request).await
            }
            Self::H2(client) => {
                client.ready().await?;
                client.send_request(request).await
            }
        }
    }

    async fn text(&mut self, path: &str) -> String {
        let response = timeout(SOON, self.get(path)).await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }
}

/// Counts while something lives.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// `/slow` answers when it gets a permit, `/endless` sends one chunk and then nothing, for ever.
fn slow_and_endless(gate: &Arc<Semaphore>, alive: &Arc<AtomicUsize>) -> Router {
    let (gate, alive) = (Arc::clone(gate), Arc::clone(alive));
    let endless_alive = Arc::clone(&alive);
    Router::new()
        .route(
            "/slow",
            get(move || async move {
                let _alive = Alive::new(&alive);
                drop(gate.acquire().await);
                "done"
            }),
        )
        .route(
            "/endless",
            get(move || async move {
                let guard = Alive::new(&endless_alive);
                let first = futures_util::stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"first"))]);
                let rest = futures_util::stream::once(async move {
                    let _guard = guard;
                    std::future::pending().await
                });
                Body::from_stream(futures_util::StreamExt::chain(first, rest))
            }),
        )
}

async fn until(what: impl Fn() -> bool) {
    timeout(SOON, async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it did not come to that");
}

#[tokio::test]
async fn both_protocols_are_served_on_both_kinds_of_socket_and_every_request_knows_its_peer() {
    let describe = |version: Version, Extension(info): Extension<ConnectionInfo>| async move {
        match info.peer {
            Peer::Tcp(address) => format!("{version:?} tcp {}", address.ip()),
            Peer::Unix(peer) => format!("{version:?} unix {} {} {}", peer.pid, peer.uid, peer.pidfd.is_some()),
        }
    };
    let router = Router::new().route("/", get(describe));
    let (directory, mut tasks) = (TempDir::new().unwrap(), JoinSet::new());
    let path = directory.path().join("sock");
    let unix = Served::start(bind_path(&path, false), router.clone(), Limits::default());
    let tcp = Served::tcp(router, Limits::default());
    let me = format!("unix {} {} true", std::process::id(), nix::unistd::geteuid());

    let mut client = Client::h1(tcp.connect().await, &mut tasks).await;
    assert_eq!(client.text("/").await, "HTTP/1.1 tcp 127.0.0.1");
    assert_eq!(client.text("/").await, "HTTP/1.1 tcp 127.0.0.1");
    let mut client = Client::h2(tcp.connect().await, &mut tasks).await;
    assert_eq!(client.text("/").await, "HTTP/2.0 tcp 127.0.0.1");
    let mut client = Client::h1(UnixStream::connect(&path).await.unwrap(), &mut tasks).await;
    assert_eq!(client.text("/").await, format!("HTTP/1.1 {me}"));
    let mut client = Client::h2(UnixStream::connect(&path).await.unwrap(), &mut tasks).await;
    assert_eq!(client.text("/").await, format!("HTTP/2.0 {me}"));
    assert_eq!((unix.metrics.accepted.get(), tcp.metrics.accepted.get()), (2, 2));
}

#[tokio::test]
async fn a_drain_lets_requests_under_way_finish_and_takes_no_others() {
    let (gate, alive, mut tasks) = (Arc::new(Semaphore::new(0)), Arc::default(), JoinSet::new());
    let mut served = Served::tcp(slow_and_endless(&gate, &alive), Limits::default());
    let mut first = Client::h1(served.connect().await, &mut tasks).await;
    let mut second = Client::h2(served.connect().await, &mut tasks).await;
    let requests = async { tokio::join!(first.text("/slow"), second.text("/slow")) };
    let ends = async {
        until(|| alive.load(Ordering::SeqCst) == 2).await;
        served.drain();
        assert!(served.is_serving_after_a_while().await);
        let late = TcpStream::connect(served.address.strip_prefix("tcp:").unwrap()).await;
        assert!(late.is_err(), "the listener is still open");
        gate.add_permits(2);
        served.ended().await;
    };
    let ((one, two), ()) = tokio::join!(requests, ends);
    assert_eq!((one.as_str(), two.as_str()), ("done", "done"));
    assert_eq!(served.metrics.open.get(), 0);
}

#[tokio::test]
async fn the_deadline_cuts_streams_that_never_end_and_handlers_that_never_answer() {
    let (gate, alive, mut tasks) = (Arc::new(Semaphore::new(0)), Arc::<AtomicUsize>::default(), JoinSet::new());
    let mut served = Served::tcp(slow_and_endless(&gate, &alive), Limits::default());
    let mut bodies = Vec::new();
    for mut client in
        [Client::h1(served.connect().await, &mut tasks).await, Client::h2(served.connect().await, &mut tasks).await]
    {
        let mut body = client.get("/endless").await.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
        bodies.push(body);
    }
    let mut stuck = Client::h2(served.connect().await, &mut tasks).await;
    let stuck = async { stuck.get("/slow").await.map(drop) };
    let ends = async {
        until(|| alive.load(Ordering::SeqCst) == 3).await;
        served.drain();
        assert!(served.is_serving_after_a_while().await);
        served.stop();
        served.ended().await;
    };
    let (answer, ()) = tokio::join!(stuck, ends);
    assert!(answer.is_err());
    assert_eq!(alive.load(Ordering::SeqCst), 0, "a handler or a body outlived serve");
    for mut body in bodies {
        assert!(timeout(SOON, body.frame()).await.unwrap().unwrap().is_err(), "a cut stream must not look complete");
    }
    assert_eq!(served.metrics.open.get(), 0);
}

/// The preface of HTTP/2 and an empty SETTINGS frame.
const H2_START: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A HEADERS frame: `GET http://x/` on stream 1, without a body.
const H2_GET: &[u8] = b"\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01x";

#[tokio::test]
async fn peers_that_never_asked_anything_do_not_hold_up_the_drain() {
    let limits = Limits { first_request_grace: Duration::from_millis(50), ..Limits::default() };
    let mut served = Served::tcp(Router::new(), limits);
    let _silent = served.connect().await;
    let mut half = served.connect().await;
    half.write_all(b"GET / HT").await.unwrap();
    // Speaks HTTP/2, but will never acknowledge the PING that goes with GOAWAY.
    let mut deaf = served.connect().await;
    deaf.write_all(H2_START).await.unwrap();
    until(|| served.metrics.accepted.get() == 3).await;
    served.drain();
    served.ended().await;
}

/// hyper 4170: a peer that never answers the PING can hold up a graceful shutdown for an hour.
#[tokio::test]
async fn a_deaf_peer_that_asked_once_holds_up_the_drain_only_to_the_deadline() {
    let mut served = Served::tcp(Router::new().route("/", get(|| async {})), Limits::default());
    let mut deaf = served.connect().await;
    deaf.write_all(&[H2_START, H2_GET].concat()).await.unwrap();
    let mut answer = Vec::new();
    // The server's SETTINGS and their acknowledgement, then the HEADERS (type 1) of the answer.
    while !answer.windows(9).any(|frame| frame[3] == 1 && frame[5..] == [0, 0, 0, 1]) {
        assert_ne!(timeout(SOON, deaf.read_buf(&mut answer)).await.unwrap().unwrap(), 0, "{answer:?}");
    }
    served.drain();
    assert!(served.is_serving_after_a_while().await, "it still has its chance");
    served.stop();
    served.ended().await;
}

#[tokio::test]
async fn an_idle_connection_that_had_its_request_ends_at_once_on_drain() {
    let limits = Limits { first_request_grace: Duration::from_hours(1), ..Limits::default() };
    let (mut served, mut tasks) = (Served::tcp(Router::new().route("/", get(|| async {})), limits), JoinSet::new());
    let mut first = Client::h1(served.connect().await, &mut tasks).await;
    let mut second = Client::h2(served.connect().await, &mut tasks).await;
    first.text("/").await;
    second.text("/").await;
    served.drain();
    served.ended().await;
}

#[tokio::test]
async fn a_connection_that_sends_nothing_is_not_kept() {
    let limits = Limits { header_read_timeout: Duration::from_millis(50), ..Limits::default() };
    let served = Served::tcp(Router::new(), limits);
    // Silent, in the middle of the preface (for which hyper has no timeout), in the middle of a head, and HTTP/2 that
    // never asks anything but keeps answering.
    for start in ["", "PRI * HT", "GET / HTTP/1.1\r\nHo"] {
        let mut socket = served.connect().await;
        socket.write_all(start.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        drop(timeout(SOON, socket.read_to_end(&mut rest)).await.expect("the connection stays open"));
    }
    let mut tasks = JoinSet::new();
    let _idle = Client::h2(served.connect().await, &mut tasks).await;
    timeout(SOON, tasks.join_next()).await.expect("the idle connection stays open");
    until(|| served.metrics.open.get() == 0).await;
}

/// A successor must not cost a client anything: whoever connected before the drain is answered.
#[tokio::test]
async fn connections_that_wait_in_the_queue_when_the_drain_starts_are_served() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("sock");
    let bound = bind_path(&path, false);
    let mut waiting: Vec<_> = (0..20).map(|_| StdUnixStream::connect(&path).unwrap()).collect();
    let shutdown = Shutdown::default();
    // Draining from the very start: the accept loop itself takes none of them.
    shutdown.advance(Phase::Draining);
    let metrics = ServerMetrics::new(&mut Registry::default()).listener("test");
    let router = Router::new().route("/", get(|| async { "served" }));
    let mut task = JoinSet::new();
    task.spawn(serve(bound, None, router, Limits::default(), metrics, shutdown.signal()));
    let answers = tokio::task::spawn_blocking(move || {
        // Sent only now, after the queue was emptied.
        std::thread::sleep(A_WHILE);
        waiting.iter_mut().map(ask).collect::<Vec<_>>()
    });
    assert!(answers.await.unwrap().iter().all(|answer| answer.ends_with("served")));
    timeout(SOON, task.join_next()).await.unwrap().unwrap().unwrap();
    assert!(!path.exists());
}

/// One request, the whole answer.
fn ask(socket: &mut StdUnixStream) -> String {
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_takeover_loses_no_request_and_keeps_what_is_under_way() {
    let (directory, mut tasks) = (TempDir::new().unwrap(), JoinSet::new());
    let path = directory.path().join("sock");
    let (gate, alive) = (Arc::new(Semaphore::new(0)), Arc::default());
    let generation =
        |number: usize| slow_and_endless(&gate, &alive).route("/", get(move || async move { number.to_string() }));
    let mut served = Served::start(bind_path(&path, false), generation(0), Limits::default());
    let mut old = Client::h2(UnixStream::connect(&path).await.unwrap(), &mut tasks).await;
    let done = Arc::new(AtomicBool::new(false));
    let hammers: Vec<_> = (0..3)
        .map(|_| {
            let (path, done) = (path.clone(), Arc::clone(&done));
            std::thread::spawn(move || {
                let (mut asked, mut last) = (0, 0);
                while !done.load(Ordering::Relaxed) {
                    let answer = ask(&mut StdUnixStream::connect(&path).unwrap());
                    assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
                    let generation: usize = answer.rsplit("\r\n").next().unwrap().parse().unwrap();
                    assert!(generation >= last, "a new connection reached an old process");
                    (asked, last) = (asked + 1, generation);
                }
                (asked, last)
            })
        })
        .collect();

    let under_way = async { old.text("/slow").await };
    let successions = async {
        until(|| alive.load(Ordering::SeqCst) == 1).await;
        let mut first = None;
        for number in 1..=20 {
            let next = Served::start(bind_path(&path, true), generation(number), Limits::default());
            let mut previous = std::mem::replace(&mut served, next);
            previous.drain();
            if first.is_none() {
                assert!(previous.is_serving_after_a_while().await);
                first = Some(previous);
            } else {
                previous.ended().await;
            }
        }
        gate.add_permits(1);
        first.unwrap().ended().await;
    };
    let (answer, ()) = tokio::join!(under_way, successions);
    assert_eq!(answer, "done");
    tokio::time::sleep(A_WHILE).await;
    done.store(true, Ordering::Relaxed);
    for hammer in hammers {
        let (asked, last) = hammer.join().unwrap();
        assert!(asked > 20 && last == 20, "{asked} requests, the last answered by {last}");
    }
    served.drain();
    served.ended().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn an_inherited_sockets_queue_is_left_to_the_successor() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("sock");
    let supervisors = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let mut bound = bind_path(&directory.path().join("other"), false);
    bound.origin = Origin::Inherited;
    bound.socket = crate::server::listener::Socket::Unix(supervisors.try_clone().unwrap());
    let mut served = Served::start(bound, Router::new(), Limits::default());
    served.drain();
    served.ended().await;
    let _client = StdUnixStream::connect(&path).unwrap();
    supervisors.set_nonblocking(true).unwrap();
    supervisors.accept().expect("the successor gets the connection");
}

#[tokio::test]
async fn a_connection_too_many_is_closed_at_once_and_counted() {
    let limits = Limits { max_connections: 2, ..Limits::default() };
    let (served, mut tasks) = (Served::tcp(Router::new().route("/", get(|| async {})), limits), JoinSet::new());
    let mut first = Client::h1(served.connect().await, &mut tasks).await;
    let mut second = Client::h2(served.connect().await, &mut tasks).await;
    first.text("/").await;
    second.text("/").await;
    let mut third = served.connect().await;
    assert_eq!(timeout(SOON, third.read(&mut [0; 1])).await.unwrap().unwrap_or(0), 0);
    assert_eq!((served.metrics.refused.get(), served.metrics.open.get()), (1, 2));

    drop((first, tasks));
    until(|| served.metrics.open.get() < 2).await;
    let mut tasks = JoinSet::new();
    Client::h1(served.connect().await, &mut tasks).await.text("/").await;
    assert_eq!((served.metrics.accepted.get(), served.metrics.refused.get()), (3, 1));
}

#[tokio::test]
async fn a_panic_costs_one_request_or_one_connection_and_is_counted() {
    let answer = |Extension(panics): Extension<bool>| async move {
        assert!(!panics, "this panic is part of a test");
    };
    let router = |panics| Router::new().route("/", get(answer)).layer(Extension(panics));
    let router = Router::new().nest("/bad", router(true)).nest("/good", router(false));
    let (served, mut tasks) = (Served::tcp(router, Limits::default()), JoinSet::new());

    let mut h2 = Client::h2(served.connect().await, &mut tasks).await;
    assert!(h2.get("/bad").await.is_err());
    h2.text("/good").await;
    assert_eq!(served.metrics.panics.get(), 1);

    let mut h1 = Client::h1(served.connect().await, &mut tasks).await;
    assert!(h1.get("/bad").await.is_err());
    until(|| served.metrics.panics.get() == 2).await;
    Client::h1(served.connect().await, &mut tasks).await.text("/good").await;
    until(|| served.metrics.open.get() == 2).await;
}

#[test]
fn running_out_of_descriptors_ends_nothing() {
    let test = "server::serve::tests::serves_again_after_running_out_of_descriptors";
    let mut child = std::process::Command::new("sh");
    child.args(["-c", "ulimit -n 64 && exec \"$@\"", "sh"]).arg(std::env::current_exe().unwrap());
    let output = child.args(["--exact", "--ignored", test]).output().unwrap();
    let output = String::from_utf8_lossy(&output.stdout);
    assert!(output.contains("1 passed"), "{output}");
}

#[tokio::test]
#[ignore = "run by `running_out_of_descriptors_ends_nothing`, in a process that may have only a few"]
async fn serves_again_after_running_out_of_descriptors() {
    let (served, mut tasks) =
        (Served::tcp(Router::new().route("/", get(|| async {})), Limits::default()), JoinSet::new());
    let mut clients = Vec::new();
    while let Ok(client) = TcpStream::connect(served.address.strip_prefix("tcp:").unwrap()).await {
        clients.push(client);
    }
    until(|| served.metrics.accept_errors.get() > 0).await;
    tokio::time::sleep(A_WHILE).await;
    assert!(served.metrics.accept_errors.get() < 20, "the loop spins");
    drop(clients);
    until(|| served.metrics.open.get() == 0).await;
    Client::h1(served.connect().await, &mut tasks).await.text("/").await;
}

#[tokio::test]
async fn an_old_connection_is_told_to_end_but_may_finish() {
    let (gate, alive, mut tasks) = (Arc::new(Semaphore::new(0)), Arc::default(), JoinSet::new());
    let limits = Limits { max_connection_age: Some(Duration::from_millis(20)), ..Limits::default() };
    let served = Served::tcp(slow_and_endless(&gate, &alive), limits);
    let mut client = Client::h2(served.connect().await, &mut tasks).await;
    let mut again = match &client {
        Client::H2(client) => Client::H2(client.clone()),
        Client::H1(_) => panic!("it is HTTP/2"),
    };
    let asks = async { client.text("/slow").await };
    let watches = async {
        until(|| alive.load(Ordering::SeqCst) == 1).await;
        tokio::time::sleep(A_WHILE).await;
        assert!(again.get("/slow").await.is_err(), "no GOAWAY came");
        gate.add_permits(1);
    };
    let (answer, ()) = tokio::join!(asks, watches);
    assert_eq!(answer, "done");
    until(|| served.metrics.open.get() == 0).await;
    served.connect().await;
}

#[test]
fn connections_that_came_together_do_not_leave_together() {
    let age = Duration::from_secs(160);
    let ages: std::collections::BTreeSet<_> = (0..17).map(|stagger| lifetime::staggered(age, stagger)).collect();
    assert_eq!(ages.len(), 17);
    assert_eq!((*ages.first().unwrap(), *ages.last().unwrap()), (age, age + age / 10));
    assert_eq!(lifetime::staggered(Duration::MAX, 16), Duration::MAX);
}
