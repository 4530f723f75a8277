mod oracle;

use std::collections::{BTreeMap, HashMap};

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::auth::v3 as auth;
use envoy_types::pb::google::protobuf as google;
use proptest::prelude::*;
use prost::Message as _;

use self::oracle::Owned;
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

fn headers_of(message: &auth::CheckRequest) -> Option<Vec<(String, Vec<u8>)>> {
    read(message).http.unwrap().headers
}

fn read(message: &auth::CheckRequest) -> Owned {
    decode(&message.encode_to_vec()).unwrap().into()
}

fn edit(change: impl FnOnce(&mut auth::attribute_context::HttpRequest)) -> auth::CheckRequest {
    let mut message = full();
    change(message.attributes.as_mut().unwrap().request.as_mut().unwrap().http.as_mut().unwrap());
    message
}

#[test]
fn every_field_that_we_read_is_where_envoys_definitions_have_it() {
    let message = full().encode_to_vec();
    assert_eq!(
        decode(&message).unwrap(),
        Check {
            certificate: "-----BEGIN%20CERTIFICATE-----%0A",
            principal: "spiffe://example.org/web",
            destination: "spiffe://example.org/orders",
            sni: "orders.example",
            http: Some(HttpAttributes {
                method: "GET",
                path: "/orders?x=1",
                host: "orders.example",
                scheme: "https",
                protocol: "HTTP/2",
                headers: Some(vec![(":path", b"/orders?x=1"), ("x-b", b"a\xffb"), ("x-b", b"")]),
                body: Body::Text,
            }),
            extensions: vec![("service", "orders")].into(),
            mcp: None,
        }
    );
}

#[test]
fn a_body_is_its_bytes_and_one_that_was_made_text_is_none() {
    let body = |change: fn(&mut auth::attribute_context::HttpRequest)| {
        let message = edit(change).encode_to_vec();
        let body = decode(&message).unwrap().http.unwrap().body;
        match body {
            Body::Bytes(bytes) => Some(bytes.to_vec()),
            Body::Text => None,
        }
    };
    assert_eq!(body(|http| http.body.clear()), Some(vec![0xff]));
    assert_eq!(body(|http| (http.body, http.raw_body) = (String::new(), Vec::new())), Some(Vec::new()));
    assert_eq!(body(|http| http.raw_body.clear()), None);
}

#[test]
fn what_is_missing_is_empty() {
    assert_eq!(decode(b"").unwrap(), Check::default());
    let hollow = auth::CheckRequest { attributes: Some(auth::AttributeContext::default()) };
    assert_eq!(decode(&hollow.encode_to_vec()).unwrap(), Check::default());
}

#[test]
fn a_tcp_check_has_no_request() {
    let mut message = full();
    message.attributes.as_mut().unwrap().request = None;
    assert_eq!(read(&message).http, None);
    let timed = auth::attribute_context::Request::default();
    message.attributes.as_mut().unwrap().request = Some(timed);
    assert_eq!(read(&message).http, None);
}

#[test]
fn joined_headers_are_never_taken_for_raw_ones() {
    let joined = HashMap::from([("x-tenant".to_owned(), "a,b".to_owned())]);
    assert_eq!(headers_of(&edit(|http| http.headers.clone_from(&joined))), None);
    assert_eq!(headers_of(&edit(|http| (http.headers, http.header_map) = (joined, None))), None);
    assert_eq!(headers_of(&edit(|http| http.header_map = None)), None);
    let text = core::HeaderValue { key: "x-tenant".into(), value: "a".into(), raw_value: b"b".to_vec() };
    let map = core::HeaderMap { headers: vec![raw("a", b"b"), text] };
    assert_eq!(headers_of(&edit(|http| http.header_map = Some(map))), None);
}

/// CVE-2023-27488, CVE-2024-23324: bytes that aren't UTF-8 made the question undecodable, and the request passed.
#[test]
fn cve_2023_27488_text_that_is_not_utf_8_is_an_error() {
    for text in ["orders.example", "spiffe://example.org/web", "GET", "orders?x=1", "x-b", "service"] {
        let mut message = full().encode_to_vec();
        let at = message.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
        message[at] = 0xff;
        assert!(decode(&message).is_err(), "{text}");
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
    assert_eq!(Owned::from(decode(&bytes).unwrap()), read(&full()));
}

/// Groups, long deprecated, are the one construct that a decoder must descend into to step over.
#[test]
fn nested_groups_are_an_error_and_not_a_stack_overflow() {
    assert_eq!(decode(&vec![0x1b; 1 << 20]), Err(DecodeError::Depth));
}

#[test]
fn entries_without_number_do_not_become_memory_without_end() {
    let lines =
        |count| edit(|http| http.header_map.as_mut().unwrap().headers = vec![raw("", b""); count]).encode_to_vec();
    assert!(decode(&lines(MAX_ENTRIES)).is_ok());
    assert_eq!(decode(&lines(MAX_ENTRIES + 1)), Err(DecodeError::Count(1)));
    let extension = [0x0a, 2, 0x52, 0];
    assert!(decode(&extension.repeat(MAX_ENTRIES)).is_ok());
    assert_eq!(decode(&extension.repeat(MAX_ENTRIES + 1)), Err(DecodeError::Count(10)));
}

/// A field of any kind, well formed or not, around others.
fn field() -> impl Strategy<Value = Vec<u8>> {
    let key = |number: u32, wire_type: u8| {
        let mut bytes = Vec::new();
        prost::encoding::encode_varint(u64::from(number << 3) | u64::from(wire_type), &mut bytes);
        bytes
    };
    let number = || prop_oneof![6 => 1_u32..14, 1 => 0_u32..3000];
    let leaf = prop_oneof![
        (number(), any::<u64>()).prop_map(move |(number, value)| {
            let mut bytes = key(number, 0);
            prost::encoding::encode_varint(value, &mut bytes);
            bytes
        }),
        (number(), any::<[u8; 8]>()).prop_map(move |(number, value)| [key(number, 1), value.to_vec()].concat()),
        (number(), any::<[u8; 4]>()).prop_map(move |(number, value)| [key(number, 5), value.to_vec()].concat()),
        (
            number(),
            prop_oneof!["[a-z]{0,3}".prop_map(String::into_bytes), proptest::collection::vec(any::<u8>(), 0..12)]
        )
            .prop_map(move |(number, value)| [key(number, 2), delimited(&value)].concat()),
        (number(), 3_u8..8).prop_map(move |(number, wire_type)| key(number, wire_type)),
    ];
    leaf.prop_recursive(6, 40, 4, move |inner| {
        (number(), proptest::collection::vec(inner, 0..4), any::<bool>()).prop_map(move |(number, parts, is_group)| {
            let inside = parts.concat();
            if is_group {
                [key(number, 3), inside, key(number, 4)].concat()
            } else {
                [key(number, 2), delimited(&inside)].concat()
            }
        })
    })
}

fn delimited(bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    prost::encoding::encode_varint(bytes.len() as u64, &mut all);
    all.extend_from_slice(bytes);
    all
}

/// Wraps a message into the fields of the path to it.
fn within(path: &[u32], inside: Vec<u8>) -> Vec<u8> {
    path.iter()
        .rev()
        .fold(inside, |inside, number| [vec![u8::try_from(number << 3).unwrap() | 2], delimited(&inside)].concat())
}

/// Where a message lies that we look into.
fn somewhere() -> impl Strategy<Value = &'static [u32]> {
    prop::sample::select(vec![
        &[][..],
        &[1],
        &[1, 1],
        &[1, 2],
        &[1, 4],
        &[1, 4, 2],
        &[1, 4, 2, 13],
        &[1, 4, 2, 13, 1],
        &[1, 10],
        &[1, 12],
    ])
}

/// Both read the same, or both read nothing.
fn agrees_with_prost(bytes: &[u8]) -> Result<(), TestCaseError> {
    match (decode(bytes), oracle::decode(bytes)) {
        (Ok(ours), Ok(theirs)) => prop_assert_eq!(Owned::from(ours), theirs),
        (Err(_), Err(_)) => {}
        (ours, theirs) => prop_assert!(false, "we: {ours:?}, prost: {theirs:?}"),
    }
    Ok(())
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
        agrees_with_prost(&bytes)?;
        let Ok(theirs) = auth::CheckRequest::decode(&bytes[..]) else { return Ok(()) };
        let ours = Owned::from(decode(&bytes).expect("reads what the full definitions read"));
        let theirs = theirs.attributes.unwrap_or_default();
        prop_assert_eq!(ours.principal, theirs.source.clone().unwrap_or_default().principal);
        prop_assert_eq!(ours.certificate, theirs.source.unwrap_or_default().certificate);
        prop_assert_eq!(ours.destination, theirs.destination.unwrap_or_default().principal);
        prop_assert_eq!(ours.sni, theirs.tls_session.unwrap_or_default().sni);
        prop_assert_eq!(ours.extensions, theirs.context_extensions.into_iter().collect::<BTreeMap<_, _>>());
        let http = theirs.request.and_then(|request| request.http);
        let texts = http.clone().map(|http| [http.method, http.path, http.host, http.scheme, http.protocol]);
        prop_assert_eq!(ours.http.as_ref().map(|http| http.texts.clone()), texts);
        if let Some(lines) = ours.http.and_then(|http| http.headers) {
            let theirs = http.unwrap().header_map.unwrap().headers.into_iter();
            prop_assert_eq!(lines, theirs.map(|line| (line.key, line.raw_value)).collect::<Vec<_>>());
        }
    }

    /// Messages in parts, texts that come twice, fields of other types, groups, and what is none of these.
    #[test]
    fn whatever_fields_there_are_prost_reads_the_same(
        parts in proptest::collection::vec((somewhere(), proptest::collection::vec(field(), 0..3)), 0..6),
    ) {
        let bytes: Vec<u8> = parts.into_iter().flat_map(|(path, fields)| within(path, fields.concat())).collect();
        agrees_with_prost(&bytes)?;
    }

    #[test]
    fn groups_are_stepped_over_as_deep_as_prost_does_it(
        path in somewhere(), depth in 90_usize..105, inside in prop::sample::select(vec![&[][..], &[0x08, 1], &[0x0c]]),
    ) {
        let groups = [vec![0x7b; depth], inside.to_vec(), vec![0x7c; depth]].concat();
        agrees_with_prost(&within(path, groups))?;
    }

    #[test]
    fn any_bytes_are_read_as_prost_reads_them(path in somewhere(), bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        agrees_with_prost(&within(path, bytes))?;
    }
}
