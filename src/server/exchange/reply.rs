//! Answers on their way out.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::HeaderMap;

use super::Answer;
use super::admission::Admitted;

/// A body, and what is held until it is written: h2 drops it then.
#[derive(Debug)]
pub(in crate::server) struct Reply {
    body: Bytes,
    /// The last part of an answer has it.
    _held: Option<Held>,
}

/// What an answer holds until it is written, or until it is clear that it won't be.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) _place: Option<Admitted>,
    /// The connection's count of those.
    pub(super) _unwritten: Arc<()>,
}

/// An answer whose client has no room for it.
pub(super) struct Starved {
    stream: SendStream<Reply>,
    body: Bytes,
    trailers: Option<HeaderMap>,
    held: Held,
}

impl Buf for Reply {
    fn remaining(&self) -> usize {
        self.body.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.body.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.body.advance(count);
    }
}

/// Hands an answer to the connection, or gives it back if the client must make room first (RFC 9113 section 5.2).
pub(super) fn send(mut respond: SendResponse<Reply>, answer: Answer, held: Held) -> Option<Starved> {
    let Answer { head, body, trailers } = answer;
    let is_all = body.is_empty() && trailers.is_none();
    // It fails if the client is gone or has reset the stream.
    let mut stream = respond.send_response(head, is_all).ok().filter(|_| !is_all)?;
    stream.reserve_capacity(body.len());
    let starved = Starved { stream, body, trailers, held };
    if starved.has_room() { starved.finish() } else { Some(starved) }
}

impl Starved {
    /// Hands over as much as there is room for. Ends when there is room for the rest, or when the client does not want
    /// the answer any more.
    pub(super) fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while !self.has_room() {
            let part = Reply { body: self.body.split_to(self.stream.capacity()), _held: None };
            if part.has_remaining() {
                if self.stream.send_data(part, false).is_err() {
                    break;
                }
                self.stream.reserve_capacity(self.body.len());
            } else if !matches!(ready!(self.stream.poll_capacity(context)), Some(Ok(_more))) {
                break;
            }
        }
        Poll::Ready(())
    }

    fn has_room(&self) -> bool {
        self.stream.capacity() >= self.body.len()
    }

    /// Hands the answer to the connection.
    pub(super) fn finish(mut self) -> Option<Self> {
        let reply = Reply { body: self.body, _held: Some(self.held) };
        // Both fail only if the client is gone or has reset the stream.
        if self.stream.send_data(reply, self.trailers.is_none()).is_ok()
            && let Some(trailers) = self.trailers
        {
            let _gone = self.stream.send_trailers(trailers);
        }
        None
    }

    /// Takes the answer back.
    pub(super) fn give_up(mut self) {
        self.stream.send_reset(Reason::CANCEL);
    }
}
