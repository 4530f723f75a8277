//! Services whose every answer follows, at once, from one whole request: on HTTP/2, on the `h2` crate alone.
//!
//! Between such a service and its client there is no router, no task for each request and no stream of a body: a
//! connection is one task, which takes requests in, reads them, has them answered and writes the answers. That costs two thirds
//! of what a general server does (see docs/decisions/0006). What keeps one request from holding up another, and one
//! client from holding up the others, is in here, so that a service can't forget it: bounds on bodies and on how long one
//! may take to come or an answer to be fetched, admission, turns of bounded length.

mod admission;
mod body;
mod connection;
mod keepalive;
mod reply;
mod socket;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{HeaderMap, Response};

pub use self::admission::{Admission, AdmissionLimits};
pub(super) use self::connection::Connection;

/// A service of that kind.
pub trait Exchange: Send + Sync + 'static {
    /// What the service knows of a request whose body is still to come.
    type Call: Send + Unpin + 'static;

    /// Looks at the head of a request. The requests before it will take `ahead`, as far as that can be told.
    fn begin(&self, head: &Parts, ahead: Duration) -> Begin<Self::Call>;

    /// Answers a request: microseconds of work. What has to be waited for must not hold up others.
    fn answer(&self, call: Self::Call, received: Received<'_>) -> Answered;

    /// The answer to a request that there is no room for. It should cost next to nothing.
    fn overloaded(&self) -> Answer;

    /// The client no longer wants an answer.
    fn abandoned(&self, call: Self::Call);
}

/// What to do about a request.
#[derive(Debug)]
pub enum Begin<Call> {
    /// There is nothing to do for it.
    Answer(Box<Answer>),
    /// Answer it unread.
    Unread(Call),
    /// Read it first.
    Read {
        /// What is known of it so far.
        call: Call,
        /// How long its body may take to arrive.
        patience: Duration,
        /// How long its body may be, in bytes.
        max_body: usize,
    },
}

/// What came of a request's body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Received<'a> {
    /// All of it is there.
    Whole(&'a [u8]),
    /// It is longer than it may be.
    TooLong,
    /// It did not arrive in time.
    Late,
    /// There was no room to keep it.
    NoRoom,
    /// Nobody asked for it.
    Unread,
}

/// An answer, or the wait for it.
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one, and is not kept")]
pub enum Answered {
    /// Here it is.
    Now(Answer),
    /// It follows from the request already, but may not be given yet.
    Later(BoxFuture<'static, Answer>),
}

impl fmt::Debug for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(answer) => f.debug_tuple("Now").field(answer).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

/// A response.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status and headers.
    pub head: Response<()>,
    /// The body.
    pub body: Bytes,
    /// What follows it.
    pub trailers: Option<HeaderMap>,
}

#[cfg(test)]
pub(super) mod tests;
