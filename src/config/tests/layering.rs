//! Environment and flags over the file.

use super::*;

const FILE: &str = "trust_domain: example.org
log: {format: json, filter: warn}
identity:
  entries:
    - {spiffe_id: spiffe://example.org/a, selectors: [unix:uid:1]}
decision:
  cache: {ttl: 5s}
";

fn layered(variables: &[(&str, &str)], flags: &[&str]) -> Sources {
    let overrides = flags.iter().map(|flag| Override::set(flag).unwrap()).collect();
    sources(FILE).with_environment(environment(variables)).with_overrides(overrides)
}

fn read(variables: &[(&str, &str)], flags: &[&str]) -> Config {
    Loaded::read(&layered(variables, flags)).unwrap_or_else(|errors| panic!("{errors}")).config
}

#[test]
fn a_variable_overrides_a_scalar_a_nested_key_and_a_list() {
    let config = read(
        &[
            ("PORTCULLIS_TRUST_DOMAIN", "b.example"),
            ("PORTCULLIS_DECISION__CACHE__TTL", "7s"),
            ("PORTCULLIS_IDENTITY__ENTRIES", "[{spiffe_id: 'spiffe://b.example/x', selectors: ['unix:uid:2']}]"),
            ("PORTCULLIS_LISTEN__AUTHZEN", "[tcp:127.0.0.1:1, tcp:127.0.0.1:2]"),
            ("HOME", "not: [ours"),
        ],
        &[],
    );
    assert_eq!(config.trust_domain.as_str(), "b.example");
    assert_eq!(config.decision.cache.ttl, std::time::Duration::from_secs(7));
    assert_eq!(config.identity.entries[0].terms.spiffe_id.as_str(), "spiffe://b.example/x");
    assert_eq!(config.identity.entries.len(), 1);
    assert_eq!(config.listen.authzen.len(), 2);
}

#[test]
fn a_variable_with_a_mapping_is_merged_and_an_empty_one_takes_no_section_away() {
    let config = read(&[("PORTCULLIS_LOG", "{format: text}"), ("PORTCULLIS_DECISION", "")], &[]);
    assert_eq!(config.log.filter, "warn");
    assert_eq!(config.log.format, crate::foundation::telemetry::LogFormat::Text);
    assert_eq!(config.decision.cache.ttl, std::time::Duration::from_secs(5));
}

#[test]
fn a_flag_overrides_a_variable_and_a_later_flag_an_earlier_one() {
    let variables = [("PORTCULLIS_LOG__FILTER", "debug")];
    assert_eq!(read(&variables, &[]).log.filter, "debug");
    assert_eq!(read(&variables, &["log.filter=trace"]).log.filter, "trace");
    assert_eq!(read(&variables, &["log.filter=trace", "log.filter=error"]).log.filter, "error");
    assert_eq!(read(&[], &["listen.operations=[]"]).listen.operations, []);
}

#[test]
fn a_flag_of_its_own_takes_plain_text() {
    let sources = sources(FILE).with_overrides(vec![Override::flag("--data-dir", "data_dir", "/a: b")]);
    assert_eq!(Loaded::read(&sources).unwrap().config.data_dir, Path::new("/a: b"));
}

#[test]
fn an_error_names_the_variable_or_the_flag() {
    let sources = layered(
        &[
            ("PORTCULLIS_LOG__FLITER", "debug"),
            ("PORTCULLIS_DATA_DIR", ""),
            ("PORTCULLIS_Data_Dir", "x"),
            ("PORTCULLIS_LOG___FILTER", "x"),
            ("PORTCULLIS_STORE", "{"),
            ("PORTCULLIS_IDENTITY__ENTRIES", "[{selectors: [unix]}]"),
        ],
        &["shutdown.deadline=soon", "a..b=1", "listen.authzen.x=1"],
    );
    insta::assert_snapshot!(complaints(&sources), @r"
    PORTCULLIS_DATA_DIR: data_dir: expected a path, found nothing
    PORTCULLIS_Data_Dir: the name of a variable is in upper case
    PORTCULLIS_IDENTITY__ENTRIES: identity.entries[0].selectors: `unix`: a selector has the form `type:value`, both not empty
    PORTCULLIS_IDENTITY__ENTRIES: identity.entries[0].spiffe_id: is missing, and has no default
    PORTCULLIS_LOG__FLITER: log.fliter: unknown key; did you mean `log.filter`?
    PORTCULLIS_LOG___FILTER: log._filter: unknown key; did you mean `log.filter`?
    PORTCULLIS_STORE: unclosed bracket '{'
    --set a..b: does not name a key: that is `section.key`, or `SECTION__KEY` in a variable
    --set listen.authzen.x: listen.authzen: expected an address: `tcp:IP:PORT`, `tls:IP:PORT`, `unix:PATH`, `unix:PATH?mode=0660` or `fd:NAME`, found a mapping
    --set shutdown.deadline: shutdown.deadline: `soon` is not a duration such as `500ms`, `90s`, `15m`, `24h` or `30d`
    ");
}

#[test]
fn an_override_does_not_hide_that_the_file_is_no_mapping() {
    let sources = sources("- a\n").with_environment(environment(&[("PORTCULLIS_TRUST_DOMAIN", "a")]));
    assert_eq!(complaints(&sources), "p.yaml:1:1: expected a mapping, found a list");
}

#[test]
fn an_empty_file_will_do_if_the_environment_says_the_rest() {
    for text in ["", "# nothing\n", "---\n"] {
        let sources = sources(text).with_environment(environment(&[("PORTCULLIS_TRUST_DOMAIN", "a")]));
        assert!(Loaded::read(&sources).is_ok(), "{text:?}");
    }
}

#[test]
fn the_service_links_of_kubernetes_are_let_be_but_only_there() {
    let links = [
        ("PORTCULLIS_SERVICE_HOST", "10.0.0.1"),
        ("PORTCULLIS_SERVICE_PORT", "8181"),
        ("PORTCULLIS_SERVICE_PORT_AUTHZEN", "8181"),
        ("PORTCULLIS_PORT", "tcp://10.0.0.1:8181"),
        ("PORTCULLIS_PORT_8181_TCP", "tcp://10.0.0.1:8181"),
        ("PORTCULLIS_PORT_8181_TCP_PROTO", "tcp"),
        ("PORTCULLIS_PORT_8181_TCP_PORT", "8181"),
        ("PORTCULLIS_PORT_8181_TCP_ADDR", "10.0.0.1"),
        ("PORTCULLIS_AUTHZ_SERVICE_HOST", "10.0.0.2"),
    ];
    assert_eq!(complaints(&layered(&links, &[])).lines().count(), links.len());
    let mut inside = links.to_vec();
    inside.push(("KUBERNETES_SERVICE_HOST", "10.0.0.1"));
    read(&inside, &[]);
    inside.push(("PORTCULLIS_LOG__FLITER", "debug"));
    assert_eq!(complaints(&layered(&inside, &[])).lines().count(), 1);
}

#[test]
fn origins_are_told_line_by_line() {
    let sources = layered(&[("PORTCULLIS_LOG__FORMAT", "text")], &["shutdown.deadline=3s"]);
    let shown = Loaded::read(&sources).unwrap().show(true).unwrap();
    let lines: Vec<&str> = shown
        .lines()
        .filter(|line| {
            ["trust_domain", "data_dir", "format", "filter", "- unix:uid", "deadline", "hint", "entries"]
                .iter()
                .any(|key| line.contains(key))
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    trust_domain: example.org # p.yaml:1
    data_dir: /etc/portcullis/data # default
      entries:
        - unix:uid:1 # p.yaml:5
        hint: "" # default
      format: text # env PORTCULLIS_LOG__FORMAT
      filter: warn # p.yaml:2
      deadline: 3s # flag --set shutdown.deadline
    "#);
}
