//! How much one listener lets its clients ask of us.

use std::time::Duration;

/// The limits of one listener. Sizes are in bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Connections open at the same time, of which one user of a Unix socket gets three quarters at most. One more is accepted and closed at once: a client that is refused tries
    /// another endpoint, while one that is left in the kernel's queue waits until its own deadline.
    pub max_connections: usize,
    /// How long the head of an HTTP/1 request may take, and with it how long such a connection may be idle between two
    /// requests. It is also how long a new connection, of either protocol, may take to send its first request.
    pub header_read_timeout: Duration,
    /// How long a connection without any request yet may still send its first once draining has started. It may have
    /// been opened in the very moment of the drain, and its client has no reason to expect a refusal.
    pub first_request_grace: Duration,
    /// After this time a connection is told to end (HTTP/2: GOAWAY) and its client opens another, so that clients
    /// spread over several servers again. What is under way on it goes on. `None`: as long as the client likes.
    pub max_connection_age: Option<Duration>,
    /// The head of an HTTP/1 request; at least 8192.
    pub max_http1_head: usize,
    /// Requests at the same time on one HTTP/2 connection (RFC 9113 section 6.5.2).
    pub max_concurrent_streams: u32,
    /// The head of an HTTP/2 request, decoded (RFC 9113 section 6.5.2).
    pub max_header_list: u32,
    /// Streams that the client has reset and we have not accepted yet, before it is disconnected (CVE-2023-44487).
    pub max_pending_reset_streams: usize,
    /// Streams that we reset because the client broke the protocol, before it is disconnected (CVE-2025-8671).
    pub max_local_error_reset_streams: usize,
    /// Whether a client on a Unix socket may name the socket's path as the server, as those built on gRPC's C library do.
    /// Costs a copy of what comes in.
    pub paths_as_authority: bool,
    /// How often a silent HTTP/2 client is asked whether it is still there.
    pub keepalive_interval: Duration,
    /// How long it may take to answer that.
    pub keepalive_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            header_read_timeout: Duration::from_secs(30),
            first_request_grace: Duration::from_secs(1),
            max_connection_age: None,
            max_http1_head: 64 * 1024,
            max_concurrent_streams: 1024,
            max_header_list: 64 * 1024,
            max_pending_reset_streams: 20,
            max_local_error_reset_streams: 256,
            paths_as_authority: false,
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(20),
        }
    }
}
