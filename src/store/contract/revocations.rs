//! What every store must do with leaves that were revoked.

use super::authorities::authority;
use super::*;
use crate::identity::journal::{AuthorityEntry, AuthorityPublic, StaleStep};
use crate::identity::revocation::{RevokedLeaf, SerialNumber};

fn revoked(authority: &str, serial: &str, at: u64) -> RevokedLeaf {
    let serial = SerialNumber::parse(serial).unwrap();
    RevokedLeaf { serial, authority: authority.to_owned(), revoked_at: Timestamp::from_unix_nanos(at) }
}

/// Runs every case, each on a fresh store whose URL is `url(case)`.
pub(super) async fn keep_the_contract(url: impl AsyncFn(&str) -> String) {
    they_come_back_oldest_first_and_move_the_sequence(&url("revoked_order").await).await;
    revoking_twice_is_refused_and_changes_nothing(&url("revoked_twice").await).await;
    only_what_an_authority_of_the_bundle_signed_is_taken(&url("revoked_unknown").await).await;
    they_are_forgotten_with_their_authority(&url("revoked_forgotten").await).await;
    they_survive_reopening(&url("revoked_reopened").await).await;
}

async fn apply(store: &Store, steps: &[JournalStep<'_>]) -> Result<u64, crate::identity::journal::JournalError> {
    store.apply(&domain("example.org"), steps, Timestamp::from_unix_nanos(9)).await
}

async fn with_two(url: &str) -> (Store, u64) {
    let store = open(url).await.unwrap();
    let (a, b) = (authority("a", 1), authority("b", 2));
    let sequence = apply(&store, &[JournalStep::Add(&a), JournalStep::Add(&b)]).await.unwrap();
    (store, sequence)
}

async fn read(store: &Store) -> Journaled {
    store.read(&domain("example.org")).await.unwrap()
}

async fn they_come_back_oldest_first_and_move_the_sequence(url: &str) {
    let (store, sequence) = with_two(url).await;
    let leaves = [revoked("b", "80", 10), revoked("a", "4f01", 11), revoked("a", &"7f".repeat(20), 12)];
    for (leaf, moved) in leaves.iter().rev().zip(1..) {
        assert_eq!(apply(&store, &[JournalStep::Revoke(leaf)]).await.unwrap(), sequence + moved);
    }
    let authorities = vec![authority("a", 1), authority("b", 2)];
    assert_eq!(read(&store).await, Journaled { authorities, revoked: leaves.into(), sequence: sequence + 3 });
    assert_eq!(store.read(&domain("example.com")).await.unwrap(), Journaled::default());
}

async fn revoking_twice_is_refused_and_changes_nothing(url: &str) {
    let (store, sequence) = with_two(url).await;
    apply(&store, &[JournalStep::Revoke(&revoked("a", "4f01", 10))]).await.unwrap();
    let again = apply(&store, &[JournalStep::Revoke(&revoked("a", "4f01", 99))]).await.unwrap_err();
    assert!(again.0.is::<StaleStep>(), "{again}");
    // The same number of another authority is another leaf.
    apply(&store, &[JournalStep::Revoke(&revoked("b", "4f01", 11))]).await.unwrap();
    let journaled = read(&store).await;
    assert_eq!(journaled.revoked, [revoked("a", "4f01", 10), revoked("b", "4f01", 11)]);
    assert_eq!(journaled.sequence, sequence + 2);
}

async fn only_what_an_authority_of_the_bundle_signed_is_taken(url: &str) {
    let (store, sequence) = with_two(url).await;
    let public = AuthorityPublic::Jwt { public_key: vec![0x30, 0], expires_at: Timestamp::from_unix_nanos(100) };
    let tokens = AuthorityEntry { public, ..authority("tokens", 3) };
    apply(&store, &[JournalStep::Add(&tokens), JournalStep::Remove("b")]).await.unwrap();
    for id in ["b", "unknown", "tokens", "a'; DROP TABLE revoked_leaves; --"] {
        let error = apply(&store, &[JournalStep::Revoke(&revoked(id, "4f01", 10))]).await.unwrap_err();
        assert!(error.0.is::<StaleStep>(), "{id}: {error}");
    }
    assert_eq!((read(&store).await.revoked, read(&store).await.sequence), (vec![], sequence + 1));
}

async fn they_are_forgotten_with_their_authority(url: &str) {
    let (store, _) = with_two(url).await;
    for leaf in [revoked("a", "4f01", 10), revoked("b", "4f01", 11)] {
        apply(&store, &[JournalStep::Revoke(&leaf)]).await.unwrap();
    }
    apply(&store, &[JournalStep::Remove("a")]).await.unwrap();
    assert_eq!(read(&store).await.revoked, [revoked("b", "4f01", 11)]);
}

async fn they_survive_reopening(url: &str) {
    let (store, _) = with_two(url).await;
    apply(&store, &[JournalStep::Revoke(&revoked("a", "4f01", 10))]).await.unwrap();
    // Not closed: a process that was killed does not close either.
    drop(store);
    assert_eq!(read(&open(url).await.unwrap()).await.revoked, [revoked("a", "4f01", 10)]);
}
