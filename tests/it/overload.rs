//! More Checks than there is room for: none is allowed that should not be, none hangs, and all is well again at once.

use std::future::poll_fn;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use envoy_types::pb::envoy::service::auth::v3::CheckResponse;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use h2::client::{ResponseFuture, SendRequest, handshake};
use h2::{Reason, SendStream};
use prost::Message as _;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use crate::audit_backlog::Hanging;
use crate::bad_input::{allows, asks_for, good_question};
use crate::support::eventually;
use crate::support::gateway::{Gateway, Home};
use crate::support::mesh::Mesh;
use crate::support::sds;

/// Checks at the same time. All callers here are one user of this machine, who gets three quarters of it.
const ROOM: usize = 16;
const SHARE: usize = ROOM / 4 * 3;

/// Callers at the same time, and how many checks each sends at once, how often.
const CALLERS: usize = 8;
const BURST: usize = 2 * ROOM;
const BURSTS: usize = 20;

/// What a check is about, and so what may be said to it if it is not that there is no room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Permitted,
    NotPermitted,
    Garbage,
    /// It gives us a nanosecond.
    Hopeless,
    /// Its message never ends, and then it is taken back.
    TakenBack,
}

const KINDS: [Kind; 5] = [Kind::Permitted, Kind::NotPermitted, Kind::Garbage, Kind::Hopeless, Kind::TakenBack];

impl Kind {
    const fn reason(self) -> &'static str {
        match self {
            Self::Permitted => "permitted",
            Self::NotPermitted => "no_permit",
            Self::Garbage => "undecodable",
            Self::Hopeless | Self::TakenBack => "deadline_expired",
        }
    }
}

/// The messages of all kinds.
#[derive(Clone)]
struct Questions {
    permitted: Bytes,
    not_permitted: Bytes,
}

impl Questions {
    async fn of(home: &Home) -> Self {
        let response = sds::fetch(&home.workload_socket(), &["default"]).await.unwrap();
        let (chain, _key) = sds::certificate(&sds::secrets(&response)[0]);
        let mut question = good_question(&chain);
        let permitted = frame(&question.encode_to_vec());
        asks_for(&mut question, "/admin");
        Self { permitted, not_permitted: frame(&question.encode_to_vec()) }
    }

    fn message(&self, kind: Kind) -> Bytes {
        match kind {
            Kind::NotPermitted => self.not_permitted.clone(),
            Kind::Garbage => frame(b"\xff\xff\xff"),
            Kind::Permitted | Kind::Hopeless | Kind::TakenBack => self.permitted.clone(),
        }
    }
}

fn frame(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, message].concat().into()
}

/// A connection for checks.
struct Caller {
    requests: SendRequest<Bytes>,
    _driver: JoinSet<Result<(), h2::Error>>,
}

/// A check that was sent, maybe not to its end.
struct Asked {
    response: ResponseFuture,
    body: SendStream<Bytes>,
}

impl Caller {
    async fn connect(socket: &Path) -> Self {
        let (requests, connection) = handshake(UnixStream::connect(socket).await.unwrap()).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        Self { requests, _driver: driver }
    }

    async fn send(&mut self, kind: Kind, message: Bytes) -> Asked {
        poll_fn(|context| self.requests.poll_ready(context)).await.unwrap();
        let request = http::Request::post("http://localhost/envoy.service.auth.v3.Authorization/Check")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", if kind == Kind::Hopeless { "1n" } else { "30S" });
        let (response, mut body) = self.requests.send_request(request.body(()).unwrap(), false).unwrap();
        // It fails if the answer is there already, as that of overload can be, which waits for no body.
        let _answered = body.send_data(message, kind != Kind::TakenBack);
        Asked { response, body }
    }

    async fn ask(&mut self, questions: &Questions, kind: Kind) -> CheckResponse {
        self.send(kind, questions.message(kind)).await.answered().await
    }
}

impl Asked {
    /// The answer: a message within a call that succeeded.
    async fn answered(self) -> CheckResponse {
        let (head, mut body) = self.response.await.unwrap().into_parts();
        assert_eq!((head.status.as_u16(), head.headers.get("grpc-status")), (200, None));
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.data().await {
            let frame = frame.unwrap();
            body.flow_control().release_capacity(frame.len()).unwrap();
            bytes.extend_from_slice(&frame);
        }
        assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
        CheckResponse::decode(&bytes[5..]).unwrap()
    }
}

fn reason(answer: &CheckResponse) -> &str {
    let status = answer.status.as_ref();
    &status.unwrap_or_else(|| panic!("without a status it is an allow: {answer:?}")).message
}

fn is_overloaded(answer: &CheckResponse) -> bool {
    if reason(answer) != "overloaded" {
        return false;
    }
    assert!(!allows(answer) && matches!(answer.http_response, Some(HttpResponse::ErrorResponse(_))), "{answer:?}");
    true
}

async fn under_way(gateway: &Gateway, count: usize) {
    eventually(&format!("{count} checks are under way"), async || {
        let shown = gateway.metric("portcullis_ext_authz_checks").await;
        (format!("{shown}") == format!("{count}")).then_some(())
    })
    .await;
}

async fn start(home: &Home) -> Gateway {
    let room = ROOM.to_string();
    Gateway::start(home, &[("EXT_AUTHZ__MAX_CONCURRENT_CHECKS", room.as_str())]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_beyond_the_room_are_errors_at_once_and_those_within_are_answered() {
    let home = Home::new();
    let gateway = start(&home).await;
    let questions = Questions::of(&home).await;
    let (mut slow, mut other) =
        (Caller::connect(&home.ext_authz_socket()).await, Caller::connect(&home.ext_authz_socket()).await);
    let (first, rest) = (questions.permitted.slice(..100), questions.permitted.slice(100..));
    let mut held = Vec::new();
    for _ in 0..SHARE {
        held.push(slow.send(Kind::TakenBack, first.clone()).await);
    }
    under_way(&gateway, SHARE).await;
    for kind in [Kind::Permitted, Kind::NotPermitted, Kind::Garbage] {
        assert!(is_overloaded(&other.ask(&questions, kind).await), "{kind:?}");
        assert!(is_overloaded(&slow.ask(&questions, kind).await), "{kind:?}");
    }
    for mut one in held {
        one.body.send_data(rest.clone(), true).unwrap();
        assert!(allows(&one.answered().await), "it was let in before");
    }
    under_way(&gateway, 0).await;
    assert!(allows(&other.ask(&questions, Kind::Permitted).await), "there is room again");
    assert_eq!(gateway.metric("portcullis_ext_authz_faults_total{fault=\"overloaded\"}").await.to_string(), "6");
}

/// Answers that wait for a disk which hangs become errors by themselves, and their places are free again.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_takes_no_places_for_good() {
    let (home, room) = (Home::new(), ROOM.to_string());
    let settings = [("EXT_AUTHZ__MAX_CONCURRENT_CHECKS", room.as_str()), ("AUDIT__DURABILITY", "strict")];
    let gateway = Gateway::start(&home, &settings).await;
    let questions = Questions::of(&home).await;
    let mut caller = Caller::connect(&home.ext_authz_socket()).await;
    assert!(allows(&caller.ask(&questions, Kind::Permitted).await));
    let hanging = Hanging::of(&home);
    let mut held = Vec::new();
    for _ in 0..SHARE {
        held.push(caller.send(Kind::Permitted, questions.permitted.clone()).await);
    }
    under_way(&gateway, SHARE).await;
    assert!(is_overloaded(&caller.ask(&questions, Kind::Permitted).await));
    for one in held {
        let answer = one.answered().await;
        assert!(!allows(&answer) && reason(&answer) == "audit_unavailable", "{answer:?}");
    }
    under_way(&gateway, 0).await;
    eventually("the disk is named", async || {
        let answer = caller.ask(&questions, Kind::Permitted).await;
        assert!(!allows(&answer), "{answer:?}");
        let report = gateway.operations("/readyz").await;
        (report.status == 503 && report.body.contains("has not answered")).then_some(())
    })
    .await;
    hanging.end();
    eventually("it answers again", async || allows(&caller.ask(&questions, Kind::Permitted).await).then_some(())).await;
    assert_eq!(gateway.operations("/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_lets_nothing_through_that_there_is_no_room_for() {
    let mesh = Mesh::start(&[("EXT_AUTHZ__MAX_CONCURRENT_CHECKS", "4")]).await;
    assert_eq!(mesh.get("/orders/17").await.status, 200);
    let mut caller = Caller::connect(&mesh.home.ext_authz_socket()).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(caller.send(Kind::TakenBack, Bytes::from_static(b"\0")).await);
    }
    under_way(&mesh.gateway, 3).await;
    let refused = mesh.get("/orders/17").await;
    assert_eq!((refused.status, &refused.json()["reason"]), (503, &"overloaded".into()), "{refused:?}");
    for mut one in held {
        one.body.send_reset(Reason::CANCEL);
    }
    under_way(&mesh.gateway, 0).await;
    assert_eq!(mesh.get("/orders/17").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soak_at_more_than_twice_the_room_allows_nothing_wrongly_and_leaves_nothing_behind() {
    let home = Home::new();
    let mut gateway = start(&home).await;
    let questions = Questions::of(&home).await;
    let mut soak = JoinSet::new();
    for _ in 0..CALLERS {
        let (mut caller, questions) = (Caller::connect(&home.ext_authz_socket()).await, questions.clone());
        soak.spawn(async move {
            let mut seen = Seen::default();
            for _ in 0..BURSTS {
                seen.burst(&mut caller, &questions).await;
            }
            (caller, seen)
        });
    }
    let (callers, seen): (Vec<_>, Vec<_>) = soak.join_all().await.into_iter().unzip();
    let total = |count: fn(&Seen) -> usize| seen.iter().map(count).sum::<usize>();
    let (allowed, denied, overloaded) = (total(|s| s.allowed), total(|s| s.denied), total(|s| s.overloaded));
    assert!(allowed > 0 && denied > 0 && overloaded > 0, "{allowed} allowed, {denied} denied, {overloaded} overloaded");
    under_way(&gateway, 0).await;
    for mut caller in callers {
        assert!(allows(&caller.ask(&questions, Kind::Permitted).await), "on the connection that brought the load");
    }
    gateway.process.assert_running();
    let answered = home.records().iter().filter(|record| record["decision"] == "allow").count();
    assert!(answered <= allowed + CALLERS, "{answered} allows were recorded and {allowed} given");
}

/// What a caller was told.
#[derive(Default)]
struct Seen {
    allowed: usize,
    denied: usize,
    overloaded: usize,
}

impl Seen {
    async fn burst(&mut self, caller: &mut Caller, questions: &Questions) {
        let mut asked = Vec::new();
        for kind in KINDS.into_iter().cycle().take(BURST) {
            asked.push((kind, caller.send(kind, questions.message(kind)).await));
        }
        for (kind, mut one) in asked {
            if kind == Kind::TakenBack {
                one.body.send_reset(Reason::CANCEL);
                continue;
            }
            let answer = one.answered().await;
            if is_overloaded(&answer) {
                self.overloaded += 1;
                continue;
            }
            assert_eq!(reason(&answer), kind.reason());
            assert_eq!(allows(&answer), kind == Kind::Permitted, "{answer:?}");
            self.allowed += usize::from(kind == Kind::Permitted);
            self.denied += usize::from(kind != Kind::Permitted);
        }
    }
}
