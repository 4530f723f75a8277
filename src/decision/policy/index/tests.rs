use crate::decision::policy::PolicySet;
use crate::decision::policy::fixture::{Directory, SCHEMA, parent, question};
use crate::decision::query::Query;
use crate::foundation::aside::Aside;

/// The ids of the policies that a question is put to.
fn candidates(set: &PolicySet, query: &Query<'static>) -> Vec<String> {
    let question = set.question(query).unwrap();
    set.ask(&question).rules().map(|rule| rule.id.to_string()).collect()
}

fn found(policies: &str, change: impl FnOnce(&mut Query<'static>)) -> Vec<String> {
    let mut query = question();
    change(&mut query);
    candidates(&Directory::of(policies).load().unwrap(), &query)
}

#[test]
fn only_those_are_found_whose_scope_the_question_is_in() {
    let policies = "
        @id(\"alice\") permit(principal == User::\"alice\", action, resource);
        @id(\"bob\") permit(principal == User::\"bob\", action, resource);
        @id(\"ops\") permit(principal in Team::\"ops\", action, resource);
        @id(\"any user\") forbid(principal is User, action, resource);
        @id(\"ops users\") permit(principal is User in Team::\"ops\", action, resource is Document in Folder::\"f\");
        @id(\"the plan\") permit(principal, action == Action::\"read\", resource == Document::\"plan\");
        @id(\"a group\") permit(principal, action in Action::\"any\", resource);
        @id(\"write\") permit(principal, action == Action::\"write\", resource);
        @id(\"all\") permit(principal, action, resource);";
    let mut ids = found(policies, |_| {});
    ids.sort_unstable();
    assert_eq!(ids, ["a group", "alice", "all", "any user", "the plan"]);
    let mut ids = found(policies, |query| {
        query.subject.parents = [parent("Team", "ops")].into();
        query.resource.parents = [parent("Folder", "f")].into();
        query.resource.id = "other".to_owned().into();
    });
    ids.sort_unstable();
    assert_eq!(ids, ["a group", "alice", "all", "any user", "ops", "ops users"]);
}

#[test]
fn conditions_that_can_not_fail_are_lifted_into_the_scope() {
    for condition in [
        "principal == User::\"bob\"",
        "User::\"bob\" == principal",
        "principal in Team::\"ops\"",
        "principal in [Team::\"ops\", Team::\"dev\"]",
        "principal == User::\"bob\" || principal in Team::\"ops\"",
        "[User::\"bob\", User::\"eve\"].contains(principal)",
        "resource == Document::\"other\"",
        "resource in Folder::\"f\" && context has n && context.n > 1",
        "action == Action::\"write\" || action == Action::\"say \\\"hi\\\"\"",
        "principal has level && principal == User::\"bob\"",
    ] {
        let none: [&str; 0] = [];
        assert_eq!(
            found(&format!("permit(principal, action, resource) when {{ {condition} }};"), |_| {}),
            none,
            "{condition}"
        );
    }
    // What stands before might fail, and must be seen to.
    let after = "permit(principal, action, resource) when { principal has level && principal.level + 1 > 0 && principal == User::\"bob\" };";
    assert_eq!(found(after, |_| {}), ["p#0"]);
    assert_eq!(found("permit(principal, action, resource) unless { principal == User::\"bob\" };", |_| {}), ["p#0"]);
}

#[test]
fn there_may_be_any_number_of_actions() {
    let mut schema = SCHEMA.to_owned();
    for number in 0..200 {
        schema = format!(
            "{schema}\naction \"{number}\" appliesTo {{ principal: User, resource: Document, context: {{}} }};"
        );
    }
    let named = (0..200).map(|number| format!("Action::\"{number}\"")).collect::<Vec<_>>();
    let even = named.iter().step_by(2).cloned().collect::<Vec<_>>().join(", ");
    let policies = format!(
        "@id(\"even\") permit(principal, action in [{even}], resource); @id(\"199\") permit(principal, action == {}, resource);",
        named[199]
    );
    let directory = Directory::new(&[("s.cedarschema", &schema), ("p.cedar", &policies)]);
    let set = directory.load().unwrap();
    for number in 0..200_usize {
        let mut query = question();
        query.action.name = number.to_string().into();
        let mut owed = Vec::new();
        owed.extend(number.is_multiple_of(2).then(|| "even".to_owned()));
        owed.extend((number == 199).then(|| "199".to_owned()));
        assert_eq!(candidates(&set, &query), owed, "{number}");
    }
}

#[test]
fn rules_in_a_new_index_are_found_as_before() {
    let one = |user: usize| format!("permit(principal == User::\"{user}\", action, resource);\n");
    let mut set = Directory::of(&(0..50).map(one).collect::<String>()).load().unwrap();
    let asked = |set: &PolicySet| {
        let of = |user: usize| {
            let mut query = question();
            query.subject.id = user.to_string().into();
            candidates(set, &query)
        };
        (0..60).map(of).collect::<Vec<_>>()
    };
    let before = asked(&set);
    set.rules = std::sync::Arc::new(Aside::new(set.rules.anew()));
    assert_eq!(asked(&set), before);
    assert_eq!((before[7].as_slice(), before[55].len()), (["p#7".to_owned()].as_slice(), 0));
}

#[test]
fn how_many_policies_there_are_does_not_matter_to_those_that_are_found() {
    let one = |user: usize| {
        format!(
            "permit(principal == User::\"{user}\", action == Action::\"read\", resource in Folder::\"{}\");\n",
            user % 7
        )
    };
    let policies: String = (0..2_000).map(one).collect();
    let set = Directory::of(&policies).load().unwrap();
    for user in [0, 1_999] {
        let mut query = question();
        query.subject.id = user.to_string().into();
        query.resource.parents = [parent("Folder", &(user % 7).to_string())].into();
        assert_eq!(candidates(&set, &query), [format!("p#{user}")]);
    }
}
