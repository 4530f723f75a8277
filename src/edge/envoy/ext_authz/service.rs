//! The gRPC method `Check`, on HTTP/2 itself: a unary call has one frame of one message either way.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use super::deadline::{DeadlineError, timeout};
use super::decode::{DecodeError, decode};
use super::frame::{FrameError, HEAD_BYTES, only_message};
use super::respond::{OBLIGATIONS, Requested, answer};
use super::wanted::Wanted;
use super::{Decide, ExtAuthzConfig, Metrics};
use crate::decision::{Check, Manner, Reason, Verdict};
use crate::edge::receipts::{ReceiptOffer, ReceiptWanted};
use crate::evidence::{CacheState, DecisionId, Edge, Outcome, Taken};
use crate::foundation::clock::Clock;
use crate::foundation::telemetry::printable;
use crate::server::{Answer, Answered, Begin, Exchange, Received};

/// Where the method is served.
const CHECK_PATH: &str = "/envoy.service.auth.v3.Authorization/Check";

/// How much of an error message goes into a record, in bytes.
const SHOWN: usize = 200;

/// Under which key the proxy's configuration of a route asks for receipts (`context_extensions`).
const RECEIPT: &str = "receipt";

/// How long an answer waits at most for its receipt, if its caller waits twice as long.
const RECEIPT_WITHIN: Duration = Duration::from_secs(2);

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Envoy's authorization service.
#[derive(Debug)]
pub struct ExtAuthz {
    decide: Arc<dyn Decide>,
    clock: Arc<dyn Clock>,
    config: Arc<ExtAuthzConfig>,
    metrics: Metrics,
    /// What is said when there is no room.
    overloaded: Bytes,
    /// What is said to who will have stopped waiting before there could be an answer.
    hopeless: Bytes,
}

/// A call whose message is still to come.
#[derive(Debug)]
pub struct Call {
    arrived: Duration,
    waits: Result<Duration, DeadlineError>,
}

/// The message that answers a call, or the wait for it.
enum Settled {
    Now(Bytes),
    Later(BoxFuture<'static, Bytes>),
}

impl ExtAuthz {
    /// A service that asks `decide`.
    pub fn new(decide: Arc<dyn Decide>, clock: Arc<dyn Clock>, config: ExtAuthzConfig, metrics: Metrics) -> Self {
        let fixed = |reason| answer(&nameless(reason), &config, &Requested::default()).into_bytes();
        let (overloaded, hopeless) = (fixed(Reason::Overloaded), fixed(Reason::DeadlineExpired));
        Self { decide, clock, config: Arc::new(config), metrics, overloaded, hopeless }
    }

    fn read(&self, call: &Call, received: Received<'_>) -> Result<Settled, Fault> {
        let waits = call.waits?;
        let body = match received {
            Received::Whole(body) => body,
            Received::TooLong => return Err(FrameError::TooLarge.into()),
            Received::NoRoom => return Ok(Settled::Now(self.no_room())),
            Received::Late | Received::Unread => return Err(Fault::Expired),
        };
        // It may have waited for its turn.
        let left = waits.saturating_sub(self.clock.elapsed().saturating_sub(call.arrived));
        if left.is_zero() {
            return Err(Fault::Expired);
        }
        let check = decode(only_message(body, self.config.max_message_bytes)?)?;
        Ok(self.settle(|| self.decide.check(&check), &check, left))
    }

    fn refuse(&self, fault: Fault) -> Verdict {
        self.metrics.count(fault.name());
        let what = printable(&format!("check: {fault}"), SHOWN);
        self.decide.refuse(Edge::ExtAuthz, &what, fault.reason())
    }

    fn no_room(&self) -> Bytes {
        self.metrics.count("overloaded");
        self.overloaded.clone()
    }

    /// What the answer to `check` depends on beside `verdict`. It is only put together for who is told of it.
    fn requested(&self, check: &Check<'_>, verdict: &Verdict) -> Requested {
        let wanted = if verdict.outcome == Outcome::Allow && verdict.taken.is_durable() {
            Wanted::default()
        } else {
            Wanted::of(check)
        };
        let guidance = verdict.guidance();
        let (given, forwards) = (verdict.manner.backend_headers.as_deref(), self.config.forwards_obligations);
        let others = given.into_iter().flatten().map(AsRef::as_ref).chain(forwards.then_some(OBLIGATIONS));
        let set = |name: &str| {
            guidance.is_some_and(|guidance| {
                let demands = name == OBLIGATIONS && !guidance.obligations.is_empty();
                // One that is ours the answer does not give.
                let in_answer = || guidance.headers.iter().any(|header| header.name() == name);
                demands || (!self.config.headers.is_ours(name) && in_answer())
            })
        };
        Requested { removed: self.config.headers.lookalikes_in(check, &others, set), wanted, receipt: None }
    }

    /// What the proxy's configuration wants to be told of receipts, if they can be had. Any other word asks for nothing.
    fn receipt_asked(&self, check: &Check<'_>) -> Option<(&ReceiptOffer, ReceiptWanted)> {
        let offer = self.config.receipts.as_ref()?;
        Some((offer, ReceiptWanted::parse(check.extensions.get(RECEIPT)?)?))
    }

    /// The answer to what `judge` says. If it panics, that is recorded as a fault of ours; if even that panics, it is
    /// still answered as one. The caller waits for as long as is `left`.
    fn settle(&self, judge: impl FnOnce() -> Verdict, check: &Check<'_>, left: Duration) -> Settled {
        let panicked = || self.decide.refuse(Edge::ExtAuthz, "check: panicked", Reason::Internal);
        let verdict =
            self.caught(judge).or_else(|| self.caught(panicked)).unwrap_or_else(|| nameless(Reason::Internal));
        let mut requested = self.requested(check, &verdict);
        let asked = self.receipt_asked(check);
        if verdict.taken.is_durable() && asked.is_none_or(|(offer, wanted)| !offer.awaits(wanted)) {
            requested.receipt = asked.and_then(|(offer, _)| offer.place(verdict.id));
            return Settled::Now(answer(&verdict, &self.config, &requested).into_bytes());
        }
        let (config, wanted) = (Arc::clone(&self.config), asked.map(|(_, wanted)| wanted));
        Settled::Later(Box::pin(async move {
            let verdict = verdict.settled().await;
            if let (Some(offer), Some(wanted)) = (&config.receipts, wanted) {
                let wanted = if verdict.outcome == Outcome::Error { ReceiptWanted::Url } else { wanted };
                requested.receipt = offer.told(wanted, verdict.id, RECEIPT_WITHIN.min(left / 2)).await;
            }
            answer(&verdict, &config, &requested).into_bytes()
        }))
    }

    fn caught(&self, judge: impl FnOnce() -> Verdict) -> Option<Verdict> {
        let verdict = panic::catch_unwind(AssertUnwindSafe(judge)).ok();
        if verdict.is_none() {
            self.metrics.count("panicked");
            tracing::error!("a check panicked");
        }
        verdict
    }
}

impl Exchange for ExtAuthz {
    type Call = Call;

    fn begin(&self, head: &Parts, ahead: Duration) -> Begin<Call> {
        if let Some(answer) = no_check(head) {
            return Begin::Answer(Box::new(answer));
        }
        let waits = timeout(&head.headers).map(|waits| waits.unwrap_or(Duration::MAX));
        let call = Call { arrived: self.clock.elapsed(), waits };
        match waits {
            Ok(Duration::ZERO) | Err(_) => Begin::Unread(call),
            Ok(waits) if waits <= ahead => {
                self.metrics.count("hopeless");
                Begin::Answer(Box::new(success(self.hopeless.clone())))
            }
            Ok(waits) => Begin::Read {
                call,
                patience: waits.min(self.config.patience),
                max_body: self.config.max_message_bytes.saturating_add(HEAD_BYTES),
            },
        }
    }

    fn answer(&self, call: Call, received: Received<'_>) -> Answered {
        let refused = |fault| self.settle(|| self.refuse(fault), &Check::default(), Duration::ZERO);
        match self.read(&call, received).unwrap_or_else(refused) {
            Settled::Now(message) => Answered::Now(success(message)),
            Settled::Later(message) => Answered::Later(Box::pin(async move { success(message.await) })),
        }
    }

    fn overloaded(&self) -> Answer {
        success(self.no_room())
    }

    fn abandoned(&self, _call: Call) {
        self.metrics.count("abandoned");
    }
}

/// The answer to a request that is no call of our method, as gRPC wants it ("Requests", "Responses").
fn no_check(head: &Parts) -> Option<Answer> {
    let refused = |status| {
        let mut head = Response::new(());
        *head.status_mut() = status;
        Some(Answer { head, body: Bytes::new(), trailers: None })
    };
    if !head.headers.get(CONTENT_TYPE).is_some_and(is_grpc) {
        return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    if head.method != Method::POST {
        return refused(StatusCode::METHOD_NOT_ALLOWED);
    }
    (head.uri.path() != CHECK_PATH).then(|| {
        let mut head = Response::new(());
        head.headers_mut().insert(CONTENT_TYPE, GRPC);
        // UNIMPLEMENTED, in headers that are trailers too.
        head.headers_mut().insert(GRPC_STATUS, HeaderValue::from_static("12"));
        Answer { head, body: Bytes::new(), trailers: None }
    })
}

/// `application/grpc`, with or without what the messages are written in.
fn is_grpc(content_type: &HeaderValue) -> bool {
    let rest = content_type.as_bytes().strip_prefix(GRPC.as_bytes());
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// A call that succeeded, as gRPC: what it says is in its message.
fn success(message: Bytes) -> Answer {
    let mut head = Response::new(());
    head.headers_mut().insert(CONTENT_TYPE, GRPC);
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
    Answer { head, body: message, trailers: Some(trailers) }
}

/// What is said when there is no record to name.
fn nameless(reason: Reason) -> Verdict {
    Verdict {
        id: DecisionId::NIL,
        outcome: Outcome::Error,
        reason,
        policies: Arc::new([]),
        cache: CacheState::Bypass,
        principal: None,
        manner: Manner::default(),
        taken: Taken::NOW,
    }
}

/// Why a call never became a question.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the message can't be decoded: {0}")]
    Message(#[from] DecodeError),
    #[error(transparent)]
    Deadline(#[from] DeadlineError),
    #[error("the caller has stopped waiting")]
    Expired,
}

impl Fault {
    /// The name in metrics.
    const fn name(self) -> &'static str {
        match self {
            Self::Frame(FrameError::TooLarge) => "too_large",
            Self::Frame(_) => "bad_frame",
            Self::Message(_) => "undecodable",
            Self::Deadline(_) => "bad_deadline",
            Self::Expired => "expired",
        }
    }

    const fn reason(self) -> Reason {
        match self {
            Self::Expired => Reason::DeadlineExpired,
            _ => Reason::Undecodable,
        }
    }
}

#[cfg(test)]
mod tests;
