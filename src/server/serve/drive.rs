//! One connection, from its first byte to its end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::sleep;
use tower::Service as _;

use super::streams::StreamTasks;
use crate::foundation::shutdown::ShutdownSignal;
use crate::server::connection::ConnectionInfo;
use crate::server::limits::Limits;

/// What all connections of a listener have in common.
pub(super) struct Plan {
    pub(super) router: Router,
    pub(super) limits: Limits,
    pub(super) protocols: auto::Builder<StreamTasks>,
    pub(super) signal: ShutdownSignal,
}

/// Tells when a connection has sent a request.
#[derive(Default)]
struct FirstRequest {
    seen: AtomicBool,
    arrived: Notify,
}

impl Plan {
    /// Serves the requests of one connection. `stagger` is any number that differs from connection to connection.
    pub(super) async fn drive<S>(&self, socket: S, info: ConnectionInfo, stagger: u32)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let first = FirstRequest::default();
        let service = service_fn(|mut request: Request<Incoming>| {
            first.note();
            request.extensions_mut().insert(info.clone());
            self.router.clone().call(request)
        });
        let connection = self.protocols.serve_connection(TokioIo::new(socket), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.time_to_end(&first, stagger) => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = self.given_up(&first) => return,
                }
            }
        };
        if let Err(error) = ended {
            // The peer went away, or does not speak the protocol.
            tracing::debug!(%error, "connection ended early");
        }
    }

    /// Ends when the connection should. To tell a connection so before its first request is to lose that request, so
    /// it waits a moment for one.
    async fn time_to_end(&self, first: &FirstRequest, stagger: u32) {
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
            () = first.arrived() => {}
            () = too_late => return,
        }
        let mut signal = self.signal.clone();
        match self.limits.max_connection_age {
            None => signal.draining().await,
            Some(age) => tokio::select! {
                () = signal.draining() => {}
                () = sleep(staggered(age, stagger)) => {}
            },
        }
    }

    /// Ends when a connection that was told to end has still sent no request. There is nothing to lose on it; hyper
    /// would wait for the rest of a head, or for the answer to a PING. Never ends for one that has.
    async fn given_up(&self, first: &FirstRequest) {
        tokio::select! {
            () = first.arrived() => std::future::pending().await,
            () = sleep(self.limits.first_request_grace) => {}
        }
    }
}

impl FirstRequest {
    fn note(&self) {
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
