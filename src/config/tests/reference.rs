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

/// Lists of mappings, of which one item is written out.
const LISTS: [&str; 12] = [
    "identity.entries",
    "federation.relationships",
    "decision.entities",
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

/// What the items of these lists have is written out with them.
const IN_LISTS: [&str; 2] = ["delegation.audiences[].", "delegation.subjects.issuers[]."];

#[test]
fn the_documented_defaults_are_in_force() {
    let mut in_force = BTreeMap::new();
    flat("", &load(SMALLEST).effective, &mut in_force);

    let stated: Vec<_> = documented().into_iter().filter_map(|(key, default)| Some((key, default?))).collect();
    assert!(stated.len() > 35, "the document is not understood");
    let mut yaml = String::from("trust_domain: a\n");
    let mut entry = "spiffe_id: 'spiffe://a/b', selectors: ['unix:uid:1']".to_owned();
    let (mut overrides, mut feed) = (Vec::new(), "url: 'https://a/'".to_owned());
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
            && !key.starts_with("delegation.tls.")
            && !IN_LISTS.iter().any(|list| key.starts_with(list))
        {
            overrides.push(Override::set(&format!("{key}={default}")).unwrap());
        }
    }
    writeln!(yaml, "identity: {{entries: [{{{entry}}}]}}").unwrap();
    writeln!(yaml, "decision: {{entities: [{{name: feed, http: {{{feed}}}}}]}}").unwrap();
    writeln!(yaml, "tokens: {{issuers: [{{{issuer}, claims: {{{claims}}}}}]}}").unwrap();
    writeln!(yaml, "federation: {{relationships: [{{{PEER}}}]}}").unwrap();
    writeln!(yaml, "audit: {{context: [{{{chosen}}}]}}").unwrap();
    let callers = format!(
        "bearer: {{issuers: [{{{callers_issuer}, claims: {{{callers_claims}}}}}]}}, properties: [{{{vocabulary}}}], \
         api_keys: [{{name: d, sha256_file: e}}], users: [{{name: f, uid: 1}}]"
    );
    writeln!(yaml, "authzen: {{callers: {{{callers}}}}}").unwrap();
    writeln!(yaml, "{}", delegation(&stated)).unwrap();
    let explicit = Loaded::read(&sources(&yaml).with_overrides(overrides)).unwrap();
    let mut said = BTreeMap::new();
    flat("", &explicit.effective, &mut said);
    // It is not there by itself.
    let stated = stated.into_iter().filter(|(key, _)| !key.starts_with("authzen.tls."));
    for (key, _) in stated {
        assert_eq!(said.get(key), in_force.get(key), "{key}");
    }
}

/// The section `delegation`, with the stated defaults of what is in its lists.
fn delegation(stated: &[(&str, &str)]) -> String {
    let within = |list: &str, but: &str| {
        let names = stated.iter().filter_map(|(key, default)| Some((key.strip_prefix(list)?, default)));
        let names = names.filter(|(name, _)| but.is_empty() || !name.starts_with(but));
        names.map(|(name, default)| format!(", {name}: {default}")).collect::<Vec<_>>().concat()
    };
    let issuers = "delegation.subjects.issuers[].";
    let (rules, claims) = (within(issuers, "claims."), within(&format!("{issuers}claims."), ""));
    let issuer = format!("issuer: 'https://b', audiences: [c], jwks_url: 'https://b/keys'{rules}");
    let audience = format!("name: h{}", within("delegation.audiences[].", ""));
    format!(
        "delegation: {{audiences: [{{{audience}}}], profiles: [{{spiffe_id: 'spiffe://a/b', profile: ai_agent}}], \
         subjects: {{issuers: [{{{issuer}, claims: {{{}}}}}], unscoped: [{{issuer: 'https://b', scopes: []}}]}}}}",
        claims.trim_start_matches(", ")
    )
}

/// A value without where it stands.
fn plain(value: &Value) -> String {
    match value {
        Value::List(items) => format!("{:?}", items.iter().map(|item| plain(&item.value)).collect::<Vec<_>>()),
        other => format!("{other:?}"),
    }
}
