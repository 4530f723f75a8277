//! The section `outbound`.

use super::*;

const TARGET: &str = "name: billing, token_endpoint: 'https://login.example.com/token', client: 'spiffe://a/web', \
                      audience: 'https://login.example.com'";

fn with(targets: &str) -> String {
    format!("trust_domain: a\noutbound:\n  targets: [{targets}]\n")
}

#[test]
fn the_client_alone_gets_the_token_unless_others_are_named() {
    let targets = format!("{{{TARGET}}}, {{{}, workloads: ['spiffe://a/b']}}", TARGET.replace("billing", "other"));
    let workloads: Vec<Vec<String>> = load(&with(&targets))
        .config
        .outbound
        .targets
        .iter()
        .map(|one| one.target.workloads.iter().map(ToString::to_string).collect())
        .collect();
    assert_eq!(workloads, [["spiffe://a/web"], ["spiffe://a/b"]]);
}

#[test]
fn what_could_not_work_or_would_be_told_to_anybody_is_refused() {
    for (from, to, complaint) in [
        ("https://login.example.com/token", "http://login.example.com/token", "must be `https://…`"),
        ("https://login.example.com/token", "https://u:p@login.example.com/", "must not hold a user"),
        ("spiffe://a/web", "spiffe://b/web", "outbound.targets[0].client: `spiffe://b/web`: "),
        ("name: billing", "name: Billing", "is not 1 to 64 lower-case letters"),
        ("name: billing", "name: ''", "is not 1 to 64 lower-case letters"),
        ("'https://login.example.com'", "''", "outbound.targets[0].audience: it is empty"),
        ("name: billing", "name: billing, assertion_type: saml", "neither `jwt-spiffe` nor `jwt-bearer`"),
        (
            "name: billing",
            "name: billing, workloads: ['spiffe://b/web']",
            "outbound.targets[0].workloads: `spiffe://b/web`",
        ),
        ("name: billing, ", "", "outbound.targets[0].name: is missing"),
    ] {
        let said = complaints(&sources(&with(&format!("{{{}}}", TARGET.replacen(from, to, 1)))));
        assert!(said.contains(complaint), "{to}: {said}");
        assert!(!said.contains("u:p@"), "{said}");
    }
    let twice = complaints(&sources(&with(&format!("{{{TARGET}}}, {{{TARGET}}}"))));
    assert!(twice.contains("outbound.targets[1].name: `billing` is the name of another target too"), "{twice}");
}
