//! `docs/authzen-conformance.md` names a test for each rule and each trap, and there is each of them.

use std::collections::{BTreeMap, BTreeSet};

const TABLE: &str = include_str!("../../docs/authzen-conformance.md");
const SOURCES: [&str; 2] = [include_str!("authzen_rules.rs"), include_str!("authzen_traps.rs")];

/// The functions that are tests, by the lines before them.
fn tests() -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    for source in SOURCES {
        let lines: Vec<&str> = source.lines().collect();
        for pair in lines.windows(2) {
            if pair[0].starts_with("#[tokio::test") || pair[0] == "#[test]" {
                let name = pair[1].trim_start_matches("async ").strip_prefix("fn ").unwrap();
                found.insert(name.split('(').next().unwrap());
            }
        }
    }
    found
}

/// The tests that the table names, with the numbers of their rows.
fn named() -> BTreeMap<&'static str, u32> {
    let rows = TABLE.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", number, what, test, ""] = cells[..] else { return None };
        let number = number.parse().ok()?;
        assert!(!what.is_empty(), "{line}");
        Some((test.trim_matches('`'), number))
    });
    rows.collect()
}

#[test]
fn the_table_has_every_rule_and_every_trap_and_each_is_a_test() {
    let (tests, named) = (tests(), named());
    let numbered: BTreeSet<_> =
        tests.iter().copied().filter(|name| name.starts_with("rule_") || name.starts_with("trap_")).collect();
    assert_eq!(named.keys().copied().collect::<BTreeSet<_>>(), numbered);
    for (name, number) in &named {
        let own = name.split('_').nth(1).and_then(|digits| digits.parse::<u32>().ok());
        assert_eq!(own, Some(*number), "{name}");
    }
    for (kind, count) in [("rule_", 14), ("trap_", 21)] {
        let numbers: BTreeSet<u32> =
            named.iter().filter(|(name, _)| name.starts_with(kind)).map(|(_, number)| *number).collect();
        assert_eq!(numbers, (1..=count).collect(), "{kind}");
    }
}
