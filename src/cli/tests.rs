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
