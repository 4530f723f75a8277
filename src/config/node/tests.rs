use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn file(line: u64, column: u64) -> Origin {
    Origin::File { path: "f".into(), line, column }
}

fn parse(yaml: &str) -> Result<Node, String> {
    Node::parse(yaml, &file).map_err(|fault| fault.to_string())
}

#[test]
fn keys_and_values_know_their_place() {
    let node = parse("a:\n  b: [1, x]\n").unwrap();
    let Value::Mapping(members) = node.value else { panic!() };
    let a = &members[0];
    assert_eq!((a.key.as_str(), &a.origin), ("a", &file(1, 1)));
    let Value::Mapping(members) = &a.node.value else { panic!() };
    let b = &members[0];
    assert_eq!((b.key.as_str(), &b.origin, &b.node.origin), ("b", &file(2, 3), &file(2, 6)));
    let Value::List(items) = &b.node.value else { panic!() };
    assert_eq!(items[1], Node { origin: file(2, 10), value: Value::Text("x".into()) });
}

#[test]
fn an_alias_stands_where_it_is_used() {
    let node = parse("a: &x [1]\nb: *x\n").unwrap();
    let Value::Mapping(members) = node.value else { panic!() };
    assert_eq!(members[1].node.origin, file(2, 4));
}

#[test]
fn what_yaml_leaves_open_is_refused() {
    for (yaml, expected) in [
        ("a: 1\na: 2\n", "f:2:1: duplicate mapping key `a` is not allowed here"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "f:3:3: merge key not allowed here"),
        ("a: !thing 1\n", "f:1:11: unsupported tag `!thing`"),
    ] {
        assert_eq!(parse(yaml).unwrap_err(), expected, "{yaml}");
    }
    assert!(parse("a: 1\n---\nb: 2\n").is_err(), "two documents");
    assert!(parse("a: *nowhere\n").is_err(), "an unknown alias");
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut yaml = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        writeln!(yaml, "a{level}: &a{level} [{}]", [below.as_str(); 9].join(", ")).unwrap();
    }
    assert!(parse(&yaml).is_err());
}

#[test]
fn deep_nesting_is_refused() {
    assert!(parse(&"[".repeat(100_000)).is_err());
    assert!(parse(&format!("{}1{}", "[".repeat(40), "]".repeat(40))).is_err());
}

#[test]
fn an_overlay_merges_mappings_and_replaces_the_rest() {
    let mut base = parse("a: {b: 1, c: [1, 2]}").unwrap();
    base.overlay(parse("a: {c: [3], d: 4}").unwrap());
    let Value::Mapping(members) = base.value else { panic!() };
    let Value::Mapping(members) = &members[0].node.value else { panic!() };
    let keys: Vec<_> = members.iter().map(|member| member.key.as_str()).collect();
    assert_eq!(keys, ["b", "c", "d"]);
    let Value::List(items) = &members[1].node.value else { panic!() };
    assert_eq!(items.len(), 1);
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
        let _any = parse(&text);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _any = parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn text_of_yamls_own_marks_never_panics(text in "[-:{}\\[\\]#&*!|>'\"%@`a0.~? \n\t<]{0,120}") {
        let _any = parse(&text);
    }
}
