//! `max_stale`: for how long a bundle is believed that can't be fetched anew.

use super::*;
use crate::identity::federation::DeleteMode;
use crate::identity::registry::Registry;
use crate::identity::registry::memory::MemoryRegistry;

#[tokio::test]
async fn a_bundle_that_is_too_old_is_not_believed_until_it_is_fetched_again() {
    let world = World::new(&["peer.org"], Some(Duration::from_hours(2))).await;
    let good = document(Some(3), &[jwk(&authority("peer.org"))]);
    world.script.put("peer.org", [good.clone()]);
    world.refresh("peer.org").await.unwrap();
    world.script.put("peer.org", [Says::Error("refused")]);
    world.clock.advance(Duration::from_mins(119));
    world.refresh("peer.org").await.unwrap_err();
    assert_eq!(world.trusted("peer.org"), Some(1));
    world.clock.advance(Duration::from_mins(2));
    world.refresh("peer.org").await.unwrap_err();
    assert_eq!(world.trusted("peer.org"), Some(0));
    let state = world.poller.state(&domain("peer.org")).unwrap();
    assert!(state.is_stale && state.failure.is_some_and(|failure| failure.times == 2));
    // It stays so when the store is read again, and nothing of it can be changed.
    world.federation.reload(&mut *world.federation.sequence.lock().await).await.unwrap();
    assert_eq!(world.trusted("peer.org"), Some(0));
    let changed = world.federation.update_bundle(domain("peer.org"), |_bundle| {}).await;
    assert!(matches!(changed, Err(FederationError::Stale(_))), "{changed:?}");
    world.script.put("peer.org", [good]);
    world.refresh("peer.org").await.unwrap();
    assert_eq!(world.trusted("peer.org"), Some(1));
}

/// A world whose bundle of `peer.org` has one authority and is too old.
async fn stale() -> World {
    let world = World::new(&["peer.org"], Some(Duration::from_hours(2))).await;
    world.script.put("peer.org", [document(Some(3), &[jwk(&authority("peer.org"))]), Says::Error("refused")]);
    world.refresh("peer.org").await.unwrap();
    world.clock.advance(Duration::from_hours(3));
    world.refresh("peer.org").await.unwrap_err();
    assert_eq!(world.trusted("peer.org"), Some(0));
    world
}

#[tokio::test]
async fn an_endpoint_that_serves_its_own_domain_is_verified_by_the_bundle_that_is_too_old() {
    let world = stale().await;
    let id = "spiffe://peer.org/bundle".parse().unwrap();
    let relationship = Relationship { profile: EndpointProfile::Spiffe(id), ..web("peer.org") };
    let verified_by = world.federation.verified_by(&relationship);
    assert_eq!(verified_by.get(&domain("peer.org")).unwrap().x509_authorities.len(), 1);
    assert_eq!(verified_by.iter().count(), 1, "and by no other");
}

#[tokio::test]
async fn an_endpoint_of_another_domain_is_verified_by_that_domains_bundle_and_no_other() {
    let world = World::new(&["peer.org"], None).await;
    let set = async |name: &'static str| {
        let bundle = Bundle::of_x509(domain(name), [authority(name).into()], 1);
        world.federation.set_bundle(bundle).await.unwrap();
    };
    set("peer.org").await;
    let relationship = |id: &str| {
        let profile = EndpointProfile::Spiffe(id.parse().unwrap());
        world.federation.verified_by(&Relationship { profile, ..web("peer.org") })
    };
    assert_eq!(relationship("spiffe://hub.org/bundles").iter().count(), 0, "nobody can prove to be it");
    set("hub.org").await;
    let names = |bundles: Bundles| bundles.iter().map(|bundle| bundle.trust_domain.to_string()).collect::<Vec<_>>();
    assert_eq!(names(relationship("spiffe://hub.org/bundles")), ["hub.org"]);
    assert_eq!(names(relationship("spiffe://example.org/mirror")), ["example.org"], "one of ours may serve another's");
}

#[tokio::test]
async fn what_comes_after_a_bundle_that_is_too_old_counts_and_the_old_one_never_again() {
    let world = stale().await;
    world.script.put("peer.org", [document(Some(3), &[])]);
    world.refresh("peer.org").await.unwrap();
    world.federation.reload(&mut *world.federation.sequence.lock().await).await.unwrap();
    assert_eq!(world.trusted("peer.org"), Some(0), "`keys: []` is what is kept now");
}

#[tokio::test]
async fn an_operator_can_set_or_delete_what_is_too_old() {
    let world = stale().await;
    let given = || {
        let authorities = [authority("peer.org"), authority("peer.org")].map(Into::into);
        Bundle::of_x509(domain("peer.org"), authorities, 4)
    };
    world.federation.set_bundle(given()).await.unwrap();
    assert_eq!(world.trusted("peer.org"), Some(2));
    let world = stale().await;
    let entropy = Arc::new(SystemEntropy::new());
    let registry = Registry::open(domain("example.org"), Arc::new(MemoryRegistry::default()), entropy).await.unwrap();
    let now = world.clock.now();
    world.federation.delete_bundle(domain("peer.org"), DeleteMode::Restrict, &registry, now).await.unwrap();
    world.federation.create_bundle(given()).await.unwrap();
    assert_eq!(world.trusted("peer.org"), Some(2));
}

/// `world` with another process on its store, which remembers that bundles of these names were fetched so long ago.
fn restarted(mut world: World, reached: &[(&str, Duration)]) -> World {
    let ages = reached.iter().map(|(name, ago)| {
        let at = world.clock.now().before(*ago);
        (domain(name), Age { since: at, reached: Some(at) })
    });
    // It was the process before that set them.
    world.federation.take_renewed();
    world.poller = Arc::new(Arc::into_inner(world.poller).unwrap().with_ages(ages.collect()));
    world.poller.age_what_is_held();
    world
}

#[tokio::test]
async fn a_restart_makes_no_bundle_newer() {
    let world = World::new(&["peer.org"], Some(Duration::from_hours(2))).await;
    let kept = Bundle::of_x509(domain("peer.org"), [authority("peer.org").into()], 1);
    world.federation.set_bundle(kept).await.unwrap();
    assert_eq!(world.trusted("peer.org"), Some(1));
    let world = restarted(world, &[("peer.org", Duration::from_hours(3))]);
    assert_eq!(world.trusted("peer.org"), Some(0), "before it is asked for the first time");
    assert_eq!(world.diary.take(), ["peer.org stale"]);
    assert!(world.poller.state(&domain("peer.org")).unwrap().is_stale);
    world.script.put("peer.org", [Says::Error("refused"), document(Some(2), &[jwk(&authority("peer.org"))])]);
    world.refresh("peer.org").await.unwrap_err();
    assert_eq!(world.trusted("peer.org"), Some(0));
    world.refresh("peer.org").await.unwrap();
    assert_eq!(world.trusted("peer.org"), Some(1), "what is fetched is new");
}

#[tokio::test]
async fn what_is_young_or_of_an_unknown_age_is_believed_after_a_restart() {
    let world = World::new(&["young.org", "unknown.org"], Some(Duration::from_hours(2))).await;
    for name in ["young.org", "unknown.org"] {
        world.federation.set_bundle(Bundle::of_x509(domain(name), [authority(name).into()], 1)).await.unwrap();
    }
    let world = restarted(world, &[("young.org", Duration::from_hours(1))]);
    assert_eq!((world.trusted("young.org"), world.trusted("unknown.org")), (Some(1), Some(1)));
    assert_eq!(world.diary.take(), Vec::<String>::new());
    // The process after this one knows the age, so that restarts are no way to stay young.
    let begun = Age { since: world.clock.now(), reached: None };
    assert_eq!(*world.diary.dates.lock().unwrap(), BTreeMap::from([("unknown.org".to_owned(), begun)]));
}

#[tokio::test]
async fn a_clock_that_was_ahead_makes_nothing_younger_than_now() {
    let world = World::new(&["peer.org"], Some(Duration::from_hours(2))).await;
    let kept = Bundle::of_x509(domain("peer.org"), [authority("peer.org").into()], 1);
    world.federation.set_bundle(kept).await.unwrap();
    world.federation.take_renewed();
    let ahead = world.clock.now().after(Duration::from_hours(10_000));
    let ages = BTreeMap::from([(domain("peer.org"), Age { since: ahead, reached: Some(ahead) })]);
    let poller = Arc::into_inner(world.poller).unwrap().with_ages(ages);
    world.clock.advance(Duration::from_mins(121));
    poller.age_what_is_held();
    assert!(poller.state(&domain("peer.org")).unwrap().is_stale);
}

#[tokio::test]
async fn what_an_operator_sets_is_new_ages_again_and_stays_new_over_a_restart() {
    let world = stale().await;
    world.script.put("peer.org", [Says::Error("refused")]);
    let given = Bundle::of_x509(domain("peer.org"), [authority("peer.org").into()], 4);
    world.federation.set_bundle(given).await.unwrap();
    world.refresh("peer.org").await.unwrap_err();
    assert_eq!(world.trusted("peer.org"), Some(1), "it was just set");
    let age = world.diary.dates.lock().unwrap()["peer.org"];
    assert_eq!((age.since, age.reached), (world.clock.now(), Some(world.clock.now().before(Duration::from_hours(3)))));
    world.clock.advance(Duration::from_mins(119));
    world.refresh("peer.org").await.unwrap_err();
    assert_eq!(world.trusted("peer.org"), Some(1));
    world.clock.advance(Duration::from_mins(2));
    world.refresh("peer.org").await.unwrap_err();
    assert_eq!(world.trusted("peer.org"), Some(0), "it is too old as any other");
}

#[tokio::test]
async fn a_relationship_that_is_changed_makes_its_bundle_neither_older_nor_newer() {
    let world = World::new(&[], Some(Duration::from_hours(2))).await;
    world.federation.create_relationship(web("peer.org"), None).await.unwrap();
    let world = restarted(world, &[("peer.org", Duration::from_hours(30))]);
    world.script.put("peer.org", [document(Some(3), &[jwk(&authority("peer.org"))]), Says::Error("refused")]);
    world.refresh("peer.org").await.unwrap();
    world.clock.advance(Duration::from_hours(1));
    // As it is done when one is ended, or another takes its place.
    world.poller.peers().remove(&domain("peer.org"));
    world.refresh("peer.org").await.unwrap_err();
    assert_eq!(world.trusted("peer.org"), Some(1), "it was fetched an hour ago");
    world.poller.peers().remove(&domain("peer.org"));
    world.clock.advance(Duration::from_hours(1));
    world.refresh("peer.org").await.unwrap_err();
    assert_eq!(world.trusted("peer.org"), Some(0));
}

#[tokio::test]
async fn what_another_process_fetched_is_believed_and_what_it_left_as_it_was_is_not() {
    let world = stale().await;
    let others = Arc::new(Watched::new(Bundles::default()));
    let other = Federation::load(domain("example.org"), Arc::clone(&world.store) as _, others).await.unwrap();
    let of = |name: &'static str, sequence| Bundle::of_x509(domain(name), [authority(name).into()], sequence);
    other.set_bundle(of("third.org", 1)).await.unwrap();
    world.federation.refresh().await.unwrap();
    assert_eq!((world.trusted("third.org"), world.trusted("peer.org")), (Some(1), Some(0)));
    other.set_bundle(of("peer.org", 4)).await.unwrap();
    world.federation.refresh().await.unwrap();
    assert_eq!(world.trusted("peer.org"), Some(1));
    world.refresh("peer.org").await.unwrap_err();
    assert_eq!(world.trusted("peer.org"), Some(1), "it is as new as we learned of it");
}

#[tokio::test]
async fn who_has_no_bundle_has_none_that_is_too_old() {
    let world = World::new(&["peer.org"], Some(Duration::from_hours(2))).await;
    world.script.put("peer.org", [Says::Error("refused")]);
    world.refresh("peer.org").await.unwrap_err();
    world.clock.advance(Duration::from_hours(3));
    world.refresh("peer.org").await.unwrap_err();
    assert_eq!(world.diary.take(), ["peer.org failed: refused", "peer.org failed: refused"]);
    world.federation.set_bundle(Bundle::of_x509(domain("peer.org"), [authority("peer.org").into()], 1)).await.unwrap();
    world.refresh("peer.org").await.unwrap_err();
    assert_eq!(world.trusted("peer.org"), Some(1));
}
