use serde_json::{Value as Json, json};

use super::*;
use crate::decision::policy::fixture::{Directory, entity, object};
use crate::decision::policy::tests::search::{all_pages, all_who_may};
use crate::decision::query::{Overlay, Properties};

const ENOUGH: usize = 1_000_000;

/// Documents d0 to d999, ten to a folder; folders f0 to f99 within the folder `all`; each user owns every hundredth.
fn library(policies: &str) -> PolicySet {
    let mut entities = vec![json!({"uid": {"type": "Folder", "id": "all"}, "attrs": {}, "parents": []})];
    for folder in 0..100 {
        let parents = json!([{"type": "Folder", "id": "all"}]);
        entities.push(json!({"uid": {"type": "Folder", "id": format!("f{folder}")}, "attrs": {}, "parents": parents}));
    }
    for document in 0..1000 {
        let owner = json!({"__entity": {"type": "User", "id": format!("u{}", document % 100)}});
        let parents = json!([{"type": "Folder", "id": format!("f{}", document / 10)}]);
        let uid = json!({"type": "Document", "id": format!("d{document}")});
        entities.push(json!({"uid": uid, "attrs": {"owner": owner}, "parents": parents}));
    }
    for user in 0..100 {
        let parents = json!([{"type": "Team", "id": format!("t{}", user % 5)}]);
        let manager = json!({"__entity": {"type": "User", "id": format!("u{}", user / 10)}});
        let uid = json!({"type": "User", "id": format!("u{user}")});
        entities.push(json!({"uid": uid, "attrs": {"manager": manager}, "parents": parents}));
    }
    let directory = Directory::of(policies);
    directory.write("e.json", &Json::from(entities).to_string());
    directory.load().unwrap()
}

fn resources(subject: &str, properties: Json) -> Search<'static> {
    let (subject, action) = (entity("User", subject, json!({})), Action::named("read"));
    let (kind, properties, overlay) = ("Document".into(), object(properties), Overlay::default());
    let sought = Sought::Resources { subject, action, kind, properties, overlay };
    Search { sought, context: Properties::default(), after: None, limit: 1000 }
}

fn subjects(resource: &str) -> Search<'static> {
    let (action, resource) = (Action::named("read"), entity("Document", resource, json!({})));
    let (kind, properties, overlay) = ("User".into(), Properties::default(), Overlay::default());
    let sought = Sought::Subjects { kind, properties, overlay, action, resource };
    Search { sought, context: Properties::default(), after: None, limit: 1000 }
}

/// What is found for so much work, which must be what asking about everyone finds.
fn found(set: &PolicySet, search: &Search<'_>, work: usize) -> usize {
    let page = set.search(search, work).unwrap();
    assert_eq!((&page.names, page.more), (&all_who_may(set, search), false));
    page.names.len()
}

#[test]
fn only_those_whom_a_permit_names_are_looked_at() {
    let set = library(
        r#"permit(principal == User::"u1", action, resource == Document::"d7");
        permit(principal == User::"u2", action, resource in Folder::"f3");
        permit(principal in Team::"t3", action == Action::"read", resource)
            when { resource in [Folder::"f4", Folder::"f5"] };
        permit(principal == User::"u4", action == Action::"write", resource);
        forbid(principal, action, resource == Document::"d33");"#,
    );
    assert_eq!(found(&set, &resources("u1", json!({})), 50), 1);
    assert_eq!(found(&set, &resources("u2", json!({})), 500), 9, "all of the folder but one, which is forbidden");
    assert_eq!(found(&set, &resources("u3", json!({})), 1000), 20);
    assert_eq!(found(&set, &resources("u4", json!({})), 50), 0, "the permit is for another action");
    assert_eq!(found(&set, &resources("nobody", json!({})), 50), 0);
    assert_eq!(found(&set, &subjects("d7"), 50), 1);
    assert_eq!(found(&set, &subjects("d40"), 1000), 20, "everyone of the team");
    assert_eq!(found(&set, &subjects("d999"), 50), 0);
}

#[test]
fn what_is_brought_for_those_who_are_sought_counts_where_nothing_is_stored() {
    let set = library(
        r#"permit(principal, action, resource) when { resource has labels && resource.labels.contains("x") };"#,
    );
    assert_eq!(found(&set, &resources("u1", json!({})), ENOUGH), 0);
    assert_eq!(found(&set, &resources("u1", json!({"labels": ["x"]})), ENOUGH), 1000);
    let owned =
        library("permit(principal, action, resource) when { resource has owner && resource.owner == principal };");
    let said = json!({"owner": {"type": "User", "id": "u5"}});
    assert_eq!(found(&owned, &resources("u5", said.clone()), ENOUGH), 10, "what is stored comes first");
    let mut overlaid = resources("u5", said);
    if let Sought::Resources { overlay, .. } = &mut overlaid.sought {
        *overlay = Overlay::of(["owner".to_owned()].into());
    }
    assert_eq!(found(&owned, &overlaid, ENOUGH), 1000, "unless whoever asks may overlay it");
}

#[test]
fn what_is_overlaid_of_the_known_one_is_what_conditions_name() {
    let owned =
        library("permit(principal, action, resource) when { resource has owner && resource.owner == principal };");
    let overlay = Overlay::of(["owner".to_owned()].into());
    let said = json!({"owner": {"type": "User", "id": "u7"}});
    let mut search = subjects("d42");
    if let Sought::Subjects { resource, .. } = &mut search.sought {
        *resource = entity("Document", "d42", said);
    }
    let as_stored = owned.search(&search, ENOUGH).unwrap().names;
    if let Sought::Subjects { resource, .. } = &mut search.sought {
        resource.overlay = overlay;
    }
    assert_eq!(found(&owned, &search, 50), 1, "who is named is found without a look at all");
    assert_eq!(owned.search(&search, ENOUGH).unwrap().names, ["u7"]);
    assert_ne!(as_stored, ["u7"], "or this shows nothing");
}

#[test]
fn conditions_name_those_who_are_sought_too() {
    let set =
        library("permit(principal, action, resource) when { resource has owner && principal == resource.owner };");
    assert_eq!(found(&set, &subjects("d42"), 50), 1);
    assert_eq!(found(&set, &subjects("unheard-of"), 50), 0);
    assert_eq!(found(&set, &resources("u5", json!({})), 300), 10, "a look at ten, and a question about each");
    let set = library(
        r#"permit(principal, action, resource)
        when { resource has owner && resource.owner has manager && [resource.owner.manager, User::"u99"].contains(principal) };
        permit(principal, action, resource) when { principal has admin && principal.admin };"#,
    );
    assert_eq!(found(&set, &subjects("d42"), ENOUGH), 2);
    let set = library(
        r#"permit(principal, action, resource)
        when { principal in [Team::"t1", Team::"t2"] || (resource has owner && resource.owner == principal) }
        unless { resource == Document::"d3" };"#,
    );
    assert_eq!(found(&set, &subjects("d40"), ENOUGH), 41);
    assert_eq!(found(&set, &subjects("d3"), 50), 0, "nobody is asked about what nobody may");
}

/// Notes that are shared by attributes.
const SHARED: &str = "
    entity Team in [Team];
    entity User in [Team] = { boss?: User, friends?: Set<User>, level?: Long };
    entity Note = { readers: Set<User>, teams: Set<Team>, team: Team, owner: User, level: Long };
    action read appliesTo { principal: User, resource: [Note, User] };
";

#[test]
fn those_who_name_the_known_one_are_found_by_their_attributes() {
    let uid = |kind: &str, id: &str| json!({"type": kind, "id": id});
    let note = |id: usize| {
        let attributes = json!({
            "readers": [uid("User", &format!("u{}", id % 100)), uid("User", "everybody")],
            "teams": [uid("Team", &format!("t{}", id % 50))],
            "team": uid("Team", &format!("t{}", id % 70)),
            "owner": uid("User", &format!("u{}", id % 90)),
            "level": id % 7,
        });
        json!({"uid": uid("Note", &format!("n{id}")), "attrs": attributes, "parents": []})
    };
    let user = |id: &str, boss: &str| json!({"uid": uid("User", id), "attrs": {"boss": uid("User", boss)}, "parents": [uid("Team", "t1")]});
    let team = json!({"uid": uid("Team", "t1"), "attrs": {}, "parents": [uid("Team", "t2")]});
    let mut entities: Vec<_> = (0..1000).map(note).collect();
    entities.extend([user("u1", "u2"), user("u2", "u1"), team]);
    let with = |policies: &str| {
        let directory = Directory::new(&[("s.cedarschema", SHARED), ("p.cedar", policies)]);
        directory.write("e.json", &Json::from(entities.clone()).to_string());
        directory.load().unwrap()
    };
    let of = |kind: &'static str, subject: &str, properties: Json| {
        let (subject, action) = (entity("User", subject, properties), Action::named("read"));
        let (kind, properties, overlay) = (kind.into(), Properties::default(), Overlay::default());
        let sought = Sought::Resources { subject, action, kind, properties, overlay };
        Search { sought, context: Properties::default(), after: None, limit: 1000 }
    };
    let notes = |subject| of("Note", subject, json!({}));
    let when = |condition: &str| with(&format!("permit(principal, action, resource is Note) when {{ {condition} }};"));
    for (condition, count) in [
        ("resource.readers.contains(principal)", 10),
        ("principal in resource.readers", 10),
        ("principal in resource.team", 30),
        ("principal in resource.teams && resource.level < 7", 40),
        ("principal has boss && principal.boss == resource.owner", 12),
        ("resource.owner == principal || resource.readers.contains(principal)", 20),
        ("resource.level == 3 && resource.owner == principal", 1),
    ] {
        assert_eq!(found(&when(condition), &notes("u1"), 1500), count, "{condition}");
    }
    assert_eq!(found(&when("resource.level == 3"), &notes("u1"), ENOUGH), 143, "numbers are no entities");
    let friends = with(
        "permit(principal, action, resource is User) when { resource has friends && principal in resource.friends };",
    );
    let said = json!({"friends": [uid("User", "u1")]});
    assert_eq!(found(&friends, &of("User", "u1", said), 200), 1, "who asks has said it of themselves");
    assert_eq!(found(&friends, &of("User", "u1", json!({})), 200), 0);
}

#[test]
fn a_template_is_followed_by_its_links_and_a_forbid_that_fails_hides() {
    let policies = r#"@id("reads") permit(principal == ?principal, action, resource in ?resource);
        forbid(principal, action, resource == Document::"d31") when { principal.level > 1 };"#;
    let directory = Directory::of(policies);
    let link = r#"[{"template_id": "reads", "link_id": "l", "args": {"?principal": "User::\"u1\"", "?resource": "Folder::\"f3\""}}]"#;
    directory.write("l.links.json", link);
    assert!(directory.load().is_err(), "what can fail without a guard is refused by the validator");
    let directory =
        Directory::of(&policies.replace("principal.level > 1", "principal has level && principal.level + 1 > 1"));
    directory.write("l.links.json", link);
    let set = directory.load().unwrap().with_entities(library("permit(principal, action, resource);").entities);
    assert_eq!(found(&set, &resources("u1", json!({})), 1000), 10);
    let mut search = resources("u1", json!({}));
    if let Sought::Resources { subject, .. } = &mut search.sought {
        subject.properties = object(json!({"level": i64::MAX}));
    }
    assert_eq!(found(&set, &search, ENOUGH), 9, "the sum is too large");
}

#[test]
fn a_page_costs_what_it_shows_and_one_that_costs_too_much_says_so() {
    let set = library(
        r#"permit(principal, action, resource in Folder::"all");
        permit(principal, action == Action::"write", resource == Document::"d0");"#,
    );
    let search = Search { limit: 10, after: Some("d5".to_owned()), ..resources("u1", json!({})) };
    let page = set.search(&search, 700).unwrap();
    assert_eq!((page.names.len(), page.more, &*page.names[0]), (10, true, "d50"));
    assert_eq!(all_pages(&set, &search, 333).len(), 1000);
    let short = set.search(&Search { limit: 1000, ..search.clone() }, 1000).unwrap();
    assert!(short.more && (10..200).contains(&short.names.len()), "{short:?}");
    assert_eq!(set.search(&search, 20), Err(SearchError::TooMuchWork));
}

#[test]
fn what_nobody_knows_is_not_found_and_no_error() {
    let set = library("permit(principal, action, resource);");
    let nothing = Ok(Page::default());
    let known = |subject: &str, action: &str, kind: &str, context: Json| Search {
        sought: Sought::Resources {
            subject: entity(subject, "u1", json!({})),
            action: Action::named(action.to_owned()),
            kind: kind.to_owned().into(),
            properties: Properties::default(),
            overlay: Overlay::default(),
        },
        context: object(context),
        after: None,
        limit: 5,
    };
    let search = |subject, action, kind, context| set.search(&known(subject, action, kind, context), ENOUGH);
    assert_eq!(search("User", "read", "Document", json!({})).unwrap().names, ["d0", "d1", "d10", "d100", "d101"]);
    assert_eq!(search("Robot", "read", "Document", json!({})), nothing);
    assert_eq!(search("User", "fly", "Document", json!({})), nothing);
    assert_eq!(search("User", "read", "Robot", json!({})), nothing);
    assert_eq!(search("User", "read", "Folder", json!({})), nothing);
    assert_eq!(search("User", "any", "Document", json!({})), nothing);
    assert_eq!(search("User", "read", "Document", json!({"n": "one"})), nothing);
    assert_eq!(search("User", "write", "Document", json!({})), nothing, "the reason is missing");
}

#[test]
fn actions_are_those_of_the_schema_that_need_no_more_than_is_said() {
    let set = library(r#"permit(principal == User::"u1", action in Action::"any", resource);"#);
    let actions = |context| {
        let (subject, resource) = (entity("User", "u1", json!({})), entity("Document", "new", json!({})));
        Search { sought: Sought::Actions { subject, resource }, context: object(context), after: None, limit: 10 }
    };
    assert_eq!(set.search(&actions(json!({})), ENOUGH).unwrap().names, ["read", "say \"hi\""]);
    let all = actions(json!({"reason": "why not"}));
    assert_eq!(all_pages(&set, &all, 2), ["read", "say \"hi\"", "write"]);
    assert_eq!(set.search(&all, 5).unwrap_err(), SearchError::TooMuchWork);
}

/// Workloads and paths, whose parents follow from their ids.
const DERIVED: &str = "
    entity TrustDomain in [TrustDomain];
    entity Workload in [TrustDomain] = { trust_domain: String, path: String };
    entity Service;
    entity Path in [Path, Service];
    entity Note in [Workload, Path];
    action read appliesTo { principal: [Workload, Note], resource: [Workload, Path, Note, Service] };
";

fn derived_entities() -> Json {
    let workload = |id: &str| {
        let attributes = json!({"trust_domain": "stored", "path": "stored"});
        json!({"uid": {"type": "Workload", "id": id}, "attrs": attributes, "parents": []})
    };
    let inner = |kind: &str, id: &str, of: &str, parent: &str| json!({"uid": {"type": kind, "id": id}, "attrs": {}, "parents": [{"type": of, "id": parent}]});
    json!([
        workload("spiffe://a.org/x"),
        workload("spiffe://a.org/y"),
        workload("spiffe://b.org/x"),
        workload("no spiffe id"),
        inner("Path", "/secret/plan", "Service", "vault"),
        inner("Path", "/open/plan", "Service", "orders"),
        inner("Path", "not//canonical", "Service", "vault"),
        inner("Note", "n1", "Workload", "spiffe://a.org/x"),
        inner("Note", "n2", "Path", "/secret/plan"),
        inner("Note", "n3", "Path", "/secret"),
    ])
}

#[test]
fn what_follows_from_ids_is_found_though_it_is_not_stored() {
    let entities = derived_entities().to_string();
    let kinds = ["Workload", "Path", "Note", "Service"];
    let known = [
        ("Workload", "spiffe://a.org/x"),
        ("Note", "n1"),
        ("Note", "n3"),
        ("Path", "/secret/plan"),
        ("Path", "/secret/new"),
    ];
    let mut in_all = 0;
    for (scope, place) in [
        ("principal in", "TrustDomain::\"a.org\""),
        ("principal ==", "Workload::\"spiffe://a.org/y\""),
        ("principal in", "Path::\"/secret\""),
        ("principal in", "Service::\"orders\""),
        ("resource in", "Path::\"/secret\""),
        ("resource in", "Service::\"orders\""),
        ("resource in", "TrustDomain::\"a.org\""),
        ("resource is", "Path"),
    ] {
        let (principal, resource) = match scope.split_once(' ').unwrap() {
            ("principal", how) => (format!("principal {how} {place}"), "resource".to_owned()),
            (_, how) => ("principal".to_owned(), format!("resource {how} {place}")),
        };
        let policy = format!("permit({principal}, action, {resource});");
        let directory = Directory::new(&[("s.cedarschema", DERIVED), ("p.cedar", &policy), ("e.json", &entities)]);
        let set = directory.load().unwrap();
        for (kind, (fixed, id)) in kinds.iter().flat_map(|kind| known.map(|known| (*kind, known))) {
            for service in [json!({}), json!({"service": "orders"})] {
                let fixed = entity(fixed, id, service.clone());
                let (action, properties) = (Action::named("read"), object(service));
                let overlay = Overlay::default();
                let by_subject = Sought::Subjects {
                    kind: kind.into(),
                    properties: properties.clone(),
                    overlay: overlay.clone(),
                    action: action.clone(),
                    resource: fixed.clone(),
                };
                let by_resource = Sought::Resources { subject: fixed, action, kind: kind.into(), properties, overlay };
                for sought in [by_subject, by_resource] {
                    let search = Search { sought, context: Properties::default(), after: None, limit: 100 };
                    assert_eq!(all_pages(&set, &search, 2), all_who_may(&set, &search), "{policy} {search:?}");
                    in_all += found(&set, &search, ENOUGH);
                }
            }
        }
    }
    assert!(in_all > 100, "{in_all}");
}
