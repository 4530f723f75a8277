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
    - {spiffe: true, audiences: [o], leeway: 1m, claims: {groups: groups}}
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @r"
    p.yaml:3:9: tokens.peer: can be `optional` only if `principal` is `token` or `token_or_svid`: who else would ask?
    p.yaml:5:7: tokens.issuers[0].audiences: is missing, and has no default
    p.yaml:6:40: tokens.issuers[1].audiences: must not be empty, nor anything in it
    p.yaml:6:54: tokens.issuers[1].jwks_url: must be `https://…`; `http://…` is for a loopback address alone
    p.yaml:7:83: tokens.issuers[2].algorithms: `none` is not an asymmetric signature algorithm of JOSE; known are `ES256`, `ES384`, `ES512`, `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `EdDSA`
    p.yaml:7:89: tokens.issuers[2].algorithms: `HS256` is not an asymmetric signature algorithm of JOSE; known are `ES256`, `ES384`, `ES512`, `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `EdDSA`
    p.yaml:7:96: tokens.issuers[2].algorithms: `es256` is not an asymmetric signature algorithm of JOSE; known are `ES256`, `ES384`, `ES512`, `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `EdDSA`
    p.yaml:8:7: tokens.issuers[3]: must have exactly one of `jwks_url`, `jwks_file`, `discovery: true`, `spiffe: true` and `delegated: true`
    p.yaml:9:7: tokens.issuers[4]: must have exactly one of `jwks_url`, `jwks_file`, `discovery: true`, `spiffe: true` and `delegated: true`
    p.yaml:10:55: tokens.issuers[5].discovery: to be asked for its metadata, the issuer's name must be `https://…`; `http://…` is for a loopback address alone
    p.yaml:11:7: tokens.issuers[6]: needs an `issuer`: the `iss` of its tokens, to the letter
    p.yaml:12:32: tokens.issuers[7].issuer: of SPIFFE the trust domains are the issuers, so there is no name to give
    p.yaml:13:74: tokens.issuers[8].claims.type: a `Workload` is whom a trust domain vouches for: that is what `spiffe: true` is for
    p.yaml:13:88: tokens.issuers[8].claims.id: `alice`: it names no claim, so all tokens would be of one and the same
    p.yaml:14:46: tokens.issuers[9].leeway: has no use with `spiffe: true`: the standard and the bundles settle it
    p.yaml:14:58: tokens.issuers[9].claims: have no use with `spiffe: true`: a JWT-SVID is the `Workload` of its subject
    ");
}

#[test]
fn our_own_exchange_is_believed_by_our_own_bundle_and_for_what_it_makes() {
    let yaml = "trust_domain: a
tokens:
  headers: [authorization, Txn-Token]
  issuers:
    - {preset: oidc, issuer: 'https://login.example', audiences: [o]}
    - {delegated: true, issuer: 'https://gate.example', audiences: [o, a]}
";
    let tokens = load(yaml).config.tokens;
    assert_eq!(tokens.rules.headers, ["authorization", "txn-token"]);
    let own = &tokens.issuers[1];
    assert!(matches!((&own.keys, &own.mapping), (KeyPlace::Own, Mapping::Delegated(_))));
    assert_eq!(own.rules.types, ["at+jwt", "txntoken+jwt"]);
    assert!(own.rules.algorithms.contains(&Algorithm::Es384));
    for (more, complaint) in [
        ("jwks_file: x", "must have exactly one of"),
        ("spiffe: true", "of SPIFFE the trust domains are the issuers"),
        ("discovery: true", "must have exactly one of"),
        ("refresh: 1m", "has no use with `delegated: true`"),
        ("ca_file: x", "has no use with `delegated: true`"),
        ("claims: {type: Workload}", "a `Workload` is whom a trust domain vouches for"),
    ] {
        let told = complaints(&sources(&yaml.replace("delegated: true", &format!("delegated: true, {more}"))));
        assert!(told.contains(complaint), "{more}: {told}");
    }
    let nameless = complaints(&sources(&yaml.replace(", issuer: 'https://gate.example'", "")));
    assert!(nameless.contains("needs an `issuer`"), "{nameless}");
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
