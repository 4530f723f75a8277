//! The order of the house, read from its source: who may import whom, how long a file may be, what may not be built in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::root;

/// The rooms from the ground up; each may import from those before it, and from itself.
const ROOMS: [&str; 13] = [
    "foundation",
    "server",
    "evidence",
    "identity",
    "decision",
    "delegation",
    "edge",
    "store",
    "daemons",
    "feeds",
    "config",
    "app",
    "cli",
];

/// Crates that a room must never name, for they belong to another room's trade.
const FOREIGN: [(&str, &[&str]); 9] = [
    ("evidence", &["tonic", "axum", "sqlx", "cedar_policy", "envoy_types"]),
    ("identity", &["tonic", "axum", "sqlx", "cedar_policy", "envoy_types", "hyper", "zbus"]),
    ("decision", &["tonic", "axum", "sqlx", "envoy_types"]),
    ("delegation", &["tonic", "axum", "sqlx", "cedar_policy", "envoy_types", "hyper"]),
    ("edge", &["sqlx", "cedar_policy"]),
    ("store", &["tonic", "axum", "cedar_policy", "envoy_types"]),
    ("daemons", &["tonic", "axum", "sqlx", "cedar_policy", "envoy_types"]),
    ("feeds", &["tonic", "axum", "sqlx", "cedar_policy", "envoy_types"]),
    ("foundation", &["tonic", "axum", "sqlx", "cedar_policy", "envoy_types"]),
];

/// Rooms beside each other that yet must not know each other: an edge asks a use case, never a table.
const STRANGERS: [(&str, &str); 6] = [
    ("store", "edge"),
    ("daemons", "edge"),
    ("daemons", "store"),
    ("feeds", "edge"),
    ("feeds", "store"),
    ("feeds", "daemons"),
];

const LONGEST_FILE: usize = 700;

#[test]
fn a_room_imports_only_from_rooms_above_it() {
    let mut offences = Vec::new();
    for (room, file, text) in sources() {
        let Some(rank) = ROOMS.iter().position(|name| *name == room) else { continue };
        for imported in rooms_named(&text) {
            let below = ROOMS.iter().position(|name| *name == imported).is_some_and(|other| other > rank);
            if below || STRANGERS.contains(&(room.as_str(), imported.as_str())) {
                offences.push(format!("{}: `{room}` imports `{imported}`", file.display()));
            }
        }
    }
    assert!(offences.is_empty(), "imports against the order of the house:\n{}", offences.join("\n"));
}

#[test]
fn a_room_names_no_crate_of_another_trade() {
    let mut offences = Vec::new();
    for (room, file, text) in sources() {
        let Some((_, banned)) = FOREIGN.iter().find(|(name, _)| *name == room) else { continue };
        for name in *banned {
            if code_lines(&text).any(|line| line.contains(&format!("{name}::"))) {
                offences.push(format!("{}: `{room}` names `{name}`", file.display()));
            }
        }
    }
    assert!(offences.is_empty(), "crates in the wrong room:\n{}", offences.join("\n"));
}

#[test]
fn no_file_is_too_long_and_most_are_short() {
    let lengths: Vec<(usize, PathBuf)> = files_under(&["src", "crates", "load-tests", "tests"])
        .into_iter()
        .map(|(file, text)| (text.lines().count(), file))
        .collect();
    let too_long: Vec<_> = lengths.iter().filter(|(length, _)| *length > LONGEST_FILE).collect();
    assert!(too_long.is_empty(), "files over {LONGEST_FILE} lines: {too_long:?}");
    let mut sorted: Vec<usize> = lengths.iter().map(|(length, _)| *length).collect();
    sorted.sort_unstable();
    let median = sorted[sorted.len() / 2];
    assert!(median <= 200, "the median file has {median} lines");
}

#[test]
fn every_source_file_says_what_it_is() {
    let silent: Vec<PathBuf> = files_under(&["src", "crates", "load-tests"])
        .into_iter()
        .filter(|(file, text)| !file.ends_with("tests.rs") && !text.starts_with("//!"))
        .map(|(file, _)| file)
        .filter(|file| !file.components().any(|part| part.as_os_str() == "tests"))
        .collect();
    assert!(silent.is_empty(), "files that do not begin with `//!`: {silent:?}");
}

#[test]
fn there_is_one_cryptography_library() {
    for banned in ["ring", "openssl", "openssl-sys", "native-tls"] {
        let tree = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--locked", "--workspace", "--edges", "normal,build", "-i", banned])
            .current_dir(root())
            .output()
            .unwrap();
        let found = String::from_utf8_lossy(&tree.stdout);
        assert!(found.trim().is_empty(), "`{banned}` is in the dependency tree:\n{found}");
    }
}

/// All files of `src/` with the room they belong to.
fn sources() -> Vec<(String, PathBuf, String)> {
    let all = files_under(&["src"]);
    assert!(all.len() > 40, "the test looks in the wrong place");
    all.into_iter()
        .filter_map(|(file, text)| {
            let inside = file.strip_prefix(root().join("src")).ok()?;
            let room = inside.components().next()?.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
            Some((room, file, text))
        })
        .collect()
}

/// The rooms that a file's code names by `crate::` or, grouped, `crate::{a, b}`.
fn rooms_named(text: &str) -> Vec<String> {
    let code: String = code_lines(text).collect::<Vec<_>>().join("\n");
    code.split("crate::")
        .skip(1)
        .flat_map(|rest| {
            let end = rest.find(['\n', ';']).unwrap_or(rest.len());
            let path = &rest[..end];
            let names = path.strip_prefix('{').unwrap_or(path);
            let grouped = path.starts_with('{');
            names
                .split([',', '}'])
                .take(if grouped { usize::MAX } else { 1 })
                .map(|name| name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
                .collect::<Vec<String>>()
        })
        .collect()
}

fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

fn files_under(directories: &[&str]) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for directory in directories {
        collect(&root().join(directory), &mut found);
    }
    found
}

fn collect(directory: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.insert(path.clone(), std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn the_reader_of_imports_sees_both_spellings() {
    assert_eq!(rooms_named("use crate::server::UnixPeer;"), ["server"]);
    assert_eq!(rooms_named("use crate::{edge, store::sqlite};"), ["edge", "store", ""]);
    assert_eq!(rooms_named("    crate::app::run();"), ["app"]);
    assert!(rooms_named("//! see [`crate::edge`]").is_empty());
}
