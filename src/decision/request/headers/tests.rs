use proptest::prelude::*;

use super::*;

fn unique(pairs: &[(&str, &[u8])], name: &str) -> Result<Option<String>, HeaderError> {
    Headers::parse(pairs)?.unique(name).map(|value| value.map(str::to_owned))
}

fn upgrade(pairs: &[(&str, &[u8])]) -> Result<Option<Upgrade>, HeaderError> {
    Headers::parse(pairs)?.upgrade()
}

#[test]
fn a_header_that_is_there_once_is_read_as_it_is() {
    assert_eq!(unique(&[("x-tenant", b"a,b c\td")], "x-tenant"), Ok(Some("a,b c\td".into())));
    assert_eq!(unique(&[("x-tenant", b"")], "X-Tenant"), Ok(Some(String::new())));
    assert_eq!(unique(&[("x-tenant2", b"a")], "x-tenant"), Ok(None));
}

/// CVE-2021-32777 took the last, CVE-2020-25017 the first, CVE-2026-26308 joined them.
#[test]
fn cve_2021_32777_a_header_that_is_there_twice_is_refused() {
    let duplicate = Err(HeaderError::Duplicate("x-role".into()));
    assert_eq!(unique(&[("x-role", b"admin"), ("x-role", b"user")], "x-role"), duplicate);
    assert_eq!(unique(&[("x-role", b"user"), ("a", b"b"), ("X-Role", b"user")], "x-role"), duplicate);
    assert_eq!(unique(&[("x-role", b"admin,user")], "x-role"), Ok(Some("admin,user".into())));
}

#[test]
fn cve_2025_64484_an_underscore_hides_no_header() {
    let lookalike = Err(HeaderError::Lookalike("x-role-id".into()));
    assert_eq!(unique(&[("x_role_id", b"admin")], "x-role-id"), lookalike);
    assert_eq!(unique(&[("x-role-id", b"user"), ("X-Role_ID", b"admin")], "x-role-id"), lookalike);
    assert_eq!(unique(&[("x-role-id", b"user"), ("x.role~id", b"admin")], "x-role-id"), lookalike);
}

#[test]
fn cve_2026_73552_bytes_beyond_ascii_are_not_guessed_at() {
    for value in [&b"a\xffb"[..], "é".as_bytes(), b"\xc3", b"a\x7f", b"a\x1b[2J", b" a", b"a ", b"\ta"] {
        assert_eq!(unique(&[("x-role", value)], "x-role"), Err(HeaderError::NotText("x-role".into())), "{value:?}");
        assert_eq!(unique(&[("x-other", value)], "x-role"), Ok(None), "{value:?}");
    }
}

#[test]
fn cve_2019_9900_line_breaks_and_nul_are_refused_in_every_header() {
    for value in [&b"a\0b"[..], b"\0", b"a\r\nx-evil: 1", b"a\n", b"\r"] {
        assert_eq!(unique(&[("x-other", value)], "x-role"), Err(HeaderError::Break("x-other".into())), "{value:?}");
    }
}

#[test]
fn a_name_is_a_token_or_a_pseudo_header_of_requests() {
    for name in ["", "x role", "x-role:", "x\0", "x\r\n", "é", ":status", ":", ":Path", "x(y)"] {
        assert_eq!(unique(&[(name, b"a")], "x-role"), Err(HeaderError::Name), "{name}");
    }
}

/// CVE-2026-47774: a cookie in thousands of crumbs.
#[test]
fn cve_2026_47774_count_and_size_are_bounded() {
    let crumbs = vec![("cookie", b"a=1".as_slice()); 5000];
    assert_eq!(Headers::parse(&crumbs).unwrap_err(), HeaderError::TooMany(5000));
    let large = vec![b'a'; MAX_BYTES];
    assert_eq!(Headers::parse(&[("x-large", &large)]).unwrap_err(), HeaderError::TooLarge);
}

#[test]
fn pseudo_headers_are_apart_from_ordinary_ones() {
    assert_eq!(unique(&[(":path", b"/a")], ":path"), Ok(None));
    let lines: [(&str, &[u8]); 4] = [(":path", b"/a"), (":method", b"GET"), (":method", b"GET"), (":scheme", b"\xff")];
    let headers = Headers::parse(&lines).unwrap();
    assert_eq!(headers.pseudo(":path"), Ok(Some("/a")));
    assert_eq!(headers.pseudo(":authority"), Ok(None));
    assert_eq!(headers.pseudo(":method"), Err(HeaderError::Duplicate(":method".into())));
    assert_eq!(headers.pseudo(":scheme"), Err(HeaderError::NotText(":scheme".into())));
}

/// CVE-2026-73548, CVE-2025-64763: data smuggled behind an upgrade.
#[test]
fn cve_2026_73548_every_form_of_an_upgrade_is_seen() {
    let to = |protocol: &str| Ok(Some(Upgrade { protocol: Some(protocol.to_owned()) }));
    assert_eq!(upgrade(&[("upgrade", b"WebSocket"), ("connection", b"upgrade")]), to("websocket"));
    assert_eq!(upgrade(&[("upgrade", b"h2c")]), to("h2c"));
    assert_eq!(upgrade(&[(":protocol", b"websocket")]), to("websocket"));
    assert_eq!(
        upgrade(&[("connection", b"keep-alive, Upgrade, HTTP2-Settings")]),
        Ok(Some(Upgrade { protocol: None }))
    );
    assert_eq!(upgrade(&[("connection", b"close"), ("connection", b"UPGRADE")]), Ok(Some(Upgrade { protocol: None })));
    assert_eq!(upgrade(&[("upgrade", b"")]), Ok(Some(Upgrade { protocol: None })));
    assert_eq!(upgrade(&[("connection", b"keep-alive"), ("upgrade-insecure-requests", b"1")]), Ok(None));
    let twice = Err(HeaderError::Duplicate("upgrade".into()));
    assert_eq!(upgrade(&[("upgrade", b"h2c"), ("upgrade", b"websocket")]), twice);
    assert_eq!(upgrade(&[("upgrade", b"h2c"), (":protocol", b"websocket")]), twice);
    assert_eq!(upgrade(&[("upgrade", b"\xff")]), Err(HeaderError::NotText("upgrade".into())));
}

proptest! {
    #[test]
    fn what_is_read_is_plain_text_that_was_sent_once(
        pairs in proptest::collection::vec(("[xX][-_][ab]", proptest::collection::vec(any::<u8>(), 0..6)), 0..4),
    ) {
        let lines: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let Ok(headers) = Headers::parse(&lines) else { return Ok(()) };
        let alike = lines.iter().filter(|(name, _)| name.to_lowercase().replace('_', "-") == "x-a").collect::<Vec<_>>();
        match headers.unique("x-a") {
            Ok(None) => prop_assert!(alike.is_empty()),
            Ok(Some(value)) => {
                prop_assert_eq!(alike.len(), 1);
                prop_assert_eq!(value.as_bytes(), alike[0].1);
                prop_assert!(value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ' || byte == b'\t'));
            }
            Err(_) => prop_assert!(!alike.is_empty()),
        }
    }
}
