use proptest::prelude::*;

use super::*;

fn get(path: &str) -> HttpAttributes<'_> {
    HttpAttributes {
        method: "GET",
        path,
        host: "orders.example",
        scheme: "https",
        protocol: "HTTP/2",
        headers: Some(Vec::new()),
        ..HttpAttributes::default()
    }
}

fn with<'a>(mut http: HttpAttributes<'a>, lines: &[(&'a str, &'a str)]) -> HttpAttributes<'a> {
    let lines = lines.iter().map(|(name, value)| (*name, value.as_bytes()));
    http.headers.get_or_insert_default().extend(lines);
    http
}

fn reason(http: &HttpAttributes<'_>) -> Reason {
    HttpRequest::from_attributes(http).expect_err("is refused").reason()
}

#[test]
fn an_ordinary_request_is_read() {
    let http = with(
        get("/orders/7?full=1"),
        &[(":method", "GET"), (":path", "/orders/7?full=1"), (":authority", "orders.example"), (":scheme", "https")],
    );
    let request = HttpRequest::from_attributes(&http).unwrap();
    assert_eq!((request.method(), request.host().name()), ("GET", "orders.example"));
    assert_eq!((request.scheme(), request.protocol(), request.upgrade()), (Some("https"), Some("HTTP/2"), None));
    let Target::Path { path, query } = request.target() else { panic!("not a tunnel") };
    assert_eq!((path.as_str(), query.as_deref()), ("/orders/7", Some("full=1")));
}

#[test]
fn each_missing_or_malformed_part_has_its_reason() {
    assert_eq!(reason(&HttpAttributes { method: "", ..get("/") }), Reason::BadMethod);
    assert_eq!(reason(&HttpAttributes { method: "get", ..get("/") }), Reason::BadMethod);
    assert_eq!(reason(&get("")), Reason::BadPath);
    assert_eq!(reason(&get("/a/../b")), Reason::BadPath);
    assert_eq!(reason(&HttpAttributes { host: "", ..get("/") }), Reason::BadHost);
    assert_eq!(reason(&HttpAttributes { host: "a,b", ..get("/") }), Reason::BadHost);
    assert_eq!(reason(&HttpAttributes { scheme: "ht tp", ..get("/") }), Reason::BadHeader);
    assert_eq!(reason(&HttpAttributes { protocol: "HTTP/1.1\r\n", ..get("/") }), Reason::BadHeader);
    assert_eq!(reason(&HttpAttributes { headers: None, ..get("/") }), Reason::HeadersNotRaw);
    assert_eq!(reason(&HttpAttributes::default()), Reason::BadMethod);
}

#[test]
fn header_lines_that_contradict_the_attributes_are_refused() {
    assert_eq!(reason(&with(get("/"), &[(":path", "/admin")])), Reason::BadPath);
    assert_eq!(reason(&with(get("/"), &[(":path", "/"), (":path", "/")])), Reason::BadPath);
    assert_eq!(reason(&with(get("/"), &[(":method", "DELETE")])), Reason::BadMethod);
    assert_eq!(reason(&with(get("/"), &[(":authority", "evil.example")])), Reason::BadHost);
    assert_eq!(reason(&with(get("/"), &[("host", "evil.example")])), Reason::BadHost);
    assert_eq!(reason(&with(get("/"), &[("host", "orders.example"), ("host", "orders.example")])), Reason::BadHost);
    assert_eq!(reason(&with(get("/"), &[(":scheme", "http")])), Reason::BadHeader);
    assert_eq!(reason(&with(get("/"), &[(":status", "200")])), Reason::BadHeader);
}

/// CVE-2026-73547 was a crash on exactly this: a CONNECT without a path.
#[test]
fn cve_2026_73547_a_connect_without_a_path_is_a_tunnel() {
    let connect = HttpAttributes { method: "CONNECT", host: "Orders.example:5432", ..get("") };
    let request = HttpRequest::from_attributes(&connect).unwrap();
    assert_eq!((request.target(), request.host().name()), (&Target::Tunnel { port: 5432 }, "orders.example"));
    assert_eq!(reason(&HttpAttributes { host: "orders.example", ..connect.clone() }), Reason::BadHost);
    assert_eq!(reason(&HttpAttributes { path: "/admin", ..connect }), Reason::BadPath);
}

#[test]
fn an_extended_connect_is_an_upgrade_of_its_path() {
    let connect = with(HttpAttributes { method: "CONNECT", ..get("/chat") }, &[(":protocol", "websocket")]);
    let request = HttpRequest::from_attributes(&connect).unwrap();
    assert!(matches!(request.target(), Target::Path { path, .. } if path.as_str() == "/chat"));
    assert_eq!(request.upgrade(), Some(&Upgrade { protocol: Some("websocket".into()) }));
}

/// Found by attack: Envoy passes `DELETE` with `upgrade: websocket` on, and a service that knows no WebSocket deletes.
#[test]
fn an_upgrade_carries_no_other_method_past_the_policies() {
    let wish = [("connection", "upgrade"), ("upgrade", "websocket")];
    for method in ["DELETE", "POST", "HEAD", "OPTIONS", "BREW"] {
        assert_eq!(reason(&with(HttpAttributes { method, ..get("/") }, &wish)), Reason::BadMethod);
        let only_wished = with(HttpAttributes { method, ..get("/") }, &wish[..1]);
        assert_eq!(reason(&only_wished), Reason::BadMethod, "{method}");
    }
    assert!(HttpRequest::from_attributes(&with(get("/"), &wish)).unwrap().upgrade().is_some());
}

#[test]
fn a_refusal_repeats_what_it_is_about_only_in_printable_and_bounded_form() {
    let refusal = HttpRequest::from_attributes(&get("/a\r\n{\"forged\":\"line\"}\u{1b}[2J")).unwrap_err();
    assert!(refusal.detail().contains("\\u{d}\\u{a}"), "{refusal}");
    assert!(!refusal.detail().chars().any(char::is_control));
    let refusal = HttpRequest::from_attributes(&get(&"a".repeat(64 * 1024))).unwrap_err();
    assert!(refusal.detail().len() < 500, "{refusal}");
}

proptest! {
    #[test]
    fn anything_is_read_or_refused(
        method in ".{0,8}", path in ".{0,24}", host in ".{0,12}", scheme in ".{0,6}",
        lines in proptest::collection::vec((".{0,8}", proptest::collection::vec(any::<u8>(), 0..8)), 0..4),
    ) {
        let headers = Some(lines.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect());
        let (method, path, host, scheme) = (method.as_str(), path.as_str(), host.as_str(), scheme.as_str());
        let http = HttpAttributes { method, path, host, scheme, protocol: "HTTP/1.1", headers, ..HttpAttributes::default() };
        match HttpRequest::from_attributes(&http) {
            Ok(request) => prop_assert_eq!(request.method(), http.method),
            Err(refusal) => prop_assert_eq!(refusal.reason().outcome(), crate::evidence::Outcome::Deny),
        }
    }
}
