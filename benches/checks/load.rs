//! The client: HTTP/2 and no more, so that it is in nobody's way.

use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use envoy_types::pb::envoy::service::auth::v3::CheckResponse;
use h2::client::{SendRequest, handshake};
use prost::Message as _;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

#[path = "../identity/stopwatch.rs"]
#[expect(dead_code, reason = "the other bench needs more of it")]
mod stopwatch;

use self::stopwatch::Stopwatch;

const CONNECTIONS: usize = 2;
const AT_A_TIME: usize = 32;

/// What was asked of one server, and what that took.
#[derive(Default)]
pub(crate) struct Load {
    checks: usize,
    cpu: Duration,
    took: Duration,
    /// Checks a second, in each turn.
    turns: Vec<f64>,
}

impl Load {
    /// Asks `checks` times, each of which must be allowed.
    pub(crate) async fn run(&mut self, socket: &Path, pid: u32, frame: &Bytes, checks: usize) {
        let mut callers = JoinSet::new();
        let (before, watch) = (cpu_of(pid), Stopwatch::start());
        let each = checks / CONNECTIONS / AT_A_TIME;
        for _ in 0..CONNECTIONS {
            let stream = UnixStream::connect(socket).await.unwrap();
            let (requests, connection) = handshake(stream).await.unwrap();
            callers.spawn(async move { connection.await.unwrap() });
            for _ in 0..AT_A_TIME {
                callers.spawn(ask(requests.clone(), frame.clone(), each));
            }
        }
        callers.join_all().await;
        let (took, asked) = (watch.elapsed(), each * CONNECTIONS * AT_A_TIME);
        self.turns.push(rate(asked, took));
        self.checks += asked;
        self.took += took;
        self.cpu += cpu_of(pid).saturating_sub(before);
    }

    /// Of the server, for each check.
    pub(crate) fn cpu_micros(&self) -> f64 {
        1e6 / rate(self.checks, self.cpu)
    }

    pub(crate) fn a_second(&self) -> f64 {
        rate(self.checks, self.took)
    }

    /// How many times as many Checks a second as `other`: the median of all turns, each against the other's of the same time.
    pub(crate) fn share_of(&self, other: &Self) -> f64 {
        let mut shares: Vec<f64> = self.turns.iter().zip(&other.turns).map(|(ours, theirs)| ours / theirs).collect();
        shares.sort_by(f64::total_cmp);
        shares.get(shares.len() / 2).copied().unwrap_or_default()
    }
}

fn rate(count: usize, took: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap()) / took.as_secs_f64()
}

async fn ask(requests: SendRequest<Bytes>, frame: Bytes, times: usize) {
    for _ in 0..times {
        let mut ready = requests.clone().ready().await.unwrap();
        let request = http::Request::post("http://localhost/envoy.service.auth.v3.Authorization/Check")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", "10S");
        let (response, mut body) = ready.send_request(request.body(()).unwrap(), false).unwrap();
        body.send_data(frame.clone(), true).unwrap();
        let mut body = response.await.unwrap().into_body();
        let mut answer = BytesMut::new();
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            answer.extend_from_slice(&data);
        }
        let answer = CheckResponse::decode(answer.get(5..).unwrap()).unwrap();
        assert_eq!(answer.status.as_ref().unwrap().code, 0, "{answer:?}");
    }
}

/// The CPU time that a process has taken (`proc_pid_stat(5)`: `utime` and `stime`, in hundredths of a second).
fn cpu_of(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_name, fields) = stat.rsplit_once(')').unwrap();
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
