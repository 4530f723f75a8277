//! The index answers as a scan of everything would, whatever was done to it.

use proptest::prelude::*;

use super::*;

/// What can be done to a registry, in small numbers, so that ids, grants and selectors collide.
#[derive(Clone, Debug)]
enum Step {
    Create(u8, EntryTerms),
    Update(u8, EntryTerms),
    Delete(u8),
    Reconcile(Vec<(u8, EntryTerms)>),
    Expire(u64),
}

fn some_terms() -> impl Strategy<Value = EntryTerms> {
    let selectors = prop::collection::btree_set(0..6_u8, 1..4);
    (0..4_u8, 0..5_u8, selectors, prop::option::of(0..20_u64), any::<bool>()).prop_map(
        |(name, parent, numbers, expiry, store_svid)| {
            let parent = match parent {
                0 => "spiffe://example.org/spire/server".to_owned(),
                1 | 2 => format!("spiffe://example.org/{parent}"),
                parent => format!("spiffe://example.org/node/{parent}"),
            };
            let selectors = numbers.into_iter().map(selector).collect();
            let spiffe_id = format!("spiffe://example.org/{name}").parse().unwrap();
            EntryTerms {
                expires_at: expiry.map(at),
                store_svid: store_svid && name == 0,
                ..EntryTerms::new(spiffe_id, parent.parse().unwrap(), selectors)
            }
        },
    )
}

/// One of six, of which one asks for a digest, and one is what a node is known by.
fn selector(number: u8) -> Selector {
    match number {
        0 => Selector::new("unix", "sha256:00"),
        1 => Selector::new("spiffe_id", "spiffe://example.org/node/3"),
        number => Selector::new("unix", format!("uid:{number}")),
    }
}

fn at(second: u64) -> Timestamp {
    NOW.after(Duration::from_secs(second))
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0..8_u8;
    prop_oneof![
        4 => (id.clone(), some_terms()).prop_map(|(id, terms)| Step::Create(id, terms)),
        3 => (id.clone(), some_terms()).prop_map(|(id, terms)| Step::Update(id, terms)),
        2 => id.clone().prop_map(Step::Delete),
        1 => prop::collection::vec((id, some_terms()), 0..4).prop_map(Step::Reconcile),
        1 => (0..20_u64).prop_map(Step::Expire),
    ]
}

async fn take(registry: &Registry, step: Step) {
    let change = match step {
        Step::Create(id, terms) => Change::Create { id: Some(id.to_string()), terms },
        Step::Update(id, terms) => {
            Change::Update { id: id.to_string(), change: Box::new(move |old| *old = terms.clone()) }
        }
        Step::Delete(id) => Change::Delete { id: id.to_string() },
        Step::Reconcile(wanted) => {
            let wanted = wanted.into_iter().map(|(id, terms)| ConfiguredEntry { id: id.to_string().into(), terms });
            // It may be contradictory in itself; then nothing changes.
            let _refused = registry.reconcile(wanted.collect(), NOW).await;
            return;
        }
        Step::Expire(second) => return registry.delete_expired(at(second)).await.unwrap(),
    };
    registry.apply(EntrySource::Api, vec![change], NOW).await.unwrap();
}

/// Whether `entry` is ours to hand out, followed from the entry upwards without any index.
fn is_ours(all: &[Arc<Entry>], entry: &Entry, ours: &SpiffeId, now: Timestamp, depth: usize) -> bool {
    let node = [Selector::new("spiffe_id", ours.as_str())].into();
    entry.terms.parent_id == *ours
        || depth > 0
            && all.iter().filter(|step| step.terms.spiffe_id == entry.terms.parent_id && step.is_alive(now)).any(
                |step| {
                    step.is_alias() && step.terms.selectors.is_subset(&node) || is_ours(all, step, ours, now, depth - 1)
                },
            )
}

fn agrees(entries: &Entries, kept: &[Entry], ours: Option<&SpiffeId>) {
    let mut all: Vec<Arc<Entry>> = kept.iter().cloned().map(Arc::new).collect();
    all.sort_by(|a, b| (a.rank, &a.id).cmp(&(b.rank, &b.id)));
    assert!(entries.iter().eq(&all), "not what the store holds");
    assert_eq!((entries.len(), entries.is_empty()), (all.len(), all.is_empty()));
    let wanted = all.iter().any(|entry| entry.terms.selectors.contains(&selector(0)));
    assert_eq!(entries.want_sha256(), wanted);
    assert_eq!(entries.next_expiry(), all.iter().filter_map(|entry| entry.terms.expires_at).min());
    for now in [0, 5, 10, 20].map(at) {
        assert_eq!(entries.expired(now).count(), all.iter().filter(|entry| !entry.is_alive(now)).count());
        for present in 0..64_u8 {
            let selectors = (0..6).filter(|number| present >> number & 1 == 1).map(selector).collect();
            let scan = all.iter().filter(|entry| {
                entry.is_for_workloads()
                    && entry.is_alive(now)
                    && entry.terms.selectors.is_subset(&selectors)
                    && ours.is_none_or(|ours| is_ours(&all, entry, ours, now, 8))
            });
            assert!(entries.entitled(&selectors, now).iter().eq(scan), "{selectors:?} at {now}");
        }
    }
    let mut by_id = all.clone();
    by_id.sort_by(|a, b| a.id.cmp(&b.id));
    assert!(entries.after("").eq(&by_id));
    for entry in &all {
        assert_eq!(entries.get(&entry.id), Some(entry));
        assert_eq!(entries.similar(&entry.terms), Some(entry), "two entries grant the same");
        assert!(entries.after(&entry.id).eq(by_id.iter().filter(|other| other.id > entry.id)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_index_answers_as_a_scan_does(steps in prop::collection::vec(step(), 1..25), some in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let ours: Option<SpiffeId> = some.then(|| "spiffe://example.org/node/3".parse().unwrap());
            let parents = || ours.clone().map_or(Parents::Any, |ours| Parents::these([ours]));
            let store = Arc::new(MemoryRegistry::default());
            let open = async || {
                let entropy = Arc::new(SystemEntropy::new());
                Registry::open("example.org".parse().unwrap(), store.clone(), entropy).await.unwrap()
            };
            let writer = open().await.handing_out_for(parents());
            let reader = open().await.handing_out_for(parents());
            for step in steps {
                take(&writer, step).await;
                let kept = store.load().await.unwrap().entries;
                agrees(&writer.load(), &kept, ours.as_ref());
            }
            // Who only follows arrives at the same.
            reader.refresh().await.unwrap();
            agrees(&reader.load(), &store.load().await.unwrap().entries, ours.as_ref());
        });
    }
}
