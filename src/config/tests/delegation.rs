//! Whose tokens may be exchanged, and what is refused because one token would be good for two things.

use super::*;

const WHOLE: &str = "listen: {token: 'tls:127.0.0.1:8445'}
delegation:
  issuer: https://tokens.example.org
  tls: {svid: {spiffe_id: 'spiffe://a/tokens'}}
  audiences: [{name: 'https://tool.example.org', workloads: ['spiffe://a/tool']}]
  scopes: [read]
  profiles: [{spiffe_id: 'spiffe://a/tool', profile: ai_agent}]
  subjects:
    issuers: [{preset: spiffe, audiences: [delegation]}]
    unscoped: [{issuer: 'spiffe://a', scopes: [read]}]
";

fn complaint(from: &str, to: &str) -> String {
    assert!(WHOLE.contains(from), "{from}");
    complaints(&sources(&format!("trust_domain: a\n{}", WHOLE.replace(from, to))))
}

#[test]
fn the_section_is_read() {
    let config = load(&format!("trust_domain: a\n{WHOLE}")).config.delegation;
    assert_eq!(config.assertion_audiences(), ["https://tokens.example.org", "https://tokens.example.org/token"]);
    assert_eq!(config.audiences["https://tool.example.org"].len(), 1);
    assert_eq!(config.subjects.unscoped["spiffe://a"], config.scopes);
    let nothing = load("trust_domain: a").config.delegation;
    assert!(nothing.issuer.is_none() && nothing.assertion_audiences().is_empty());
}

#[test]
fn no_token_is_good_for_two_things() {
    let told = complaint("audiences: [delegation]", "audiences: ['https://tokens.example.org']");
    assert!(told.contains("client assertions are for"), "{told}");
    let told = complaint("audiences: [delegation]", "audiences: [x, 'https://tokens.example.org/token']");
    assert!(told.contains("client assertions are for"), "{told}");
    for name in ["https://tokens.example.org", "https://tokens.example.org/token", "a"] {
        let told = complaint("name: 'https://tool.example.org'", &format!("name: '{name}'"));
        assert!(told.contains("is what client assertions, or transaction tokens, are for"), "{told}");
    }
    let told = complaint("delegation:\n", "identity: {jwt_issuer: 'https://tokens.example.org'}\ndelegation:\n");
    assert!(told.contains("must not be `identity.jwt_issuer`"), "{told}");
    let own = "{issuer: 'https://tokens.example.org', audiences: [x], jwks_url: 'https://b/keys'}";
    let told = complaint("{preset: spiffe, audiences: [delegation]}", own);
    assert!(told.contains("our own tokens are believed without being named"), "{told}");
    let posing = own.replace("https://tokens.example.org", "spiffe://a");
    let told = complaint("{preset: spiffe, audiences: [delegation]}", &posing);
    assert!(told.contains("the name of a trust domain is not for others"), "{told}");
}

#[test]
fn what_listens_has_something_to_serve_and_to_show() {
    let told = complaint("  issuer: https://tokens.example.org\n", "");
    assert!(told.contains("listen.token: needs `delegation.issuer`"), "{told}");
    let told = complaint("  tls: {svid: {spiffe_id: 'spiffe://a/tokens'}}\n", "");
    assert!(told.contains("needs `delegation.tls`"), "{told}");
    for (from, to, what) in [
        ("scopes: [read]\n", "scopes: [read write]\n", "is not the name of one scope"),
        ("unscoped: [{issuer: 'spiffe://a', scopes: [read]}]", "unscoped: [{issuer: x, scopes: [send]}]", "is not in"),
        ("profile: ai_agent", "profile: AI Agent", "lower-case"),
        ("name: 'https://tool.example.org'", "name: 'a b'", "visible ASCII"),
        ("  scopes: [read]\n", "  scopes: [read]\n  max_actors: 9\n", "is more than 8"),
    ] {
        let told = complaint(from, to);
        assert!(told.contains(what), "{told}");
    }
    let twice = "audiences: [{name: x}, {name: x}]";
    let told = complaint("audiences: [{name: 'https://tool.example.org', workloads: ['spiffe://a/tool']}]", twice);
    assert!(told.contains("`x` is there twice"), "{told}");
}

#[test]
fn no_service_is_shown_what_proves_a_client() {
    let checked = |audience: &str| {
        let tokens = format!("tokens: {{issuers: [{{preset: spiffe, audiences: [x, '{audience}']}}]}}\n");
        sources(&format!("trust_domain: a\n{tokens}{WHOLE}"))
    };
    for name in ["https://tokens.example.org", "https://tokens.example.org/token"] {
        let told = complaints(&checked(name));
        assert!(told.contains("could be the workload that showed it"), "{told}");
    }
    let tokens = "tokens: {issuers: [{preset: spiffe, audiences: ['https://tool.example.org']}]}\n";
    load(&format!("trust_domain: a\n{tokens}{WHOLE}"));
}

/// Nor does whoever sees the questions of callers: a proxy, a log, the PDP of somebody else.
#[test]
fn no_caller_shows_what_proves_a_client() {
    let callers =
        |audience: &str| format!("{{bearer: {{issuers: [{{preset: spiffe, audiences: [x, '{audience}']}}]}}}}");
    let everywhere = |audience: &str| format!("trust_domain: a\nauthzen: {{callers: {}}}\n{WHOLE}", callers(audience));
    let at_one = |audience: &str| {
        let listener = format!("[{{address: 'unix:a.sock', callers: {}}}]", callers(audience));
        format!("trust_domain: a\n{}", WHOLE.replace("listen: {", &format!("listen: {{authzen: {listener}, ")))
    };
    for name in ["https://tokens.example.org", "https://tokens.example.org/token"] {
        let told = complaints(&sources(&everywhere(name)));
        assert!(told.contains("authzen: `callers.bearer.issuers`: `https://tokens"), "{told}");
        assert!(told.contains("could be the workload that showed it"), "{told}");
        let told = complaints(&sources(&at_one(name)));
        assert!(told.contains("listen.authzen: `callers.bearer.issuers`: `https://tokens"), "{told}");
    }
    for good in [everywhere("https://localhost:8443"), at_one("https://localhost:8443")] {
        load(&good);
    }
}

#[test]
fn only_of_issuers_that_are_believed_can_tokens_be_passed_on() {
    let with = |names: &str| {
        let plain = "{issuer: 'https://b', audiences: [x], jwks_url: 'https://b/keys'}";
        let house = WHOLE.replace("{preset: spiffe, audiences: [delegation]}", plain);
        format!("trust_domain: a\n{house}    forwarded: {names}\n")
    };
    assert_eq!(load(&with("['https://b']")).config.delegation.subjects.forwarded, ["https://b".to_owned()].into());
    load(&format!("trust_domain: a\n{WHOLE}    forwarded: ['spiffe://partner']\n"));
    for name in ["https://c", "spiffe://partner", "https://tokens.example.org"] {
        let told = complaints(&sources(&with(&format!("['{name}']"))));
        assert!(told.contains(&format!("`{name}` is none of the `issuers`")), "{told}");
    }
}

#[test]
fn subjects_are_told_apart_by_their_issuers_and_not_by_what_claims_become() {
    let plain = "{issuer: 'https://b', audiences: [x], jwks_url: 'https://b/keys'}";
    let both = format!("{plain}, {}", plain.replace("https://b", "https://c"));
    let both = WHOLE.replace("{preset: spiffe, audiences: [delegation]}", &both);
    assert_eq!(load(&format!("trust_domain: a\n{both}")).config.delegation.subjects.issuers.len(), 2);
    let told = complaint("{preset: spiffe, audiences: [delegation]}", &format!("{plain}, {plain}"));
    assert!(told.contains("`https://b` is there twice"), "{told}");
}

/// A name that two issuers could give to two people is nobody's.
#[test]
fn people_of_several_issuers_are_told_apart_where_their_exchanged_tokens_are_shown() {
    let people = |name: &str| format!("{{issuer: 'https://{name}', audiences: [x], jwks_url: 'https://{name}/keys'}}");
    let with = |issuers: &str, id: &str| {
        let delegated = format!(
            "{{issuer: 'https://tokens.example.org', audiences: [y], delegated: true, claims: {{id: '{id}'}}}}"
        );
        let house = WHOLE.replace("{preset: spiffe, audiences: [delegation]}", issuers);
        format!("trust_domain: a\ntokens: {{issuers: [{delegated}]}}\n{house}")
    };
    let (one, two) = (people("b"), format!("{}, {}", people("b"), people("c")));
    load(&with(&one, "{sub}"));
    load(&with(&two, "{/sub_id/iss}|{sub}"));
    let told = complaints(&sources(&with(&two, "{sub}")));
    assert!(told.contains("people of several issuers can be exchanged"), "{told}");
}
