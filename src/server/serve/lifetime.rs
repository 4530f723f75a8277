//! When a connection should end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::foundation::shutdown::ShutdownSignal;
use crate::server::limits::Limits;

/// The life of one connection.
pub(super) struct Lifetime<'a> {
    pub(super) limits: &'a Limits,
    pub(super) signal: &'a ShutdownSignal,
    /// Any number that differs from connection to connection.
    pub(super) stagger: u32,
    pub(super) first: FirstRequest,
}

/// Tells when a connection has sent a request.
#[derive(Default)]
pub(super) struct FirstRequest {
    seen: AtomicBool,
    arrived: Notify,
}

impl Lifetime<'_> {
    /// Ends when the connection should. To tell a connection so before its first request is to lose that request, so
    /// it waits a moment for one.
    pub(super) async fn over(&self) {
        let mut signal = self.signal.clone();
        let too_late = async {
            tokio::select! {
                () = sleep(self.limits.header_read_timeout) => {}
                () = async {
                    signal.draining().await;
                    sleep(self.limits.first_request_grace).await;
                } => {}
            }
        };
        tokio::select! {
            () = self.first.arrived() => {}
            () = too_late => return,
        }
        let mut signal = self.signal.clone();
        match self.limits.max_connection_age {
            None => signal.draining().await,
            Some(age) => tokio::select! {
                () = signal.draining() => {}
                () = sleep(staggered(age, self.stagger)) => {}
            },
        }
    }

    /// Ends when a connection that was told to end has still sent no request. There is nothing to lose on it; the
    /// libraries would wait for the rest of a head, or for the answer to a PING. Never ends for one that has.
    pub(super) async fn given_up(&self) {
        tokio::select! {
            () = self.first.arrived() => std::future::pending().await,
            () = sleep(self.limits.first_request_grace) => {}
        }
    }
}

impl FirstRequest {
    pub(super) fn note(&self) {
        // The load spares all later requests the write.
        if !self.seen.load(Ordering::SeqCst) && !self.seen.swap(true, Ordering::SeqCst) {
            self.arrived.notify_waiters();
        }
    }

    async fn arrived(&self) {
        // Made before the look, so that a request between the two is not missed.
        let arrived = self.arrived.notified();
        if !self.seen.load(Ordering::SeqCst) {
            arrived.await;
        }
    }
}

/// `age` and up to a tenth more, so that clients who all came back after a restart do not all leave at once.
pub(super) fn staggered(age: Duration, stagger: u32) -> Duration {
    age.saturating_add(age / 160 * (stagger % 17))
}
