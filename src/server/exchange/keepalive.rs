//! Whether the client is still there (RFC 9113 section 6.7).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{Sleep, sleep};

use crate::server::limits::Limits;

/// Asks a silent client for a sign of life.
pub(super) struct Keepalive {
    /// h2 hands it out once.
    pings: Option<PingPong>,
    interval: Duration,
    timeout: Duration,
    /// Until the next look, or until the answer to a PING must be there.
    timer: Pin<Box<Sleep>>,
    is_asked: bool,
}

/// The client gave none.
#[derive(Debug, thiserror::Error)]
#[error("the client does not answer")]
pub(in crate::server) struct Dead;

impl Keepalive {
    pub(super) fn new(pings: Option<PingPong>, limits: &Limits) -> Self {
        let (interval, timeout) = (limits.keepalive_interval, limits.keepalive_timeout);
        Self { pings, interval, timeout, timer: Box::pin(sleep(interval)), is_asked: false }
    }

    /// Does what is due. `was_heard` says whether there was a sign of life since it was last asked.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, mut was_heard: impl FnMut() -> bool) -> Result<(), Dead> {
        let Some(pings) = &mut self.pings else { return Ok(()) };
        if self.is_asked && pings.poll_pong(context).is_ready() {
            self.is_asked = false;
            self.timer.set(sleep(self.interval));
        }
        while let Poll::Ready(()) = self.timer.as_mut().poll(context) {
            if self.is_asked {
                return Err(Dead);
            }
            if was_heard() {
                self.timer.set(sleep(self.interval));
            } else if pings.send_ping(Ping::opaque()).is_ok() {
                self.is_asked = true;
                self.timer.set(sleep(self.timeout));
                // Registers for the answer.
                let _not_yet = pings.poll_pong(context);
            } else {
                return Err(Dead);
            }
        }
        Ok(())
    }
}
