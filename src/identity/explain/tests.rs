use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::identity::registry::EntrySource;
use crate::identity::registry::EntryTerms;
use crate::identity::workload::tests::{House, Sleeper, Told, entry};

const DOCKER: &str = "/docker/09bc3d7ade839efec32b6bec4ec79d099027a668ddba043083ec21d3c3b8f1e6";

fn ids(entries: &[Arc<Entry>]) -> Vec<&str> {
    entries.iter().map(|entry| &*entry.id).collect()
}

#[tokio::test]
async fn it_says_what_was_found_what_was_granted_and_what_was_nearly() {
    let uid = format!("unix:uid:{}", nix::unistd::geteuid());
    let mut store = entry("store", [&*uid]);
    store.terms.store_svid = true;
    let house = House::new([
        entry("far", ["unix:uid:54321", "k8s:ns:shop", "k8s:sa:web"]),
        entry("near", [&*uid, "k8s:ns:shop"]),
        store,
        entry("web", [&*uid, "docker:label:app:web"]),
        entry("also", [&*uid]),
    ])
    .await;
    let sleeper = Sleeper::start();
    house.put(&sleeper.pid().to_string(), DOCKER);
    let late = "the container is not in the kubelet's list of pods (yet)";
    let others: Vec<Arc<dyn crate::identity::attest::WorkloadAttestor>> =
        vec![Told::new("docker", Ok("label:app:web")), Told::new("k8s", Err(late))];
    let workloads = Arc::new(house.workloads(others, Duration::from_mins(10)));
    let explainer = Explainer::new(workloads, Arc::clone(&house.registry), house.clock.clone());

    let found = explainer.explain(sleeper.pid()).await.unwrap();
    assert!(found.selectors.contains(&"docker:label:app:web".parse().unwrap()));
    assert!(found.selectors.contains(&uid.parse().unwrap()));
    assert_eq!(found.failures, [AttestorFailure { attestor: "k8s", reason: late.to_owned() }]);
    assert_eq!(ids(&found.granted), ["web", "also"]);
    let misses: Vec<_> = found.near_misses.iter().map(|miss| (&*miss.entry.id, miss.missing.len())).collect();
    assert_eq!(misses, [("store", 0), ("near", 1), ("far", 3)]);
    let obstacle = found.near_misses[0].obstacle.unwrap();
    assert_eq!(obstacle, Obstacle::ForStore);
    assert_eq!(found.near_misses[1].missing, ["k8s:ns:shop".parse().unwrap()].into());
    assert_eq!(found.near_misses[1].obstacle, None);
}

#[tokio::test]
async fn of_a_process_that_is_not_there_nothing_is_said() {
    let house = House::new([]).await;
    let workloads = Arc::new(house.workloads(Vec::new(), Duration::from_mins(10)));
    let explainer = Explainer::new(workloads, Arc::clone(&house.registry), house.clock.clone());
    let mut ended = Sleeper::start();
    ended.0.kill().unwrap();
    ended.0.wait().unwrap();
    for pid in [ended.pid(), 0, -1, i32::MAX] {
        assert!(matches!(explainer.explain(pid).await, Err(ExplainError::NoProcess(_))), "{pid}");
    }
}

#[tokio::test]
async fn few_of_many_entries_are_named_the_nearest_first() {
    let many = (0..100).map(|number| entry(&format!("e{number}"), [&*format!("unix:uid:9{number}"), "unix:gid:99999"]));
    let house = House::new(many.chain([entry("nearest", ["unix:uid:99999"])])).await;
    let (workloads, sleeper) = (house.workloads(Vec::new(), Duration::from_mins(10)), Sleeper::start());
    let explainer = Explainer::new(Arc::new(workloads), Arc::clone(&house.registry), house.clock.clone());
    let found = explainer.explain(sleeper.pid()).await.unwrap();
    assert_eq!(found.near_misses.len(), MAX_NEAR_MISSES);
    let names: Vec<_> = found.near_misses.iter().take(3).map(|miss| &*miss.entry.id).collect();
    assert_eq!(names, ["nearest", "e0", "e1"]);
}

fn any_terms() -> impl Strategy<Value = EntryTerms> {
    let selectors = prop::collection::btree_set(0..4_u8, 1..4);
    (selectors, any::<bool>(), any::<bool>(), prop::option::of(0..3_i64)).prop_map(
        |(selectors, alias, store, expires)| {
            let parent = if alias { "spiffe://example.org/spire/server" } else { "spiffe://example.org/agent" };
            let selectors =
                selectors.into_iter().map(|number| Selector::new("unix", format!("uid:{number}"))).collect();
            let id = "spiffe://example.org/web".parse().unwrap();
            let mut terms = EntryTerms::new(id, parent.parse().unwrap(), selectors);
            terms.store_svid = store;
            terms.expires_at = expires.map(Timestamp::from_unix_seconds);
            terms
        },
    )
}

proptest! {
    /// Whoever is not granted an entry is told why: there is always something missing, or something in the way.
    #[test]
    fn an_entry_is_granted_or_it_is_said_why_not(terms in any_terms(), has in prop::collection::btree_set(0..4_u8, 0..4)) {
        let now = Timestamp::from_unix_seconds(1);
        let (id, created_at) = (Arc::from("e"), now);
        let entry = Entry { id, terms, revision: 0, created_at, source: EntrySource::Config, rank: 0 };
        let selectors: BTreeSet<_> = has.into_iter().map(|number| Selector::new("unix", format!("uid:{number}"))).collect();
        let granted = entry.is_for_workloads() && entry.is_alive(now) && entry.terms.selectors.is_subset(&selectors);
        let missing = entry.terms.selectors.difference(&selectors).count();
        prop_assert_eq!(granted, missing == 0 && obstacle(&entry, now).is_none());
    }
}
