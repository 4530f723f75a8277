//! A proxy's question before anything in it is believed: what [`crate::edge::envoy::ext_authz`] read from the wire.

use std::collections::BTreeMap;

use bytes::Bytes;

/// One `CheckRequest`, reduced to the fields that can enter a decision. Nothing here is verified or canonical yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Check {
    /// The client's leaf certificate as the proxy gives it: percent-encoded PEM, empty if there was none.
    pub certificate: String,
    /// Who the proxy says the client is: the leaf's first URI SAN. Only compared, never trusted.
    pub principal: String,
    /// The proxy's own identity: the first URI SAN of the certificate it serves with.
    pub destination: String,
    /// The server name of the TLS handshake, empty if there was none.
    pub sni: String,
    /// The request; `None` for a check of a bare TCP connection.
    pub http: Option<HttpAttributes>,
    /// What the proxy's own configuration says of the route.
    pub extensions: BTreeMap<String, String>,
}

/// The HTTP part of a [`Check`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpAttributes {
    /// The method, as sent.
    pub method: String,
    /// The path with its query, as sent to the backend. Absent for CONNECT.
    pub path: String,
    /// The `:authority`.
    pub host: String,
    /// `http` or `https`, as the client claims.
    pub scheme: String,
    /// `HTTP/1.1` and the like.
    pub protocol: String,
    /// Raw header lines in order, names in lower case, pseudo-headers included. The values are slices of the message
    /// they came in. `None` if the proxy sent the joined map, from which duplicates can't be told.
    pub headers: Option<Vec<(String, Bytes)>>,
}
