//! What happens by itself. Test id C3 (rotation with a short life) and, with `operator`, the unit part of C1.

use super::*;
use crate::identity::bundle::Bundles;

#[tokio::test]
async fn an_authority_is_published_long_before_it_signs_and_trusted_until_it_expires() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    let first = bundle(&authority);
    // (second, authorities of each kind in the bundle, sequence, position of the signers, seconds to the next step)
    let timeline = [
        (0, 1, 2, 0, 600),
        (599, 1, 2, 0, 1),
        (600, 2, 4, 0, 400),
        (999, 2, 4, 0, 1),
        (1000, 2, 4, 1, 200),
        (1199, 2, 4, 1, 1),
        // The first ones have expired, and the second are at half of their life: two leave, two come.
        (1200, 2, 8, 0, 400),
        (1599, 2, 8, 0, 1),
        (1600, 2, 8, 1, 200),
    ];
    for (second, authorities, sequence, position, pause) in timeline {
        let now = estate.advance_to(second);
        let next = authority.maintain(now).await.unwrap();
        let bundle = bundle(&authority);
        assert_eq!(counts(&bundle), (authorities, authorities, sequence), "second {second}");
        assert_eq!(signers(&authority, now), (position, position), "second {second}");
        assert_eq!(next.since(now).as_secs(), pause, "second {second}");
        assert_eq!(bundle.x509_authorities.contains(&first.x509_authorities[0]), second < 1200);
        assert_eq!(bundle.jwt_authorities.contains(&first.jwt_authorities[0]), second < 1200);
    }
    assert_eq!(estate.keys().len(), 4, "the keys of the expired ones are gone");
}

#[tokio::test]
async fn every_change_is_recorded_with_who_wanted_it() {
    use AuthorityChange::{Activate, Expire, Prepare};
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    let timeline: [(u64, &[AuthorityChange]); 4] =
        [(0, &[Prepare, Activate]), (600, &[Prepare]), (1000, &[Activate]), (1200, &[Expire, Prepare])];
    for (second, changes) in timeline {
        authority.maintain(estate.advance_to(second)).await.unwrap();
        let both = AuthorityKind::ALL.into_iter();
        let expected = both.flat_map(|kind| changes.iter().map(move |change| (kind, *change, Initiator::Schedule)));
        assert_eq!(estate.recorded(), expected.collect::<Vec<_>>(), "second {second}");
    }
}

#[tokio::test]
async fn places_are_those_of_the_journal_and_survive_a_restart() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    for second in [0, 600, 1000, 1200, 1600] {
        let now = estate.advance_to(second);
        authority.maintain(now).await.unwrap();
        let restarted = estate.open().await.unwrap();
        for kind in AuthorityKind::ALL {
            let slots = authority.slots(kind);
            assert_eq!(restarted.slots(kind), slots);
            let places = (slots.prepared.is_some(), slots.old.is_some());
            assert!(slots.active.is_some());
            assert_eq!(places, ([600, 1200].contains(&second), [1000, 1600].contains(&second)), "second {second}");
        }
    }
}

/// C3: with a short life, over many generations and at irregular moments, what is handed out is in the bundle of before.
#[tokio::test]
async fn whoever_signs_was_in_the_bundle_before() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    let (mut before, mut leaf_signers) = (bundle(&authority), Vec::new());
    for step in 1..300 {
        let now = estate.advance_to(step * 37);
        if step % 3 == 0 {
            authority.maintain(now).await.unwrap();
        }
        let leaf = sign(&authority, LIFE / AUTHORITY_LEAVES, now).unwrap().leaf;
        let token = sign_token(&authority, LIFE / AUTHORITY_LEAVES, now).unwrap();
        assert!(before.certificates().any(|known| *known == leaf.authority_certificate), "step {step}");
        assert!(before.jwt_authorities.iter().any(|known| *known.key_id == *token.authority), "step {step}");
        assert!(leaf.not_after <= lint::validity_of(&leaf.authority_certificate).unwrap().not_after);
        leaf_signers.push(leaf.authority);
        before = bundle(&authority);
    }
    leaf_signers.dedup();
    assert!(leaf_signers.len() > 10, "{}", leaf_signers.len());
}

#[tokio::test]
async fn killed_while_it_prepared_the_next_one_it_goes_on_with_the_first() {
    for (fault, authorities) in [(Fault::BeforeCommit, 2), (Fault::AfterCommit, 3)] {
        let estate = Estate::new();
        let running = estate.open().await.unwrap();
        let now = estate.advance_to(600);
        estate.journal.fail_next(fault);
        assert!(running.maintain(now).await.is_err());
        // What runs goes on as before, …
        assert_eq!(signers(&running, now), (0, 0));
        assert_eq!(bundle(&running).sequence, 2);
        assert_eq!(estate.journaled().await.authorities.len(), authorities);
        // … and what starts anew has the same signers and exactly one successor each.
        let restarted = estate.open().await.unwrap();
        assert_eq!(signers(&restarted, now), (0, 0));
        assert_eq!(counts(&bundle(&restarted)), (2, 2, 4));
    }
}

#[tokio::test]
async fn killed_while_it_handed_over_the_successor_signs() {
    for fault in [Fault::BeforeCommit, Fault::AfterCommit] {
        let estate = Estate::new();
        let running = estate.open().await.unwrap();
        running.maintain(estate.advance_to(600)).await.unwrap();
        let prepared = running.slots(AuthorityKind::X509).prepared.unwrap();
        let now = estate.advance_to(1000);
        estate.journal.fail_next(fault);
        assert!(running.maintain(now).await.is_err());
        let restarted = estate.open().await.unwrap();
        for authority in [running, restarted] {
            assert_eq!(signers(&authority, now), (1, 1));
            authority.maintain(now).await.unwrap();
            assert_eq!(authority.slots(AuthorityKind::X509).active.unwrap(), prepared);
            assert_eq!(counts(&bundle(&authority)), (2, 2, 4), "a hand-over changes nothing in the bundle");
        }
    }
}

#[tokio::test]
async fn killed_while_one_expired_it_is_gone_and_its_successor_signs() {
    for fault in [Fault::BeforeCommit, Fault::AfterCommit] {
        let estate = Estate::new();
        let running = estate.open().await.unwrap();
        for second in [600, 1000] {
            running.maintain(estate.advance_to(second)).await.unwrap();
        }
        let now = estate.advance_to(1200);
        estate.journal.fail_next(fault);
        assert!(running.maintain(now).await.is_err());
        let restarted = estate.open().await.unwrap();
        assert_eq!(counts(&bundle(&restarted)), (2, 2, 8));
        assert_eq!(signers(&restarted, now), (0, 0));
    }
}

#[tokio::test]
async fn the_hand_over_needs_no_maintenance_at_its_moment() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    authority.maintain(estate.advance_to(600)).await.unwrap();
    assert_eq!(signers(&authority, estate.advance_to(1000)), (1, 1));
}

#[tokio::test]
async fn after_a_long_sleep_the_expired_authorities_are_replaced() {
    let estate = Estate::new();
    let before = bundle(&estate.open().await.unwrap());
    estate.advance_to(5000);
    let authority = estate.open().await.unwrap();
    let after = bundle(&authority);
    assert_eq!((counts(&after), estate.keys().len()), ((1, 1, 6), 2));
    assert_ne!(after.x509_authorities, before.x509_authorities);
    assert_eq!(signers(&authority, estate.clock.now()), (0, 0));
}

#[tokio::test]
async fn an_expired_authority_does_not_sign_while_maintenance_is_late() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    let now = estate.advance_to(1200);
    assert!(matches!(sign(&authority, LIFE, now), Err(AuthorityError::NoSigner(_))));
    assert!(matches!(sign_token(&authority, LIFE, now), Err(AuthorityError::NoSigner(_))));
    authority.maintain(now).await.unwrap();
    signers(&authority, now);
}

#[tokio::test]
async fn a_clock_that_was_set_back_makes_no_new_authority() {
    let estate = Estate::new();
    estate.open().await.unwrap();
    estate.clock.set(Timestamp::from_unix_seconds(5));
    let error = estate.open().await.unwrap_err();
    assert!(matches!(error, AuthorityError::ClockBehind { .. }), "{error}");
    assert_eq!(estate.journaled().await.authorities.len(), 2);
}

#[tokio::test]
async fn after_a_clock_was_set_back_the_one_that_is_valid_signs() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    for second in [600, 1000] {
        authority.maintain(estate.advance_to(second)).await.unwrap();
    }
    let now = estate.advance_to(100);
    authority.maintain(now).await.unwrap();
    assert_eq!(signers(&authority, now), (0, 0));
    assert_eq!(counts(&bundle(&authority)), (2, 2, 4));
    assert_eq!(signers(&authority, estate.advance_to(1000)), (1, 1));
}

#[tokio::test]
async fn a_process_takes_over_what_its_successor_did() {
    let estate = Estate::new();
    let old = estate.open().await.unwrap();
    let now = estate.advance_to(600);
    let new = estate.open().await.unwrap();
    assert_eq!((bundle(&new).sequence, bundle(&old).sequence), (4, 2));
    old.maintain(now).await.unwrap();
    assert_eq!(bundle(&old), bundle(&new));

    let now = estate.advance_to(1000);
    new.maintain(now).await.unwrap();
    estate.recorded();
    old.maintain(now).await.unwrap();
    assert_eq!(estate.recorded(), [], "what one did the other does not do again");
    assert_eq!(old.slots(AuthorityKind::Jwt), new.slots(AuthorityKind::Jwt));
}

#[tokio::test]
async fn maintenance_with_nothing_to_do_moves_no_epoch_and_keeps_what_others_put_into_the_bundles() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    let foreign = Bundle::of_x509("example.com".parse().unwrap(), [], 7);
    let own = Bundle { refresh_hint: Some(LIFE), ..bundle(&authority) };
    authority.bundles().replace(Bundles::new([own, foreign.clone()]));
    let epoch = authority.bundles().load().epoch();
    authority.maintain(estate.clock.now()).await.unwrap();
    assert_eq!(authority.bundles().load().epoch(), epoch);

    authority.maintain(estate.advance_to(600)).await.unwrap();
    assert!(authority.bundles().load().epoch() > epoch);
    assert_eq!(bundle(&authority).refresh_hint, Some(LIFE));
    assert_eq!(**authority.bundles().load().get(&foreign.trust_domain).unwrap(), foreign);
}
