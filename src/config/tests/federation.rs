//! What of others' identities is let in.

use portcullis_spiffe::SpiffeId;

use super::*;

fn complaint(yaml: &str) -> String {
    complaints(&sources(&format!("trust_domain: a\nfederation: {yaml}")))
}

fn admits(yaml: &str, id: &str) -> bool {
    let config = load(&format!("trust_domain: a\nfederation: {yaml}")).config;
    config.federation.identities.admits(&id.parse::<SpiffeId>().unwrap())
}

#[test]
fn who_lists_nobody_leaves_it_to_the_policies_and_who_lists_somebody_means_nobody_else() {
    let listed = "identities: [{trust_domain: b, paths: [/prod, /ci/runner]}]";
    for (yaml, prod, dev, other) in [
        ("{}".to_owned(), true, true, true),
        ("{unlisted: refuse}".to_owned(), false, false, false),
        (format!("{{{listed}}}"), true, false, false),
        (format!("{{{listed}, unlisted: admit}}"), true, false, true),
        ("{identities: [{trust_domain: b}]}".to_owned(), true, true, false),
        ("{identities: [{trust_domain: b, paths: []}], unlisted: admit}".to_owned(), false, false, true),
    ] {
        let found = ["spiffe://b/prod/web", "spiffe://b/dev", "spiffe://c/prod"].map(|id| admits(&yaml, id));
        assert_eq!(found, [prod, dev, other], "{yaml}");
        assert!(admits(&yaml, "spiffe://a/web"), "{yaml}");
    }
}

#[test]
fn what_is_known_of_a_domain_is_read_as_it_stands_there() {
    let yaml =
        "{identities: [{trust_domain: b, local_name: acme, attributes: {tier: gold, level: 3, eu: true, in: [x, y]}}]}";
    let config = load(&format!("trust_domain: a\nfederation: {yaml}")).config;
    let fact = |name: &str| config.federation.identities.fact(&"b".parse().unwrap(), name);
    let known = ["local_name", "tier", "level", "eu", "in", "other"].map(fact);
    let expected = serde_json::json!(["acme", "gold", 3, true, ["x", "y"]]);
    assert_eq!(serde_json::json!(known.iter().flatten().collect::<Vec<_>>()), expected);
}

#[test]
fn what_could_be_misread_is_refused() {
    for (item, why) in [
        ("{trust_domain: b, paths: [prod]}", "a path begins with `/`"),
        ("{trust_domain: b, paths: [/prod/]}", "empty segment"),
        ("{trust_domain: b, paths: [/prod/../dev]}", "`.` or `..`"),
        ("{trust_domain: b, paths: ['/prod/*']}", "only letters, digits"),
        ("{trust_domain: a}", "is this trust domain itself"),
        ("{trust_domain: b, local_name: 'x y'}", "is not a name"),
        ("{trust_domain: b, attributes: {local_name: x}}", "has a key of its own"),
        ("{trust_domain: b, attributes: {x: 1.5}}", "expected a text, a boolean, a whole number"),
        ("{trust_domain: b, attributes: {x: {y: 1}}}", "found a mapping"),
        ("{trust_domain: b}, {trust_domain: b}", "`b` is there twice"),
        ("{trust_domain: b, local_name: x}, {trust_domain: c, local_name: x}", "two trust domains are called `x`"),
        ("{}", "trust_domain: is missing"),
    ] {
        let said = complaint(&format!("{{identities: [{item}]}}"));
        assert!(said.contains(why), "{item}: {said}");
    }
    assert!(complaint("{unlisted: allow}").contains("is neither `admit` nor `refuse`"));
}
