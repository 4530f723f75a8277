//! What a search finds is what asking about everyone would find.

use proptest::prelude::*;

use super::world::World;
use crate::decision::mapping::complete;
use crate::decision::policy::{Effect, Evaluation, PolicySet};
use crate::decision::query::{Action, Entity, Overlay, Properties, Query};
use crate::decision::search::{Page, Search, SearchError, Sought};

const ENOUGH: usize = 10_000_000;

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn in_a_random_world_a_search_finds_what_asking_about_everyone_finds(seed in any::<u64>()) {
        let mut world = World::new(seed);
        for round in 0..3 {
            for _ in 0..8 {
                let search = a_search(&mut world);
                let owed = all_who_may(&world.set, &search);
                let shown = || format!("{}\n{}\n{search:#?}\n{:#?}", world.text, world.policies.join("\n"), world.stored);
                for limit in [1, 2, 3, 1000] {
                    let found = all_pages(&world.set, &search, limit);
                    prop_assert_eq!(&found, &owed, "by {}: {}", limit, shown());
                }
                for after in ["", "1", "1a", "4", "a0", "a2", "z"] {
                    let search = Search { after: Some(after.to_owned()), limit: 1000, ..search.clone() };
                    let owed: Vec<_> = owed.iter().filter(|name| name.as_str() > after).cloned().collect();
                    prop_assert_eq!(world.set.search(&search, ENOUGH), Ok(Page { names: owed, more: false }), "{}", shown());
                }
                for work in [1, 20, 100, 2000] {
                    let page = world.set.search(&Search { limit: 1000, ..search.clone() }, work);
                    let honest = match &page {
                        Err(error) => *error == SearchError::TooMuchWork,
                        Ok(Page { names, more: true }) => !names.is_empty() && owed.starts_with(names),
                        Ok(Page { names, more: false }) => *names == owed,
                    };
                    prop_assert!(honest, "{:?} for {}: {}", page, work, shown());
                }
            }
            if round == 0 { world.store() } else { world.legislate() }
        }
    }
}

/// The worlds are worth something only if searches find some in them, and not all.
#[test]
fn random_worlds_have_something_to_be_found_and_something_not() {
    let (mut found, mut missed) = (0, 0);
    for seed in 0..60 {
        let mut world = World::new(seed * 0x9e37_79b9);
        for _ in 0..8 {
            let search = a_search(&mut world);
            let who = all_who_may(&world.set, &search).len();
            found += who;
            missed += asked_about(&world.set, &search).len() - who;
        }
    }
    assert!(found > 100 && missed > 100, "{found} {missed}");
}

/// A question of the world with one part left open.
fn a_search(world: &mut World) -> Search<'static> {
    let Query { subject, action, resource, context, .. } = world.question();
    let said = world.dice.percent(50);
    let properties = |properties: Properties<'static>| if said { properties } else { Properties::default() };
    let sought = match world.dice.below(5) {
        0 => Sought::Actions { subject, resource },
        1 | 2 => {
            let Entity { kind, properties: said, overlay, .. } = subject;
            Sought::Subjects { kind, properties: properties(said), overlay, action, resource }
        }
        _ => {
            let Entity { kind, properties: said, overlay, .. } = resource;
            Sought::Resources { subject, action, kind, properties: properties(said), overlay }
        }
    };
    Search { sought, context, after: None, limit: 1 }
}

/// All pages of a search, one after the other.
pub(in crate::decision::policy) fn all_pages(set: &PolicySet, search: &Search<'_>, limit: usize) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    loop {
        let search = Search { after: all.last().cloned(), limit, ..search.clone() };
        let Page { names, more } = set.search(&search, ENOUGH).unwrap();
        assert!(if more { names.len() == limit } else { names.len() <= limit });
        all.extend(names);
        if !more {
            return all;
        }
    }
}

/// The names of those about whom `Authorizer::evaluate` would answer allow, found by asking about each.
pub(in crate::decision::policy) fn all_who_may(set: &PolicySet, search: &Search<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for (name, mut query) in asked_about(set, search) {
        let permitted = |evaluation: &Evaluation| evaluation.effect == Effect::Permit;
        if complete(&mut query).is_ok() && set.evaluate(&query).is_ok_and(|evaluation| permitted(&evaluation)) {
            names.push(name);
        }
    }
    names
}

/// The questions about everyone, in the order of their names.
fn asked_about(set: &PolicySet, search: &Search<'_>) -> Vec<(String, Query<'static>)> {
    let ids = |kind: &str| {
        let of_kind = set.entities.iter().filter(|node| node.uid().kind() == kind);
        let mut ids: Vec<String> = of_kind.map(|node| node.uid().id().to_owned()).collect();
        ids.sort_unstable();
        ids
    };
    let named = |kind: &str, id: &str, (properties, overlay): (&Properties<'_>, &Overlay)| Entity {
        properties: properties.clone().into_owned(),
        overlay: overlay.clone(),
        ..Entity::named(kind.to_owned(), id.to_owned())
    };
    let context = search.context.clone().into_owned();
    let query =
        |subject, action, resource| Query { subject, action, resource, context: context.clone(), extra: vec![] };
    match search.sought.clone() {
        Sought::Subjects { kind, properties, overlay, action, resource } => {
            let about = |id: String| {
                let subject = named(&kind, &id, (&properties, &overlay));
                (id, query(subject, action.clone(), resource.clone()).into_owned())
            };
            ids(&kind).into_iter().map(about).collect()
        }
        Sought::Resources { subject, action, kind, properties, overlay } => {
            let about = |id: String| {
                let resource = named(&kind, &id, (&properties, &overlay));
                (id, query(subject.clone(), action.clone(), resource).into_owned())
            };
            ids(&kind).into_iter().map(about).collect()
        }
        Sought::Actions { subject, resource } => {
            let all = set.vocabulary.types.actions.keys();
            let about = |name: &String| {
                (name.clone(), query(subject.clone(), Action::named(name.clone()), resource.clone()).into_owned())
            };
            all.map(about).collect()
        }
    }
}
