use proptest::prelude::*;

use super::*;

fn parsed(raw: &str) -> (String, Option<String>) {
    let (path, query) = RequestPath::parse(raw).unwrap_or_else(|error| panic!("{raw}: {error}"));
    (path.0, query)
}

fn refused(raw: &str) -> PathError {
    match RequestPath::parse(raw) {
        Ok((path, _query)) => panic!("`{raw}` was read as `{}`", path.0),
        Err(error) => error,
    }
}

#[test]
fn an_ordinary_path_is_itself() {
    for path in
        ["/", "/orders", "/orders/", "/a/b-c/d.e/~f", "/ADMIN", "/a:b@c/!$&'()*+,=", "/...", "/.well-known/x", "/a.."]
    {
        assert_eq!(parsed(path), (path.to_owned(), None));
    }
}

#[test]
fn escapes_decode_once() {
    assert_eq!(parsed("/%61dmin").0, "/admin");
    assert_eq!(parsed("/caf%C3%a9").0, "/café");
    assert_eq!(parsed("/a%20b").0, "/a b");
    assert_eq!(parsed("/100%25").0, "/100%");
    assert_eq!(parsed("/100%25zz").0, "/100%zz");
}

#[test]
fn the_query_begins_at_the_first_question_mark_and_stays_as_sent() {
    assert_eq!(parsed("/a?b=c"), ("/a".into(), Some("b=c".into())));
    assert_eq!(parsed("/a?"), ("/a".into(), Some(String::new())));
    // heimdall GHSA-r8x2-fhmf-6mxp: the path carries the query, and was split elsewhere.
    assert_eq!(parsed("/a?/../admin?x;y%2f%00"), ("/a".into(), Some("/../admin?x;y%2f%00".into())));
}

/// What Envoy's connection manager forwards by default, as measured on 1.40: none of it is normalised before we see it.
#[test]
fn what_envoy_forwards_unnormalised_is_refused() {
    for raw in
        ["/a/../admin", "/a/%2e%2e/admin", "/a/%2E./admin", "/./admin", "/../../admin", "/a/..", "/a/.", "/a/%2e"]
    {
        assert_eq!(refused(raw), PathError::DotSegment, "{raw}");
    }
    for raw in ["/a/..%20/admin", "/a/%20../admin", "/a/%20.%20", "/a/..%c2%a0/admin"] {
        assert_eq!(refused(raw), PathError::DotSegment, "{raw}");
    }
    for raw in ["//admin", "/a//admin", "//", "/a//", "///"] {
        assert_eq!(refused(raw), PathError::EmptySegment, "{raw}");
    }
    for raw in ["/admin%2fx", "/admin%2F..", "/admin%2f"] {
        assert_eq!(refused(raw), PathError::Escaped('/'), "{raw}");
    }
    for raw in ["/admin%5cx", "/a%5C..%5Cadmin"] {
        assert_eq!(refused(raw), PathError::Escaped('\\'), "{raw}");
    }
    for raw in ["/\\admin", "/a\\..\\admin"] {
        assert_eq!(refused(raw), PathError::Character('\\'), "{raw}");
    }
    for raw in ["/%252e%252e/admin", "/a%252fb", "/%25%32%65/admin", "/%25%36%31dmin"] {
        assert_eq!(refused(raw), PathError::EscapedTwice, "{raw}");
    }
    for raw in ["/a%c0%af..%c0%afadmin", "/%c0%ae%c0%ae/admin", "/%ff", "/%e0%80%af", "/%ed%a0%80"] {
        assert_eq!(refused(raw), PathError::NotUtf8, "{raw}");
    }
    for raw in ["/%zz", "/%", "/a%2", "/%2%35", "/%%41", "/%+1"] {
        assert_eq!(refused(raw), PathError::BadEscape, "{raw}");
    }
    for raw in ["/admin%00x", "/admin%0d%0ax", "/admin%0a", "/%7f", "/%1b[2J", "/%c2%85"] {
        assert!(matches!(refused(raw), PathError::Escaped(c) if c.is_control()), "{raw}");
    }
}

/// CVE-2026-73551, CVE-2026-73511, CVE-2026-73553: matrix parameters in normalisation.
#[test]
fn cve_2026_73551_path_parameters_are_refused() {
    for raw in ["/admin;v=1", "/admin;", "/a/..;/admin", "/a/.;/admin", "/pub;/../admin", "/;/admin"] {
        assert_eq!(refused(raw), PathError::Character(';'), "{raw}");
    }
    for raw in ["/admin%3bv=1", "/a/..%3B/admin"] {
        assert_eq!(refused(raw), PathError::Escaped(';'), "{raw}");
    }
}

/// CVE-2021-32779 and CVE-2021-39156: a fragment that one side cuts off. oauth2-proxy CVE-2026-41059: an escaped one.
#[test]
fn cve_2021_32779_fragments_are_refused() {
    for raw in ["/admin#frag", "/admin?a#b", "/#", "/a#/../admin"] {
        assert_eq!(refused(raw), PathError::Character('#'), "{raw}");
    }
    assert_eq!(refused("/admin%23x"), PathError::Escaped('#'));
    assert_eq!(refused("/admin%3f/x"), PathError::Escaped('?'));
}

/// OPA-Envoy GHSA-9f29-v6mm-pw6w: a URI parser takes the first segment of `//admin/x` for a host.
#[test]
fn ghsa_9f29_no_part_of_a_path_becomes_a_host() {
    assert_eq!(refused("//admin/x"), PathError::EmptySegment);
    assert_eq!(refused("http://evil/admin"), PathError::NotAbsolute);
}

/// gRPC-Go CVE-2026-33186: a `:path` without its leading slash.
#[test]
fn cve_2026_33186_a_path_is_absolute() {
    for raw in ["admin", "*", "?a", "%2fadmin", "\\admin"] {
        assert_eq!(refused(raw), PathError::NotAbsolute, "{raw}");
    }
    assert_eq!(refused(""), PathError::Missing);
}

#[test]
fn raw_bytes_that_no_target_has_are_refused() {
    for raw in ["/a b", "/a\tb", "/a\r\nx-evil: 1", "/a\0", "/a\u{7f}", "/café", "/a?\n", "/a?é", "/\u{ff0f}"] {
        assert!(matches!(refused(raw), PathError::Character(_)), "{raw}");
    }
}

#[test]
fn length_and_depth_are_bounded() {
    assert_eq!(parsed(&format!("/{}", "a".repeat(MAX_LENGTH - 1))).0.len(), MAX_LENGTH);
    assert_eq!(refused(&format!("/{}", "a".repeat(MAX_LENGTH))), PathError::TooLong(MAX_LENGTH + 1));
    assert_eq!(refused(&format!("/{}", "a/".repeat(32 * 1024))), PathError::TooLong(64 * 1024 + 1));
    assert_eq!(refused(&format!("/?{}", "a".repeat(MAX_LENGTH))), PathError::TooLong(MAX_LENGTH + 2));
    assert_eq!(parsed(&"/a".repeat(MAX_SEGMENTS)).0.len(), 2 * MAX_SEGMENTS);
    assert_eq!(refused(&"/a".repeat(MAX_SEGMENTS + 1)), PathError::TooDeep);
}

#[test]
fn a_path_is_enclosed_by_each_of_its_prefixes() {
    let enclosing = |raw| {
        let (path, _query) = RequestPath::parse(raw).unwrap();
        path.ancestors().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(enclosing("/"), Vec::<String>::new());
    assert_eq!(enclosing("/orders"), ["/"]);
    assert_eq!(enclosing("/orders/"), ["/orders", "/"]);
    assert_eq!(enclosing("/orders/7/lines/"), ["/orders/7/lines", "/orders/7", "/orders", "/"]);
}

/// Escapes everything but slashes and unreserved characters.
fn encode(path: &RequestPath) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    path.0.bytes().map(|b| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Text made of the pieces that attacks are made of.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        Just("/".to_owned()),
        Just(".".to_owned()),
        Just("%".to_owned()),
        Just("%2e".to_owned()),
        Just("%25".to_owned()),
        Just("%2f".to_owned()),
        Just("%c3%a9".to_owned()),
        Just("%c2".to_owned()),
        Just(";".to_owned()),
        Just("?".to_owned()),
        "[a-f0-9]{1,2}",
        "[ -~]{1,3}",
        "\\PC{1,2}",
    ];
    proptest::collection::vec(pieces, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #[test]
    fn nothing_ambiguous_survives(raw in prop_oneof![hostile(), any::<String>()]) {
        let Ok((path, query)) = RequestPath::parse(&raw) else { return Ok(()) };
        let inner = path.0.strip_prefix('/').unwrap();
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        prop_assert!(path.0 == "/" || inner.split('/').all(|segment| !matches!(segment, "" | "." | "..")));
        prop_assert!(!path.0.chars().any(|c| c.is_control() || matches!(c, ';' | '\\' | '?' | '#')));
        prop_assert!(!has_escape(&path.0));
        prop_assert!(query.is_none_or(|query| query.bytes().all(|b| b.is_ascii_graphic() && b != b'#')));
    }

    #[test]
    fn the_canonical_form_is_its_own_canonical_form(raw in hostile()) {
        let Ok((path, _query)) = RequestPath::parse(&raw) else { return Ok(()) };
        prop_assert_eq!(RequestPath::parse(&encode(&path)), Ok((path, None)));
    }

    #[test]
    fn every_spelling_of_a_plain_path_reads_the_same(path in "(/[a-z]{1,4}){1,4}/?", escape in any::<u64>()) {
        let spelt: String = path.bytes().enumerate().map(|(index, byte)| match byte {
            b'/' => "/".to_owned(),
            byte if escape >> (index % 64) & 1 == 1 => format!("%{byte:02x}"),
            byte => char::from(byte).to_string(),
        }).collect();
        prop_assert_eq!(parsed(&spelt).0, path);
    }
}
