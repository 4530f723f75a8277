use std::collections::{BTreeMap, HashMap};

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::auth::v3 as auth;
use envoy_types::pb::google::protobuf as google;
use proptest::prelude::*;
use prost::Message as _;

use super::*;

fn peer(principal: &str, certificate: &str) -> auth::attribute_context::Peer {
    auth::attribute_context::Peer {
        service: "cluster-the-client-claims".into(),
        labels: HashMap::from([("a".into(), "b".into())]),
        principal: principal.into(),
        certificate: certificate.into(),
        ..auth::attribute_context::Peer::default()
    }
}

fn raw(key: &str, value: &[u8]) -> core::HeaderValue {
    core::HeaderValue { key: key.into(), value: String::new(), raw_value: value.to_vec() }
}

/// Every field set that Envoy sets, the ones that we don't read included.
fn full() -> auth::CheckRequest {
    let http = auth::attribute_context::HttpRequest {
        id: "2624512083051705758".into(),
        method: "GET".into(),
        path: "/orders?x=1".into(),
        host: "orders.example".into(),
        scheme: "https".into(),
        query: "never read".into(),
        fragment: "never read".into(),
        size: -1,
        protocol: "HTTP/2".into(),
        body: "body".into(),
        raw_body: vec![0xff],
        headers: HashMap::new(),
        header_map: Some(core::HeaderMap {
            headers: vec![raw(":path", b"/orders?x=1"), raw("x-b", b"a\xffb"), raw("x-b", b"")],
        }),
    };
    let attributes = auth::AttributeContext {
        source: Some(peer("spiffe://example.org/web", "-----BEGIN%20CERTIFICATE-----%0A")),
        destination: Some(peer("spiffe://example.org/orders", "")),
        request: Some(auth::attribute_context::Request {
            time: Some(google::Timestamp { seconds: 1, nanos: 2 }),
            http: Some(http),
        }),
        context_extensions: HashMap::from([("service".into(), "orders".into())]),
        metadata_context: Some(core::Metadata {
            filter_metadata: HashMap::from([("mcp".into(), nested(5))]),
            ..core::Metadata::default()
        }),
        route_metadata_context: None,
        tls_session: Some(auth::attribute_context::TlsSession { sni: "orders.example".into() }),
    };
    auth::CheckRequest { attributes: Some(attributes) }
}

/// A `Struct` in a `Struct`, `depth` times.
fn nested(depth: usize) -> google::Struct {
    let value = |kind| google::Value { kind: Some(kind) };
    (0..depth).fold(google::Struct::default(), |inner, _| google::Struct {
        fields: HashMap::from([("a".into(), value(google::value::Kind::StructValue(inner)))]),
    })
}

fn http_of(message: &auth::CheckRequest) -> HttpAttributes {
    decode(message.encode_to_vec().into()).unwrap().http.unwrap()
}

fn edit(change: impl FnOnce(&mut auth::attribute_context::HttpRequest)) -> auth::CheckRequest {
    let mut message = full();
    change(message.attributes.as_mut().unwrap().request.as_mut().unwrap().http.as_mut().unwrap());
    message
}

#[test]
fn every_field_that_we_read_is_where_envoys_definitions_have_it() {
    let check = decode(full().encode_to_vec().into()).unwrap();
    let line = |name: &str, value: &'static [u8]| (name.to_owned(), Bytes::from_static(value));
    assert_eq!(
        check,
        Check {
            certificate: "-----BEGIN%20CERTIFICATE-----%0A".into(),
            principal: "spiffe://example.org/web".into(),
            destination: "spiffe://example.org/orders".into(),
            sni: "orders.example".into(),
            http: Some(HttpAttributes {
                method: "GET".into(),
                path: "/orders?x=1".into(),
                host: "orders.example".into(),
                scheme: "https".into(),
                protocol: "HTTP/2".into(),
                headers: Some(vec![line(":path", b"/orders?x=1"), line("x-b", b"a\xffb"), line("x-b", b"")]),
            }),
            extensions: BTreeMap::from([("service".into(), "orders".into())]),
        }
    );
}

#[test]
fn what_is_missing_is_empty() {
    assert_eq!(decode(Bytes::new()).unwrap(), Check::default());
    let hollow = auth::CheckRequest { attributes: Some(auth::AttributeContext::default()) };
    assert_eq!(decode(hollow.encode_to_vec().into()).unwrap(), Check::default());
}

#[test]
fn a_tcp_check_has_no_request() {
    let mut message = full();
    message.attributes.as_mut().unwrap().request = None;
    assert_eq!(decode(message.encode_to_vec().into()).unwrap().http, None);
    let timed = auth::attribute_context::Request::default();
    message.attributes.as_mut().unwrap().request = Some(timed);
    assert_eq!(decode(message.encode_to_vec().into()).unwrap().http, None);
}

#[test]
fn joined_headers_are_never_taken_for_raw_ones() {
    let joined = HashMap::from([("x-tenant".to_owned(), "a,b".to_owned())]);
    assert_eq!(http_of(&edit(|http| http.headers.clone_from(&joined))).headers, None);
    assert_eq!(http_of(&edit(|http| (http.headers, http.header_map) = (joined, None))).headers, None);
    assert_eq!(http_of(&edit(|http| http.header_map = None)).headers, None);
    let text = core::HeaderValue { key: "x-tenant".into(), value: "a".into(), raw_value: b"b".to_vec() };
    let map = core::HeaderMap { headers: vec![raw("a", b"b"), text] };
    assert_eq!(http_of(&edit(|http| http.header_map = Some(map))).headers, None);
}

/// CVE-2023-27488, CVE-2024-23324: bytes that aren't UTF-8 made the question undecodable, and the request passed.
#[test]
fn cve_2023_27488_text_that_is_not_utf_8_is_an_error() {
    for text in ["orders.example", "spiffe://example.org/web", "GET", "orders?x=1", "x-b", "service"] {
        let mut message = full().encode_to_vec();
        let at = message.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
        message[at] = 0xff;
        assert!(decode(message.into()).is_err(), "{text}");
    }
}

/// CVE-2026-48042: a stack overflow on nested values. We step over metadata without descending.
#[test]
fn cve_2026_48042_nested_metadata_is_stepped_over() {
    let mut message = full();
    let metadata = HashMap::from([("mcp".to_owned(), nested(200))]);
    message.attributes.as_mut().unwrap().metadata_context =
        Some(core::Metadata { filter_metadata: metadata, ..core::Metadata::default() });
    let bytes = message.encode_to_vec();
    assert!(auth::CheckRequest::decode(&bytes[..]).is_err(), "not nested deeply enough to matter");
    assert_eq!(decode(bytes.into()).unwrap(), decode(full().encode_to_vec().into()).unwrap());
}

/// Groups, long deprecated, are the one construct that a decoder must descend into to step over.
#[test]
fn nested_groups_are_an_error_and_not_a_stack_overflow() {
    assert!(decode(vec![0x1b; 1 << 20].into()).is_err());
}

proptest! {
    #[test]
    fn whatever_the_full_definitions_read_we_read_alike(
        principal in ".{0,8}", path in ".{0,8}", host in ".{0,8}",
        extensions in proptest::collection::hash_map(".{0,4}", ".{0,4}", 0..3),
        lines in proptest::collection::vec((".{0,4}", proptest::collection::vec(any::<u8>(), 0..4)), 0..4),
        cut in any::<proptest::sample::Index>(), flip in any::<proptest::sample::Index>(), to in any::<u8>(), damage in any::<bool>(),
    ) {
        let mut message = edit(|http| {
            (http.path, http.host) = (path, host);
            http.header_map = Some(core::HeaderMap { headers: lines.iter().map(|(key, value)| raw(key, value)).collect() });
        });
        let attributes = message.attributes.as_mut().unwrap();
        attributes.context_extensions = extensions;
        attributes.source.as_mut().unwrap().principal = principal;
        let mut bytes = message.encode_to_vec();
        if damage {
            let at = flip.index(bytes.len());
            bytes[at] = to;
            bytes.truncate(cut.index(bytes.len()) + 1);
        }
        let Ok(theirs) = auth::CheckRequest::decode(&bytes[..]) else { return Ok(()) };
        let ours = decode(bytes.into()).expect("reads what the full definitions read");
        let theirs = theirs.attributes.unwrap_or_default();
        prop_assert_eq!(ours.principal, theirs.source.clone().unwrap_or_default().principal);
        prop_assert_eq!(ours.certificate, theirs.source.unwrap_or_default().certificate);
        prop_assert_eq!(ours.destination, theirs.destination.unwrap_or_default().principal);
        prop_assert_eq!(ours.sni, theirs.tls_session.unwrap_or_default().sni);
        prop_assert_eq!(ours.extensions, theirs.context_extensions.into_iter().collect::<BTreeMap<_, _>>());
        let http = theirs.request.and_then(|request| request.http);
        prop_assert_eq!(ours.http.as_ref().map(|http| &http.path), http.as_ref().map(|http| &http.path));
        prop_assert_eq!(ours.http.as_ref().map(|http| &http.host), http.as_ref().map(|http| &http.host));
        prop_assert_eq!(ours.http.as_ref().map(|http| &http.method), http.as_ref().map(|http| &http.method));
        if let Some(lines) = ours.http.and_then(|http| http.headers) {
            let theirs = http.unwrap().header_map.unwrap().headers.into_iter();
            prop_assert_eq!(lines, theirs.map(|line| (line.key, Bytes::from(line.raw_value))).collect::<Vec<_>>());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = decode(bytes.into());
    }
}
