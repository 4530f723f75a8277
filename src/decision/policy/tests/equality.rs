//! Every answer is plain Cedar's.

use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::prelude::*;

use super::world::World;
use crate::decision::policy::{Effect, Reference};

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn in_a_random_world_every_answer_is_plain_cedars(seed in any::<u64>()) {
        let mut world = World::new(seed);
        for round in 0..3 {
            let reference = Reference::of(&world.set).unwrap();
            for _ in 0..8 {
                let query = world.question();
                let evaluation = world.set.evaluate(&query);
                let opinion = reference.evaluate(&world.set, &query);
                let agreed = evaluation.as_ref().is_ok_and(|evaluation| opinion.is_ok_and(|it| it.agrees_with(evaluation)));
                prop_assert_eq!(agreed, evaluation.is_ok(), "{}\n{:#?}", world.policies.join("\n"), query);
                let told = evaluation.map(|evaluation| World::told(&evaluation)).ok();
                let owed = world.owed(&query);
                prop_assert_eq!(&told, &owed, "{}\n{}\n{:#?}\n{:#?}", world.text, world.policies.join("\n"), query, world.stored);
                *SEEN.lock().unwrap().entry(told.map(|(effect, _, errors)| (effect as u8, !errors.is_empty()))).or_default() += 1;
            }
            if round == 0 { world.store() } else { world.legislate() }
        }
    }
}

static SEEN: Mutex<BTreeMap<Option<(u8, bool)>, usize>> = Mutex::new(BTreeMap::new());

/// The worlds are worth something only if they bring about every kind of answer.
#[test]
fn random_worlds_bring_about_every_kind_of_answer() {
    for seed in 0..60 {
        let mut world = World::new(seed * 0x9e37_79b9);
        for _ in 0..8 {
            let query = world.question();
            let told = world.set.evaluate(&query).map(|evaluation| World::told(&evaluation)).ok();
            *SEEN
                .lock()
                .unwrap()
                .entry(told.map(|(effect, _, errors)| (effect as u8, !errors.is_empty())))
                .or_default() += 1;
        }
    }
    let seen = SEEN.lock().unwrap();
    for effect in [Effect::Permit, Effect::NoPermit, Effect::Forbid, Effect::ForbidFailed] {
        let failed = [true, false].map(|errors| seen.get(&Some((effect as u8, errors))).copied().unwrap_or(0));
        assert!(failed[0] > 5 && (failed[1] > 5 || effect == Effect::ForbidFailed), "{seen:?}");
    }
}
