//! The body of a request on its way in.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::RecvStream;

use super::Received;
use super::admission::Admitted;

/// A body that may not be all there yet.
pub(super) struct Incoming {
    stream: RecvStream,
    kept: Kept,
    max: usize,
}

/// What is there of it. One that comes in a single frame, as most do, is never copied.
#[derive(Debug, Default)]
enum Kept {
    #[default]
    Nothing,
    Frame(Bytes),
    Joined(BytesMut),
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Outcome {
    Whole(Bytes),
    TooLong,
    Late,
    NoRoom,
    Unread,
}

/// The client took its request back, or is gone.
#[derive(Debug)]
pub(super) struct Gone;

impl Incoming {
    pub(super) const fn new(stream: RecvStream, max: usize) -> Self {
        Self { stream, kept: Kept::Nothing, max }
    }

    /// Takes in what there is. `place` says how much may be kept.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, place: &mut Admitted) -> Poll<Result<Outcome, Gone>> {
        loop {
            let Some(frame) = ready!(self.stream.poll_data(context)) else {
                return Poll::Ready(Ok(Outcome::Whole(std::mem::take(&mut self.kept).into_bytes())));
            };
            let Ok(frame) = frame else { return Poll::Ready(Err(Gone)) };
            let length = self.kept.len().saturating_add(frame.len());
            // Whether it is kept or not, it takes up no more of the client's window.
            if self.stream.flow_control().release_capacity(frame.len()).is_err() {
                return Poll::Ready(Err(Gone));
            }
            if length > self.max {
                return Poll::Ready(Ok(Outcome::TooLong));
            }
            if !place.may_keep(length) {
                return Poll::Ready(Ok(Outcome::NoRoom));
            }
            self.kept.push(frame);
        }
    }
}

impl Kept {
    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Frame(frame) => frame.len(),
            Self::Joined(bytes) => bytes.len(),
        }
    }

    fn push(&mut self, frame: Bytes) {
        if frame.is_empty() {
            return;
        }
        *self = match std::mem::take(self) {
            Self::Nothing => Self::Frame(frame),
            Self::Frame(first) => {
                let mut bytes = BytesMut::with_capacity(first.len() + frame.len());
                bytes.extend_from_slice(&first);
                bytes.extend_from_slice(&frame);
                Self::Joined(bytes)
            }
            Self::Joined(mut bytes) => {
                bytes.extend_from_slice(&frame);
                Self::Joined(bytes)
            }
        };
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::Frame(frame) => frame,
            Self::Joined(bytes) => bytes.freeze(),
        }
    }
}

impl Outcome {
    pub(super) fn received(&self) -> Received<'_> {
        match self {
            Self::Whole(bytes) => Received::Whole(bytes),
            Self::TooLong => Received::TooLong,
            Self::Late => Received::Late,
            Self::NoRoom => Received::NoRoom,
            Self::Unread => Received::Unread,
        }
    }
}
