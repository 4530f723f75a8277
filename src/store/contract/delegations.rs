//! The contract of the port of revocations of [`delegation`](crate::identity::delegation).

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::foundation::shutdown::Shutdown;
use crate::identity::delegation::{KeptRevocations, Revocation, RevocationStore, Revocations, Revoked, RevokedKind};

const NOON: Timestamp = Timestamp::from_unix_nanos(1_800_000_000_000_000_000);
const NIGHT: Timestamp = Timestamp::from_unix_nanos(1_800_000_600_000_000_000);

/// Runs every case, each on a fresh store whose URL is `url(case)`.
pub(super) async fn keep_the_contract(url: &impl AsyncFn(&str) -> String) {
    what_is_revoked_comes_back_until_it_is_over_or_taken_back(&url("delegations").await).await;
    one_name_by_two_issuers_is_two_things(&url("delegations_names").await).await;
    domains_revoke_for_themselves(&url("delegations_domains").await).await;
    two_writers_never_lose_a_revocation(&url("delegations_racing").await).await;
    another_process_knows_of_a_revocation(&url("delegations_followed").await).await;
}

async fn tables(url: &str, trust_domain: &str) -> DelegationTables {
    Arc::new(open(url).await.unwrap()).delegations(domain(trust_domain))
}

fn revocation(kind: RevokedKind, name: &str, issuer: Option<&str>, until: Option<Timestamp>) -> Revocation {
    Revocation { revoked: Revoked::new(kind, name, issuer).unwrap(), revoked_at: NOON, until }
}

async fn load(tables: &DelegationTables) -> KeptRevocations {
    let mut kept = tables.load().await.unwrap();
    kept.revocations.sort_by(|a, b| a.revoked.cmp(&b.revoked));
    kept
}

async fn what_is_revoked_comes_back_until_it_is_over_or_taken_back(url: &str) {
    let ours = tables(url, "example.org").await;
    assert_eq!(load(&ours).await, KeptRevocations::default());
    let odd = "'; DROP TABLE delegation_revocations; --\u{1F512}";
    let token = revocation(RevokedKind::Token, odd, None, Some(NIGHT));
    let alice = revocation(RevokedKind::Member, "alice", Some("https://idp.example"), None);
    assert_eq!(ours.put(&token, NOON).await.unwrap(), 1);
    assert_eq!(ours.put(&alice, NOON).await.unwrap(), 2);
    assert_eq!(ours.sequence().await.unwrap(), 2);
    // Not closed: a process that was killed does not close either.
    drop(ours);
    let ours = tables(url, "example.org").await;
    let both = vec![token.clone(), alice.clone()];
    assert_eq!(load(&ours).await, KeptRevocations { revocations: both, sequence: 2 });

    let longer = Revocation { revoked_at: NIGHT, until: Some(NIGHT.after(Duration::from_secs(1))), ..alice.clone() };
    assert_eq!(ours.put(&longer, NIGHT).await.unwrap(), 3);
    assert_eq!(load(&ours).await, KeptRevocations { revocations: vec![longer], sequence: 3 }, "one is over");
    assert_eq!(ours.delete(&alice.revoked).await.unwrap(), 4);
    assert_eq!(ours.delete(&alice.revoked).await.unwrap(), 5, "what is not there is forgotten already");
    assert_eq!(load(&ours).await, KeptRevocations { revocations: vec![], sequence: 5 });
    let far = revocation(RevokedKind::Member, "alice", None, Some(Timestamp::MAX));
    ours.put(&far, NOON).await.unwrap_err();
    assert_eq!(ours.sequence().await.unwrap(), 5);
}

async fn one_name_by_two_issuers_is_two_things(url: &str) {
    let ours = tables(url, "example.org").await;
    let mut all = Vec::new();
    for kind in RevokedKind::ALL {
        for issuer in [None, Some("https://a.example"), Some("https://b.example")] {
            all.push(revocation(kind, "x", issuer, None));
        }
    }
    for one in &all {
        ours.put(one, NOON).await.unwrap();
    }
    assert_eq!(load(&ours).await.revocations, all);
    ours.delete(&all[1].revoked).await.unwrap();
    all.remove(1);
    assert_eq!(load(&ours).await.revocations, all);
}

async fn domains_revoke_for_themselves(url: &str) {
    let (ours, theirs) = (tables(url, "example.org").await, tables(url, "example.com").await);
    let alice = revocation(RevokedKind::Member, "alice", None, None);
    ours.put(&alice, NOON).await.unwrap();
    assert_eq!(load(&theirs).await, KeptRevocations::default());
    theirs.delete(&alice.revoked).await.unwrap();
    assert_eq!(load(&ours).await.revocations, [alice]);
}

async fn two_writers_never_lose_a_revocation(url: &str) {
    const EACH: usize = 20;
    let writer = async |name: &str| {
        let ours = tables(url, "example.org").await;
        for number in 0..EACH {
            ours.put(&revocation(RevokedKind::Token, &format!("{name}{number}"), None, None), NOON).await.unwrap();
        }
    };
    tokio::join!(writer("a"), writer("b"));
    let kept = load(&tables(url, "example.org").await).await;
    assert_eq!((kept.revocations.len(), kept.sequence), (2 * EACH, 2 * EACH as u64));
}

async fn another_process_knows_of_a_revocation(url: &str) {
    let process = async || Revocations::load(Arc::new(tables(url, "example.org").await)).await.unwrap();
    let (one, other) = (process().await, process().await);
    let shutdown = Shutdown::default();
    let seen = async {
        let alice = Revoked::new(RevokedKind::Member, "alice", None).unwrap();
        for _ in 0..3 {
            let made = one.revoke(alice.clone(), None, NOON).await.unwrap();
            while other.list(NOON) != [made.clone()] {
                tokio::task::yield_now().await;
            }
            assert!(one.restore(&alice).await.unwrap());
            while !other.list(NOON).is_empty() {
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::select! {
        () = other.follow(shutdown.signal()) => panic!("nobody told it to stop"),
        () = seen => {}
    }
}
