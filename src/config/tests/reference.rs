//! `docs/configuration.md` holds every key, and the defaults that it states are the code's.

use std::collections::BTreeSet;

use super::*;

const DOCUMENT: &str = include_str!("../../../docs/configuration.md");

const SMALLEST: &str = "trust_domain: a
identity:
  attestors: {docker: {}, k8s: {}, systemd: {}}
  entries: [{spiffe_id: 'spiffe://a/b', selectors: ['unix:uid:1']}]
decision:
  entities: [{name: feed, http: {url: 'https://a/'}}]
tokens:
  issuers: [{issuer: 'https://b', audiences: [c], jwks_url: 'https://b/keys'}]
federation:
  relationships: [{trust_domain: b, endpoint: 'https://b/', profile: https_spiffe, spiffe_id: 'spiffe://b/c', bundle: d}]
  identities: [{trust_domain: b}]
outbound:
  targets: [{name: b, token_endpoint: 'https://b/', client: 'spiffe://a/b', audience: 'https://b'}]
audit:
  context: [{path: ip}]
  exports:
    - {name: o, otlp: {url: 'https://a/logs'}}
    - {name: h, webhook: {url: 'https://a/hook', key_file: k}}
    - {name: f, ocsf_file: e}
  witnesses: {of: [{url: 'https://w/', keys: ['w.example/w+118893fd+BNdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea']}]}
delegation:
  audiences: [{name: h}]
  profiles: [{spiffe_id: 'spiffe://a/b', profile: ai_agent}]
  subjects:
    issuers: [{issuer: 'https://b', audiences: [c], jwks_url: 'https://b/keys'}]
    unscoped: [{issuer: 'https://b', scopes: []}]
authzen:
  callers:
    bearer: {issuers: [{issuer: 'https://b', audiences: [c], jwks_url: 'https://b/keys'}]}
    api_keys: [{name: d, sha256_file: e}]
    users: [{name: f, uid: 1}]
    properties: [{caller: g}]";

/// Each key with its default, if it has one, from rows such as `` | `key` | type | `default` | meaning | ``.
fn documented() -> BTreeMap<&'static str, Option<&'static str>> {
    let rows = DOCUMENT.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        match cells.as_slice() {
            ["", key, _type, default, _meaning, ""] if *key != "key" && key.starts_with('`') => {
                let default = default.strip_prefix('`').and_then(|text| text.strip_suffix('`'));
                Some((key.trim_matches('`'), default))
            }
            _ => None,
        }
    });
    rows.collect()
}

/// Every key with its effective value, `[]` for the index of a list.
fn flat(path: &str, node: &Node, into: &mut BTreeMap<String, String>) {
    match &node.value {
        Value::Mapping(members) => {
            for member in members {
                let dot = if path.is_empty() { "" } else { "." };
                flat(&format!("{path}{dot}{}", member.key), &member.node, into);
            }
        }
        Value::List(items) if items.iter().any(|item| matches!(item.value, Value::Mapping(_))) => {
            for item in items {
                flat(&format!("{path}[]"), item, into);
            }
        }
        value => {
            into.insert(path.to_owned(), plain(value));
        }
    }
}

#[test]
fn every_key_is_documented_and_every_documented_key_exists() {
    let loaded = load(SMALLEST);
    let sections: BTreeSet<&str> =
        loaded.keys().filter_map(|key| key.rsplit_once('.')).map(|(section, _)| section).collect();
    let leaves: BTreeSet<&str> = loaded.keys().filter(|key| !sections.contains(key)).collect();
    assert_eq!(documented().into_keys().collect::<BTreeSet<_>>(), leaves);
}

/// A relationship, none of whose keys has a default.
const PEER: &str =
    "trust_domain: b, endpoint: 'https://b/', profile: https_spiffe, spiffe_id: 'spiffe://b/c', bundle: d";

/// A service outside, likewise.
const TARGET: &str = "name: b, token_endpoint: 'https://b/', client: 'spiffe://a/b', audience: 'https://b'";

/// A witness, likewise.
const WITNESS: &str = "url: 'https://w/', keys: ['w.example/w+118893fd+BNdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea']";

/// Lists of mappings, of which one item is written out.
const LISTS: [&str; 17] = [
    "audit.context",
    "audit.exports",
    "audit.witnesses.of",
    "identity.entries",
    "federation.relationships",
    "federation.identities",
    "decision.entities",
    "outbound.targets",
    "tokens.issuers",
    "authzen.callers.bearer.issuers",
    "authzen.callers.api_keys",
    "authzen.callers.users",
    "authzen.callers.properties",
    "delegation.audiences",
    "delegation.profiles",
    "delegation.subjects.issuers",
    "delegation.subjects.unscoped",
];

/// The keys of one item of each list that has defaults, the narrower first, and what the item takes at least.
const ITEMS: [(&str, &str); 15] = [
    ("identity.entries[].", "spiffe_id: 'spiffe://a/b', selectors: ['unix:uid:1']"),
    ("decision.entities[].http.", "url: 'https://a/'"),
    ("tokens.issuers[].claims.", ""),
    ("tokens.issuers[].", ISSUER),
    ("federation.identities[].", "trust_domain: b"),
    ("audit.exports[].otlp.", "url: 'https://a/logs'"),
    ("audit.exports[].webhook.", "url: 'https://a/hook', key_file: k"),
    ("audit.context[].", "path: ip"),
    ("authzen.callers.bearer.issuers[].claims.", ""),
    ("authzen.callers.bearer.issuers[].", ISSUER),
    ("authzen.callers.properties[].", "caller: g"),
    ("delegation.audiences[].", "name: h"),
    ("delegation.subjects.issuers[].claims.", ""),
    ("delegation.subjects.issuers[].", ISSUER),
    ("outbound.targets[].", TARGET),
];

/// An issuer, likewise.
const ISSUER: &str = "issuer: 'https://b', audiences: [c], jwks_url: 'https://b/keys'";

/// What has defaults only where there are certificates.
const CERTIFICATES: [&str; 3] = ["authzen.tls.", "oidc.tls.", "delegation.tls."];

/// A configuration with these items in their lists.
fn written(items: &[(&str, String)]) -> String {
    let item = |prefix: &str| &*items.iter().find(|(known, _)| *known == prefix).unwrap().1;
    let issuer = |list: &str| {
        let claims = item(&format!("{list}.issuers[].claims."));
        format!("issuers: [{{{}, claims: {{{claims}}}}}]", item(&format!("{list}.issuers[].")))
    };
    let (entry, feed) = (item("identity.entries[]."), item("decision.entities[].http."));
    let (foreign, target) = (item("federation.identities[]."), item("outbound.targets[]."));
    let (otlp, hook) = (item("audit.exports[].otlp."), item("audit.exports[].webhook."));
    let exports = format!("{{name: o, otlp: {{{otlp}}}}}, {{name: h, webhook: {{{hook}}}}}, {{name: f, ocsf_file: e}}");
    let callers = format!(
        "bearer: {{{}}}, properties: [{{{}}}], api_keys: [{{name: d, sha256_file: e}}], users: [{{name: f, uid: 1}}]",
        issuer("authzen.callers.bearer"),
        item("authzen.callers.properties[].")
    );
    [
        "trust_domain: a".to_owned(),
        format!("identity: {{entries: [{{{entry}}}]}}"),
        format!("decision: {{entities: [{{name: feed, http: {{{feed}}}}}]}}"),
        format!("tokens: {{{}}}", issuer("tokens")),
        format!("federation: {{relationships: [{{{PEER}}}], identities: [{{{foreign}}}]}}"),
        format!("outbound: {{targets: [{{{target}}}]}}"),
        format!(
            "audit: {{context: [{{{}}}], exports: [{exports}], witnesses: {{of: [{{{WITNESS}}}]}}}}",
            item("audit.context[].")
        ),
        format!("authzen: {{callers: {{{callers}}}}}"),
        format!(
            "delegation: {{audiences: [{{{}}}], profiles: [{{spiffe_id: 'spiffe://a/b', profile: ai_agent}}], \
             subjects: {{{}, unscoped: [{{issuer: 'https://b', scopes: []}}]}}}}",
            item("delegation.audiences[]."),
            issuer("delegation.subjects")
        ),
        String::new(),
    ]
    .join("\n")
}

#[test]
fn the_documented_defaults_are_in_force() {
    let mut in_force = BTreeMap::new();
    flat("", &load(SMALLEST).effective, &mut in_force);

    let stated: Vec<_> = documented().into_iter().filter_map(|(key, default)| Some((key, default?))).collect();
    assert!(stated.len() > 35, "the document is not understood");
    let (mut items, mut overrides) = (ITEMS.map(|(prefix, least)| (prefix, least.to_owned())), Vec::new());
    for (key, default) in &stated {
        let default = default.replace("<data_dir>", "data");
        let item = items.iter_mut().find_map(|(prefix, item)| Some((key.strip_prefix(*prefix)?, item)));
        if let Some((name, item)) = item {
            let comma = if item.is_empty() { "" } else { ", " };
            write!(item, "{comma}{name}: {default}").unwrap();
        } else if !LISTS.contains(key) && !CERTIFICATES.iter().any(|prefix| key.starts_with(prefix)) {
            overrides.push(Override::set(&format!("{key}={default}")).unwrap());
        }
    }
    let yaml = written(&items);
    let explicit = Loaded::read(&sources(&yaml).with_overrides(overrides)).unwrap();
    let mut said = BTreeMap::new();
    flat("", &explicit.effective, &mut said);
    // It is not there by itself.
    let stated = stated.into_iter().filter(|(key, _)| !key.starts_with("authzen.tls."));
    for (key, _) in stated {
        assert_eq!(said.get(key), in_force.get(key), "{key}");
    }
}

/// A value without where it stands.
fn plain(value: &Value) -> String {
    match value {
        Value::List(items) => format!("{:?}", items.iter().map(|item| plain(&item.value)).collect::<Vec<_>>()),
        other => format!("{other:?}"),
    }
}
