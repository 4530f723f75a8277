//! What is spoken on a connection, from its first byte to its last.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::Service as _;

use super::lifetime::Lifetime;
use super::streams::StreamTasks;
use crate::foundation::clock::Clock;
use crate::server::connection::ConnectionInfo;
use crate::server::exchange::{Admission, Connection, Exchange};
use crate::server::limits::Limits;

/// A protocol and who is behind it.
pub(super) trait Protocol: Send + Sync + 'static {
    /// Serves one connection to its end.
    fn drive<S>(&self, socket: S, info: ConnectionInfo, lifetime: Lifetime<'_>) -> impl Future<Output = ()> + Send
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Ends when nothing is left that a connection started.
    fn ended(&self) -> impl Future<Output = ()> + Send;
}

/// HTTP of either version, for a router.
pub(super) struct Http {
    router: Router,
    protocols: auto::Builder<StreamTasks>,
    streams: StreamTasks,
}

/// HTTP/2, for an [`Exchange`].
pub(super) struct Exchanges<E> {
    pub(super) exchange: Arc<E>,
    pub(super) admission: Admission,
    pub(super) clock: Arc<dyn Clock>,
}

impl Http {
    pub(super) fn new(router: Router, limits: &Limits, streams: StreamTasks) -> Self {
        // With its state given once here, or else axum would do it for every request.
        Self { router: router.with_state(()), protocols: protocols(limits, streams.clone()), streams }
    }
}

impl Protocol for Http {
    async fn drive<S>(&self, socket: S, info: ConnectionInfo, lifetime: Lifetime<'_>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|mut request: Request<Incoming>| {
            lifetime.first.note();
            request.extensions_mut().insert(info.clone());
            self.router.clone().call(request)
        });
        let mut connection = pin!(self.protocols.serve_connection(TokioIo::new(socket), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = lifetime.over() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = lifetime.given_up() => return,
                }
            }
        };
        tell(ended);
    }

    async fn ended(&self) {
        self.streams.ended().await;
    }
}

impl<E: Exchange> Protocol for Exchanges<E> {
    async fn drive<S>(&self, socket: S, info: ConnectionInfo, lifetime: Lifetime<'_>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let client = self.admission.client(info.owner());
        let (exchange, clock) = (Arc::clone(&self.exchange), Arc::clone(&self.clock));
        let opened = tokio::select! {
            opened = Connection::open(socket, exchange, clock, client, lifetime.limits) => opened,
            // It has asked nothing yet, so it loses nothing.
            () = lifetime.over() => return,
        };
        let mut connection = match opened {
            Ok(connection) => connection,
            Err(error) => return tell(Err(error)),
        };
        let ended = {
            let mut over = pin!(lifetime.over());
            tokio::select! {
                biased;
                ended = poll_fn(|context| connection.poll(context, || lifetime.first.note())) => Some(ended),
                () = over.as_mut() => None,
            }
        };
        if let Some(ended) = ended {
            return tell(ended);
        }
        connection.graceful_shutdown();
        tokio::select! {
            ended = poll_fn(|context| connection.poll(context, || lifetime.first.note())) => tell(ended),
            () = lifetime.given_up() => {}
        }
    }

    async fn ended(&self) {}
}

/// An error here means that the peer went away, or does not speak the protocol.
fn tell<E: fmt::Display>(ended: Result<(), E>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
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
