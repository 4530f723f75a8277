//! The life of connections on which requests are answered at once.

use h2::client::Builder;
use prometheus_client::metrics::gauge::Gauge;

use super::*;
use crate::foundation::clock::SystemClock;
use crate::server::AdmissionLimits;
use crate::server::exchange::tests::{Client, Echo};

fn served(limits: Limits) -> (Served, Gauge) {
    let (room, under_way) = (AdmissionLimits { requests: 8, bytes: 0 }, Gauge::default());
    let admission = Admission::new(room, under_way.clone(), Gauge::default(), 1);
    let bound = bind_at("tcp:127.0.0.1:0", false);
    let served = Served::run(bound.to_string(), |metrics, signal| {
        let clock = Arc::new(SystemClock::new());
        serve_exchange(bound, Arc::<Echo>::default(), admission, clock, limits, metrics, signal)
    });
    (served, under_way)
}

async fn connect(served: &Served) -> Client {
    Client::over(served.connect().await, &Builder::new()).await
}

async fn is_told_to_end(client: &Client) {
    while timeout(SOON, client.requests.clone().ready()).await.unwrap().is_ok() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn draining_ends_connections_when_what_is_under_way_is_done() {
    let (mut served, under_way) = served(Limits::default());
    let (mut client, mut idle) = (connect(&served).await, connect(&served).await);
    assert_eq!(idle.ask("/", "hello").await, "5 bytes");
    let mut asked = client.begin("/", false).await;
    until(|| under_way.get() == 1).await;
    served.drain();
    is_told_to_end(&client).await;
    is_told_to_end(&idle).await;
    assert!(served.is_serving_after_a_while().await, "a request is under way");
    asked.body.send_data(Bytes::from_static(b"hello"), true).unwrap();
    assert_eq!(asked.answered().await.unwrap(), "5 bytes");
    served.ended().await;
}

#[tokio::test]
async fn stopping_cuts_off_what_does_not_end() {
    let (mut served, under_way) = served(Limits::default());
    let mut client = connect(&served).await;
    let asked = client.begin("/", false).await;
    until(|| under_way.get() == 1).await;
    served.drain();
    served.stop();
    served.ended().await;
    assert!(asked.answered().await.is_err());
    assert_eq!(under_way.get(), 0);
}

#[tokio::test]
async fn an_old_connection_is_told_to_end_but_may_finish_what_it_has_begun() {
    let age = Some(Duration::from_millis(20));
    let (served, under_way) = served(Limits { max_connection_age: age, ..Limits::default() });
    let mut client = connect(&served).await;
    let mut asked = client.begin("/", false).await;
    until(|| under_way.get() == 1).await;
    is_told_to_end(&client).await;
    asked.body.send_data(Bytes::from_static(b"hello"), true).unwrap();
    assert_eq!(asked.answered().await.unwrap(), "5 bytes");
    until(|| served.metrics.open.get() == 0).await;
    assert_eq!(connect(&served).await.ask("/", "hello").await, "5 bytes");
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_let_go() {
    let impatient = Limits { header_read_timeout: Duration::from_millis(20), ..Limits::default() };
    let (served, _) = served(impatient);
    let mut mute = served.connect().await;
    let _settings = timeout(SOON, mute.read_to_end(&mut Vec::new())).await.expect("it is still open");
    until(|| served.metrics.open.get() == 0).await;
}

#[tokio::test]
async fn a_drain_does_not_wait_for_connections_that_say_nothing() {
    let grace = Limits { first_request_grace: Duration::from_millis(20), ..Limits::default() };
    let (mut served, _) = served(grace);
    let _mute = served.connect().await;
    let _greeted = connect(&served).await;
    until(|| served.metrics.open.get() == 2).await;
    served.drain();
    served.ended().await;
}
