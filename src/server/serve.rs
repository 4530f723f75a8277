//! Serves one listener: accepts, runs the connections, and ends them in order.
//!
//! tonic's and axum's own loops wait for open streams without a deadline, so a stream that never ends or a peer that
//! never answers would hold up the process for ever. Here every connection is a task of this loop, and the loop does
//! not return while one of them, or one of their streams, lives.

mod accept;
mod authority;
mod lifetime;
mod protocol;
mod streams;

use std::sync::Arc;

use axum::Router;
use tokio::task::{JoinError, JoinSet};

use self::accept::{Acceptor, Connected};
use self::authority::WithAuthority;
use self::lifetime::{FirstRequest, Lifetime};
use self::protocol::{Exchanges, Http, Protocol};
use self::streams::StreamTasks;
use super::connection::ConnectionInfo;
use super::exchange::{Admission, Exchange};
use super::limits::Limits;
use super::listener::Bound;
use super::metrics::ListenerMetrics;
use super::places::{Place, Places};
use super::tls::Tls;
use crate::foundation::clock::Clock;
use crate::foundation::shutdown::ShutdownSignal;
use crate::foundation::telemetry::printable;

/// Serves `router` on `bound` until the drain is over; with `tls`, what comes in over TCP is encrypted.
///
/// Every request carries a [`ConnectionInfo`] in its extensions. When draining starts no
/// connection is taken in any more, except those that clients opened before they could know; each connection is told to
/// end (HTTP/2: GOAWAY, HTTP/1: `connection: close`) and what is under way goes on. At [`Phase::Stopped`] all that is
/// left is cut off. A Unix socket's path is removed unless a successor has taken it over.
///
/// [`Phase::Stopped`]: crate::foundation::shutdown::Phase::Stopped
pub async fn serve(
    bound: Bound,
    tls: Option<Tls>,
    router: Router,
    limits: Limits,
    metrics: ListenerMetrics,
    signal: ShutdownSignal,
) {
    let protocol = Http::new(router, &limits, StreamTasks::new(metrics.clone()));
    accept_all(bound, tls, protocol, limits, metrics, signal).await;
}

/// The same for an [`Exchange`], which is all that is behind this listener.
pub async fn serve_exchange<E: Exchange>(
    bound: Bound,
    exchange: Arc<E>,
    admission: Admission,
    clock: Arc<dyn Clock>,
    limits: Limits,
    metrics: ListenerMetrics,
    signal: ShutdownSignal,
) {
    accept_all(bound, None, Exchanges { exchange, admission, clock }, limits, metrics, signal).await;
}

async fn accept_all<P: Protocol>(
    bound: Bound,
    tls: Option<Tls>,
    protocol: P,
    limits: Limits,
    metrics: ListenerMetrics,
    mut signal: ShutdownSignal,
) {
    let address = bound.to_string();
    let acceptor = match Acceptor::new(bound) {
        Ok(acceptor) => acceptor,
        Err(error) => {
            tracing::error!(listener = metrics.name, address, %error, "the listener could not start");
            return;
        }
    };
    tracing::info!(listener = metrics.name, address, "listening");
    let mut connections = Connections::new((protocol, tls), limits, metrics, signal.clone());
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

/// What all connections of a listener have in common.
struct Plan<P> {
    protocol: P,
    tls: Option<Tls>,
    limits: Limits,
    signal: ShutdownSignal,
}

/// The open connections of one listener.
struct Connections<P> {
    tasks: JoinSet<()>,
    plan: Arc<Plan<P>>,
    places: Places,
    metrics: ListenerMetrics,
    started: u32,
}

impl<P: Protocol> Connections<P> {
    fn new(
        (protocol, tls): (P, Option<Tls>),
        limits: Limits,
        metrics: ListenerMetrics,
        signal: ShutdownSignal,
    ) -> Self {
        let places = Places::new(limits.max_connections);
        let plan = Arc::new(Plan { protocol, tls, limits, signal });
        Self { tasks: JoinSet::new(), plan, places, metrics, started: 0 }
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
        let metrics = self.metrics.clone();
        self.tasks.spawn(async move {
            let _open = open;
            let Plan { protocol, tls, limits, signal } = &*plan;
            let lifetime = Lifetime { limits, signal, stagger, first: FirstRequest::default() };
            match connected {
                Connected::Tcp(socket, info) => match tls {
                    None => protocol.drive(socket, info, lifetime).await,
                    Some(tls) => {
                        let shaken = tokio::select! {
                            shaken = tls.accept(socket, info.network()) => shaken,
                            // It has asked nothing yet, so it loses nothing.
                            () = lifetime.over() => return,
                        };
                        match shaken {
                            Ok((socket, certificate)) => {
                                protocol.drive(socket, ConnectionInfo { certificate, ..info }, lifetime).await;
                            }
                            Err(error) => {
                                metrics.handshake_failures.inc();
                                tracing::debug!(listener = metrics.name, %error, "no TLS handshake");
                            }
                        }
                    }
                },
                Connected::Unix(socket, info) if limits.paths_as_authority => {
                    protocol.drive(WithAuthority::new(socket), info, lifetime).await;
                }
                Connected::Unix(socket, info) => protocol.drive(socket, info, lifetime).await,
            }
        });
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
        self.plan.protocol.ended().await;
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

#[cfg(test)]
mod tests;
