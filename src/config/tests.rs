//! What a user sees: messages to the letter, layers, origins, secrets, and that the documentation is true.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::identity::authority::KeyCustody;
use node::Value;
use portcullis_spiffe::SpiffeId;

use crate::foundation::clock::Timestamp;
use crate::identity::registry::Parents;

mod answers;
mod callers;
mod entities;
mod faults;
mod jwt;
mod layering;
mod reference;
mod tokens;

fn sources(yaml: &str) -> Sources {
    Sources::text("p.yaml", Path::new("/etc/portcullis"), yaml)
}

fn load(yaml: &str) -> Loaded {
    Loaded::read(&sources(yaml)).unwrap_or_else(|errors| panic!("{errors}"))
}

fn complaints(sources: &Sources) -> String {
    Loaded::read(sources).expect_err("an invalid configuration").to_string()
}

fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn a_trust_domain_is_all_it_takes() {
    let config = load("trust_domain: example.org").config;
    assert_eq!(config.trust_domain.as_str(), "example.org");
    assert_eq!(config.data_dir, Path::new("/etc/portcullis/data"));
    assert_eq!(config.store.url.to_string(), "sqlite:/etc/portcullis/data/portcullis.db");
    let seal_key_file = "/etc/portcullis/data/seal.key".into();
    assert_eq!(config.identity.keys, KeyCustody::Sealed { seal_key_file });
    assert_eq!(config.audit.file, AuditFile::Path("/etc/portcullis/data/audit.jsonl".into()));
    assert_eq!(config.listen.workload[0].to_string(), "unix:/etc/portcullis/run/workload.sock?mode=0666");
    assert_eq!(config.listen.ext_authz[0].to_string(), "unix:/etc/portcullis/run/ext_authz.sock?mode=0660");
    assert!(config.identity.entries.is_empty());
}

/// What weakens attestation is never on unless somebody said so, in so many words.
#[test]
fn a_lookup_by_process_id_is_allowed_only_explicitly() {
    assert!(!load("trust_domain: a").config.identity.attest_by_pid_lookup);
    assert!(load("trust_domain: a\nidentity: {attest_by_pid_lookup: true}").config.identity.attest_by_pid_lookup);
    let variables = environment(&[("PORTCULLIS_IDENTITY__ATTEST_BY_PID_LOOKUP", "true")]);
    let loaded = Loaded::read(&sources("trust_domain: a").with_environment(variables)).unwrap();
    assert!(loaded.config.identity.attest_by_pid_lookup);
    for unclear in ["yes", "1", "'true'", "", "[true]"] {
        let yaml = format!("trust_domain: a\nidentity: {{attest_by_pid_lookup: {unclear}}}");
        let complaints = complaints(&sources(&yaml));
        assert!(complaints.starts_with("p.yaml:2:"), "{complaints}");
        assert!(complaints.contains("identity.attest_by_pid_lookup: "), "{complaints}");
    }
}

#[test]
fn the_quickstart_is_valid_and_says_what_the_demo_relies_on() {
    let config = load(include_str!("../../examples/quickstart/portcullis.yaml")).config;
    let granted: Vec<_> = config.identity.entries.iter().map(|entry| entry.terms.spiffe_id.path()).collect();
    assert_eq!(granted, ["/web", "/batch", "/orders"]);
    assert_eq!(config.listen.ext_authz[0].to_string(), "unix:/tmp/portcullis-quickstart/run/ext_authz.sock?mode=0666");
    assert_eq!(config.decision.policies, Path::new("/etc/portcullis/../../policies/quickstart"));
}

#[test]
fn entries_are_read_whole_and_their_ids_are_stable() {
    let yaml = "trust_domain: example.org
identity:
  entries:
    - id: web-1
      spiffe_id: spiffe://example.org/web
      parent_id: spiffe://example.org/node/1
      selectors: [unix:uid:1000, 'unix:path:/bin/web']
      x509_svid_ttl: 30s
      dns_names: [web.internal]
      jwt_svid_ttl: 5m
      federates_with: [partner.example]
      hint: internal
      admin: true
      downstream: true
      store_svid: true
      expires_at: 2027-01-15T08:00:00Z
      jwt_svid_include_jti: true
    - spiffe_id: spiffe://example.org/web
      selectors: [unix:uid:1000]
";
    let entries = load(yaml).config.identity.entries;
    assert_eq!(&*entries[0].id, "web-1");
    assert_eq!(entries[0].terms.selectors.len(), 2);
    assert_eq!(entries[0].terms.x509_svid_ttl, Some(std::time::Duration::from_secs(30)));
    assert_eq!(entries[0].terms.dns_names, ["web.internal"]);
    assert_eq!(entries[0].terms.federates_with.len(), 1);
    assert_eq!(entries[0].terms.hint, "internal");
    assert_eq!(entries[0].terms.jwt_svid_ttl, Some(std::time::Duration::from_mins(5)));
    assert!(entries[0].terms.admin && entries[0].terms.downstream && entries[0].terms.store_svid);
    assert_eq!(entries[0].terms.expires_at, Some(Timestamp::from_unix_seconds(1_800_000_000)));
    assert!(entries[0].terms.additional.is_some_and(|additional| additional.jwt_svid_include_jti));
    assert_eq!(entries[1].terms.additional, None);
    assert_eq!(&*entries[1].id, "515b1bccde806db06a3ba4bdc68c9692");
}

#[test]
fn parents_are_any_or_these_and_our_own() {
    let parents =
        |yaml: &str| load(&format!("trust_domain: example.org\nidentity: {{{yaml}}}")).config.identity.parents;
    let own = "spiffe://example.org/spire/agent/portcullis".parse().unwrap();
    let node: SpiffeId = "spiffe://example.org/node".parse().unwrap();
    assert_eq!(parents(""), Parents::Any);
    assert_eq!(parents("parents: any"), Parents::Any);
    assert_eq!(parents("parents: spiffe://example.org/node"), Parents::these([node.clone(), own]));
    assert_eq!(parents("parents: [spiffe://example.org/node]"), parents("parents: spiffe://example.org/node"));
}

#[test]
fn a_section_whose_keys_are_all_commented_out_has_its_defaults() {
    assert_eq!(load("trust_domain: example.org\nidentity:\nlog:\n").config.log.filter, "info");
}

#[test]
fn a_listener_is_one_address_a_list_or_none() {
    let config = load("trust_domain: a\nlisten: {authzen: ['tcp:127.0.0.1:1', 'fd:web'], operations: []}").config;
    assert_eq!(config.listen.authzen.len(), 2);
    assert!(config.listen.operations.is_empty());
    let beyond = "trust_domain: a\nlisten: {authzen: 'tcp:[::]:1', plaintext_beyond_loopback: true}";
    assert_eq!(load(beyond).config.listen.authzen[0].address.to_string(), "tcp:[::]:1");
}

#[test]
fn what_is_shown_is_a_configuration_that_says_the_same() {
    let first = load(
        "trust_domain: example.org\nidentity:\n  entries:\n  - spiffe_id: spiffe://example.org/a\n    selectors: [unix:uid:1]\n",
    );
    let shown = first.show(false).unwrap();
    assert_eq!(load(&shown).show(false).unwrap(), shown);
    let annotated = first.show(true).unwrap();
    assert_eq!(load(&annotated).show(false).unwrap(), shown);
    for line in annotated.lines() {
        assert!(
            line.contains(" # ") != line.ends_with(':'),
            "every line has a value with its origin, or opens: {line}"
        );
    }
}

#[test]
fn a_password_is_never_shown() {
    let text = "trust_domain: a\nstore: {url: 'postgres://u:hunter2@db/p'}";
    let loaded = load(text);
    for shown in [loaded.show(true).unwrap(), loaded.show(false).unwrap(), format!("{loaded:?}")] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    assert!(loaded.show(false).unwrap().contains("postgres://u:…@db/p"));
    let flag = Override::set("store.url=postgres://u:hunter2@db").unwrap();
    let environment = environment(&[("PORTCULLIS_STORE__URL", "postgres://u:hunter2@db")]);
    let all = sources(text).with_environment(environment).with_overrides(vec![flag]);
    assert!(!format!("{all:?}").contains("hunter2"));
}

#[test]
fn a_complaint_about_a_database_does_not_repeat_its_password() {
    for bad in [
        "mysql://u:hunter2@db",
        "'postgres://u:hunter2@x@db'",
        "[hunter2]",
        "{hunter2: hunter2}",
        "'hunter2",
        "*hunter2",
    ] {
        let sources = sources("trust_domain: a").with_environment(environment(&[("PORTCULLIS_STORE__URL", bad)]));
        assert!(!complaints(&sources).contains("hunter2"), "{bad}");
    }
}

proptest! {
    #[test]
    fn no_file_makes_it_panic(text in "(trust_domain: a\n)?[-:{}\\[\\]#&*!|>'\"%@`a0.~? \n\t<]{0,120}") {
        let _any = Loaded::read(&sources(&text));
    }

    #[test]
    fn no_value_of_any_key_makes_it_panic(value in "\\PC{0,60}", index in any::<prop::sample::Index>()) {
        let known = load("trust_domain: a\nidentity: {entries: [{spiffe_id: 'spiffe://a/b', selectors: ['unix:uid:1']}]}");
        let keys: Vec<&str> = known.keys().filter(|key| !key.contains('[')).collect();
        let over = Override::set(&format!("{}={value}", index.get(&keys))).unwrap();
        let _any = Loaded::read(&sources("trust_domain: a").with_overrides(vec![over]));
    }
}
