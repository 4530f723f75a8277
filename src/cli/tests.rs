use std::fs;

use super::*;

struct Said {
    exit: Exit,
    results: String,
    complaints: String,
}

fn portcullis(arguments: &[&str]) -> Said {
    portcullis_in(&[], arguments)
}

fn portcullis_in(environment: &[(&str, &str)], arguments: &[&str]) -> Said {
    let (mut results, mut complaints) = (Vec::new(), Vec::new());
    let environment = environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    let arguments = ["portcullis"].iter().chain(arguments).map(OsString::from);
    let exit = run(arguments, environment, &mut Output::new(&mut results, &mut complaints));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { exit, results: text(results), complaints: text(complaints) }
}

fn file(yaml: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.yaml");
    fs::write(&path, yaml).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

#[test]
fn a_valid_configuration_is_ok() {
    let (_directory, path) = file("trust_domain: example.org\n");
    let said = portcullis(&["config", "check", "-c", &path]);
    assert_eq!((said.exit, said.results, said.complaints), (Exit::Success, format!("{path}: ok\n"), String::new()));
}

#[test]
fn every_error_is_a_line_and_the_exit_code_is_64() {
    let (_directory, path) = file("trust_domain: Example\nlgo: {}\n");
    for command in [&["config", "check"][..], &["config", "show"], &["serve"]] {
        let said = portcullis(&[command, &["-c", &path]].concat());
        assert_eq!(said.exit, Exit::Usage);
        assert!(said.complaints.starts_with(&format!("{path}:1:15: trust_domain: `Example`")), "{}", said.complaints);
        assert!(said.complaints.contains(&format!("\n{path}:2:1: lgo: unknown key")), "{}", said.complaints);
        assert_eq!(said.results, "");
    }
}

#[test]
fn a_file_that_is_not_there_or_not_text_is_an_error_of_usage() {
    let said = portcullis(&["serve", "-c", "/nowhere/p.yaml"]);
    assert_eq!(said.exit, Exit::Usage);
    assert!(said.complaints.starts_with("/nowhere/p.yaml:1:1: can't be read: "), "{}", said.complaints);
    let (_directory, path) = file("");
    fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
    assert_eq!(portcullis(&["config", "check", "-c", &path]).exit, Exit::Usage);
}

#[test]
fn flags_override_the_environment() {
    let (_directory, path) = file("trust_domain: example.org\n");
    let environment = [("PORTCULLIS_LOG__FILTER", "debug"), ("PORTCULLIS_LOG__FORMAT", "text")];
    let said = portcullis_in(
        &environment,
        &[
            "config",
            "show",
            "-c",
            &path,
            "--origins",
            "--log-filter",
            "trace",
            "--data-dir",
            "/d",
            "--set",
            "audit.queue=7",
        ],
    );
    assert_eq!(said.exit, Exit::Success, "{}", said.complaints);
    for line in [
        "  filter: trace # flag --log-filter",
        "  format: text # env PORTCULLIS_LOG__FORMAT",
        "data_dir: /d # flag --data-dir",
        "  queue: 7 # flag --set audit.queue",
        &format!("trust_domain: example.org # {path}:1"),
    ] {
        assert!(said.results.lines().any(|shown| shown == line), "{line} is not in\n{}", said.results);
    }
}

#[test]
fn what_clap_refuses_exits_64_and_what_it_explains_exits_0() {
    for arguments in [&[][..], &["serv"], &["serve"], &["serve", "-c", "x", "--set", "novalue"], &["config"]] {
        let said = portcullis(arguments);
        assert_eq!((said.exit, said.results.as_str()), (Exit::Usage, ""), "{arguments:?}");
        assert!(!said.complaints.is_empty());
    }
    for arguments in [&["--help"][..], &["--version"], &["serve", "--help"], &["help", "config", "show"]] {
        let said = portcullis(arguments);
        assert_eq!((said.exit, said.complaints.as_str()), (Exit::Success, ""), "{arguments:?}");
    }
    assert_eq!(portcullis(&["--version"]).results, format!("portcullis {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn help_tells_the_exit_codes_and_the_commands_own_words() {
    let help = portcullis(&["--help"]).results;
    assert!(help.contains("64  the command line or the configuration is wrong"), "{help}");
    let help = portcullis(&["config", "check", "--help"]).results;
    assert!(help.starts_with("Say whether the configuration is valid"), "{help}");
    assert!(help.contains("PORTCULLIS_LOG__FILTER=debug"), "{help}");
}

#[test]
fn the_command_line_is_sound() {
    use clap::CommandFactory as _;
    Cli::command().debug_assert();
}

#[test]
fn every_command_that_speaks_to_a_gateway_says_which_socket_it_can_not_reach_and_ends_with_1() {
    let id = ["-spiffeID", "spiffe://example.org/web"];
    let terms = [&["-parentID", "spiffe://example.org/node", "-selector", "unix:uid:0"], &id[..]].concat();
    let commands: &[&[&str]] = &[
        &["api", "fetch"],
        &["api", "fetch", "x509"],
        &["api", "fetch", "jwt", "-audience", "a,b"],
        &["api", "validate", "jwt", "-audience", "a", "-svid", "x"],
        &["api", "watch"],
        &[&["entry", "create"], &terms[..]].concat(),
        &[&["entry", "update", "-entryID", "web"], &terms[..]].concat(),
        &["entry", "delete", "-entryID", "web"],
        &["entry", "show"],
        &["entry", "count"],
        &["bundle", "show", "-format", "spiffe"],
        &["bundle", "list", "-id", "spiffe://example.com"],
        &["bundle", "delete", "-id", "example.com", "-mode", "dissociate"],
        &["bundle", "count"],
        &["token", "generate", "-ttl", "60"],
        &["federation", "list"],
        &["federation", "show", "-trustDomain", "example.com"],
        &["federation", "refresh", "-id", "example.com"],
        &["agent", "list", "-banned", "maybe"],
        &["agent", "count"],
        &[&["agent", "show"], &id[..]].concat(),
        &[&["x509", "mint", "-ttl", "1h", "-dns", "web"], &id[..]].concat(),
        &["x509", "revoke", "-serial", "0a"],
        &["delegation", "revoke", "-jti", "b3f1", "-ttl", "24h"],
        &["delegation", "list"],
        &["delegation", "restore", "-member", "alice", "-issuer", "https://idp.example"],
        &[&["jwt", "mint", "-audience", "a"], &id[..]].concat(),
        &["localauthority", "x509", "show"],
        &["localauthority", "jwt", "activate", "-authorityID", "a"],
        &["logger", "set", "-level", "WARN"],
        &["healthcheck"],
        &["explain", "identity", "--pid", "1"],
        &["credential", "aws", "-role-arn", "arn:aws:iam::1:role/r", "-region", "eu-west-1"],
        &["credential", "azure", "-file", "/nowhere/token"],
    ];
    for command in commands {
        let said = portcullis(&[command, &["-socketPath", "/nowhere/a.sock"][..]].concat());
        assert_eq!(said.exit, Exit::Refused, "{command:?}: {}", said.complaints);
        assert!(said.complaints.contains("can't connect to `/nowhere/a.sock`: No such file"), "{}", said.complaints);
    }
}

#[test]
fn what_can_not_be_asked_is_refused_before_anyone_is_asked() {
    for (command, complaint) in [
        (&["entry", "create", "-spiffeID", "spiffe://example.org/web"][..], "at least one selector is required"),
        (&["entry", "create", "-selector", "unix:uid:0"], "a parent ID is required if the node flag is not set"),
        (&["entry", "create", "-node", "-selector", "unix:uid:0"], "a SPIFFE ID is required"),
        (&["entry", "create", "-node", "-spiffeID", "spiffe://x/a", "-selector", "unix"], "formatted as type:value"),
        (&["entry", "create", "-node", "-spiffeID", "http://x/a", "-selector", "a:b"], "`http://x/a`: "),
        (&["entry", "create", "-data", "/nowhere"], "`/nowhere` can't be read: No such file"),
        (&["api", "fetch", "jwt"], "audience must be specified"),
        (&["federation", "create"], "trust domain is required"),
        (&["federation", "create", "-trustDomain", "x", "-bundleEndpointURL", "u"], "unknown bundle endpoint profile"),
        (&["x509", "mint", "-spiffeID", "spiffe://x"], "`spiffe://x`: "),
    ] {
        let said = portcullis(&[command, &["-socketPath", "/nowhere/a.sock"][..]].concat());
        assert_eq!(said.exit, Exit::Refused, "{command:?}");
        assert!(said.complaints.contains(complaint), "{command:?}: {}", said.complaints);
    }
    let usage: &[&[&str]] = &[
        &["x509", "mint", "-spiffeID", "spiffe://x/a", "-ttl", "1d"],
        &["logger", "set"],
        &["bundle", "set"],
        &["delegation", "revoke"],
        &["delegation", "revoke", "-jti", "a", "-member", "b"],
    ];
    for command in usage {
        assert_eq!(portcullis(command).exit, Exit::Usage, "{command:?}");
    }
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let said = portcullis(&["completions", shell]);
        assert!(said.results.contains("localauthority"), "{shell}");
    }
}
