//! Cedar's own `Entities`. An upsert or a removal makes a new one of the old: that is all its interface has.

use cedar_policy::{Entities, Entity, EntityUid, Schema};

use crate::population::{HOLDING, SCHEMA, entity, json, name, user};
use crate::stopwatch::{Figures, bytes, memory, repeated, timed};

/// How often one entity is changed: each takes a good part of a second.
const CHANGES: usize = 5;

pub(crate) fn measure(count: usize) -> Figures {
    let (schema, _warnings) = Schema::from_cedarschema_str(SCHEMA).unwrap();
    let text = json(count);
    let length = bytes(&text);
    let before = memory("VmRSS") - length;
    let (load, entities) = timed(|| Entities::from_json_str(&text, Some(&schema)).unwrap());
    drop(text);
    let peak = memory("VmHWM") - before;
    std::thread::sleep(std::time::Duration::from_secs(1));
    let held = memory("VmRSS") - before;

    // Readers keep the old one, so a change needs a copy.
    let mut current = entities;
    let (upsert, upsert_worst) = repeated(CHANGES, |run| {
        let changed = entity(user(run, count), run + 1);
        let changed = Entity::from_json_str(changed, Some(&schema)).unwrap();
        current = current.clone().upsert_entities([changed], Some(&schema)).unwrap();
    });
    let (delete, delete_worst) = repeated(CHANGES, |run| {
        let (kind, id) = name(user(run, count));
        let uid: EntityUid = format!("{kind}::\"{id}\"").parse().unwrap();
        current = current.clone().remove_entities([uid]).unwrap();
    });
    let company = entity(0, 0).replace("[]", HOLDING);
    let company = Entity::from_json_str(company, Some(&schema)).unwrap();
    let (top, _changed) = timed(|| current.clone().upsert_entities([company], Some(&schema)).unwrap());
    Figures { load: load / 1e3, memory: held, peak, text: length, upsert, upsert_worst, delete, delete_worst, top }
}
