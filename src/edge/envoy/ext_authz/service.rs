//! The gRPC method `Check`, as a tower service.
//!
//! On the wire a unary call and one that streams its request look the same. The method is served as the latter, because
//! then what is wrong with the message (too long, compressed, truncated) reaches us as a value instead of leaving as a
//! gRPC status behind our back.

use std::convert::Infallible;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::{Code, Request, Response, Status, Streaming};
use tower::Service;

use super::codec::CheckCodec;
use super::deadline::{DeadlineError, timeout};
use super::decode::{DecodeError, decode};
use super::respond::{Answer, answer};
use super::{Decide, ExtAuthzConfig, Metrics};
use crate::decision::{Reason, Verdict};
use crate::evidence::{CacheState, DecisionId, Edge, Outcome};
use crate::foundation::clock::Clock;
use crate::foundation::telemetry::printable;

/// Where the method is served.
const CHECK_PATH: &str = "/envoy.service.auth.v3.Authorization/Check";

/// How much of an error message goes into a record, in bytes.
const SHOWN: usize = 200;

/// Envoy's authorization service.
#[derive(Clone, Debug)]
pub struct ExtAuthz(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    decide: Arc<dyn Decide>,
    clock: Arc<dyn Clock>,
    config: ExtAuthzConfig,
    metrics: Metrics,
}

impl ExtAuthz {
    /// A service that asks `decide`.
    pub fn new(decide: Arc<dyn Decide>, clock: Arc<dyn Clock>, config: ExtAuthzConfig, metrics: Metrics) -> Self {
        Self(Arc::new(Inner { decide, clock, config, metrics }))
    }

    /// The route to mount on a listener that speaks HTTP/2.
    pub fn router(self) -> Router {
        Router::new().route_service(CHECK_PATH, self)
    }
}

impl NamedService for ExtAuthz {
    const NAME: &'static str = "envoy.service.auth.v3.Authorization";
}

impl Service<http::Request<axum::body::Body>> for ExtAuthz {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<axum::body::Body>) -> Self::Future {
        let inner = Arc::clone(&self.0);
        let arrived = inner.clock.elapsed();
        let waits = timeout(request.headers());
        // With the announcement gone a compressed message is a malformed one, which we get to answer ourselves.
        request.headers_mut().remove("grpc-encoding");
        Box::pin(async move {
            let mut grpc = Grpc::new(CheckCodec).max_decoding_message_size(inner.config.max_message_bytes);
            let method = tower::service_fn(move |request: Request<Streaming<Bytes>>| {
                let inner = Arc::clone(&inner);
                async move { Ok::<_, Status>(Response::new(inner.answer(request.into_inner(), arrived, waits).await)) }
            });
            Ok(grpc.client_streaming(method, request).await)
        })
    }
}

/// How long the caller said it waits.
type Waits = Result<Option<Duration>, DeadlineError>;

impl Inner {
    async fn answer(&self, messages: Streaming<Bytes>, arrived: Duration, waits: Waits) -> Answer {
        let received = self.receive(messages, arrived, waits).await;
        match received.as_deref().map_err(Clone::clone).and_then(|message| Ok(decode(message)?)) {
            Ok(check) => self.settle(|| self.decide.check(&check), self.config.headers.lookalikes_in(&check)),
            Err(fault) => self.settle(|| self.refuse(&fault), Vec::new()),
        }
    }

    fn refuse(&self, fault: &Fault) -> Verdict {
        self.metrics.count(fault.name());
        let what = printable(&format!("check: {fault}"), SHOWN);
        self.decide.refuse(Edge::ExtAuthz, &what, fault.reason())
    }

    async fn receive(&self, messages: Streaming<Bytes>, arrived: Duration, waits: Waits) -> Result<Bytes, Fault> {
        let waits = waits?.unwrap_or(Duration::MAX);
        let patience = waits.min(self.config.patience);
        if patience.is_zero() {
            return Err(Fault::Expired);
        }
        let message =
            tokio::time::timeout(patience, only_message(messages)).await.map_err(|_elapsed| Fault::Expired)??;
        if self.clock.elapsed().saturating_sub(arrived) >= waits {
            return Err(Fault::Expired);
        }
        Ok(message)
    }

    /// The answer to what `judge` says. If it panics, that is recorded as a fault of ours; if even that panics, it is
    /// still answered as one.
    fn settle(&self, judge: impl FnOnce() -> Verdict, lookalikes: Vec<String>) -> Answer {
        let panicked = || self.decide.refuse(Edge::ExtAuthz, "check: panicked", Reason::Internal);
        let verdict = self.caught(judge).or_else(|| self.caught(panicked)).unwrap_or_else(nameless);
        answer(&verdict, &self.config.headers, lookalikes)
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

/// What is said when not even a record could be made.
fn nameless() -> Verdict {
    Verdict {
        id: DecisionId::NIL,
        outcome: Outcome::Error,
        reason: Reason::Internal,
        policies: Arc::new([]),
        cache: CacheState::Bypass,
        principal: None,
    }
}

/// The one message that a unary call sends.
async fn only_message(mut messages: Streaming<Bytes>) -> Result<Bytes, Fault> {
    let message = messages.message().await?.ok_or(Fault::Count("no message"))?;
    match messages.message().await? {
        None => Ok(message),
        Some(_) => Err(Fault::Count("more than one message")),
    }
}

/// Why a call never became a question.
#[derive(Clone, Debug, thiserror::Error)]
enum Fault {
    #[error("the message has more bytes than are taken")]
    TooLarge,
    #[error("the message can't be received: {0}")]
    Frame(String),
    #[error("the call has {0}")]
    Count(&'static str),
    #[error("the message can't be decoded: {0}")]
    Message(#[from] DecodeError),
    #[error(transparent)]
    Deadline(#[from] DeadlineError),
    #[error("the caller has stopped waiting")]
    Expired,
}

impl Fault {
    /// The name in metrics.
    const fn name(&self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Frame(_) | Self::Count(_) => "bad_frame",
            Self::Message(_) => "undecodable",
            Self::Deadline(_) => "bad_deadline",
            Self::Expired => "expired",
        }
    }

    const fn reason(&self) -> Reason {
        match self {
            Self::Expired => Reason::DeadlineExpired,
            _ => Reason::Undecodable,
        }
    }
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::OutOfRange => Self::TooLarge,
            _ => Self::Frame(status.message().to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
