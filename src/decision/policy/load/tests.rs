use std::os::unix::fs::symlink;
use std::sync::Arc;

use crate::decision::mapping::Shape as _;
use crate::decision::policy::fixture::{Directory, SCHEMA};
use crate::decision::policy::source::Sources;
use crate::decision::policy::{PolicySet, SchemaShape};

const PERMIT: &str = "permit(principal, action, resource);";

#[test]
fn ids_come_from_the_annotation_else_from_file_and_position() {
    let text = format!("{PERMIT}\n// {PERMIT}\n@id(\"named\") {PERMIT}\n{PERMIT}");
    let directory = Directory::new(&[("s.cedarschema", SCHEMA), ("b.cedar", &text), ("a.cedar", PERMIT)]);
    let policies = directory.load().unwrap();
    assert_eq!(policies.ids(), ["a#0", "b#0", "b#2", "named"]);
}

#[test]
fn a_duplicate_id_is_refused_and_names_both_places() {
    let directory = Directory::new(&[
        ("s.cedarschema", SCHEMA),
        ("a.cedar", "\n  @id(\"x\") permit(principal, action, resource);"),
        ("b.cedar", "@id(\"x\")\nforbid(principal, action, resource);"),
    ]);
    let refusal = directory.refusal();
    assert_eq!(refusal, "b.cedar:1:1: the policy id `x` is taken: a.cedar:2:3 has it");
}

#[test]
fn an_id_can_not_take_the_name_that_another_policy_gets_by_position() {
    let refusal = Directory::of(&format!("{PERMIT} @id(\"p#0\") {PERMIT}")).refusal();
    assert!(refusal.starts_with("p.cedar:1:38: the policy id `p#0` is taken"), "{refusal}");
}

#[test]
fn ids_that_could_forge_a_line_or_are_empty_are_refused() {
    for (id, why) in [("a\\nb", "control character"), ("", "empty"), (&*"x".repeat(257), "more than 256 bytes")] {
        let refusal = Directory::of(&format!("@id(\"{id}\") {PERMIT}")).refusal();
        assert!(refusal.contains(why) && !refusal.contains('\n'), "{refusal}");
    }
}

#[test]
fn every_problem_is_told_with_file_line_and_column() {
    let directory = Directory::new(&[
        ("s.cedarschema", SCHEMA),
        ("a.cedar", "permit(principal, action, resource)\n  when { context.nothing };"),
        ("b.cedar", "\n\nforbid(principal, action == Action::\"fly\", resource);"),
        ("c.cedar", "permit(principal == Robot::\"r2\", action, resource);"),
    ]);
    let refusal = directory.refusal();
    let lines: Vec<_> = refusal.lines().collect();
    assert!(lines.iter().any(|line| line.starts_with("a.cedar:2:10: ")), "{refusal}");
    assert!(lines.iter().any(|line| line.starts_with("b.cedar:3:29: ")), "{refusal}");
    assert!(lines.iter().any(|line| line.starts_with("c.cedar:1:21: ")), "{refusal}");
}

#[test]
fn syntax_errors_of_policies_and_schema_have_a_place() {
    let refusal =
        Directory::of("permit(principal, action, resource);\n\n  permit(principal action, resource);").refusal();
    assert!(refusal.starts_with("p.cedar:3:20: "), "{refusal}");
    let directory = Directory::new(&[("s.cedarschema", "entity A;\nentity B in C"), ("p.cedar", PERMIT)]);
    assert!(directory.refusal().starts_with("s.cedarschema:2:"), "{}", directory.refusal());
    let directory = Directory::new(&[("s.cedarschema.json", "{\n \"\": }"), ("p.cedar", PERMIT)]);
    assert!(directory.refusal().starts_with("s.cedarschema.json:2:"), "{}", directory.refusal());
}

#[test]
fn a_column_counts_characters_and_not_bytes() {
    let refusal =
        Directory::of("// ünï\npermit(principal == User::\"ü\", action == Action::\"fly\", resource);").refusal();
    assert!(refusal.starts_with("p.cedar:2:42: "), "{refusal}");
}

#[test]
fn a_directory_without_schema_or_without_policies_is_refused() {
    let no_schema = Directory::new(&[("p.cedar", PERMIT), ("e.json", "[]")]);
    assert!(no_schema.refusal().contains("no schema"));
    let no_policies = Directory::new(&[("s.cedarschema", SCHEMA), ("p.cedar", "// nothing yet\n")]);
    assert!(no_policies.refusal().contains("no policies"));
    let missing = PolicySet::load(&no_schema.path().join("missing")).map(|_| ()).unwrap_err();
    assert!(missing.to_string().contains("missing: No such file"), "{missing}");
}

const TEMPLATE: &str =
    "@id(\"may-read\") permit(principal in ?principal, action == Action::\"read\", resource == ?resource);";

fn links(links: &str) -> Directory {
    let directory = Directory::of(&format!("{PERMIT}\n{TEMPLATE}"));
    directory.write("readers.links.json", links);
    directory
}

fn link(template: &str, arguments: &str) -> String {
    format!(r#"[{{"template_id": "{template}", "link_id": "alice-reads", "args": {{{arguments}}}}}]"#)
}

const ARGUMENTS: &str = r#""?principal": "Team::\"a\\\"b\"", "?resource": "Document::\"plan\"""#;

#[test]
fn a_link_fills_in_a_template_and_has_its_own_id() {
    use crate::decision::policy::fixture::{parent, question};
    let set = links(&link("may-read", ARGUMENTS)).load().unwrap();
    assert_eq!((set.ids(), set.warnings()), (vec!["alice-reads", "p#0"], &[][..]));
    let mut query = question();
    query.subject.parents = [parent("Team", "a\"b")].into();
    let decided = |query: &_| set.evaluate(query).unwrap().policies.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(decided(&query), ["alice-reads", "p#0"]);
    query.resource.id = "other".to_owned().into();
    assert_eq!(decided(&query), ["p#0"]);
}

#[test]
fn a_template_without_a_link_is_a_warning_and_a_wrong_one_an_error() {
    let set = Directory::of(&format!("{PERMIT}\n  {TEMPLATE}")).load().unwrap();
    assert_eq!(set.ids(), ["p#0"]);
    let warning = set.warnings()[0].to_string();
    assert!(warning.contains("p.cedar:2:3: no link fills in the template `may-read`"), "{warning}");
    let wrong = "permit(principal is Robot in ?principal, action, resource);";
    let refusal = Directory::of(&format!("{PERMIT}\n{wrong}")).refusal();
    assert!(refusal.starts_with("p.cedar:2:") && refusal.contains("Robot"), "{refusal}");
    let refusal = Directory::of(&format!("{PERMIT} {TEMPLATE}\n{TEMPLATE}")).refusal();
    assert_eq!(refusal, "p.cedar:2:1: the template id `may-read` is taken");
}

#[test]
fn a_link_that_does_not_fit_its_template_is_refused_by_name() {
    let refused = |template: &str, arguments: &str| links(&link(template, arguments)).refusal();
    let file = "readers.links.json: link `alice-reads`: ";
    assert_eq!(refused("p#0", ARGUMENTS), format!("{file}there is no template `p#0`"));
    let one = r#""?principal": "Team::\"a\"""#;
    assert_eq!(refused("may-read", one), format!("{file}`?resource` is not given"));
    let wrong = format!(r#"{one}, "?resource": "plan""#);
    assert_eq!(refused("may-read", &wrong), format!("{file}`?resource` is not the name of an entity"));
    let more = format!(r#"{ARGUMENTS}, "?action": "Action::\"read\"""#);
    assert_eq!(refused("may-read", &more), format!("{file}the template has no `?action`"));
    let robot = r#""?principal": "Robot::\"a\"", "?resource": "Document::\"plan\"""#;
    assert!(refused("may-read", robot).starts_with(file), "{}", refused("may-read", robot));
    assert!(links("[{\n}]").refusal().starts_with("readers.links.json:2:"));
    let twice = links(&link("may-read", ARGUMENTS));
    twice.write("more.links.json", &link("may-read", ARGUMENTS));
    let refusal = twice.refusal();
    assert_eq!(refusal, format!("{file}the policy id `alice-reads` is taken: more.links.json has it"));
}

#[test]
fn what_did_not_change_is_not_compiled_again() {
    let named =
        |name: &str, user: &str| format!("@id(\"{name}\") permit(principal == User::\"{user}\", action, resource);\n");
    let directory = Directory::of(&(named("a", "x") + &named("b", "x") + PERMIT));
    let before = directory.load().unwrap();
    directory.write("p.cedar", &(named("new", "z") + &named("b", "y") + &named("a", "x") + PERMIT));
    let after = before.recompile(&Sources::read(directory.path()).unwrap()).unwrap();
    assert_eq!(after.ids(), ["a", "b", "new", "p#3"]);
    let rule = |set: &PolicySet, id: &str| set.rules.iter().find(|(_, rule)| &*rule.id == id).unwrap().1.clone();
    assert!(Arc::ptr_eq(&rule(&before, "a"), &rule(&after, "a")));
    assert!(!Arc::ptr_eq(&rule(&before, "b"), &rule(&after, "b")));
    assert!(Arc::ptr_eq(&before.vocabulary, &after.vocabulary));
    assert_eq!((before.len(), before.ids().len()), (3, 3), "the set before is as it was");
    directory.write("s.cedarschema", &format!("{SCHEMA} entity New;"));
    let again = after.recompile(&Sources::read(directory.path()).unwrap()).unwrap();
    assert!(!Arc::ptr_eq(&rule(&after, "a"), &rule(&again, "a")), "another schema, other rules");
}

#[test]
fn a_set_that_was_changed_answers_like_one_that_was_loaded() {
    use crate::decision::policy::fixture::question;
    let directory = Directory::of(PERMIT);
    let mut set = directory.load().unwrap();
    let user = |user: usize| format!("permit(principal == User::\"{user}\", action, resource in Folder::\"{user}\");");
    for round in 0..20_usize {
        let policies: Vec<_> = (round..round + 10).step_by(round % 3 + 1).map(user).collect();
        directory.write("p.cedar", &policies.join("\n"));
        set = set.recompile(&Sources::read(directory.path()).unwrap()).unwrap();
        let fresh = directory.load().unwrap();
        assert_eq!(set.ids(), fresh.ids());
        for user in 0..40 {
            let mut query = question();
            query.subject.id = user.to_string().into();
            query.resource.parents = [crate::decision::policy::fixture::parent("Folder", &query.subject.id)].into();
            assert_eq!(set.evaluate(&query), fresh.evaluate(&query), "round {round}, user {user}");
        }
    }
}

#[test]
fn a_wrong_cache_annotation_is_refused_where_it_stands() {
    for good in ["30s", "never", "1h30m"] {
        Directory::of(&format!("@cache(\"{good}\") {PERMIT}")).load().unwrap();
    }
    for bad in ["", "30", "-1s", "0s", "always"] {
        let refusal = Directory::of(&format!("{PERMIT}\n@cache(\"{bad}\") {PERMIT}")).refusal();
        assert!(refusal.starts_with("p.cedar:2:1: `@cache` must be"), "{refusal}");
    }
}

#[test]
fn an_impossible_permit_is_a_warning_and_an_impossible_forbid_an_error() {
    let never = "(principal, action, resource) when { principal is Document };";
    let policies = Directory::of(&format!("{PERMIT} permit{never}")).load().unwrap();
    assert_eq!(policies.warnings().len(), 1);
    assert!(policies.warnings()[0].to_string().contains("p.cedar:1:"), "{}", policies.warnings()[0]);
    let refusal = Directory::of(&format!("{PERMIT}\nforbid{never}")).refusal();
    assert!(refusal.starts_with("p.cedar:2:"), "{refusal}");
}

#[test]
fn the_schema_may_be_spread_over_files_of_both_syntaxes() {
    let json = r#"{"Shop": {
        "commonTypes": {"Basket": {"type": "Record", "attributes": {"items": {"type": "Long"}}}},
        "entityTypes": {"Cart": {"shape": {"type": "Basket"}}},
        "actions": {"buy": {"appliesTo": {"principalTypes": ["User"], "resourceTypes": ["Cart"],
            "context": {"type": "Basket"}}}}
    }}"#;
    let files = [("1.cedarschema", SCHEMA), ("2.cedarschema.json", json), ("p.cedar", PERMIT)];
    let policies = Directory::new(&files).load().unwrap();
    assert_eq!(policies.shape().context_attributes("Shop::buy").unwrap().iter().collect::<Vec<_>>(), ["items"]);
    assert!(policies.shape().context_attributes("buy").is_none());
}

#[test]
fn hidden_files_subdirectories_and_other_names_are_not_read() {
    let directory = Directory::of(PERMIT);
    let before = directory.load().unwrap();
    for name in [".p2.cedar.swp", ".hidden.cedar", "p.cedar~", "README.md", ".json"] {
        directory.write(name, "not Cedar");
    }
    std::fs::create_dir(directory.path().join("more.cedar")).unwrap();
    let after = directory.load().unwrap();
    assert_eq!((before.policy_digest(), before.entity_digest()), (after.policy_digest(), after.entity_digest()));
}

#[test]
fn links_are_followed_and_a_dangling_one_is_an_error() {
    let elsewhere = Directory::new(&[("real", PERMIT)]);
    let directory = Directory::new(&[("s.cedarschema", SCHEMA)]);
    symlink(elsewhere.path().join("real"), directory.path().join("p.cedar")).unwrap();
    assert_eq!(directory.load().unwrap().len(), 1);
    symlink("nowhere", directory.path().join("q.cedar")).unwrap();
    assert!(directory.refusal().starts_with("q.cedar: No such file"), "{}", directory.refusal());
}

#[test]
fn what_is_not_a_file_or_not_text_or_too_large_is_refused() {
    let directory = Directory::of(PERMIT);
    nix::unistd::mkfifo(&directory.path().join("pipe.cedar"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(directory.refusal().contains("pipe.cedar: not a regular file"), "{}", directory.refusal());
    let directory = Directory::of(PERMIT);
    std::fs::write(directory.path().join("latin1.cedar"), b"// caf\xe9").unwrap();
    assert_eq!(directory.refusal(), "latin1.cedar: not UTF-8 text from byte 6 on");
    let directory = Directory::of(PERMIT);
    let large = std::fs::File::create(directory.path().join("large.json")).unwrap();
    large.set_len((16 << 20) + 1).unwrap();
    assert!(directory.refusal().starts_with("large.json: the file has 16777217 bytes"), "{}", directory.refusal());
}

#[test]
fn deep_nesting_is_refused_and_does_not_end_the_process() {
    let deep = |open: &str, close: &str| {
        let condition = format!("{}true{}", open.repeat(100_000), close.repeat(100_000));
        Directory::of(&format!("permit(principal, action, resource) when {{ {condition} }};")).refusal()
    };
    for refusal in [deep("(", ")"), deep("if true then true else ", ""), deep("[", "]")] {
        assert!(refusal.contains("nested more than"), "{refusal}");
    }
    let schema = format!("type T = {}Long{}; {SCHEMA}", "Set<".repeat(100_000), ">".repeat(100_000));
    let directory = Directory::new(&[("s.cedarschema", &schema), ("p.cedar", PERMIT)]);
    assert!(directory.refusal().contains("nested more than"));
    let json = Directory::of(PERMIT);
    json.write("e.json", &format!("[{}{}]", "[".repeat(100_000), "]".repeat(100_000)));
    assert!(json.refusal().starts_with("e.json:1:"), "{}", json.refusal());
}

#[test]
fn as_deep_as_is_let_through_compiles_and_evaluates() {
    use crate::decision::policy::{Effect, fixture::question};
    let deep = super::super::nesting::DEEPEST - 3;
    for (open, close) in [("(", ")"), ("if true then true else ", "")] {
        let condition = format!("{}true{}", open.repeat(deep), close.repeat(deep));
        let policies = Directory::of(&format!("permit(principal, action, resource) when {{ {condition} }};"));
        let evaluation = policies.load().unwrap().evaluate(&question()).unwrap();
        assert_eq!((evaluation.effect, evaluation.errors.len()), (Effect::Permit, 0));
    }
}

/// Found by attack: a chain nests as deeply as it is long, and dropping it overflowed the stack of whoever did.
#[test]
fn as_long_as_is_let_through_loads_evaluates_and_goes_away() {
    use crate::decision::policy::{Effect, fixture::question};
    let longest = super::super::nesting::LONGEST;
    let of = |operators: usize| {
        format!("{PERMIT}\npermit(principal, action, resource) when {{ 0{} > 1 }};", " + 0".repeat(operators))
    };
    assert!(Directory::of(&of(longest)).refusal().starts_with("p.cedar:2:"));
    // As much stack as a thread that decides has.
    let thread = std::thread::Builder::new().stack_size(32 << 20).spawn(move || {
        let policies = Directory::of(&of(longest - 1)).load().unwrap();
        assert_eq!(policies.evaluate(&question()).unwrap().effect, Effect::Permit);
    });
    thread.unwrap().join().unwrap();
}

#[test]
fn a_bad_entity_is_found_where_it_stands() {
    let refusal = |json: &str| {
        let directory = Directory::of(PERMIT);
        directory.write("e.json", json);
        directory.refusal()
    };
    let good = r#"{"uid": {"type": "User", "id": "a"}, "attrs": {"level": 1}, "parents": []}"#;
    let undeclared = r#"{"uid": {"type": "User", "id": "b"}, "attrs": {"nope": 1}, "parents": []}"#;
    let mistyped = r#"{"uid": {"type": "User", "id": "b"}, "attrs": {"level": "1"}, "parents": []}"#;
    let twice = r#"{"uid": {"type": "User", "id": "b"}, "attrs": {"level": 1, "level": 2}, "parents": []}"#;
    for bad in [undeclared, mistyped, twice] {
        let refusal = refusal(&format!("[\n {good},\n {bad}\n]"));
        assert!(refusal.starts_with("e.json:3:"), "{refusal}");
    }
    assert!(
        refusal(&format!("[{good},\n  {good}]")).starts_with("e.json:2:3: the entity `User::\"a\"` is there twice")
    );
    assert!(refusal(&format!("[{good},]")).starts_with("e.json:1:"));
    assert!(refusal(&format!("[{good} {good}]")).starts_with("e.json:1:"));
    assert!(refusal(&format!("[{good}] x")).contains("expected nothing more"));
    assert!(refusal("{}").contains("expected `[`"));
    assert!(refusal("[\n{\"uid\": ]").starts_with("e.json:2:9: "), "{}", refusal("[\n{\"uid\": ]"));
    assert!(refusal("").contains("expected `[`"));
    let cycle = r#"[{"uid": {"type": "Team", "id": "a"}, "attrs": {}, "parents": [{"type": "Team", "id": "b"}]},
        {"uid": {"type": "Team", "id": "b"}, "attrs": {}, "parents": [{"type": "Team", "id": "a"}]}]"#;
    assert!(refusal(cycle).contains("is also its descendant"), "{}", refusal(cycle));
}

#[test]
fn an_entity_twice_in_two_files_is_refused() {
    let directory = Directory::of(PERMIT);
    let entity = r#"[{"uid": {"type": "Team", "id": "x"}, "attrs": {}, "parents": []}]"#;
    directory.write("a.json", entity);
    directory.write("b.json", entity);
    assert_eq!(directory.refusal(), "b.json:1:2: the entity `Team::\"x\"` is there twice: a.json:1:2 has it");
}

#[test]
fn digests_tell_policies_from_entities_and_know_file_names() {
    let directory = Directory::of(PERMIT);
    let digests = || directory.load().map(|set| (set.policy_digest(), set.entity_digest())).unwrap();
    let first = digests();
    directory.write("e.json", "[]");
    let second = digests();
    assert_eq!(first.0, second.0);
    assert_ne!(first.1, second.1);
    directory.write("p.cedar", &format!("{PERMIT} "));
    let third = digests();
    assert_ne!(second.0, third.0);
    assert_eq!(second.1, third.1);
    std::fs::rename(directory.path().join("p.cedar"), directory.path().join("q.cedar")).unwrap();
    assert_ne!(third.0, digests().0);
}

#[test]
fn the_problems_that_are_listed_are_bounded_and_the_rest_counted() {
    let wrong = "permit(principal == Robot::\"x\", action, resource);\n".repeat(200);
    let refusal = Directory::of(&wrong).refusal();
    assert_eq!(refusal.lines().count(), 51);
    assert!(refusal.lines().last().unwrap().starts_with("and "));
}

#[test]
fn the_quickstart_loads_without_a_warning() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/quickstart");
    let policies = PolicySet::load(&path).unwrap();
    assert_eq!(policies.warnings(), []);
    let ids = policies.ids();
    assert_eq!(ids, ["batch-reads-everything", "nobody-reads-internal", "web-places-orders", "web-reads-orders"]);
    let shape: &SchemaShape = policies.shape();
    assert_eq!(shape.headers("GET").iter().collect::<Vec<_>>(), ["x-tenant"]);
    assert!(shape.context_attributes("CONNECT").unwrap().contains("host"));
    assert!(shape.headers("CONNECT").is_empty());
}

#[test]
fn annotations_are_checked_and_told_with_policy_and_place() {
    let refusal =
        Directory::of(&format!("{PERMIT}\n\n  @id(\"no\") @deny_status(\"200\") forbid(principal, action, resource);"))
            .refusal();
    assert_eq!(
        refusal,
        "p.cedar:3:3: policy `no`: `@deny_status`: `200` is not a status of 400 to 599 that Envoy can answer with"
    );
    let said = links(&link("may-read", ARGUMENTS));
    said.write("p.cedar", &format!("{PERMIT}\n@header_host(\"x\") {TEMPLATE}"));
    assert!(said.refusal().contains("policy `alice-reads`: `@header_host`: "), "{}", said.refusal());
}

#[test]
fn headers_for_services_are_known_from_all_permits_and_from_no_forbid() {
    let directory = Directory::of(&format!("{PERMIT} @header_x_f(\"1\") forbid(principal, action, resource);"));
    let set = directory.load().unwrap();
    assert_eq!(set.backend_headers(), None);
    directory.write("q.cedar", "@header_x_b(\"1\") @header_x_a(\"2\") permit(principal, action, resource);");
    let set = set.recompile(&Sources::read(directory.path()).unwrap()).unwrap();
    assert_eq!(set.backend_headers().unwrap().iter().map(|name| &**name).collect::<Vec<_>>(), ["x-a", "x-b"]);
    directory.write("q.cedar", "// none");
    let set = set.recompile(&Sources::read(directory.path()).unwrap()).unwrap();
    assert_eq!(set.backend_headers(), None, "what is gone is forgotten");
}
