//! Streams through real Envoys by the configuration that `docs/mapping.md` recommends: a message passes while its stream is
//! open, and where bodies are waited for it does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{SendRequest, handshake};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::envoy::configuration;
use crate::support::gateway::Home;
use crate::support::mesh::Mesh;
use crate::support::root;

/// As long as something may take that must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is written at the filter in `docs/mapping.md`, and what it writes at the routes of streams.
const AT_THE_FILTER: &str =
    "with_request_body: { max_request_bytes: 16384, allow_partial_message: true, pack_as_bytes: true }";
const AT_THE_ROUTE: &str = "check_settings: { disable_request_body_buffering: true }";
const DOCUMENT: &str = include_str!("../../docs/mapping.md");

/// A gRPC service that sends each message back at once.
struct Echo {
    port: u16,
    requests: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Echo {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, requests, mut tasks) = (listener.local_addr().unwrap().port(), Arc::default(), JoinSet::new());
        let seen = Arc::clone(&requests);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&seen)));
            }
        });
        Self { port, requests, _tasks: tasks }
    }
}

async fn serve(stream: TcpStream, seen: Arc<AtomicUsize>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let mut streams = JoinSet::new();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        seen.fetch_add(1, Ordering::SeqCst);
        let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        let mut answer = respond.send_response(head, false).unwrap();
        streams.spawn(async move {
            let mut messages = request.into_body();
            while let Some(Ok(message)) = messages.data().await {
                let _length = messages.flow_control().release_capacity(message.len());
                if answer.send_data(message, false).is_err() {
                    return;
                }
            }
            let ended = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
            let _gone = answer.send_trailers(ended);
        });
    }
}

/// The example's routes, and a policy that lets `web` stream; `at_the_route` is what the sidecar's route of streams says.
async fn start(echo: &Echo, at_the_route: &str) -> Mesh {
    let home = Home::new();
    home.take_policies("examples/mapping/policies");
    let policy =
        r#"permit (principal == Workload::"spiffe://example.org/web", action == Action::"Get", resource is route);"#;
    std::fs::write(home.policies().join("streams.cedar"), policy).unwrap();
    let routes = home.path().join("routes.yaml");
    std::fs::copy(root().join("examples/mapping/routes.yaml"), &routes).unwrap();
    let of_streams = format!(
        r#"- match: {{ prefix: "/orders.v1.Orders/" }}
                          route: {{ cluster: service, timeout: 0s }}
                          typed_per_filter_config:
                            envoy.filters.http.ext_authz:
                              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
                              {at_the_route}
                        - match: {{ prefix: "/" }}"#
    );
    let sidecar = configuration("backend.yaml")
        .replace(
            "include_tls_session: true",
            &format!("include_tls_session: true\n                      {AT_THE_FILTER}"),
        )
        .replace("- match: { prefix: \"/\" }", &of_streams)
        .replace(
            "- name: service\n      type: STATIC\n",
            "- name: service\n      type: STATIC\n      typed_extension_protocol_options: *h2\n",
        );
    let settings = [("DECISION__MAPPING", &*routes.display().to_string())];
    Mesh::start_before(home, &settings, &sidecar, echo.port).await
}

/// A connection to the caller's sidecar, and what drives it.
async fn connect(mesh: &Mesh) -> (SendRequest<Bytes>, JoinSet<Result<(), h2::Error>>) {
    let stream = TcpStream::connect(("127.0.0.1", mesh.web_port)).await.unwrap();
    let (requests, connection) = handshake(stream).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    (requests, driver)
}

type Answering = h2::client::ResponseFuture;

async fn call(requests: &mut SendRequest<Bytes>, end: bool) -> (Answering, SendStream<Bytes>) {
    let request = Request::post("http://grpc.internal/orders.v1.Orders/Get").header("te", "trailers");
    let request = request.header("content-type", "application/grpc").body(()).unwrap();
    let mut ready = requests.clone().ready().await.unwrap();
    ready.send_request(request, end).unwrap()
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_late| panic!("{what} never happened"))
}

async fn message(messages: &mut RecvStream) -> Bytes {
    let message = within("the echo of a message", messages.data()).await.unwrap().unwrap();
    messages.flow_control().release_capacity(message.len()).unwrap();
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_stream_pass_both_ways_while_it_is_open() {
    assert!(DOCUMENT.contains(AT_THE_FILTER) && DOCUMENT.contains(AT_THE_ROUTE), "the page recommends something else");
    let echo = Echo::start().await;
    let mesh = start(&echo, &AT_THE_ROUTE.replace(": { ", ": { context_extensions: { service: todos }, ")).await;
    let (mut requests, _driver) = connect(&mesh).await;
    let (answer, mut sending) = call(&mut requests, false).await;
    sending.send_data(Bytes::from_static(b"\0\0\0\0\x05first"), false).unwrap();
    let answer = within("the answer to a stream that is open", answer).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"application/grpc".parse().unwrap())
    );
    let mut messages = answer.into_body();
    assert_eq!(message(&mut messages).await, &b"\0\0\0\0\x05first"[..]);
    for text in ["another", "one more"] {
        let sent = Bytes::from([&[0, 0, 0, 0, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat());
        sending.send_data(sent.clone(), false).unwrap();
        assert_eq!(message(&mut messages).await, sent, "before the stream ends");
    }
    let allowed = |record: &serde_json::Value| record["action"] == "Get" && record["decision"] == "allow";
    assert!(mesh.home.records().iter().any(allowed), "it was decided on while it is open");
    sending.send_data(Bytes::new(), true).unwrap();
    assert!(within("the end", messages.data()).await.is_none());
    let ended = within("the trailers", messages.trailers()).await.unwrap().unwrap();
    assert_eq!(ended["grpc-status"], "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_bodies_are_waited_for_a_stream_that_is_open_gets_nowhere() {
    let echo = Echo::start().await;
    let mesh = start(&echo, "check_settings: { context_extensions: { service: todos } }").await;
    let (mut requests, _driver) = connect(&mesh).await;
    let (_unanswered, mut open) = call(&mut requests, false).await;
    open.send_data(Bytes::from_static(b"\0\0\0\0\x05first"), false).unwrap();
    let (answer, _nothing) = call(&mut requests, true).await;
    let answer = within("the answer to a request that has ended", answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(echo.requests.load(Ordering::SeqCst), 1, "the first one is still being waited for");
}
