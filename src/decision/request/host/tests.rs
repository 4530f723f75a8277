use proptest::prelude::*;

use super::*;

fn parsed(raw: &str) -> (String, Option<u16>) {
    let host = Host::parse(raw).unwrap_or_else(|error| panic!("{raw}: {error}"));
    (host.name, host.port)
}

/// Istio CVE-2021-39155: a host in another case evaded the policy about it.
#[test]
fn cve_2021_39155_every_spelling_of_a_host_is_one_host() {
    for raw in ["orders.example", "ORDERS.Example", "orders.example.", "Orders.Example.:8443", "orders.example:443"] {
        assert_eq!(parsed(raw).0, "orders.example", "{raw}");
    }
    assert_eq!(parsed("orders_v2:8080"), ("orders_v2".into(), Some(8080)));
    assert_eq!(parsed("127.0.0.1"), ("127.0.0.1".into(), None));
}

#[test]
fn an_ipv6_address_has_one_spelling() {
    assert_eq!(parsed("[::1]"), ("[::1]".into(), None));
    assert_eq!(parsed("[2001:DB8:0:0::01]:8443"), ("[2001:db8::1]".into(), Some(8443)));
    for raw in ["[", "[]", "[::1", "[::1]x", "[::1]443", "[fe80::1%25eth0]", "[127.0.0.1]", "[::1].", "[[::1]]"] {
        assert_eq!(Host::parse(raw), Err(HostError::Ipv6), "{raw}");
    }
    assert_eq!(Host::parse("[::1]:"), Err(HostError::Port));
    assert_eq!(Host::parse("::1"), Err(HostError::EmptyLabel));
}

/// Two `Host` lines reach us joined by a comma; userinfo reaches us as sent.
#[test]
fn what_two_readers_would_split_differently_is_refused() {
    for (raw, stranger) in [
        ("a,b", ','),
        ("a.example, b.example", ','),
        ("user@orders.example", '@'),
        ("orders.example ", ' '),
        (" orders.example", ' '),
        ("orders.example/admin", '/'),
        ("orders.example\\x", '\\'),
        ("orders.example?x", '?'),
        ("orders.example#x", '#'),
        ("orders%2eexample", '%'),
        ("orders.example\r\nx-evil", '\r'),
        ("orders.example\0", '\0'),
        ("ordérs.example", 'é'),
        ("orders。example", '。'),
        ("a;b", ';'),
    ] {
        assert_eq!(Host::parse(raw), Err(HostError::Character(stranger)), "{raw}");
    }
    for raw in [".", "..", "a..b", ".a", "a..", ":443"] {
        assert_eq!(Host::parse(raw), Err(HostError::EmptyLabel), "{raw}");
    }
    for raw in ["a:", "a:0", "a:080", "a:65536", "a:-1", "a:+1", "a:443:444", "a: 443", "user:pass@a", "a:４４"] {
        assert_eq!(Host::parse(raw), Err(HostError::Port), "{raw}");
    }
    assert_eq!(Host::parse(""), Err(HostError::Missing));
}

#[test]
fn length_is_bounded() {
    assert_eq!(Host::parse(&"a".repeat(64)), Err(HostError::TooLong));
    assert_eq!(Host::parse(&"a.".repeat(200)), Err(HostError::TooLong));
    assert_eq!(Host::parse(&"a,".repeat(1 << 20)), Err(HostError::Character(',')));
}

proptest! {
    #[test]
    fn the_canonical_name_is_its_own_canonical_name(raw in prop_oneof!["\\PC*", "[a-zA-Z0-9.:_\\[\\]-]{1,20}", any::<String>()]) {
        if let Ok(host) = Host::parse(&raw) {
            prop_assert!(!host.name.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b',' || !byte.is_ascii_graphic()));
            prop_assert_eq!(Host::parse(&host.name), Ok(Host { name: host.name.clone(), port: None }));
        }
    }
}
