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
