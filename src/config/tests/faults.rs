//! Bad files, and what is said of them to the letter.

use super::*;

#[test]
fn an_unknown_key_with_the_one_that_was_meant() {
    let yaml = "trust_domain: example.org
identity:
  x509_svid_tll: 1h
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @"p.yaml:3:3: identity.x509_svid_tll: unknown key; did you mean `identity.x509_svid_ttl`?");
}

#[test]
fn an_unknown_section() {
    let yaml = "trust_domain: example.org
policies: x
colour: {a: 1}
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @r"
    p.yaml:2:1: policies: unknown key; did you mean `decision.policies`?
    p.yaml:3:1: colour: unknown key
    ");
}

#[test]
fn a_missing_trust_domain() {
    let yaml = "

log:
  filter: info
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @"p.yaml:3:1: trust_domain: is missing, and has no default");
}

#[test]
fn a_wrong_type_everywhere() {
    let yaml = "trust_domain: [a]
data_dir: 5
log: json
listen: {plaintext_beyond_loopback: yes}
audit: {queue: many}
identity: {entries: {}}
shutdown: {deadline: 10}
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @r"
    p.yaml:1:15: trust_domain: expected a trust domain such as `example.org`, found a list
    p.yaml:2:11: data_dir: expected a path, found a number
    p.yaml:3:6: log: expected a mapping, found a text
    p.yaml:4:37: listen.plaintext_beyond_loopback: expected `true` or `false`, found a text
    p.yaml:5:16: audit.queue: expected a whole number, found a text
    p.yaml:6:21: identity.entries: expected a list, found a mapping
    p.yaml:7:22: shutdown.deadline: expected a duration such as `500ms`, `90s`, `15m`, `24h` or `30d`, found a number
    ");
}

#[test]
fn a_key_given_twice() {
    let yaml = "trust_domain: example.org
log:
  filter: info
  filter: debug
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @"p.yaml:4:3: duplicate mapping key `filter` is not allowed here");
}

#[test]
fn yaml_that_is_none() {
    let yaml = "trust_domain: example.org
listen: [tcp:127.0.0.1:1
log: {}
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @"p.yaml:3:1: invalid indentation");
}

#[test]
fn a_bad_trust_domain() {
    let yaml = "trust_domain: Example.org
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @"p.yaml:1:15: trust_domain: `Example.org`: the trust domain has 'E', but only a-z, 0-9, `.`, `-` and `_` may stand there");
}

#[test]
fn bad_spiffe_ids() {
    let yaml = "trust_domain: example.org
identity:
  entries:
    - spiffe_id: spiffe://example.org
      selectors: [unix:uid:1]
    - spiffe_id: spiffe://example.org/a/../b
      selectors: [unix:uid:1]
    - spiffe_id: https://example.org/a
      selectors: [unix:uid:1]
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @r"
    p.yaml:4:18: identity.entries[0].spiffe_id: `spiffe://example.org`: the SPIFFE ID has no path, so it names a trust domain and not a workload
    p.yaml:6:18: identity.entries[1].spiffe_id: `spiffe://example.org/a/../b`: the path of the SPIFFE ID has a `.` or `..` segment
    p.yaml:8:18: identity.entries[2].spiffe_id: `https://example.org/a`: a SPIFFE ID begins with `spiffe://` in lower case
    ");
}

#[test]
fn an_entry_of_another_trust_domain() {
    let yaml = "trust_domain: example.org
identity:
  entries:
    - spiffe_id: spiffe://example.com/web
      parent_id: spiffe://example.net/node
      selectors: [unix:uid:1]
      federates_with: [example.org]
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @r"
    p.yaml:4:18: identity.entries[0].spiffe_id: `spiffe://example.com/web` is not of the trust domain `example.org`
    p.yaml:5:18: identity.entries[0].parent_id: `spiffe://example.net/node` is not of the trust domain `example.org`
    p.yaml:7:23: identity.entries[0].federates_with: `example.org` is this trust domain itself
    ");
}

#[test]
fn entries_without_selectors() {
    let yaml = "trust_domain: example.org
identity:
  entries:
    - spiffe_id: spiffe://example.org/a
    - spiffe_id: spiffe://example.org/b
      selectors: []
    - {}
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @r"
    p.yaml:4:7: identity.entries[0].selectors: is missing, and has no default
    p.yaml:6:18: identity.entries[1].selectors: an entry without selectors would fit every workload; name at least one
    p.yaml:7:7: identity.entries[2].selectors: is missing, and has no default
    p.yaml:7:7: identity.entries[2].spiffe_id: is missing, and has no default
    ");
}

#[test]
fn bad_selectors() {
    let yaml = "trust_domain: example.org
identity:
  entries:
    - spiffe_id: spiffe://example.org/a
      selectors:
        - unix:uid:1
        - unix
        - unix:uid:web
        - gcp:zone:a
        - k8s:ns-label:tier:web
        - docker:label
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @r"
    p.yaml:7:11: identity.entries[0].selectors: `unix`: a selector has the form `type:value`, both not empty
    p.yaml:8:11: identity.entries[0].selectors: `unix:uid:web`: a uid or gid is a plain decimal number
    p.yaml:9:11: identity.entries[0].selectors: `gcp:zone:a`: there is no attestor of this type; known are `unix`, `docker`, `k8s`, `systemd`
    p.yaml:10:11: identity.entries[0].selectors: `k8s:ns-label:tier:web`: known of `k8s` are `ns`, `sa`, `container-name`, `container-image`, `node-name`, `pod-label`, `pod-owner`, `pod-owner-uid`, `pod-uid`, `pod-name`, `pod-image`, `pod-image-count`, `pod-init-image`, `pod-init-image-count`
    p.yaml:11:11: identity.entries[0].selectors: `docker:label`: `docker:label` needs a value
    ");
}

#[test]
fn attestors() {
    let yaml = "trust_domain: example.org
identity:
  attestors:
    timeout: 5s
    docker: {sockets: [/run/docker.sock]}
    k8s:
      node_name: no name
      kubelet_port: 0
      poll_attempts: 10
      poll_interval: 500ms
  entries:
    - {spiffe_id: spiffe://example.org/a, selectors: [k8s:ns:default, unix:uid:1]}
    - {spiffe_id: spiffe://example.org/b, selectors: ['systemd:id:web.service']}
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @r"
    p.yaml:5:14: identity.attestors.docker.sockets: unknown key; did you mean `identity.attestors.docker.socket`?
    p.yaml:7:18: identity.attestors.k8s.node_name: `no name` is neither a host name nor an IP address
    p.yaml:8:21: identity.attestors.k8s.kubelet_port: 0 is less than 1
    p.yaml:10:22: identity.attestors.k8s.poll_interval: 10 attempts, one in 500ms, do not fit into `identity.attestors.timeout`, which is 5s
    ");
    let dead = "trust_domain: example.org
identity:
  attestors: {docker: {}}
  entries:
    - {spiffe_id: spiffe://example.org/a, selectors: ['docker:label:app:web']}
    - {spiffe_id: spiffe://example.org/b, selectors: ['systemd:id:web.service']}
";
    insta::assert_snapshot!(complaints(&sources(dead)), @r"
    p.yaml:5:5: identity.entries[1].selectors: no workload has `systemd` selectors unless there is `identity.attestors.systemd`
    ");
}

#[test]
fn duplicate_entries() {
    let yaml = "trust_domain: example.org
identity:
  entries:
    - {spiffe_id: spiffe://example.org/a, selectors: [unix:uid:1, unix:gid:1]}
    - {spiffe_id: spiffe://example.org/a, selectors: [unix:gid:1, unix:uid:1], hint: x}
    - {id: x, spiffe_id: spiffe://example.org/b, selectors: [unix:uid:1]}
    - {id: x, spiffe_id: spiffe://example.org/c, selectors: [unix:uid:1]}
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @r"
    p.yaml:5:7: identity.entries[1]: has the `spiffe_id`, `parent_id` and `selectors` of `identity.entries[0]`
    p.yaml:7:12: identity.entries[3].id: `x` is the id of `identity.entries[2]` too
    ");
}

#[test]
fn entries_that_the_registry_would_refuse() {
    let yaml = "trust_domain: example.org
identity:
  entries:
    - spiffe_id: spiffe://example.org/spire/agent/x
      selectors: [unix:uid:1, unix]
      dns_names: [web, WEB]
      federates_with: [example.org]
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @r"
    p.yaml:4:18: identity.entries[0].spiffe_id: `spiffe://example.org/spire/agent/x` is reserved: no workload may have an identity under `/spire`
    p.yaml:5:31: identity.entries[0].selectors: `unix`: a selector has the form `type:value`, both not empty
    p.yaml:6:18: identity.entries[0].dns_names: the DNS name `WEB` is there twice
    p.yaml:7:23: identity.entries[0].federates_with: `example.org` is this trust domain itself
    ");
}

#[test]
fn parents_that_are_none() {
    let yaml = "trust_domain: example.org
identity:
  parents: [any, spiffe://example.com/a, spiffe://example.org/spire/server, x]
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @"p.yaml:3:77: identity.parents: `x`: a SPIFFE ID begins with `spiffe://` in lower case");
    let yaml = "trust_domain: example.org
identity:
  parents: [any, spiffe://example.com/a, spiffe://example.org/spire/server]
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @r"
    p.yaml:3:12: identity.parents: `any` stands alone
    p.yaml:3:12: identity.parents: `spiffe://example.com/a` is not of the trust domain `example.org`
    p.yaml:3:12: identity.parents: `spiffe://example.org/spire/server` is the parent of aliases, which are for no workload
    ");
}

#[test]
fn other_bad_parts_of_an_entry() {
    let yaml = r#"trust_domain: example.org
identity:
  entries:
    - id: a b
      spiffe_id: spiffe://example.org/a
      selectors: [unix:uid:1]
      x509_svid_ttl: 1s
      jwt_svid_ttl: 1000d
      dns_names: [ok.example, '*.example', Web, 10.0.0.1]
      admin: 1
      expires_at: tomorrow
      hint: "a\nb"
      selector: unix:uid:1
"#;
    insta::assert_snapshot!(complaints(&sources(yaml)), @r"
    p.yaml:4:11: identity.entries[0].id: `a b`: an id has 1 to 255 letters, digits, `.`, `-` and `_`
    p.yaml:7:22: identity.entries[0].x509_svid_ttl: 1s is less than 10s
    p.yaml:8:21: identity.entries[0].jwt_svid_ttl: an SVID of 1000d needs an `identity.authority_ttl` of six times as much
    p.yaml:9:31: identity.entries[0].dns_names: `*.example` is no DNS name: labels of 1 to 63 letters, digits and `-`, the last not a number, no wildcard, 253 characters at most
    p.yaml:9:49: identity.entries[0].dns_names: `10.0.0.1` is no DNS name: labels of 1 to 63 letters, digits and `-`, the last not a number, no wildcard, 253 characters at most
    p.yaml:10:14: identity.entries[0].admin: expected `true` or `false`, found a number
    p.yaml:11:19: identity.entries[0].expires_at: `tomorrow` is not a time such as `2027-01-31T18:00:00Z`
    p.yaml:12:13: identity.entries[0].hint: the hint has control characters
    p.yaml:13:7: identity.entries[0].selector: unknown key; did you mean `identity.entries[].selectors`?
    ");
}

#[test]
fn durations_out_of_bounds() {
    let yaml = "trust_domain: example.org
identity:
  authority_ttl: 90m
  x509_svid_ttl: 1h
decision:
  poll_interval: 2d
  cache: {ttl: 10ms, capacity: -1}
shutdown: {deadline: 1.5s}
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @r"
    p.yaml:4:18: identity.x509_svid_ttl: an SVID of 1h needs an `identity.authority_ttl` of six times as much
    p.yaml:6:18: decision.poll_interval: 2d is more than 1h
    p.yaml:7:16: decision.cache.ttl: 10ms is less than 1s
    p.yaml:7:32: decision.cache.capacity: expected a whole number that is not negative
    p.yaml:8:22: shutdown.deadline: `1.5s` is not a duration such as `500ms`, `90s`, `15m`, `24h` or `30d`
    ");
}

#[test]
fn an_authority_shorter_than_the_default_leaf() {
    let yaml = "trust_domain: example.org
identity:
  authority_ttl: 90m
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @"p.yaml:3:18: identity.authority_ttl: an SVID of 1h needs an `identity.authority_ttl` of six times as much");
}

#[test]
fn bad_addresses() {
    let yaml = "trust_domain: example.org
listen:
  ext_authz:
    - unix:run/a?mode=0888
    - unix:run/a?user=x
    - localhost:80
    - tcp:localhost:80
    - 'fd:'
    - unix:/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
  authzen: 8181
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @r"
    p.yaml:4:7: listen.ext_authz: `unix:run/a?mode=0888`: after the path only `?mode=` with up to four octal digits may stand, as in `?mode=0660`, at most 0777
    p.yaml:5:7: listen.ext_authz: `unix:run/a?user=x`: after the path only `?mode=` with up to four octal digits may stand, as in `?mode=0660`, at most 0777
    p.yaml:6:7: listen.ext_authz: `localhost:80`: a listen address begins with `tcp:`, `unix:` or `fd:`
    p.yaml:7:7: listen.ext_authz: `tcp:localhost:80`: after `tcp:` comes an IP address and a port, as in `tcp:127.0.0.1:9191` or `tcp:[::1]:9191`
    p.yaml:8:7: listen.ext_authz: `fd:`: after `fd:` comes the name of a socket as systemd passes it, without `:` and control characters
    p.yaml:9:7: listen.ext_authz: `unix:/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx`: the path has 108 bytes, and a Unix socket's can have 107
    p.yaml:10:12: listen.authzen: expected an address: `tcp:IP:PORT`, `tls:IP:PORT`, `unix:PATH`, `unix:PATH?mode=0660` or `fd:NAME`, found a number
    ");
}

#[test]
fn addresses_within_reach_of_too_many() {
    let yaml = "trust_domain: example.org
listen:
  workload: tcp:127.0.0.1:1
  ext_authz: bad
  authzen: tcp:0.0.0.0:8181
  operations: [tcp:127.0.0.2:1, 'tcp:[::ffff:10.0.0.1]:1', 'tcp:[::1]:2']
  admin: tcp:127.0.0.1:3
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @r"
    p.yaml:3:13: listen.workload: `tcp:127.0.0.1:1`: a caller over TCP can't be attested; use a Unix socket
    p.yaml:4:14: listen.ext_authz: `bad`: a listen address begins with `tcp:`, `unix:` or `fd:`
    p.yaml:5:12: listen.authzen: `tcp:0.0.0.0:8181` is not loopback, and nothing is encrypted there; `listen.plaintext_beyond_loopback: true` allows it
    p.yaml:6:33: listen.operations: `tcp:[::ffff:10.0.0.1]:1` is not loopback, and nothing is encrypted there; `listen.plaintext_beyond_loopback: true` allows it
    p.yaml:7:10: listen.admin: `tcp:127.0.0.1:3`: over TCP it can't be told who calls; use a Unix socket
    ");
}

#[test]
fn an_address_that_is_taken_by_a_default() {
    let yaml = "trust_domain: example.org
listen:
  authzen: tcp:127.0.0.1:9901
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @"p.yaml:3:12: listen.authzen: `tcp:127.0.0.1:9901` is taken by `listen.operations`");
}

#[test]
fn an_address_that_is_taken() {
    let yaml = "trust_domain: example.org
listen:
  ext_authz: [unix:x.sock, unix:/etc/portcullis/x.sock?mode=0600]
  authzen: [tcp:127.0.0.1:0, tcp:127.0.0.1:0]
  operations: tcp:127.0.0.1:1
  workload: [unix:w, unix:x.sock]
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @r"
    p.yaml:3:28: listen.ext_authz: `unix:/etc/portcullis/x.sock?mode=0600` is taken by `listen.ext_authz`
    p.yaml:6:22: listen.workload: `unix:/etc/portcullis/x.sock?mode=0666` is taken by `listen.ext_authz`
    ");
}

#[test]
fn bad_headers() {
    let yaml = "trust_domain: example.org
ext_authz:
  identity_header: 'x caller'
  decision_header: Host
  max_message_bytes: 5
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @r"
    p.yaml:3:20: ext_authz.identity_header: `x caller` is not the name of a header
    p.yaml:4:20: ext_authz.decision_header: `host` means something to HTTP or Envoy already
    p.yaml:5:22: ext_authz.max_message_bytes: 5 is less than 1024
    ");
}

#[test]
fn the_same_header_twice() {
    let yaml = "trust_domain: example.org
ext_authz: {identity_header: X-A, decision_header: x-a}
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @"p.yaml:2:52: ext_authz.decision_header: identity and decision id can't share the header `x-a`");
}

/// `config check` must not call good what `serve` then refuses.
#[test]
fn headers_that_a_backend_could_not_tell_apart() {
    let yaml = "trust_domain: example.org
ext_authz: {identity_header: x_a, decision_header: x-a}
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @"p.yaml:2:52: ext_authz.decision_header: identity and decision id can't share the header `x_a`");
    let yaml = "trust_domain: example.org
ext_authz: {identity_header: authorization, decision_header: x-forwarded-client-cert}
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @r"
    p.yaml:2:30: ext_authz.identity_header: `authorization` means something to HTTP or Envoy already
    p.yaml:2:62: ext_authz.decision_header: `x-forwarded-client-cert` means something to HTTP or Envoy already
    ");
}

#[test]
fn a_header_that_is_the_other_ones_default() {
    let yaml = "trust_domain: example.org
ext_authz: {identity_header: x-portcullis-decision-id}
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @"p.yaml:2:30: ext_authz.identity_header: identity and decision id can't share the header `x-portcullis-decision-id`");
}

#[test]
fn sds_names_that_clash() {
    let yaml = "trust_domain: example.org
identity:
  sds: {default_svid_name: ALL, default_bundle_name: 'spiffe://a', unknown_names: error}
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @r"
    p.yaml:3:28: identity.sds.default_svid_name: two secrets have the name `ALL`
    p.yaml:3:54: identity.sds.default_bundle_name: the name of a secret is not empty and does not begin with `spiffe:`
    p.yaml:3:83: identity.sds.unknown_names: `error` is neither `wait` nor `refuse`
    ");
}

#[test]
fn a_claim_without_a_name_and_a_verifier_that_is_neither_yes_nor_no() {
    let yaml = "trust_domain: example.org
identity:
  workload_api: {allowed_foreign_jwt_claims: [iss, ''], allow_unauthenticated_verifiers: perhaps}
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @r"
    p.yaml:3:46: identity.workload_api.allowed_foreign_jwt_claims: the name of a claim is not empty
    p.yaml:3:90: identity.workload_api.allow_unauthenticated_verifiers: expected `true` or `false`, found a text
    ");
}

#[test]
fn a_dash_without_quotes_and_a_bad_filter() {
    let yaml = "trust_domain: example.org
audit: {file: ~}
log: {filter: 'a=b=c', format: xml}
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @r#"
    p.yaml:2:15: audit.file: expected a path, or "-" in quotes for standard output, or `none`, found nothing
    p.yaml:3:15: log.filter: `a=b=c` is not a filter: error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5
    p.yaml:3:32: log.format: `xml` is neither `json` nor `text`
    "#);
}

#[test]
fn control_characters() {
    let yaml = r#"trust_domain: "a\e[2J\r\nb"
"#;
    insta::assert_snapshot!(complaints(&sources(yaml)), @r"p.yaml:1:15: trust_domain: `a\u{1b}[2J\u{d}\u{a}b`: the trust domain has '\u{1b}', but only a-z, 0-9, `.`, `-` and `_` may stand there");
}

#[test]
fn sockets_that_have_no_file_name() {
    let yaml = "trust_domain: example.org
listen:
  ext_authz: ['unix:', unix:run/, unix:.., \"unix:a\\nb\", unix:a?mode=00660, unix:a?mode=+660, unix:a?mode=]
";
    insta::assert_snapshot!(complaints(&sources(yaml)), @r"
    p.yaml:3:15: listen.ext_authz: `unix:`: after `unix:` comes the absolute path of a file, as in `unix:/run/portcullis/sds.sock`
    p.yaml:3:24: listen.ext_authz: `unix:run/`: after `unix:` comes the absolute path of a file, as in `unix:/run/portcullis/sds.sock`
    p.yaml:3:35: listen.ext_authz: `unix:..`: after `unix:` comes the absolute path of a file, as in `unix:/run/portcullis/sds.sock`
    p.yaml:3:44: listen.ext_authz: `unix:a\u{a}b`: after `unix:` comes the absolute path of a file, as in `unix:/run/portcullis/sds.sock`
    p.yaml:3:57: listen.ext_authz: `unix:a?mode=00660`: after the path only `?mode=` with up to four octal digits may stand, as in `?mode=0660`, at most 0777
    p.yaml:3:76: listen.ext_authz: `unix:a?mode=+660`: after the path only `?mode=` with up to four octal digits may stand, as in `?mode=0660`, at most 0777
    p.yaml:3:94: listen.ext_authz: `unix:a?mode=`: after the path only `?mode=` with up to four octal digits may stand, as in `?mode=0660`, at most 0777
    ");
}
