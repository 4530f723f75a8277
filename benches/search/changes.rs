//! Searches while entities change.

use std::sync::Arc;

use portcullis::decision::entity::EntityStore;
use portcullis::decision::entity::intake::{Intake, Row};
use portcullis::decision::entity::progress::Unseen;
use portcullis::decision::entity::source::Extent;
use portcullis::decision::policy::PolicySet;
use portcullis::foundation::watched::Watched;
use portcullis::identity::foreign::ForeignIdentities;

use crate::library::Library;
use crate::stopwatch::repeated;
use crate::{ENOUGH, timed};

/// The place of the source among those of the store, after the policy directory.
const SOURCE: u16 = 1;

const CHANGES: usize = 200;

/// How long a new document takes from the source until a search finds it.
pub(crate) fn measure(set: &PolicySet, library: &Library) {
    let policies = Arc::new(Watched::new(set.clone()));
    let store = EntityStore::new(Arc::clone(&policies), ["policies".into(), "bench".into()]);
    let (_what, search) = library.searches().swap_remove(2);
    let before = policies.load().search(&search, ENOUGH, &ForeignIdentities::default()).unwrap().names.len();
    let mut applied = Vec::new();
    let (median, slowest) = repeated(CHANGES, |run| {
        let (took, ()) = timed(|| put(&store, &format!("new{run}")));
        applied.push(took);
        policies.load().search(&search, ENOUGH, &ForeignIdentities::default()).unwrap();
    });
    applied.sort_by(f64::total_cmp);
    let found = policies.load().search(&search, ENOUGH, &ForeignIdentities::default()).unwrap().names.len();
    assert_eq!(found, before + CHANGES);
    println!(
        "\none more document, until it is found: {median:.3} ms median, {slowest:.3} ms slowest (the first makes the order), search included"
    );
    println!(
        "  of which the change itself {:.3} ms median, {:.3} ms slowest",
        applied.get(CHANGES / 2).unwrap(),
        applied.last().unwrap()
    );
}

fn put(store: &EntityStore, id: &str) {
    let mut intake = Intake::new(store.readers().borrow().clone(), Arc::new(Unseen));
    let attributes = r#"{"owner":{"type":"User","id":"u7"},"level":1}"#;
    let row = Row { kind: "Document", id, attributes, tags: "{}", parents: r#"[{"type":"Folder","id":"f1"}]"# };
    intake.row(&"bench".into(), row);
    let applied = store.apply(SOURCE, intake, Extent::Changes).unwrap();
    assert!(applied.refused.is_empty(), "{:?}", applied.refused);
}
