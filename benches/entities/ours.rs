//! Our store.

use std::sync::Arc;

use portcullis::decision::entity::intake::{Intake, Row};
use portcullis::decision::entity::progress::Unseen;
use portcullis::decision::entity::source::Extent;
use portcullis::decision::entity::{EntityStore, UidRef};
use portcullis::decision::policy::PolicySet;
use portcullis::foundation::watched::Watched;

use crate::population::{HOLDING, SCHEMA, attributes, json, user};
use crate::stopwatch::{Figures, bytes, memory, repeated, timed};

/// The place of the source among those of the store, after the policy directory.
const SOURCE: u16 = 1;

pub(crate) fn measure(count: usize) -> Figures {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("s.cedarschema"), SCHEMA).unwrap();
    std::fs::write(directory.path().join("p.cedar"), "permit (principal, action, resource);").unwrap();
    let policies = Arc::new(Watched::new(PolicySet::load(directory.path()).unwrap()));
    let store = EntityStore::new(policies, ["policies".into(), "bench".into()]);
    let text = json(count);
    let length = bytes(&text);
    let before = memory("VmRSS") - length;
    let (load, applied) = timed(|| {
        let mut intake = intake(&store);
        intake.document(&"bench.json".into(), text.as_bytes()).unwrap();
        store.apply(SOURCE, intake, Extent::Whole).unwrap()
    });
    assert_eq!((applied.entities, applied.refused.len()), (count, 0), "{:?}", applied.refused.first());
    drop(text);
    let peak = memory("VmHWM") - before;

    let (upsert, upsert_worst) = repeated(1000, |run| {
        let id = user(run, count).to_string();
        put(&store, "User", &id, &attributes(run, run + 1), &team(user(run, count)));
        let entities = store.load();
        assert!(entities.get(UidRef::new("User", &id)).is_some_and(|node| !node.attributes().is_empty()));
    });
    // After some activity, for the allocator gives back what it does not need as it goes.
    let held = memory("VmRSS") - before;
    let (top, ()) = timed(|| put(&store, "Company", "0", "{}", HOLDING));
    let (delete, delete_worst) = repeated(1000.min(count / 4), |run| {
        let id = user(run, count).to_string();
        let mut intake = intake(&store);
        intake.delete("User", &id);
        store.apply(SOURCE, intake, Extent::Changes).unwrap();
        assert!(store.load().get(UidRef::new("User", &id)).is_none());
    });
    Figures { load: load / 1e3, memory: held, peak, text: length, upsert, upsert_worst, delete, delete_worst, top }
}

fn intake(store: &EntityStore) -> Intake {
    Intake::new(store.readers().borrow().clone(), Arc::new(Unseen))
}

fn put(store: &EntityStore, kind: &str, id: &str, attributes: &str, parents: &str) {
    let mut intake = intake(store);
    intake.row(&"bench".into(), Row { kind, id, attributes, tags: "{}", parents });
    let applied = store.apply(SOURCE, intake, Extent::Changes).unwrap();
    assert!(applied.refused.is_empty(), "{:?}", applied.refused);
}

fn team(index: usize) -> String {
    format!(r#"[{{"type":"Team","id":"{}"}}]"#, index - index % 100)
}
