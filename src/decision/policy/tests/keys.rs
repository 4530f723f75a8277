//! The key of a decision has what the policies can read, all of it and nothing else.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::world::World;
use crate::decision::cache::{Purge, Purges};
use crate::decision::policy::fixture::{Directory, object, parent, question};
use crate::decision::policy::{Epochs, Evaluation, PolicySet};
use crate::decision::query::Query;
use crate::foundation::watched::{Epoch, Watched};

fn key(set: &PolicySet, query: &Query<'static>, policies: Epoch) -> Vec<u8> {
    let epochs = Epochs { policies, bundles: Epoch::default() };
    set.ask(&set.question(query).unwrap()).key(epochs, &Purges::default()).as_bytes().to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever changes between two questions - their own words, the entities, the policies - the same key has the same
    /// answer.
    #[test]
    fn under_one_key_there_is_one_answer(seed in any::<u64>()) {
        let mut world = World::new(seed);
        let mut known: HashMap<Vec<u8>, Evaluation> = HashMap::new();
        let epochs = Watched::new(());
        for round in 0..6 {
            for _ in 0..12 {
                let query = world.question();
                let Ok(question) = world.set.question(&query) else { continue };
                let asked = world.set.ask(&question);
                let fresh = asked.evaluate();
                if fresh.cacheable {
                    let key = key(&world.set, &query, epochs.load().epoch());
                    let cached = known.entry(key).or_insert_with(|| fresh.evaluation.clone());
                    prop_assert_eq!(&*cached, &fresh.evaluation, "{}\n{:#?}", world.policies.join("\n"), query);
                }
            }
            if round % 2 == 0 { world.store() } else { world.legislate() }
            epochs.replace(());
        }
    }
}

/// One change to a question.
type Change = (&'static str, fn(&mut Query<'static>));

const CHANGES: [Change; 12] = [
    ("principal", |query| query.subject.id = "bob".to_owned().into()),
    ("principal.level", |query| query.subject.properties.insert("level".to_owned(), json!(2))),
    ("principal.admin", |query| query.subject.properties.insert("admin".to_owned(), json!(true))),
    ("principal.manager", |query| query.subject.properties.insert("manager".to_owned(), user("eve"))),
    ("principal in Team", |query| query.subject.parents = [parent("Team", "ops")].into()),
    ("resource", |query| query.resource.id = "draft".to_owned().into()),
    ("resource in Folder", |query| query.resource.parents = [parent("Folder", "secret")].into()),
    ("resource.owner", |query| query.resource.properties.insert("owner".to_owned(), user("eve"))),
    ("context.n", |query| query.context.insert("n".to_owned(), json!(7))),
    ("context.ip", |query| query.context.insert("ip".to_owned(), json!("10.0.0.7"))),
    ("context.at", |query| query.context.insert("at".to_owned(), json!("2026-11-22"))),
    ("undeclared", |query| query.context.insert("request_id".to_owned(), json!("7"))),
];

fn user(id: &str) -> Json {
    json!({"type": "User", "id": id})
}

/// The changes that make another key of the question, under these policies.
fn that_matter(policies: &str) -> Vec<&'static str> {
    let set = Directory::of(policies).load().unwrap();
    let mut before = question();
    before.subject.properties = object(json!({"level": 1}));
    before.context = object(json!({"n": 1}));
    let changed = |change: fn(&mut Query<'static>)| {
        let mut query = before.clone();
        change(&mut query);
        key(&set, &query, Epoch::default()) != key(&set, &before, Epoch::default())
    };
    CHANGES.into_iter().filter(|(_, change)| changed(*change)).map(|(name, _)| name).collect()
}

#[test]
fn only_what_a_policy_can_read_is_in_the_key() {
    let when = |condition: &str| that_matter(&format!("permit(principal, action, resource) when {{ {condition} }};"));
    let nothing: [&str; 0] = [];
    assert_eq!(that_matter("permit(principal, action, resource);"), nothing);
    assert_eq!(that_matter("permit(principal == User::\"bob\", action, resource);"), ["principal"]);
    assert_eq!(that_matter("permit(principal, action == Action::\"write\", resource == Document::\"x\");"), nothing);
    assert_eq!(that_matter("permit(principal in Team::\"ops\", action, resource);"), ["principal in Team"]);
    assert_eq!(
        that_matter("forbid(principal, action, resource in Folder::\"secret\"); permit(principal, action, resource);"),
        ["resource in Folder"]
    );
    assert_eq!(when("principal has level && principal.level > 0"), ["principal.level"]);
    assert_eq!(when("principal has admin"), ["principal.admin"]);
    assert_eq!(when("context has n && context.n == 1"), ["context.n"]);
    assert_eq!(when("context has ip && context.ip.isLoopback()"), ["context.ip"]);
    assert_eq!(when("context has at && context.at > datetime(\"2026-01-01\")"), ["context.at"]);
    assert_eq!(when("resource has owner && resource.owner == principal"), ["principal", "resource.owner"]);
    assert_eq!(
        when("principal has manager && principal.manager has level"),
        ["principal.manager"],
        "and what is stored of the manager"
    );
    // A set that is built of what is read is left to Cedar, which may read anything.
    assert_eq!(when("[principal] == [principal]").len(), CHANGES.len() - 1);
}

#[test]
fn what_is_stored_is_in_the_key_as_far_as_it_is_read() {
    let policies = "permit(principal, action, resource) when { principal has manager && principal.manager has level && principal.manager.level > 1 };";
    let with = |level: usize, others: usize| {
        let directory = Directory::of(policies);
        let entity = |id: &str, attributes: Json| json!({"uid": user(id), "attrs": attributes, "parents": []});
        let mut entities =
            vec![entity("alice", json!({"manager": user("eve")})), entity("eve", json!({"level": level}))];
        entities.extend((0..others).map(|id| entity(&id.to_string(), json!({}))));
        directory.write("e.json", &Json::from(entities).to_string());
        directory.load().unwrap().entities
    };
    let mut set = Directory::of(policies).load().unwrap();
    let mut under = |entities, epoch| {
        set.entities = entities;
        key(&set, &question(), epoch)
    };
    let epochs = Watched::new(());
    let before = under(with(1, 0), epochs.load().epoch());
    assert_eq!(under(with(1, 5), epochs.replace(())), before, "others are not read");
    assert_ne!(under(with(2, 0), epochs.replace(())), before);
}

#[test]
fn a_changed_policy_changes_the_keys_of_what_it_is_about_and_no_others() {
    let directory = Directory::of(
        "permit(principal == User::\"alice\", action, resource); @id(\"b\") permit(principal == User::\"bob\", action, resource);",
    );
    let before = directory.load().unwrap();
    directory.write("p.cedar", "permit(principal == User::\"alice\", action, resource); @id(\"b\") forbid(principal == User::\"bob\", action, resource);");
    let after = before.recompile(&crate::decision::policy::source::Sources::read(directory.path()).unwrap()).unwrap();
    let of = |set: &PolicySet, id: &str, epoch| {
        let mut query = question();
        query.subject.id = id.to_owned().into();
        key(set, &query, epoch)
    };
    let epochs = Watched::new(());
    let (first, second) = (epochs.load().epoch(), epochs.replace(()));
    assert_eq!(of(&before, "alice", first), of(&after, "alice", second));
    assert_ne!(of(&before, "bob", first), of(&after, "bob", second));
}

#[test]
fn a_purge_changes_the_keys_that_it_is_about() {
    let set = Directory::of(
        "@id(\"a\") permit(principal == User::\"alice\", action, resource); @id(\"all\") permit(principal, action, resource);",
    );
    let set = set.load().unwrap();
    let purges = Purges::default();
    let keys = || {
        ["alice", "bob"].map(|id| {
            let mut query = question();
            query.subject.id = id.to_owned().into();
            let epochs = Epochs { policies: Epoch::default(), bundles: Epoch::default() };
            set.ask(&set.question(&query).unwrap()).key(epochs, &purges).as_bytes().to_vec()
        })
    };
    let mut before = keys();
    let mut changed = |purge: Purge| {
        purges.purge(purge);
        let after = keys();
        let changed = [before[0] != after[0], before[1] != after[1]];
        before = after;
        changed
    };
    assert_eq!(changed(Purge::Policy("a".to_owned())), [true, false]);
    assert_eq!(changed(Purge::Principal { kind: "User".to_owned(), id: "bob".to_owned() }), [false, true]);
    assert_eq!(changed(Purge::Policy("all".to_owned())), [true, true]);
    assert_eq!(changed(Purge::Policy("none".to_owned())), [false, false]);
    assert_eq!(changed(Purge::Principal { kind: "Team".to_owned(), id: "bob".to_owned() }), [false, false]);
    assert_eq!(changed(Purge::All), [true, true]);
}
