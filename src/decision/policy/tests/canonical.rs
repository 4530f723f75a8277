//! What is kept of a question has all that its answer depends on.

use std::sync::Arc;

use proptest::prelude::*;

use super::world::World;
use crate::decision::entity::record::RecordReader;
use crate::decision::entity::sharing::Sharing;
use crate::decision::entity::{Entities, Writer};
use crate::decision::policy::canonical::Kept;

fn entities(world: &World, kept: &serde_json::Value) -> Entities {
    let reader = RecordReader::new(Arc::clone(world.set.types()));
    let (mut writer, mut sharing) = (Writer::default(), Sharing::default());
    for json in kept.as_array().unwrap() {
        if let Some(node) = reader.read(json, &mut sharing).unwrap() {
            writer.upsert(node).unwrap();
        }
    }
    writer.snapshot()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn in_a_random_world_a_question_has_the_same_answer_over_the_entities_that_are_kept_of_it(seed in any::<u64>()) {
        let mut world = World::new(seed);
        for round in 0..3 {
            for _ in 0..8 {
                let query = world.question();
                let text = world.set.canonical(&query).to_string();
                let kept = Kept::parse(&text).unwrap();
                prop_assert_eq!(kept.query.digest(), query.digest());
                let evaluation = world.set.evaluate(&query);
                prop_assert_eq!(kept.entities.is_some(), evaluation.is_ok());
                if let Some(entities) = kept.entities.map(|kept| entities(&world, &kept)) {
                    let again = world.set.with_entities(entities).evaluate(&kept.query);
                    prop_assert_eq!(again, evaluation, "{}\n{}\n{}", world.text, world.policies.join("\n"), text);
                }
            }
            if round == 0 { world.store() } else { world.legislate() }
        }
    }

    #[test]
    fn no_text_makes_reading_it_panic(text in "[\\[\\]{}\":,a-z0-9]{0,60}") {
        let _either = Kept::parse(&text);
    }
}
