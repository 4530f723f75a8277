use cedar_policy::{Context, Entities, EvalResult, Expression, Policy, Request, eval_expression};
use proptest::prelude::*;

use super::like::{Element, Pattern};
use super::*;

/// What the conditions of a policy are compiled to.
fn compiled(condition: &str) -> Vec<Op> {
    let policy = format!("permit(principal, action, resource) when {{ {condition} }};");
    conjuncts(&Policy::parse(None, policy).unwrap(), &mut Names::default())
}

#[test]
fn what_only_literals_go_into_is_computed_once() {
    for condition in [
        "ip(\"10.0.0.0/8\")",
        "decimal(\"1.5\")",
        "datetime(\"2026-11-22\").offset(duration(\"1d\"))",
        "duration(\"1h\").toMinutes()",
        "ip(\"127.0.0.1\").isLoopback()",
        "[1, 2, [\"a\"]]",
        "{\"a\": {\"b\": ip(\"::1\")}}",
    ] {
        assert!(matches!(&*compiled(condition), [Op::Constant(_)]), "{condition}: {:?}", compiled(condition));
    }
}

#[test]
fn what_is_unknown_is_given_up_and_nothing_else() {
    assert_eq!(compiled("[principal] == [resource]"), [Op::Equal(Box::new([Op::GiveUp, Op::GiveUp]))]);
    assert!(matches!(&*compiled("ip(\"nonsense\").isIpv4()"), [Op::Call(..)]), "an error, when it comes to it");
    let clauses = "true && (context.a && (context.b && context.c))";
    assert_eq!(compiled(clauses).len(), 4, "brackets do not matter to what must all hold");
    let deep = || format!("{:?}", compiled(&format!("{}context.a{}", "!(".repeat(130), ")".repeat(130))));
    let deep = std::thread::Builder::new().stack_size(64 << 20).spawn(deep).unwrap().join().unwrap();
    assert!(deep.contains("GiveUp"), "too deep is Cedar's");
}

fn pattern() -> impl Strategy<Value = Vec<Element>> {
    let element =
        prop_oneof![Just(Element::Star), "[ab*é]".prop_map(|text| Element::Character(text.chars().next().unwrap()))];
    prop::collection::vec(element, 0..8)
}

proptest! {
    #[test]
    fn a_pattern_matches_what_cedar_says(elements in pattern(), text in "[ab*é]{0,8}") {
        let spelled: String = elements.iter().map(|element| match element {
            Element::Star => "*".to_owned(),
            Element::Character('*') => "\\*".to_owned(),
            Element::Character(character) => character.to_string(),
        }).collect();
        let uid = |text: &str| text.parse().unwrap();
        let request = Request::new(uid("U::\"a\""), uid("Action::\"a\""), uid("U::\"a\""), Context::empty(), None).unwrap();
        let expression: Expression = format!("\"{text}\" like \"{spelled}\"").parse().unwrap();
        let owed = eval_expression(&request, &Entities::empty(), &expression).unwrap();
        let matched = elements.into_iter().collect::<Pattern>().matches(&text);
        prop_assert_eq!(owed, EvalResult::Bool(matched), "{} {}", text, spelled);
    }
}
