//! prost's reading of the fields that we read.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::{DecodeError, Message};

use crate::decision::{Body, Check};

#[derive(Clone, PartialEq, Message)]
struct CheckRequest {
    #[prost(message, optional, tag = "1")]
    attributes: Option<Attributes>,
}

#[derive(Clone, PartialEq, Message)]
struct Attributes {
    #[prost(message, optional, tag = "1")]
    source: Option<Peer>,
    #[prost(message, optional, tag = "2")]
    destination: Option<Peer>,
    #[prost(message, optional, tag = "4")]
    request: Option<Request>,
    #[prost(btree_map = "string, string", tag = "10")]
    context_extensions: BTreeMap<String, String>,
    #[prost(message, optional, tag = "12")]
    tls_session: Option<TlsSession>,
}

#[derive(Clone, PartialEq, Message)]
struct Peer {
    #[prost(string, tag = "4")]
    principal: String,
    #[prost(string, tag = "5")]
    certificate: String,
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, optional, tag = "2")]
    http: Option<HttpRequest>,
}

#[derive(Clone, PartialEq, Message)]
struct HttpRequest {
    #[prost(string, tag = "2")]
    method: String,
    /// Entries of the joined map: that there are any is all we need to know.
    #[prost(bytes = "bytes", repeated, tag = "3")]
    joined_headers: Vec<Bytes>,
    #[prost(string, tag = "4")]
    path: String,
    #[prost(string, tag = "5")]
    host: String,
    #[prost(string, tag = "6")]
    scheme: String,
    #[prost(string, tag = "10")]
    protocol: String,
    /// That there is any is all we need to know, so it need not be text.
    #[prost(bytes = "bytes", repeated, tag = "11")]
    body: Vec<Bytes>,
    #[prost(bytes = "bytes", tag = "12")]
    raw_body: Bytes,
    #[prost(message, optional, tag = "13")]
    header_map: Option<HeaderMap>,
}

#[derive(Clone, PartialEq, Message)]
struct HeaderMap {
    #[prost(message, repeated, tag = "1")]
    headers: Vec<HeaderValue>,
}

#[derive(Clone, PartialEq, Message)]
struct HeaderValue {
    #[prost(string, tag = "1")]
    key: String,
    /// Only set in joined maps; a raw line has its value in `raw_value`.
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    raw_value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct TlsSession {
    #[prost(string, tag = "1")]
    sni: String,
}

/// What prost reads, or why it does not.
pub(super) fn decode(message: &[u8]) -> Result<Owned, DecodeError> {
    let attributes = CheckRequest::decode(message)?.attributes.unwrap_or_default();
    let source = attributes.source.unwrap_or_default();
    Ok(Owned {
        certificate: source.certificate,
        principal: source.principal,
        destination: attributes.destination.unwrap_or_default().principal,
        sni: attributes.tls_session.unwrap_or_default().sni,
        http: attributes.request.and_then(|request| request.http).map(|http| OwnedHttp {
            texts: [http.method, http.path, http.host, http.scheme, http.protocol],
            body: http.body.iter().all(Bytes::is_empty).then(|| http.raw_body.to_vec()),
            headers: http.header_map.filter(|_| http.joined_headers.is_empty()).and_then(raw_lines),
        }),
        extensions: attributes.context_extensions,
    })
}

/// The lines, unless one of them is not raw.
fn raw_lines(map: HeaderMap) -> Option<Vec<(String, Vec<u8>)>> {
    let lines = map.headers.into_iter();
    lines.map(|line| line.value.is_empty().then(|| (line.key, line.raw_value.to_vec()))).collect()
}

/// A [`Check`] that owns what it holds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Owned {
    pub(super) certificate: String,
    pub(super) principal: String,
    pub(super) destination: String,
    pub(super) sni: String,
    pub(super) http: Option<OwnedHttp>,
    pub(super) extensions: BTreeMap<String, String>,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct OwnedHttp {
    /// Method, path, host, scheme and protocol.
    pub(super) texts: [String; 5],
    /// `None` if it was sent as text.
    pub(super) body: Option<Vec<u8>>,
    pub(super) headers: Option<Vec<(String, Vec<u8>)>>,
}

impl From<Check<'_>> for Owned {
    fn from(check: Check<'_>) -> Self {
        let owned = |(name, value): &(&str, &[u8])| ((*name).to_owned(), value.to_vec());
        Self {
            certificate: check.certificate.to_owned(),
            principal: check.principal.to_owned(),
            destination: check.destination.to_owned(),
            sni: check.sni.to_owned(),
            http: check.http.map(|http| OwnedHttp {
                texts: [http.method, http.path, http.host, http.scheme, http.protocol].map(str::to_owned),
                body: match http.body {
                    Body::Bytes(bytes) => Some(bytes.to_vec()),
                    Body::Text => None,
                },
                headers: http.headers.map(|lines| lines.iter().map(owned).collect()),
            }),
            extensions: check.extensions.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        }
    }
}
