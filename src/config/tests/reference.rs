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
audit:
  context: [{path: ip}]
  exports:
    - {name: o, otlp: {url: 'https://a/logs'}}
    - {name: h, webhook: {url: 'https://a/hook', key_file: k}}
    - {name: f, ocsf_file: e}
  witnesses: {of: [{url: 'https://w/', keys: ['w.example/w+118893fd+BNdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea']}]}
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

/// A witness, likewise.
const WITNESS: &str = "url: 'https://w/', keys: ['w.example/w+118893fd+BNdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea']";

/// Lists of mappings, of which one item is written out.
const LISTS: [&str; 10] = [
    "audit.exports",
    "audit.witnesses.of",
    "identity.entries",
    "federation.relationships",
    "decision.entities",
    "tokens.issuers",
    "authzen.callers.bearer.issuers",
    "authzen.callers.api_keys",
    "authzen.callers.users",
    "authzen.callers.properties",
];

#[test]
fn the_documented_defaults_are_in_force() {
    let mut in_force = BTreeMap::new();
    flat("", &load(SMALLEST).effective, &mut in_force);

    let stated: Vec<_> = documented().into_iter().filter_map(|(key, default)| Some((key, default?))).collect();
    assert!(stated.len() > 35, "the document is not understood");
    let mut yaml = String::from("trust_domain: a\n");
    let mut entry = "spiffe_id: 'spiffe://a/b', selectors: ['unix:uid:1']".to_owned();
    let (mut overrides, mut feed) = (Vec::new(), "url: 'https://a/'".to_owned());
    let (mut otlp, mut hook) = ("url: 'https://a/logs'".to_owned(), "url: 'https://a/hook', key_file: k".to_owned());
    let mut issuer = "issuer: 'https://b', audiences: [c], jwks_url: 'https://b/keys'".to_owned();
    let (mut claims, mut chosen) = (String::new(), "path: ip".to_owned());
    let (mut callers_issuer, mut callers_claims, mut vocabulary) =
        (issuer.clone(), String::new(), "caller: g".to_owned());
    for (key, default) in &stated {
        let default = default.replace("<data_dir>", "data");
        if let Some(name) = key.strip_prefix("identity.entries[].") {
            write!(entry, ", {name}: {default}").unwrap();
        } else if let Some(name) = key.strip_prefix("decision.entities[].http.") {
            write!(feed, ", {name}: {default}").unwrap();
        } else if let Some(name) = key.strip_prefix("tokens.issuers[].claims.") {
            write!(claims, "{name}: {default}, ").unwrap();
        } else if let Some(name) = key.strip_prefix("tokens.issuers[].") {
            write!(issuer, ", {name}: {default}").unwrap();
        } else if let Some(name) = key.strip_prefix("audit.exports[].otlp.") {
            write!(otlp, ", {name}: {default}").unwrap();
        } else if let Some(name) = key.strip_prefix("audit.exports[].webhook.") {
            write!(hook, ", {name}: {default}").unwrap();
        } else if let Some(name) = key.strip_prefix("audit.context[].") {
            write!(chosen, ", {name}: {default}").unwrap();
        } else if let Some(name) = key.strip_prefix("authzen.callers.bearer.issuers[].claims.") {
            write!(callers_claims, "{name}: {default}, ").unwrap();
        } else if let Some(name) = key.strip_prefix("authzen.callers.bearer.issuers[].") {
            write!(callers_issuer, ", {name}: {default}").unwrap();
        } else if let Some(name) = key.strip_prefix("authzen.callers.properties[].") {
            write!(vocabulary, ", {name}: {default}").unwrap();
        } else if !["audit.context"].contains(key)
            && !LISTS.contains(key)
            && !key.starts_with("authzen.tls.")
            && !key.starts_with("oidc.tls.")
        {
            overrides.push(Override::set(&format!("{key}={default}")).unwrap());
        }
    }
    writeln!(yaml, "identity: {{entries: [{{{entry}}}]}}").unwrap();
    writeln!(yaml, "decision: {{entities: [{{name: feed, http: {{{feed}}}}}]}}").unwrap();
    writeln!(yaml, "tokens: {{issuers: [{{{issuer}, claims: {{{claims}}}}}]}}").unwrap();
    writeln!(yaml, "federation: {{relationships: [{{{PEER}}}]}}").unwrap();
    writeln!(yaml, "{}", audit(&chosen, &otlp, &hook)).unwrap();
    let callers = format!(
        "bearer: {{issuers: [{{{callers_issuer}, claims: {{{callers_claims}}}}}]}}, properties: [{{{vocabulary}}}], \
         api_keys: [{{name: d, sha256_file: e}}], users: [{{name: f, uid: 1}}]"
    );
    writeln!(yaml, "authzen: {{callers: {{{callers}}}}}").unwrap();
    let explicit = Loaded::read(&sources(&yaml).with_overrides(overrides)).unwrap();
    let mut said = BTreeMap::new();
    flat("", &explicit.effective, &mut said);
    // It is not there by itself.
    let stated = stated.into_iter().filter(|(key, _)| !key.starts_with("authzen.tls."));
    for (key, _) in stated {
        assert_eq!(said.get(key), in_force.get(key), "{key}");
    }
}

/// The section `audit`, with what a part of the context, a collector and a webhook are given.
fn audit(chosen: &str, otlp: &str, hook: &str) -> String {
    let exports = format!("{{name: o, otlp: {{{otlp}}}}}, {{name: h, webhook: {{{hook}}}}}, {{name: f, ocsf_file: e}}");
    format!("audit: {{context: [{{{chosen}}}], exports: [{exports}], witnesses: {{of: [{{{WITNESS}}}]}}}}")
}

/// A value without where it stands.
fn plain(value: &Value) -> String {
    match value {
        Value::List(items) => format!("{:?}", items.iter().map(|item| plain(&item.value)).collect::<Vec<_>>()),
        other => format!("{other:?}"),
    }
}
