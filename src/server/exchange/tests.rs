use std::future::poll_fn;
use std::sync::{Arc, Mutex};

use h2::client::{self, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderValue, Request};
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::connection::ConnectionError;
use super::*;
use crate::foundation::clock::SystemClock;
use crate::server::connection::Owner;
use crate::server::limits::Limits;

/// Says what it received, and keeps account of who left. `/head` is answered at once, `/unread` without a look at its
/// body, `/later` once it is told to.
#[derive(Debug, Default)]
pub(in crate::server) struct Echo {
    told: watch::Sender<bool>,
    abandoned: Mutex<Vec<String>>,
}

fn said(what: impl Into<Bytes>) -> Answer {
    let mut trailers = HeaderMap::new();
    trailers.insert("is-all", HeaderValue::from_static("yes"));
    Answer { head: Response::new(()), body: what.into(), trailers: Some(trailers) }
}

impl Exchange for Echo {
    type Call = String;

    fn begin(&self, head: &Parts, _ahead: Duration) -> Begin<String> {
        let path = head.uri.path().to_owned();
        match path.as_str() {
            "/head" => Begin::Answer(Box::new(Answer { head: Response::new(()), body: Bytes::new(), trailers: None })),
            "/unread" => Begin::Unread(path),
            _ => Begin::Read { call: path, patience: Duration::from_secs(5), max_body: 100_000 },
        }
    }

    fn answer(&self, call: String, received: Received<'_>) -> Answered {
        let answer = said(match received {
            Received::Whole(body) => format!("{} bytes", body.len()),
            other => format!("{other:?}"),
        });
        if call != "/later" {
            return Answered::Now(answer);
        }
        let mut told = self.told.subscribe();
        Answered::Later(Box::pin(async move {
            told.wait_for(|told| *told).await.unwrap();
            answer
        }))
    }

    fn overloaded(&self) -> Answer {
        said("overloaded")
    }

    fn abandoned(&self, call: String) {
        self.abandoned.lock().unwrap().push(call);
    }
}

struct Server {
    exchange: Arc<Echo>,
    admission: Admission,
    requests: Gauge,
    bytes: Gauge,
    limits: Limits,
    /// Tells connections to end.
    end: Arc<Notify>,
    connections: JoinSet<Result<(), ConnectionError>>,
    clients: u32,
}

fn server(requests: usize, bytes: usize, limits: Limits) -> Server {
    let (shown, shown_bytes) = (Gauge::default(), Gauge::default());
    let admission = Admission::new(AdmissionLimits { requests, bytes }, shown.clone(), shown_bytes.clone(), 1);
    Server {
        exchange: Arc::default(),
        admission,
        requests: shown,
        bytes: shown_bytes,
        limits,
        end: Arc::default(),
        connections: JoinSet::new(),
        clients: 0,
    }
}

impl Server {
    fn accept(&mut self) -> DuplexStream {
        let (client, socket) = tokio::io::duplex(64 * 1024);
        let (exchange, limits, end) = (Arc::clone(&self.exchange), self.limits.clone(), Arc::clone(&self.end));
        self.clients += 1;
        let account = self.admission.client(Owner::User(self.clients));
        self.connections.spawn(async move {
            let clock = Arc::new(SystemClock::new());
            let mut connection = Connection::open(socket, exchange, clock, account, &limits).await?;
            tokio::select! {
                biased;
                ended = poll_fn(|context| connection.poll(context, || {})) => return ended,
                () = end.notified() => connection.graceful_shutdown(),
            }
            poll_fn(|context| connection.poll(context, || {})).await
        });
        client
    }

    async fn connect(&mut self) -> Client {
        self.connect_with(&client::Builder::new()).await
    }

    async fn connect_with(&mut self, builder: &client::Builder) -> Client {
        Client::over(self.accept(), builder).await
    }

    fn taken(&self) -> (i64, i64) {
        (self.requests.get(), self.bytes.get())
    }

    async fn until(&self, condition: impl Fn(&Self) -> bool) {
        while !condition(self) {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// A client's side of a connection.
pub(in crate::server) struct Client {
    pub(in crate::server) requests: SendRequest<Bytes>,
    driver: JoinSet<Result<(), h2::Error>>,
}

/// A request that may still be sent.
pub(in crate::server) struct Asked {
    response: client::ResponseFuture,
    pub(in crate::server) body: SendStream<Bytes>,
}

impl Client {
    pub(in crate::server) async fn over<S>(socket: S, builder: &client::Builder) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (requests, connection) = builder.handshake(socket).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        Self { requests, driver }
    }

    pub(in crate::server) async fn begin(&mut self, path: &str, is_all: bool) -> Asked {
        poll_fn(|context| self.requests.poll_ready(context)).await.unwrap();
        let request = Request::post(format!("http://server{path}")).body(()).unwrap();
        let (response, body) = self.requests.send_request(request, is_all).unwrap();
        Asked { response, body }
    }

    pub(in crate::server) async fn ask(&mut self, path: &str, body: impl Into<Bytes>) -> String {
        let mut asked = self.begin(path, false).await;
        asked.body.send_data(body.into(), true).unwrap();
        asked.answered().await.unwrap()
    }
}

impl Asked {
    pub(in crate::server) async fn answered(self) -> Result<String, h2::Error> {
        let (head, mut body) = self.response.await?.into_parts();
        assert_eq!(head.status, 200);
        let said = collect(&mut body).await?;
        let trailers = body.trailers().await?.expect("has trailers");
        assert_eq!(trailers["is-all"], "yes");
        Ok(said)
    }
}

async fn collect(body: &mut RecvStream) -> Result<String, h2::Error> {
    let mut said = Vec::new();
    while let Some(frame) = body.data().await {
        let frame = frame?;
        body.flow_control().release_capacity(frame.len())?;
        said.extend_from_slice(&frame);
    }
    Ok(String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn a_request_is_read_and_answered() {
    let mut server = server(8, 0, Limits::default());
    let mut client = server.connect().await;
    assert_eq!(client.ask("/", "hello").await, "5 bytes");
    assert_eq!(client.ask("/unread", "hello").await, "Unread");
    assert_eq!(client.begin("/", true).await.answered().await.unwrap(), "0 bytes");
    let head = client.begin("/head", true).await.response.await.unwrap();
    assert!(head.body().is_end_stream());
    server.until(|server| server.taken() == (0, 0)).await;
}

#[tokio::test]
async fn an_answer_that_may_not_be_given_yet_holds_up_no_other() {
    let mut server = server(8, 0, Limits::default());
    let mut client = server.connect().await;
    let later = client.begin("/later", true).await;
    assert_eq!(client.ask("/", "hello").await, "5 bytes");
    assert_eq!(server.taken().0, 1, "it keeps its place");
    server.exchange.told.send_replace(true);
    assert_eq!(later.answered().await.unwrap(), "0 bytes");
    server.until(|server| server.taken() == (0, 0)).await;
}

#[tokio::test]
async fn a_body_may_come_in_pieces() {
    let mut server = server(8, 100_000, Limits::default());
    let mut client = server.connect().await;
    let mut asked = client.begin("/", false).await;
    for _ in 0..6 {
        asked.body.send_data(Bytes::from_static(&[b'x'; 5000]), false).unwrap();
        sleep(Duration::from_millis(1)).await;
    }
    server.until(|server| server.taken() == (1, 30_000 - 16 * 1024)).await;
    asked.body.send_data(Bytes::new(), true).unwrap();
    assert_eq!(asked.answered().await.unwrap(), "30000 bytes");
    server.until(|server| server.taken() == (0, 0)).await;
}

#[tokio::test]
async fn a_body_that_is_too_long_is_answered_before_its_end() {
    let mut server = server(8, 1 << 20, Limits::default());
    let mut client = server.connect().await;
    let mut asked = client.begin("/", false).await;
    asked.body.send_data(vec![0; 100_001].into(), false).unwrap();
    assert_eq!(asked.answered().await.unwrap(), "TooLong");
    assert_eq!(client.ask("/", "hello").await, "5 bytes");
    server.until(|server| server.taken() == (0, 0)).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_waited_for_only_so_long() {
    let mut server = server(8, 0, Limits::default());
    let mut client = server.connect().await;
    let slow = client.begin("/", false).await;
    assert_eq!(client.ask("/", "hello").await, "5 bytes", "others do not wait for it");
    assert_eq!(slow.answered().await.unwrap(), "Late");
}

#[tokio::test]
async fn who_finds_no_room_is_told_at_once_and_is_served_as_soon_as_there_is_some() {
    let mut server = server(4, 0, Limits::default());
    let (mut greedy, mut modest) = (server.connect().await, server.connect().await);
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(greedy.begin("/", false).await);
    }
    server.until(|server| server.taken() == (3, 0)).await;
    assert_eq!(greedy.ask("/", "hello").await, "overloaded", "a client gets three quarters");
    assert_eq!(modest.ask("/", "hello").await, "5 bytes", "and others the rest");
    held.push(modest.begin("/", false).await);
    server.until(|server| server.taken() == (4, 0)).await;
    assert_eq!(modest.ask("/", "hello").await, "overloaded", "all is taken");
    let mut first = held.swap_remove(0);
    first.body.send_data(Bytes::from_static(b"done"), true).unwrap();
    assert_eq!(first.answered().await.unwrap(), "4 bytes");
    assert_eq!(modest.ask("/", "hello").await, "5 bytes", "there is room again");
}

#[tokio::test]
async fn bodies_are_kept_only_as_long_as_there_is_room_for_them() {
    let mut server = server(8, 40_000, Limits::default());
    let mut client = server.connect().await;
    assert_eq!(client.ask("/", vec![0; 46_000]).await, "46000 bytes");
    assert_eq!(client.ask("/", vec![0; 47_000]).await, "NoRoom");
    server.until(|server| server.taken() == (0, 0)).await;
}

#[tokio::test]
async fn a_request_that_is_taken_back_leaves_no_trace() {
    let mut server = server(8, 0, Limits::default());
    let mut client = server.connect().await;
    let mut asked = client.begin("/left", false).await;
    server.until(|server| server.taken() == (1, 0)).await;
    asked.body.send_reset(h2::Reason::CANCEL);
    server.until(|server| server.taken() == (0, 0)).await;
    assert_eq!(*server.exchange.abandoned.lock().unwrap(), ["/left"]);
    assert_eq!(client.ask("/", "hello").await, "5 bytes");
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_no_trace() {
    let mut server = server(8, 0, Limits::default());
    let mut client = server.connect().await;
    let _asked = client.begin("/", false).await;
    server.until(|server| server.taken() == (1, 0)).await;
    drop(client);
    let _how = server.connections.join_next().await.unwrap().unwrap();
    assert_eq!(server.taken(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_fetches_is_taken_back_and_holds_up_no_other() {
    let mut server = server(8, 0, Limits::default());
    let mut client = server.connect_with(client::Builder::new().initial_window_size(3)).await;
    let mut asked = client.begin("/", false).await;
    asked.body.send_data(Bytes::from_static(b"hello"), true).unwrap();
    server.until(|server| server.taken() == (1, 0)).await;
    let head = client.begin("/head", true).await.response.await.unwrap();
    assert!(head.body().is_end_stream());
    let mut body = asked.response.await.unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "5 b");
    let reset = body.data().await.unwrap().unwrap_err();
    assert_eq!(reset.reason(), Some(h2::Reason::CANCEL));
    assert_eq!(server.taken(), (0, 0));
}

#[tokio::test]
async fn an_answer_goes_out_as_the_client_makes_room() {
    let mut server = server(8, 0, Limits::default());
    let mut client = server.connect_with(client::Builder::new().initial_window_size(2)).await;
    assert_eq!(client.ask("/", "hello").await, "5 bytes");
    server.until(|server| server.taken() == (0, 0)).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_asked_for_a_sign_of_life() {
    let mut server = server(8, 0, Limits::default());
    let mut alive = server.connect().await;
    let (_requests, mute) = client::handshake(server.accept()).await.unwrap() as (SendRequest<Bytes>, _);
    let ended = server.connections.join_next().await.unwrap().unwrap();
    assert!(matches!(ended, Err(ConnectionError::Dead(_))), "{ended:?}");
    drop(mute);
    sleep(Duration::from_hours(1)).await;
    assert_eq!(alive.ask("/", "hello").await, "5 bytes");
}

#[tokio::test]
async fn a_connection_that_is_told_to_end_finishes_what_it_has_begun() {
    let mut server = server(8, 0, Limits::default());
    let mut client = server.connect().await;
    let mut asked = client.begin("/", false).await;
    server.until(|server| server.taken() == (1, 0)).await;
    server.end.notify_one();
    while client.requests.clone().ready().await.is_ok() {
        sleep(Duration::from_millis(1)).await;
    }
    asked.body.send_data(Bytes::from_static(b"hello"), true).unwrap();
    assert_eq!(asked.answered().await.unwrap(), "5 bytes");
    server.connections.join_next().await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn more_requests_than_a_turn_takes_are_all_answered() {
    let mut server = server(4096, 0, Limits::default());
    // h2 takes few small frames in advance unless its window is wide.
    let mut client = server.connect_with(client::Builder::new().initial_connection_window_size(1 << 20)).await;
    let mut asked = Vec::new();
    for _ in 0..500 {
        let mut one = client.begin("/", false).await;
        one.body.send_data(Bytes::from_static(b"hello"), true).unwrap();
        asked.push(one);
    }
    for one in asked {
        assert_eq!(one.answered().await.unwrap(), "5 bytes");
    }
    server.until(|server| server.taken() == (0, 0)).await;
}

#[tokio::test]
async fn a_flood_of_resets_ends_the_connection() {
    let mut server = server(4096, 0, Limits { max_concurrent_streams: 10, ..Limits::default() });
    let mut client = server.connect().await;
    for _ in 0..2000 {
        if poll_fn(|context| client.requests.poll_ready(context)).await.is_err() {
            break;
        }
        let mut asked = client.begin("/", false).await;
        asked.body.send_reset(h2::Reason::CANCEL);
    }
    let ended = client.driver.join_next().await.unwrap().unwrap().unwrap_err();
    assert_eq!(ended.reason(), Some(h2::Reason::ENHANCE_YOUR_CALM));
}

#[tokio::test]
async fn headers_beyond_the_limit_are_refused() {
    let mut server = server(8, 0, Limits { max_header_list: 1000, ..Limits::default() });
    let mut client = server.connect().await;
    poll_fn(|context| client.requests.poll_ready(context)).await.unwrap();
    let request = Request::post("http://server/").header("x-long", "x".repeat(2000)).body(()).unwrap();
    let (response, _body) = client.requests.send_request(request, true).unwrap();
    assert_eq!(response.await.unwrap().status(), 431);
    assert_eq!(client.ask("/", "hello").await, "5 bytes");
}

#[tokio::test]
async fn what_is_not_http2_ends_the_connection() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let mut server = server(8, 0, Limits::default());
    let mut socket = server.accept();
    socket.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let _goaway = socket.read_to_end(&mut Vec::new()).await;
    assert!(server.connections.join_next().await.unwrap().unwrap().is_err());
}
