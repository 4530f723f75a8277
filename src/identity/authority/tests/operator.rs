//! What operators do, and what they can't (the unit part of test id C1).

use super::*;

async fn rotate(estate: &Estate, authority: &Authority, kind: AuthorityKind) -> (AuthorityState, AuthorityState) {
    let now = estate.clock.now();
    let old = authority.slots(kind).active.unwrap();
    let prepared = authority.prepare(kind, now).await.unwrap();
    let active = authority.activate(kind, &prepared.id, now).await.unwrap();
    assert_eq!(active, prepared);
    (old, active)
}

fn refused(result: Result<AuthorityState, AuthorityError>) -> LifecycleError {
    match result {
        Err(AuthorityError::Lifecycle(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

fn ids(bundle: &Bundle, kind: AuthorityKind) -> Vec<(String, bool)> {
    let key_id = |certificate: &CertificateDer<'_>| {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).unwrap();
        hex::encode(keys::key_id(parsed.public_key().raw))
    };
    match kind {
        AuthorityKind::X509 => {
            bundle.x509_authorities.iter().map(|one| (key_id(&one.certificate), one.tainted)).collect()
        }
        AuthorityKind::Jwt => bundle.jwt_authorities.iter().map(|one| (one.key_id.clone(), one.tainted)).collect(),
    }
}

/// Who signs for `kind`.
fn signer(authority: &Authority, kind: AuthorityKind, now: Timestamp) -> String {
    match kind {
        AuthorityKind::X509 => sign(authority, LIFE, now).unwrap().leaf.authority.to_string(),
        AuthorityKind::Jwt => sign_token(authority, LIFE, now).unwrap().authority.to_string(),
    }
}

#[tokio::test]
async fn an_authority_is_prepared_activated_tainted_and_revoked() {
    use AuthorityChange::{Activate, Prepare, Revoke, Taint};
    for kind in AuthorityKind::ALL {
        let estate = Estate::new();
        let authority = estate.open().await.unwrap();
        let now = estate.advance_to(10);
        estate.recorded();
        let first = authority.slots(kind).active.unwrap();
        let second = authority.prepare(kind, now).await.unwrap();
        assert_eq!(ids(&bundle(&authority), kind), [(first.id.clone(), false), (second.id.clone(), false)]);
        assert_eq!(signer(&authority, kind, now), first.id, "published before it signs");
        let slots = AuthoritySlots { active: Some(first.clone()), prepared: Some(second.clone()), old: None };
        assert_eq!(authority.slots(kind), slots);

        authority.activate(kind, &second.id, now).await.unwrap();
        assert_eq!(signer(&authority, kind, now), second.id);
        let slots = AuthoritySlots { active: Some(second.clone()), prepared: None, old: Some(first.clone()) };
        assert_eq!(authority.slots(kind), slots);

        let sequence = bundle(&authority).sequence;
        let tainted = authority.taint(kind, &first.id, now).await.unwrap();
        assert_eq!(tainted, AuthorityState { tainted: true, ..first.clone() });
        assert_eq!(ids(&bundle(&authority), kind), [(first.id.clone(), true), (second.id.clone(), false)]);
        assert_eq!(bundle(&authority).sequence, sequence + 1);

        assert!(estate.key_of(&first.id).exists());
        assert_eq!(authority.revoke(kind, &first.id, now).await.unwrap(), tainted);
        assert_eq!(ids(&bundle(&authority), kind), [(second.id.clone(), false)]);
        assert_eq!(bundle(&authority).sequence, sequence + 2);
        assert!(!estate.key_of(&first.id).exists(), "its key is destroyed");
        assert_eq!(authority.slots(kind).old, None);

        let changes = [Prepare, Activate, Taint, Revoke].map(|change| (kind, change, Initiator::Operator));
        assert_eq!(estate.recorded(), changes);
        assert_eq!(estate.open().await.unwrap().slots(kind), authority.slots(kind));
    }
}

#[tokio::test]
async fn only_the_prepared_one_can_be_activated() {
    for kind in AuthorityKind::ALL {
        let estate = Estate::new();
        let authority = estate.open().await.unwrap();
        let now = estate.clock.now();
        let (old, active) = rotate(&estate, &authority, kind).await;
        let refusals = [
            ("", LifecycleError::NoId),
            ("nope", LifecycleError::Unknown),
            (&old.id, LifecycleError::NotPrepared { id: old.id.clone(), stage: AuthorityStage::Old }),
            (&active.id, LifecycleError::NotPrepared { id: active.id.clone(), stage: AuthorityStage::Active }),
        ];
        for (id, refusal) in refusals {
            assert_eq!(refused(authority.activate(kind, id, now).await), refusal);
        }
    }
}

#[tokio::test]
async fn only_an_old_one_can_be_tainted_and_only_a_tainted_one_revoked() {
    for kind in AuthorityKind::ALL {
        let estate = Estate::new();
        let authority = estate.open().await.unwrap();
        let now = estate.clock.now();
        let (old, active) = rotate(&estate, &authority, kind).await;
        let prepared = authority.prepare(kind, now).await.unwrap();
        let refusals = [
            ("", LifecycleError::NoId),
            ("nope", LifecycleError::Unknown),
            (&active.id, LifecycleError::Active(active.id.clone())),
            (&prepared.id, LifecycleError::NotOld(prepared.id.clone())),
        ];
        for (id, refusal) in refusals {
            assert_eq!(refused(authority.taint(kind, id, now).await), refusal);
            assert_eq!(refused(authority.revoke(kind, id, now).await), refusal);
        }
        assert_eq!(refused(authority.revoke(kind, &old.id, now).await), LifecycleError::NotTainted(old.id.clone()));
        authority.taint(kind, &old.id, now).await.unwrap();
        let again = refused(authority.taint(kind, &old.id, now).await);
        assert_eq!(again, LifecycleError::AlreadyTainted(old.id.clone()));
        authority.revoke(kind, &old.id, now).await.unwrap();
        for result in [authority.revoke(kind, &old.id, now).await, authority.taint(kind, &old.id, now).await] {
            assert_eq!(refused(result), LifecycleError::Unknown);
        }
    }
}

#[tokio::test]
async fn an_id_of_the_other_kind_is_unknown() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    let now = estate.clock.now();
    let (old, _) = rotate(&estate, &authority, AuthorityKind::Jwt).await;
    assert_eq!(refused(authority.taint(AuthorityKind::X509, &old.id, now).await), LifecycleError::Unknown);
}

/// SPIRE leaves the first in its bundle and forgets it, so that it can't be revoked while it is trusted.
#[tokio::test]
async fn a_second_preparation_takes_the_place_of_the_first_which_leaves_the_bundle() {
    for kind in AuthorityKind::ALL {
        let estate = Estate::new();
        let authority = estate.open().await.unwrap();
        let now = estate.clock.now();
        let active = authority.slots(kind).active.unwrap();
        let first = authority.prepare(kind, now).await.unwrap();
        estate.recorded();
        let second = authority.prepare(kind, now).await.unwrap();
        assert_eq!(authority.slots(kind).prepared, Some(second.clone()));
        let in_bundle: Vec<_> = ids(&bundle(&authority), kind).into_iter().map(|(id, _)| id).collect();
        assert_eq!(in_bundle.len(), 2);
        assert!(in_bundle.contains(&active.id) && in_bundle.contains(&second.id));
        assert!(!estate.key_of(&first.id).exists());
        let changes = [AuthorityChange::Discard, AuthorityChange::Prepare];
        assert_eq!(estate.recorded(), changes.map(|change| (kind, change, Initiator::Operator)));
    }
}

/// In SPIRE an old authority can be tainted no more once the next one is prepared.
#[tokio::test]
async fn every_old_authority_can_be_tainted_and_revoked_not_only_the_last() {
    for kind in AuthorityKind::ALL {
        let estate = Estate::new();
        let authority = estate.open().await.unwrap();
        let (oldest, _) = rotate(&estate, &authority, kind).await;
        let now = estate.advance_to(1);
        let (old, active) = rotate(&estate, &authority, kind).await;
        assert_eq!(authority.slots(kind).old, Some(old));
        authority.prepare(kind, now).await.unwrap();
        authority.taint(kind, &oldest.id, now).await.unwrap();
        authority.revoke(kind, &oldest.id, now).await.unwrap();
        assert_eq!(ids(&bundle(&authority), kind).len(), 3);
        assert_eq!(signer(&authority, kind, now), active.id);
    }
}

/// What is tainted never signs again, also where it alone would be valid.
#[tokio::test]
async fn a_tainted_authority_never_signs_again() {
    for kind in AuthorityKind::ALL {
        let estate = Estate::new();
        let authority = estate.open().await.unwrap();
        let now = estate.advance_to(900);
        let (old, active) = rotate(&estate, &authority, kind).await;
        authority.taint(kind, &old.id, now).await.unwrap();
        // The clock is set back to when only the tainted one was valid.
        let now = estate.advance_to(100);
        let result = match kind {
            AuthorityKind::X509 => sign(&authority, LIFE, now).map(|_signed| ()),
            AuthorityKind::Jwt => sign_token(&authority, LIFE, now).map(|_signed| ()),
        };
        assert!(matches!(result, Err(AuthorityError::NoSigner(_))), "{result:?}");
        assert!(matches!(authority.maintain(now).await, Err(AuthorityError::ClockBehind { .. })));
        assert_eq!(signer(&authority, kind, estate.advance_to(901)), active.id);
    }
}

#[tokio::test]
async fn whatever_is_done_there_is_a_signer_that_is_in_the_bundle() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    let mut random = 12345_u64;
    for step in 0..200 {
        let now = estate.advance_to(step * 29);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let draw = usize::try_from(random >> 33).unwrap();
        let kind = AuthorityKind::ALL[draw % 2];
        let slots = authority.slots(kind);
        let known: Vec<_> = [slots.active, slots.prepared, slots.old].into_iter().flatten().collect();
        let id = &known[draw / 8 % known.len()].id;
        // Most of these are refused.
        let _outcome = match draw / 2 % 4 {
            0 => authority.prepare(kind, now).await,
            1 => authority.activate(kind, id, now).await,
            2 => authority.taint(kind, id, now).await,
            _ => authority.revoke(kind, id, now).await,
        };
        authority.maintain(now).await.unwrap();
        for kind in AuthorityKind::ALL {
            let signer = signer(&authority, kind, now);
            assert!(ids(&bundle(&authority), kind).contains(&(signer.clone(), false)), "step {step}");
            assert_eq!(authority.slots(kind).active.unwrap().id, signer);
        }
    }
}

#[tokio::test]
async fn killed_at_any_step_an_operation_is_done_or_not_and_can_be_repeated() {
    for kind in AuthorityKind::ALL {
        for fault in [Fault::BeforeCommit, Fault::AfterCommit] {
            let (estate, done) = (Estate::new(), fault == Fault::AfterCommit);
            let authority = estate.open().await.unwrap();
            let now = estate.clock.now();
            let first = authority.slots(kind).active.unwrap();

            estate.journal.fail_next(fault);
            authority.prepare(kind, now).await.unwrap_err();
            let authority = estate.open().await.unwrap();
            assert_eq!(authority.slots(kind).prepared.is_some(), done);
            let second = authority.prepare(kind, now).await.unwrap();

            estate.journal.fail_next(fault);
            authority.activate(kind, &second.id, now).await.unwrap_err();
            let authority = estate.open().await.unwrap();
            assert_eq!(authority.slots(kind).active.unwrap().id == second.id, done);
            assert_eq!(authority.activate(kind, &second.id, now).await.is_ok(), !done);

            estate.journal.fail_next(fault);
            authority.taint(kind, &first.id, now).await.unwrap_err();
            let authority = estate.open().await.unwrap();
            assert_eq!(authority.slots(kind).old.unwrap().tainted, done);
            assert_eq!(authority.taint(kind, &first.id, now).await.is_ok(), !done);

            estate.journal.fail_next(fault);
            authority.revoke(kind, &first.id, now).await.unwrap_err();
            let authority = estate.open().await.unwrap();
            assert_eq!(authority.slots(kind).old.is_none(), done);
            assert_eq!(authority.revoke(kind, &first.id, now).await.is_ok(), !done);
            assert!(!estate.key_of(&first.id).exists(), "also when the process died before it could remove it");
            assert_eq!(signer(&authority, kind, now), second.id);
        }
    }
}

#[tokio::test]
async fn what_one_process_did_the_other_sees_and_respects() {
    let estate = Estate::new();
    let (one, other) = (estate.open().await.unwrap(), estate.open().await.unwrap());
    let now = estate.clock.now();
    let kind = AuthorityKind::X509;
    let prepared = one.prepare(kind, now).await.unwrap();
    other.activate(kind, &prepared.id, now).await.unwrap();
    let refusal = refused(one.activate(kind, &prepared.id, now).await);
    assert_eq!(refusal, LifecycleError::NotPrepared { id: prepared.id.clone(), stage: AuthorityStage::Active });
    assert_eq!(one.slots(kind), other.slots(kind));
    let (first, second) = tokio::join!(one.prepare(kind, now), other.prepare(kind, now));
    let survivors = [first.unwrap(), second.unwrap()];
    one.maintain(now).await.unwrap();
    other.maintain(now).await.unwrap();
    assert_eq!(one.slots(kind), other.slots(kind));
    assert!(survivors.contains(&one.slots(kind).prepared.unwrap()));
}

#[tokio::test]
async fn what_can_not_be_recorded_is_not_done() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    let now = estate.clock.now();
    let before = estate.journaled().await;
    estate.log.full.store(true, Ordering::SeqCst);
    let result = authority.prepare(AuthorityKind::X509, now).await;
    assert!(matches!(result, Err(AuthorityError::Record(AppendError::Full))), "{result:?}");
    assert_eq!(estate.journaled().await, before);
}

/// An authority that was prepared early is old when it takes over; its own successor comes in time nevertheless.
#[tokio::test]
async fn an_early_preparation_leaves_no_gap() {
    let estate = Estate::new();
    let authority = estate.open().await.unwrap();
    let early = authority.prepare(AuthorityKind::X509, estate.advance_to(60)).await.unwrap();
    authority.maintain(estate.advance_to(999)).await.unwrap();
    assert_eq!(authority.slots(AuthorityKind::X509).prepared, Some(early.clone()));
    for second in 1000..1260 {
        let now = estate.advance_to(second);
        authority.maintain(now).await.unwrap();
        sign(&authority, LIFE, now).unwrap();
    }
    let slots = authority.slots(AuthorityKind::X509);
    assert_ne!(slots.active.unwrap(), early);
}
