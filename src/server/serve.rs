//! Serves one listener: accepts, runs the connections, and ends them in order.
//!
//! tonic's and axum's own loops wait for open streams without a deadline, so a stream that never ends or a peer that
//! never answers would hold up the process for ever. Here every connection is a task of this loop, and the loop does
//! not return while one of them, or one of their streams, lives.

mod accept;
mod authority;
mod drive;
mod streams;

use std::sync::Arc;

use axum::Router;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto;
use tokio::task::{JoinError, JoinSet};

use self::accept::{Acceptor, Connected};
use self::authority::WithAuthority;
use self::drive::Plan;
use self::streams::StreamTasks;
use super::limits::Limits;
use super::listener::Bound;
use super::metrics::ListenerMetrics;
use super::places::{Place, Places};
use crate::foundation::shutdown::ShutdownSignal;
use crate::foundation::telemetry::printable;

/// Serves `router` on `bound` until the drain is over.
///
/// Every request carries a [`ConnectionInfo`](super::ConnectionInfo) in its extensions. When draining starts no
/// connection is taken in any more, except those that clients opened before they could know; each connection is told to
/// end (HTTP/2: GOAWAY, HTTP/1: `connection: close`) and what is under way goes on. At [`Phase::Stopped`] all that is
/// left is cut off. A Unix socket's path is removed unless a successor has taken it over.
///
/// [`Phase::Stopped`]: crate::foundation::shutdown::Phase::Stopped
pub async fn serve(bound: Bound, router: Router, limits: Limits, metrics: ListenerMetrics, mut signal: ShutdownSignal) {
    let address = bound.to_string();
    let acceptor = match Acceptor::new(bound) {
        Ok(acceptor) => acceptor,
        Err(error) => {
            tracing::error!(listener = metrics.name, address, %error, "the listener could not start");
            return;
        }
    };
    tracing::info!(listener = metrics.name, address, "listening");
    // Done once here, or else axum would do it for every request.
    let mut connections = Connections::new(router.with_state(()), limits, metrics, signal.clone());
    loop {
        tokio::select! {
            biased;
            () = signal.draining() => break,
            Some(ended) = connections.tasks.join_next() => connections.reap(ended),
            connected = acceptor.accept(&connections.metrics) => connections.start(connected),
        }
    }
    for connected in acceptor.close(&connections.metrics).await {
        connections.start(connected);
    }
    connections.drain(&mut signal).await;
    tracing::info!(listener = connections.metrics.name, address, "closed");
}

/// The open connections of one listener.
struct Connections {
    tasks: JoinSet<()>,
    streams: StreamTasks,
    plan: Arc<Plan>,
    places: Places,
    metrics: ListenerMetrics,
    started: u32,
}

impl Connections {
    fn new(router: Router, limits: Limits, metrics: ListenerMetrics, signal: ShutdownSignal) -> Self {
        let streams = StreamTasks::new(metrics.clone());
        let protocols = protocols(&limits, streams.clone());
        let places = Places::new(limits.max_connections);
        let plan = Arc::new(Plan { router, limits, protocols, signal });
        Self { tasks: JoinSet::new(), streams, plan, places, metrics, started: 0 }
    }

    fn start(&mut self, connected: Connected) {
        let Some(place) = self.places.take(connected.user()) else {
            self.metrics.refused.inc();
            tracing::debug!(listener = self.metrics.name, "connection refused, the listener is full");
            return;
        };
        self.metrics.accepted.inc();
        self.started = self.started.wrapping_add(1);
        let open = OpenGuard::new(&self.metrics, place);
        let (plan, stagger) = (Arc::clone(&self.plan), self.started);
        match connected {
            Connected::Tcp(socket, info) => self.tasks.spawn(async move {
                let _open = open;
                plan.drive(socket, info, stagger).await;
            }),
            Connected::Unix(socket, info) => self.tasks.spawn(async move {
                let _open = open;
                if plan.limits.paths_as_authority {
                    plan.drive(WithAuthority::new(socket), info, stagger).await;
                } else {
                    plan.drive(socket, info, stagger).await;
                }
            }),
        };
    }

    fn reap(&self, ended: Result<(), JoinError>) {
        if let Err(error) = ended
            && error.is_panic()
        {
            self.metrics.panics.inc();
            let panic = printable(&error.to_string(), 200);
            tracing::error!(listener = self.metrics.name, panic, "a panic ended a connection");
        }
    }

    /// Waits for the connections, until the deadline; then ends the rest.
    async fn drain(&mut self, signal: &mut ShutdownSignal) {
        loop {
            tokio::select! {
                biased;
                ended = self.tasks.join_next() => match ended {
                    Some(ended) => self.reap(ended),
                    None => break,
                },
                () = signal.stopped() => {
                    tracing::warn!(listener = self.metrics.name, connections = self.tasks.len(), "cut off at the deadline");
                    self.tasks.shutdown().await;
                    break;
                }
            }
        }
        self.streams.ended().await;
    }
}

/// Counts one open connection while it lives, however it ends.
struct OpenGuard {
    metrics: ListenerMetrics,
    _place: Place,
}

impl OpenGuard {
    fn new(metrics: &ListenerMetrics, place: Place) -> Self {
        metrics.open.inc();
        Self { metrics: metrics.clone(), _place: place }
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.metrics.open.dec();
    }
}

fn protocols(limits: &Limits, streams: StreamTasks) -> auto::Builder<StreamTasks> {
    let mut protocols = auto::Builder::new(streams);
    protocols
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read_timeout)
        .max_buf_size(limits.max_http1_head.max(8192));
    protocols
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_concurrent_streams)
        .max_header_list_size(limits.max_header_list)
        .max_pending_accept_reset_streams(limits.max_pending_reset_streams)
        .max_local_error_reset_streams(limits.max_local_error_reset_streams)
        .keep_alive_interval(limits.keepalive_interval)
        .keep_alive_timeout(limits.keepalive_timeout);
    protocols
}

#[cfg(test)]
mod tests;
