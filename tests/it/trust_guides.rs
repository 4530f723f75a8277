//! `docs/federation.md` and `docs/oidc.md` are run, and every test that a table of threats names is there.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::Path;

use crate::support::guide::{blocks, run};
use crate::support::root;

const FEDERATION: &str = include_str!("../../docs/federation.md");
const OIDC: &str = include_str!("../../docs/oidc.md");

/// The pages with a table of threats.
const PAGES: [&str; 6] =
    ["federation.md", "oidc.md", "delegation.md", "delegation-checks.md", "outbound.md", "cloud.md"];

/// What the page on federation says of its gateway.
const DEFAULTS: &str = "trust_domain: example.org\n\
                        listen: {authzen: 'unix:run/authzen.sock', operations: 'unix:run/operations.sock'}\n\
                        decision: {policies: examples/authzen-certification}\n";

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_page_on_federation_prints_what_it_says() {
    let count = run(FEDERATION, DEFAULTS).await;
    assert!(count >= 5, "the page is not understood: only {count} commands");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_page_on_openid_providers_prints_what_it_says() {
    let whole = blocks(OIDC, "yaml").into_iter().filter(|block| block.starts_with("trust_domain:"));
    let [configuration] = whole.collect::<Vec<_>>()[..] else { panic!("the page has one configuration") };
    let count = run(OIDC, configuration).await;
    assert!(count >= 2, "the page is not understood: only {count} commands");
}

#[test]
fn every_test_that_a_table_of_threats_names_is_there() {
    let mut there = HashSet::new();
    for folder in ["src", "crates", "tests/it", "tests/interop"] {
        functions(&root().join(folder), &mut there);
    }
    for page in PAGES {
        let text = std::fs::read_to_string(root().join("docs").join(page)).unwrap();
        let (_, table) = text.split_once("| who | tries | and | shown by |\n").unwrap();
        let rows: Vec<_> = table.lines().skip(1).take_while(|line| line.starts_with('|')).collect();
        assert!(rows.len() >= 6, "{page}: {rows:?}");
        for row in rows {
            let shown_by = row.trim_end_matches(" |").rsplit_once(" | ").unwrap().1;
            let names: Vec<_> = shown_by.split('`').skip(1).step_by(2).collect();
            assert!(!names.is_empty() || shown_by == "the same", "{page}: nothing shows that: {row}");
            for name in names {
                assert!(there.contains(name), "{page}: there is no test `{name}`: {row}");
            }
        }
    }
}

/// The names of all functions of Rust and Python below a folder.
fn functions(folder: &Path, found: &mut HashSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name() != Some(OsStr::new("target")) {
            functions(&path, found);
        }
        let keyword = match path.extension().and_then(OsStr::to_str) {
            Some("rs") => "fn ",
            Some("py") => "def ",
            _ => continue,
        };
        let text = std::fs::read_to_string(&path).unwrap();
        let names = text.lines().filter_map(|line| Some(line.split_once(keyword)?.1.split_once('(')?.0.to_owned()));
        found.extend(names);
    }
}
