use serde_json::json;

use super::*;
use crate::decision::policy::fixture::{Directory, entity, object, parent, question};

const POLICIES: &str = r#"
@id("staff")
permit(principal in Team::"staff", action == Action::"read", resource);
@id("careful")
permit(principal, action == Action::"read", resource)
when { principal has level && principal.level > 3 && context has n }
unless { context has ip || resource has owner };
@id("writers")
permit(principal == User::"alice", action == Action::"write", resource);
@id("others")
permit(principal == User::"bob", action == Action::"write", resource);
@id("closed")
forbid(principal, action, resource) when { resource has place };
@id("night")
forbid(principal, action, resource) when { resource has owner && resource.owner == User::"night" };
"#;

fn explain(query: &Query<'_>) -> Explanation {
    Directory::of(POLICIES).load().unwrap().explain(query).unwrap()
}

fn near(explanation: &Explanation) -> Vec<(&str, Vec<(&str, bool)>)> {
    let unmet = |near: &'_ Near| near.unmet.iter().map(|unmet| (unmet.part.clone(), unmet.error.is_some())).collect();
    let all: Vec<(&str, Vec<(String, bool)>)> = explanation.near.iter().map(|near| (&*near.id, unmet(near))).collect();
    all.into_iter()
        .map(|(id, unmet)| (id, unmet.into_iter().map(|(part, failed)| (&*part.leak(), failed)).collect()))
        .collect()
}

#[test]
fn a_denial_names_the_clauses_that_would_have_to_hold_and_the_scopes_that_nearly_fit() {
    let mut query = question();
    query.subject = entity("User", "alice", json!({"level": 2}));
    query.resource = entity("Document", "plan", json!({"owner": {"type": "User", "id": "bob"}}));
    let found = explain(&query);
    assert_eq!(found.evaluation.effect, Effect::NoPermit);
    assert!(found.reasons.is_empty());
    let near = near(&found);
    // All of the scope fits; then, in the order of ids, those of which one part does not.
    assert_eq!(near.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ["careful", "staff", "writers"]);
    let parts: Vec<&str> = near[0].1.iter().map(|(part, _)| *part).collect();
    assert_eq!(parts.len(), 3, "{parts:?}");
    assert!(parts[0].contains("principal.level") && parts[0].contains('3'), "{parts:?}");
    assert_eq!(parts[1..], ["context has n", "!(resource has owner)"]);
    assert_eq!((near[1].1[0], near[2].1[0]), (("principal", false), ("action", false)));
}

#[test]
fn a_clause_that_has_no_value_says_why() {
    let found = explain(&question());
    let near = near(&found);
    let failing: Vec<_> = near[0].1.iter().filter(|(_, failed)| *failed).collect();
    assert_eq!(failing.len(), 1, "{near:?}");
    assert!(failing[0].0.contains("level"));
}

#[test]
fn an_allow_says_what_it_would_be_without_each_reason_and_which_forbids_were_near() {
    let mut query = question();
    query.subject.parents.push(parent("Team", "staff"));
    query.subject.properties = object(json!({"level": 9}));
    query.context = object(json!({"n": 1}));
    let found = explain(&query);
    let reasons: Vec<_> = found.reasons.iter().map(|reason| (&*reason.id, reason.without)).collect();
    assert_eq!(reasons, [("careful", Effect::Permit), ("staff", Effect::Permit)]);
    assert_eq!(near(&found).iter().map(|(id, _)| *id).collect::<Vec<_>>(), ["closed", "night"]);

    query.context = object(json!({}));
    let found = explain(&query);
    let reasons: Vec<_> = found.reasons.iter().map(|reason| (&*reason.id, reason.without)).collect();
    assert_eq!(reasons, [("staff", Effect::NoPermit)]);
    assert!(found.reasons[0].text.contains("Team::\"staff\""));
}

#[test]
fn a_prohibition_says_what_would_be_without_it() {
    let mut query = question();
    query.subject.parents.push(parent("Team", "staff"));
    let place = json!({"city": "Bonn", "geo": {"north": "50.7", "floors": []}});
    query.resource = entity("Document", "plan", json!({"place": place}));
    let found = explain(&query);
    assert_eq!(found.evaluation.effect, Effect::Forbid);
    let reasons: Vec<_> = found.reasons.iter().map(|reason| (&*reason.id, reason.without)).collect();
    assert_eq!(reasons, [("closed", Effect::Permit)]);
}

#[test]
fn what_the_schema_does_not_allow_has_no_explanation() {
    let mut query = question();
    query.action.name = "delete".into();
    let set = Directory::of(POLICIES).load().unwrap();
    assert!(matches!(set.explain(&query), Err(EvaluateError::UnknownAction(_))));
}
