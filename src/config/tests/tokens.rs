//! Issuers of tokens.

use super::*;
use crate::decision::principal::{Mapping, PrincipalRule};
use crate::feeds::jwks::KeyAddress;
use crate::identity::token::Algorithm;

#[test]
fn presets_fill_in_what_is_known_and_what_is_written_stands() {
    let yaml = "trust_domain: a
tokens:
  principal: token_or_svid
  headers: [Authorization, x-forwarded-access-token]
  issuers:
    - {preset: oidc, issuer: 'https://login.example', audiences: [o], claims: {groups: groups, attributes: {email: mail}}}
    - {preset: github-actions, audiences: [o], algorithms: [RS256]}
    - {preset: kubernetes, issuer: 'kubernetes/sa', audiences: [o], jwks_file: keys.json}
    - {preset: spiffe, audiences: [o], single_use: true, single_use_capacity: 7}
    - {issuer: 'https://x.example', audiences: [o], jwks_url: 'https://x.example/k', claims: {type: 'Shop::Customer', id: 'x:{sub}'}}
";
    let tokens = load(yaml).config.tokens;
    assert_eq!(tokens.rules.principal, PrincipalRule::TokenOrSvid);
    assert_eq!(tokens.rules.headers, ["authorization", "x-forwarded-access-token"]);
    let [oidc, github, kubernetes, spiffe, other] = tokens.issuers.as_slice() else { panic!() };
    let discovered = |issuer: &TokenIssuer| match &issuer.keys {
        KeyPlace::Server(KeyAddress::Discovery { metadata, .. }, _) => metadata.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(discovered(oidc), "https://login.example/.well-known/openid-configuration");
    let Mapping::Claims(people) = &oidc.mapping else { panic!() };
    assert_eq!((&*people.kind, people.id.to_string()), ("Human", "{sub}".to_owned()));
    let email: Vec<_> = people.attributes.iter().filter(|(name, _)| name == "email").collect();
    assert_eq!((email.len(), email[0].1.as_str()), (1, "mail"));
    assert_eq!(people.groups.as_ref().map(|groups| &*groups.kind), Some("Group"));
    assert_eq!(&*github.rules.issuer, "https://token.actions.githubusercontent.com");
    assert_eq!(github.rules.algorithms, [Algorithm::Rs256]);
    assert!(matches!(&kubernetes.keys, KeyPlace::File(path) if path == Path::new("/etc/portcullis/keys.json")));
    assert!(matches!((&spiffe.keys, &spiffe.mapping), (KeyPlace::Bundles, Mapping::Spiffe)));
    assert_eq!(spiffe.rules.single_use.map(|(capacity, _)| capacity), Some(7));
    assert!(matches!(&other.keys, KeyPlace::Server(KeyAddress::Keys(_), _)));
    assert_eq!(other.rules.algorithms, [Algorithm::Es256, Algorithm::Rs256, Algorithm::EdDsa]);
    let Mapping::Claims(customers) = &other.mapping else { panic!() };
    assert_eq!(customers.kind, "Shop::Customer");
}

#[test]
fn what_would_believe_too_much_is_told_where_it_stands() {
    let yaml = "trust_domain: a
tokens:
  peer: optional
  issuers:
    - {issuer: 'https://a', jwks_url: 'https://a/k'}
    - {issuer: 'https://a', audiences: [], jwks_url: 'http://a/k'}
    - {issuer: 'https://c', audiences: [o], jwks_url: 'https://c/k', algorithms: [none, HS256, es256]}
    - {issuer: 'https://d', audiences: [o]}
    - {issuer: 'https://e', audiences: [o], jwks_file: x, discovery: true}
    - {issuer: 'http://f', audiences: [o], discovery: true}
    - {audiences: [o], jwks_file: x}
    - {preset: spiffe, issuer: 'https://g', audiences: [o]}
    - {issuer: 'https://h', audiences: [o], jwks_file: x, claims: {type: Workload, id: alice}}
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @"");
}

#[test]
fn two_issuers_can_not_name_the_same_entity() {
    let issuers = |one: &str, two: &str| {
        format!(
            "trust_domain: a
tokens:
  issuers:
    - {{issuer: 'https://a', audiences: [o], jwks_file: x, claims: {one}}}
    - {{issuer: 'https://ab', audiences: [o], jwks_file: x, claims: {two}}}
"
        )
    };
    for (one, two) in [
        ("{}", "{}"),
        ("{}", "{id: 'b:{sub}'}"),
        ("{id: 'b{sub}'}", "{id: 'b:{sub}'}"),
        ("{id: '{iss}'}", "{id: '{iss}'}"),
    ] {
        let told = complaints(&sources(&issuers(one, two)));
        assert!(told.contains("could both name the same `Human`"), "{one} {two}: {told}");
    }
    for (one, two) in [
        ("{id: '{iss}|{sub}'}", "{id: '{iss}|{sub}'}"),
        ("{id: 'a:{sub}'}", "{id: 'b:{sub}'}"),
        ("{}", "{type: Customer}"),
    ] {
        assert_eq!(load(&issuers(one, two)).config.tokens.issuers.len(), 2);
    }
    let twice = issuers("{}", "{type: Other}").replace("https://ab", "https://a");
    assert!(complaints(&sources(&twice)).contains("`https://a` is there twice"));
}

#[test]
fn nobody_is_the_principal_by_a_token_that_no_one_issues() {
    for principal in ["token", "token_or_svid"] {
        let told = complaints(&sources(&format!("trust_domain: a\ntokens: {{principal: {principal}}}")));
        assert!(told.contains("tokens.principal: must be `svid` as long as there are no `issuers`"), "{told}");
    }
}
