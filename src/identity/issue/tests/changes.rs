//! Who is woken, when, and how often.

use futures_util::FutureExt as _;

use super::*;
use crate::identity::registry::{Change, EntrySource};

fn uid(uid: u32) -> BTreeSet<Selector> {
    [Selector::new("unix", format!("uid:{uid}"))].into()
}

async fn create(house: &House, name: &str, uid: u32) {
    let change = Change::Create { id: Some(name.to_owned()), terms: entry(name, uid).terms };
    house.registry.apply(EntrySource::Api, vec![change], house.clock.now()).await.unwrap()[0].as_ref().unwrap();
}

/// Of `house`, a foreign bundle with this sequence.
fn foreign(house: &House, name: &str, sequence: u64) {
    let bundle = Bundle::of_x509(name.parse().unwrap(), [], sequence);
    house.authority.bundles().update(|bundles| bundles.with(bundle)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_change_of_registry_or_bundles_wakes() {
    let house = House::new([entry("web", 1)]).await;
    let mut changes = house.issuer.changes();
    assert!(changes.changed().now_or_never().is_none());
    house.replace_entries([]).await;
    changes.changed().await;
    assert!(changes.changed().now_or_never().is_none());
    house.clock.advance(AUTHORITY_TTL / 2);
    house.authority.maintain(house.clock.now()).await.unwrap();
    changes.changed().await;
}

/// 10,000 entries churned while 500 streams are open must not be 5,000,000 identifications.
#[tokio::test(start_paused = true)]
async fn the_first_change_wakes_at_once_and_a_flood_of_them_once_more() {
    let house = House::new([]).await;
    let mut changes = house.issuer.changes();
    create(&house, "a", 1).await;
    changes.changed().now_or_never().expect("the first wakes at once");
    for number in 0..100 {
        create(&house, &format!("b{number}"), 2).await;
        assert!(changes.changed().now_or_never().is_none(), "a flood wakes only after a pause");
    }
    changes.changed().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(changes.changed().now_or_never().is_none(), "all of it was told");
    create(&house, "c", 3).await;
    changes.changed().now_or_never().expect("after quiet, the next wakes at once");
}

#[tokio::test(start_paused = true)]
async fn only_those_are_woken_whose_entitlement_changed() {
    let house = House::new([entry("web", 1)]).await;
    let (mut ours, mut theirs) = (house.issuer.changes(), house.issuer.changes());
    let selectors = (uid(1), uid(2));
    let minute = Duration::from_mins(1);
    create(&house, "other", 2).await;
    theirs.changed_for(&selectors.1).await;
    assert!(tokio::time::timeout(minute, ours.changed_for(&selectors.0)).await.is_err());
    create(&house, "second", 1).await;
    ours.changed_for(&selectors.0).await;
    assert!(tokio::time::timeout(minute, theirs.changed_for(&selectors.1)).await.is_err());
    // A loss counts like a gain.
    house.replace_entries([]).await;
    ours.changed_for(&selectors.0).await;
}

#[tokio::test(start_paused = true)]
async fn what_happens_between_two_calls_or_in_one_that_was_given_up_is_not_missed() {
    let house = House::new([]).await;
    let mut changes = house.issuer.changes();
    assert!(changes.changed_for(&uid(1)).now_or_never().is_none());
    create(&house, "web", 1).await;
    create(&house, "other", 2).await;
    changes.changed_for(&uid(1)).await;
    create(&house, "second", 1).await;
    assert!(changes.changed_for(&uid(1)).now_or_never().is_none(), "it is quiet for a moment");
    changes.changed_for(&uid(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_bundle_wakes_only_those_who_get_it() {
    let federates = but(entry("web", 1), |terms| terms.federates_with = ["partner.test".parse().unwrap()].into());
    let house = House::new([federates, entry("other", 2)]).await;
    let (mut ours, mut theirs, mut nobody) = (house.issuer.changes(), house.issuer.changes(), house.issuer.changes());
    let minute = Duration::from_mins(1);
    foreign(&house, "partner.test", 1);
    ours.changed_for(&uid(1)).await;
    assert!(tokio::time::timeout(minute, theirs.changed_for(&uid(2))).await.is_err());
    // Our own concerns everyone who has an identity.
    house.clock.advance(AUTHORITY_TTL / 2);
    house.authority.maintain(house.clock.now()).await.unwrap();
    ours.changed_for(&uid(1)).await;
    theirs.changed_for(&uid(2)).await;
    assert!(tokio::time::timeout(minute, nobody.changed_for(&uid(3))).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_expiry_wakes_once_the_registry_has_told_of_it() {
    let house = House::new([entry("web", 1)]).await;
    let soon = house.clock.now().after(Duration::from_secs(5));
    house.replace_entries([but(entry("web", 1), |terms| terms.expires_at = Some(soon))]).await;
    let mut changes = house.issuer.changes();
    let shutdown = crate::foundation::shutdown::Shutdown::default();
    let scene = async {
        house.clock.advance(Duration::from_secs(5));
        changes.changed_for(&uid(1)).await;
        assert!(house.identities(1).unwrap().svids.is_empty());
        shutdown.advance(crate::foundation::shutdown::Phase::Draining);
    };
    tokio::join!(house.registry.follow(&*house.clock, shutdown.signal()), scene);
}

/// What a stream knows of its workload lacks the digest, if nobody had asked for it.
#[tokio::test(start_paused = true)]
async fn the_first_entry_that_asks_for_a_digest_wakes_everyone() {
    let house = House::new([entry("web", 1)]).await;
    let mut changes = house.issuer.changes();
    let by_digest = [Selector::new("unix", "sha256:00")].into();
    house.replace_entries([entry("web", 1), but(entry("other", 2), |terms| terms.selectors = by_digest)]).await;
    changes.changed_for(&uid(1)).await;
}
