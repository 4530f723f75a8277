use proptest::prelude::*;

use super::*;

#[test]
fn a_good_id_comes_apart_and_prints_as_it_was() {
    let id: SpiffeId = "spiffe://example.org/ns/Prod/sa/web-1_a.b".parse().unwrap();
    assert_eq!(id.trust_domain().as_str(), "example.org");
    assert_eq!(id.path(), "/ns/Prod/sa/web-1_a.b");
    assert_eq!(id.to_string(), "spiffe://example.org/ns/Prod/sa/web-1_a.b");
}

#[test]
fn everything_the_grammar_allows_is_taken() {
    let longest_domain = format!("spiffe://{}/a", "d".repeat(255));
    let longest = format!("spiffe://td/{}", "a".repeat(2048 - "spiffe://td/".len()));
    let ids = [
        "spiffe://a/b",
        "spiffe://1.2.3.4/service",
        "spiffe://under_score.-dash-/x",
        "spiffe://td/...",
        "spiffe://td/.a/a./..a",
        "spiffe://td/A/a/Z/z/0/9/-/_",
        "spiffe://td/spiffe",
        &longest_domain,
        &longest,
    ];
    for id in ids {
        assert_eq!(id.parse::<SpiffeId>().map(|id| id.to_string()), Ok(id.to_owned()));
    }
}

#[test]
fn everything_else_is_refused_for_a_reason() {
    let domain = |stranger| IdError::TrustDomain(TrustDomainError::Character(stranger));
    let cases = [
        ("", IdError::Scheme),
        ("spiffe:", IdError::Scheme),
        ("spiffe:/td/a", IdError::Scheme),
        ("//td/a", IdError::Scheme),
        ("td/a", IdError::Scheme),
        (" spiffe://td/a", IdError::Scheme),
        ("Spiffe://td/a", IdError::Scheme),
        ("http://td/a", IdError::Scheme),
        ("spiffe://", IdError::TrustDomain(TrustDomainError::Empty)),
        ("spiffe:///a", IdError::TrustDomain(TrustDomainError::Empty)),
        ("spiffe://TD/a", domain('T')),
        ("spiffe://user@td/a", domain('@')),
        ("spiffe://user:pass@td/a", domain(':')),
        ("spiffe://td:8080/a", domain(':')),
        ("spiffe://[::1]/a", domain('[')),
        ("spiffe://t%64/a", domain('%')),
        ("spiffe://t d/a", domain(' ')),
        ("spiffe://td?x=/a", domain('?')),
        ("spiffe://td#/a", domain('#')),
        ("spiffe://td\\evil/a", domain('\\')),
        ("spiffe://tdé/a", domain('é')),
        ("spiffe://td\0/a", domain('\0')),
        ("spiffe://td", IdError::NoPath),
        ("spiffe://td/", IdError::EmptySegment),
        ("spiffe://td//", IdError::EmptySegment),
        ("spiffe://td//a", IdError::EmptySegment),
        ("spiffe://td/a//b", IdError::EmptySegment),
        ("spiffe://td/a/", IdError::EmptySegment),
        ("spiffe://td/.", IdError::DotSegment),
        ("spiffe://td/..", IdError::DotSegment),
        ("spiffe://td/./a", IdError::DotSegment),
        ("spiffe://td/a/../b", IdError::DotSegment),
        ("spiffe://td/a/..", IdError::DotSegment),
        ("spiffe://td/%61", IdError::Character('%')),
        ("spiffe://td/a%2fb", IdError::Character('%')),
        ("spiffe://td/%2e%2e", IdError::Character('%')),
        ("spiffe://td/a?x=1", IdError::Character('?')),
        ("spiffe://td/a#f", IdError::Character('#')),
        ("spiffe://td/a b", IdError::Character(' ')),
        ("spiffe://td/a\n", IdError::Character('\n')),
        ("spiffe://td/a\0", IdError::Character('\0')),
        ("spiffe://td/a\\b", IdError::Character('\\')),
        ("spiffe://td/a:b", IdError::Character(':')),
        ("spiffe://td/a;URI=spiffe://td/b", IdError::Character(';')),
        ("spiffe://td/a,URI=spiffe://td/b", IdError::Character(',')),
        ("spiffe://td/a@b", IdError::Character('@')),
        ("spiffe://td/a~b", IdError::Character('~')),
        ("spiffe://td/ä", IdError::Character('ä')),
        ("spiffe://td/\u{ff21}", IdError::Character('\u{ff21}')),
    ];
    for (id, expected) in cases {
        assert_eq!(id.parse::<SpiffeId>(), Err(expected), "{id:?}");
    }
}

#[test]
fn one_byte_more_than_the_limits_is_refused() {
    let id = format!("spiffe://td/{}", "a".repeat(2049 - "spiffe://td/".len()));
    assert_eq!(id.parse::<SpiffeId>(), Err(IdError::TooLong(2049)));
    let id = format!("spiffe://{}/a", "d".repeat(256));
    assert_eq!(id.parse::<SpiffeId>(), Err(IdError::TrustDomain(TrustDomainError::TooLong(256))));
}

#[test]
fn trust_domains_are_the_bare_name() {
    let domain: TrustDomain = "prod.example".parse().unwrap();
    assert_eq!((domain.as_str(), domain.id_string()), ("prod.example", "spiffe://prod.example".to_owned()));
    assert_eq!("".parse::<TrustDomain>(), Err(TrustDomainError::Empty));
    assert_eq!("spiffe://prod.example".parse::<TrustDomain>(), Err(TrustDomainError::Character(':')));
    assert_eq!("prod.example/".parse::<TrustDomain>(), Err(TrustDomainError::Character('/')));
}

#[test]
fn an_error_shows_no_control_character() {
    let error = "spiffe://td/a\r\n\u{1b}[2J".parse::<SpiffeId>().unwrap_err().to_string();
    assert!(!error.contains(char::is_control), "{error:?}");
}

proptest! {
    #[test]
    fn printing_what_was_parsed_gives_it_back(
        id in "spiffe://[a-z0-9._-]{1,40}(/[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,20}){1,8}"
    ) {
        let parsed: SpiffeId = id.parse().unwrap();
        prop_assert_eq!(parsed.to_string(), id.as_str());
        prop_assert_eq!(format!("spiffe://{}{}", parsed.trust_domain(), parsed.path()), id);
    }

    #[test]
    fn no_text_makes_it_panic_and_none_is_altered(text in any::<String>()) {
        if let Ok(id) = text.parse::<SpiffeId>() {
            prop_assert_eq!(id.as_str(), text);
        }
    }

    #[test]
    fn no_near_miss_makes_it_panic_and_none_is_altered(
        text in "(spiffe|SPIFFE)?(://|:/|//)?[a-cA-C./:;%?#@ é-]{0,40}"
    ) {
        if let Ok(id) = text.parse::<SpiffeId>() {
            prop_assert_eq!(id.as_str(), text.as_str());
            prop_assert!(!id.path().contains("//") && !id.path().ends_with('/'));
            prop_assert!(id.path().split('/').all(|segment| segment != "." && segment != ".."));
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./:_-".contains(&byte)));
        }
    }
}
