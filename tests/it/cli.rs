//! The command line: what it prints and how it ends.

use std::process::{Command, Output};

use crate::support::root;

#[test]
fn the_quickstart_configuration_is_good() {
    let output = portcullis(&["config", "check", "-c", "examples/quickstart/portcullis.yaml"], &[]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_bad_configuration_is_told_with_its_place_and_ends_with_64() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("portcullis.yaml");
    for (text, place, what) in [
        ("trust_domain: example.org\nlisten:\n  wrkload: unix:/tmp/a\n", ":3:3:", "wrkload"),
        ("trust_domain: Example.org\n", ":1:15:", "trust domain"),
        ("trust_domain: example.org\nidentity:\n  x509_svid_ttl: soon\n", ":3:18:", "soon"),
        (
            "trust_domain: example.org\nidentity:\n  entries:\n    - spiffe_id: spiffe://example.org/a/../b\n      selectors: [unix:uid:1]\n",
            ":4:18:",
            "..",
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        for command in [&["config", "check"][..], &["serve"]] {
            let path = file.display().to_string();
            let output = portcullis(&[command, &["-c", &path]].concat(), &[]);
            assert_eq!(output.status.code(), Some(64), "{text}\n{output:?}");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains(&format!("{path}{place}")), "{text}\n{said}");
            assert!(said.contains(what), "{text}\n{said}");
        }
    }
}

#[test]
fn origins_name_where_each_value_comes_from() {
    let arguments = ["config", "show", "--origins", "-c", "examples/quickstart/portcullis.yaml"];
    let output = portcullis(&arguments, &[("PORTCULLIS_IDENTITY__X509_SVID_TTL", "20m")]);
    let shown = String::from_utf8(output.stdout).unwrap();
    let line = shown.lines().find(|line| line.contains("x509_svid_ttl")).unwrap_or_else(|| panic!("{shown}"));
    assert!(line.contains("20m") && line.contains("PORTCULLIS_IDENTITY__X509_SVID_TTL"), "{line}");
    assert!(shown.lines().any(|line| line.contains("trust_domain") && line.contains("portcullis.yaml:")), "{shown}");
    assert!(shown.contains("default"), "{shown}");
}

#[test]
fn an_unknown_variable_or_flag_ends_with_64() {
    let arguments = ["config", "check", "-c", "examples/quickstart/portcullis.yaml"];
    let output = portcullis(&arguments, &[("PORTCULLIS_IDENTIY__X509_SVID_TTL", "20m")]);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("PORTCULLIS_IDENTIY__X509_SVID_TTL"));
    assert_eq!(portcullis(&["serve", "--no-such-flag"], &[]).status.code(), Some(64));
}

#[test]
fn a_policy_directory_can_be_checked_before_it_is_used() {
    let good = portcullis(&["policy", "check", "policies/quickstart"], &[]);
    assert!(good.status.success(), "{good:?}");
    let directory = tempfile::tempdir().unwrap();
    std::fs::copy(root().join("policies/quickstart/portcullis.cedarschema"), directory.path().join("a.cedarschema"))
        .unwrap();
    std::fs::write(directory.path().join("a.cedar"), "permit (principal, action, resource)\n  when { context.nope };")
        .unwrap();
    let bad = portcullis(&["policy", "check", &directory.path().display().to_string()], &[]);
    assert_eq!(bad.status.code(), Some(64), "{bad:?}");
    assert!(String::from_utf8_lossy(&bad.stderr).contains("a.cedar:2:"), "{bad:?}");
}

#[test]
fn entities_can_be_checked_before_they_are_used() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("e.json");
    let check = |text: &str| {
        std::fs::write(&file, text).unwrap();
        portcullis(&["policy", "check", "policies/quickstart", "--entities", &file.display().to_string()], &[])
    };
    let good = check(r#"[{"uid": {"type": "Group", "id": "staff"}, "attrs": {}, "parents": []}]"#);
    assert!(good.status.success(), "{good:?}");
    assert!(String::from_utf8_lossy(&good.stdout).ends_with("e.json: 1 entities\n"), "{good:?}");
    let bad = check("[\n{\"uid\": {\"type\": \"Group\", \"id\": \"staff\"}, \"attrs\": {\"x\": 1}, \"parents\": []}]");
    assert_eq!(bad.status.code(), Some(64), "{bad:?}");
    let told = String::from_utf8_lossy(&bad.stderr);
    assert!(told.contains("e.json:2:1: the entity `Group::\"staff\"`: `attrs`"), "{told}");
}

#[expect(clippy::disallowed_methods, reason = "only to clear what the developer's own shell may have set")]
fn portcullis(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PORTCULLIS_")) {
        command.env_remove(name);
    }
    command.args(arguments).envs(environment.iter().copied()).current_dir(root()).output().unwrap()
}
