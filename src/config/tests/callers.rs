//! Who may ask over `AuthZEN`, and what is refused because it would be open by accident.

use super::*;
use crate::edge::http::authzen::Identifier;

const DIGEST: &str = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

fn complaint(yaml: &str) -> String {
    complaints(&sources(&format!("trust_domain: a\n{yaml}")))
}

#[test]
fn an_encrypted_listener_beyond_loopback_wants_to_know_who_asks() {
    let open = "listen: {authzen: 'tls:0.0.0.0:8443'}\nauthzen: {tls: {svid: {spiffe_id: 'spiffe://a/pdp'}}}";
    insta::assert_snapshot!(complaint(open), @"p.yaml:2:19: listen.authzen: `tls:0.0.0.0:8443` is not loopback, and nobody has to say there who asks; `authzen.callers` says who may, or `listen.unauthenticated_beyond_loopback: true` leaves it open");
    load(&format!("trust_domain: a\n{}", open.replace("0.0.0.0", "127.0.0.1")));
    load(&format!("trust_domain: a\n{}", open.replace("8443'", "8443', unauthenticated_beyond_loopback: true")));
    let known = open.replace("authzen: {tls", "authzen: {callers: {mtls: true}, tls");
    let config = load(&format!("trust_domain: a\n{known}")).config;
    assert!(config.listen.authzen[0].address.tls);
    assert!(!is_open_to_the_network(&config.listen, &config.authzen));
}

#[test]
fn a_plain_listener_beyond_loopback_is_what_it_was_and_known_to_be_open() {
    let config = load("trust_domain: a\nlisten: {authzen: 'tcp:0.0.0.0:80', plaintext_beyond_loopback: true}").config;
    assert!(is_open_to_the_network(&config.listen, &config.authzen));
    let config = load("trust_domain: a").config;
    assert!(!is_open_to_the_network(&config.listen, &config.authzen));
    assert!(config.authzen.callers.is_nobody());
}

#[test]
fn tls_and_its_listener_come_together() {
    insta::assert_snapshot!(complaint("listen: {authzen: 'tls:127.0.0.1:8443'}"), @"p.yaml:2:19: listen.authzen: `tls:127.0.0.1:8443` needs `authzen.tls`, which says what certificate is shown");
    insta::assert_snapshot!(complaint("authzen: {tls: {certificate_file: a, key_file: b}, callers: {mtls: true}}"), @r"
    p.yaml:2:10: authzen: `callers.mtls` has no use without an address `tls:IP:PORT` in `listen.authzen`: certificates are shown nowhere else
    p.yaml:2:10: authzen: `tls` has no use without an address `tls:IP:PORT` in `listen.authzen`
    ");
    insta::assert_snapshot!(complaint("listen: {operations: 'tls:127.0.0.1:8443'}"), @"p.yaml:2:22: listen.operations: `tls:127.0.0.1:8443`: this can't be encrypted; `listen.authzen`, `bundle_web`, `bundle_spiffe` and `oidc` can");
    insta::assert_snapshot!(complaint("listen: {authzen: 'tls:127.0.0.1:1'}\nauthzen: {tls: {certificate_file: a}}"), @"p.yaml:3:16: authzen.tls: must have either `certificate_file` and `key_file`, or `svid`");
    let foreign =
        complaint("listen: {authzen: 'tls:127.0.0.1:1'}\nauthzen: {tls: {svid: {spiffe_id: 'spiffe://b/pdp'}}}");
    assert!(foreign.starts_with("p.yaml:3:35: authzen.tls.svid.spiffe_id: "), "{foreign}");
}

#[test]
fn each_listener_may_have_a_certificate_and_callers_of_its_own() {
    let svid = |name: &str| format!("tls: {{svid: {{spiffe_id: 'spiffe://a/{name}'}}}}");
    let yaml = format!(
        "listen:
  authzen:
    - unix:run/authzen.sock
    - {{address: 'tls:127.0.0.1:1', callers: {{mtls: true}}}}
    - {{address: 'tls:127.0.0.1:2', {}, callers: {{api_keys: [{{name: shop, sha256: {DIGEST}}}], policy: true}}}}
    - {{address: 'tcp:127.0.0.1:3', callers: {{}}}}
authzen: {{{}, callers: {{users: [{{name: x, uid: 1}}]}}}}",
        svid("own"),
        svid("pdp")
    );
    let loaded = load(&format!("trust_domain: a\n{yaml}"));
    let Config { listen, authzen, .. } = &loaded.config;
    let shown = |listener: &AuthzenListener| match listener.tls(authzen) {
        Some(ServerTls::Svid { spiffe_id, .. }) => spiffe_id.as_str().to_owned(),
        other => panic!("{other:?}"),
    };
    let [plain, workloads, shop, open] = &listen.authzen[..] else { panic!("four listeners") };
    assert!(plain.address.to_string().ends_with("run/authzen.sock?mode=0660"), "{}", plain.address);
    assert_eq!(plain.callers(authzen).users.len(), 1, "without a word it is as the section says");
    assert_eq!((shown(workloads), shown(shop)), ("spiffe://a/pdp".to_owned(), "spiffe://a/own".to_owned()));
    let ways = |listener: &AuthzenListener| {
        let callers = listener.callers(authzen);
        (callers.mtls, callers.api_keys.len(), callers.users.len(), callers.policy)
    };
    assert_eq!((ways(workloads), ways(shop)), ((true, 0, 0, false), (false, 1, 0, true)), "nothing is added up");
    assert!(open.callers(authzen).is_nobody());
    assert!(decides_on_callers(listen, authzen));
    assert!(!is_open_to_the_network(listen, authzen));
    let shown = loaded.show(false).unwrap();
    assert!(shown.contains("- address: tls:127.0.0.1:1\n"), "{shown}");
    let again = Loaded::read(&sources(&shown)).unwrap();
    assert_eq!(again.show(false).unwrap(), shown, "what is shown can be read again");
}

#[test]
fn what_one_listener_says_of_itself_must_go_together() {
    let at = |entry: &str| complaint(&format!("listen: {{authzen: [{{{entry}}}]}}"));
    insta::assert_snapshot!(at("address: 'tcp:127.0.0.1:1', tls: {certificate_file: a, key_file: b}, callers: {mtls: true}"), @r"
    p.yaml:2:30: listen.authzen: `tcp:127.0.0.1:1` is not encrypted, so that its `tls` has no use
    p.yaml:2:30: listen.authzen: `tcp:127.0.0.1:1` is not encrypted, so that no certificate is shown for its `callers.mtls`
    ");
    insta::assert_snapshot!(at("address: 'tls:0.0.0.0:1', tls: {certificate_file: a, key_file: b}"), @"p.yaml:2:30: listen.authzen: `tls:0.0.0.0:1` is not loopback, and nobody has to say there who asks; `authzen.callers` says who may, or `listen.unauthenticated_beyond_loopback: true` leaves it open");
    for (entry, expected) in [
        ("tls: {certificate_file: a, key_file: b}", "listen.authzen[0].address: is missing, and has no default"),
        (
            "address: 'tls:127.0.0.1:1', tsl: {}",
            "listen.authzen[0].tsl: unknown key; did you mean `listen.authzen[].tls`?",
        ),
        ("address: 'tls:127.0.0.1:1', callers: {policy: true}", "listen.authzen[0].callers.policy: has no use"),
        ("address: [], callers: {}", "listen.authzen[0].address: expected an address"),
    ] {
        assert!(at(entry).contains(expected), "{}", at(entry));
    }
    let open = "listen: {authzen: [{address: 'tls:0.0.0.0:1', callers: {}}]}
authzen: {tls: {certificate_file: a, key_file: b}, callers: {api_keys: [{name: b, sha256_file: c}]}}";
    assert!(complaint(open).contains("nobody has to say there who asks"), "it is its own rules that hold");
    let unused = "listen: {authzen: [{address: 'tls:127.0.0.1:1', tls: {certificate_file: a, key_file: b}}]}
authzen: {tls: {certificate_file: a, key_file: b}}";
    assert!(complaint(unused).contains("`tls` has no use"), "{}", complaint(unused));
    let twice = "listen: {authzen: ['tcp:127.0.0.1:1', {address: 'tcp:127.0.0.1:1'}]}";
    assert!(complaint(twice).contains("is taken by `listen.authzen`"), "{}", complaint(twice));
}

#[test]
fn several_tenants_have_several_paths() {
    let two = "authzen: {identifier: ['https://a.test', 'https://a.test/t1', 'https://b.test/t2']}";
    let config = load(&format!("trust_domain: a\n{two}")).config;
    assert_eq!(config.authzen.identifiers.iter().map(Identifier::path).collect::<Vec<_>>(), ["", "/t1", "/t2"]);
    let one = load("trust_domain: a\nauthzen: {identifier: 'https://a.test/t1'}").config;
    assert_eq!(one.authzen.identifiers.len(), 1);
    let same = complaint("authzen: {identifier: ['https://a.test/t1', 'https://b.test/t1']}");
    insta::assert_snapshot!(same, @"p.yaml:2:23: authzen.identifier: `https://b.test/t1` has the same path as one before it");
}

#[test]
fn what_a_caller_may_overlay_is_named() {
    let may = "authzen: {callers: {properties: [{caller: x, subject_overlay: department, resource_overlay: [a, b]}]}}";
    load(&format!("trust_domain: a\n{may}"));
    let all = complaint("authzen: {callers: {properties: [{caller: x, subject_overlay: '*'}]}}");
    insta::assert_snapshot!(all, @"p.yaml:2:63: authzen.callers.properties[0].subject_overlay: `*` can't stand here: what comes before what is stored is granted by name");
}

#[test]
fn a_key_is_known_by_its_digest_and_is_not_repeated_if_it_is_none() {
    let keys = |keys: &str| format!("authzen: {{callers: {{api_keys: [{keys}]}}}}");
    let config = load(&format!("trust_domain: a\n{}", keys(&format!("{{name: shop, sha256: {DIGEST}}}")))).config;
    assert_eq!(&*config.authzen.callers.api_keys[0].name, "shop");
    let said = complaint(&keys("{name: shop, sha256: 'hunter2-hunter2-hunter2'}"));
    assert!(said.contains("never the key itself") && !said.contains("hunter2"), "{said}");
    let nothing = Digest::of(b"");
    assert!(complaint(&keys(&format!("{{name: shop, sha256: '{nothing}'}}"))).contains("SHA-256 of nothing"));
    let both = complaint(&keys(&format!("{{name: shop, sha256: {DIGEST}, sha256_file: x}}")));
    assert!(both.contains("exactly one of `sha256` and `sha256_file`"), "{both}");
    assert!(complaint(&keys(&format!("{{name: 'spiffe://a/b', sha256: {DIGEST}}}"))).contains("1 to 64 letters"));
}

#[test]
fn what_could_pass_for_another_caller_or_never_holds_is_refused() {
    assert!(complaint("authzen: {callers: {policy: true}}").contains("has no use as long as nobody has to say"));
    let twice = "authzen: {callers: {users: [{name: x, uid: 1}, {name: y, uid: 1}]}}";
    assert!(complaint(twice).contains("1 is there twice"));
    let named =
        "authzen: {callers: {bearer: {issuers: [{issuer: 'https://b', audiences: [c], jwks_url: 'https://b/keys',
        claims: {type: 'Portcullis::Caller'}}]}}}";
    assert!(complaint(named).contains("can't be a `Portcullis::Caller`"), "{}", complaint(named));
    let stars = "authzen: {callers: {properties: [{caller: x, subject: ['*', y]}]}}";
    assert!(complaint(stars).contains("`*` stands alone"));
}

#[test]
fn a_bundle_is_never_served_in_the_clear() {
    for address in ["tcp:127.0.0.1:1", "fd:bundle", "unix:run/bundle.sock"] {
        let complaint = complaint(&format!("listen: {{bundle_web: '{address}'}}"));
        assert!(complaint.contains("a bundle that is not encrypted proves nothing"), "{complaint}");
    }
    let complaint = complaint("listen: {bundle_spiffe: 'tls:127.0.0.1:1'}");
    assert!(complaint.contains("needs `federation.endpoint.spiffe_id`"), "{complaint}");
}
