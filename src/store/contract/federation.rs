//! The contract of the ports of [`federation`](crate::identity::federation) and
//! [`join_token`](crate::identity::join_token).

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::identity::bundle::{Bundle, JwtAuthority, X509Authority};
use crate::identity::federation::{
    EndpointProfile, Federated, FederationStore, FederationStoreError, FederationWrite, Relationship,
};

/// Runs every case, each on a fresh store whose URL is `url(case)`.
pub(super) async fn keeps_the_contract(url: &impl AsyncFn(&str) -> String) {
    what_was_put_comes_back_whole(&url("federation").await).await;
    a_write_on_old_knowledge_changes_nothing(&url("federation_raced").await).await;
    domains_have_a_federation_each(&url("federation_domains").await).await;
    two_writers_never_lose_a_change(&url("federation_racing").await).await;
    who_waits_hears_of_a_change(&url("federation_waiting").await).await;
    a_token_is_redeemed_once(&url("tokens").await).await;
    expired_tokens_are_void_and_forgotten(&url("tokens_expired").await).await;
}

fn bundle(name: &str) -> Bundle {
    Bundle {
        x509_authorities: vec![
            X509Authority { certificate: vec![0, 0xff, b'\''].into(), tainted: true },
            X509Authority { certificate: vec![1].into(), tainted: false },
        ],
        jwt_authorities: vec![JwtAuthority {
            key_id: "'; DROP TABLE federated_bundles; --\u{1F512}".to_owned(),
            public_key: vec![2, 0],
            expires_at: Some(Timestamp::from_unix_nanos(u64::MAX)),
            tainted: true,
        }],
        refresh_hint: Some(Duration::from_mins(5)),
        ..Bundle::of_x509(domain(name), [], u64::MAX)
    }
}

fn relationship(name: &str, profile: EndpointProfile) -> Relationship {
    Relationship { trust_domain: domain(name), endpoint: "https://'h'.example/b".parse().unwrap(), profile }
}

fn put(name: &str) -> FederationWrite {
    FederationWrite::PutBundle(Arc::new(bundle(name)))
}

async fn tables(url: &str, trust_domain: &str) -> FederationTables {
    Arc::new(open(url).await.unwrap()).federation(domain(trust_domain))
}

async fn load(tables: &FederationTables) -> Federated {
    let mut federated = tables.load().await.unwrap();
    federated.bundles.sort_by(|a, b| a.trust_domain.cmp(&b.trust_domain));
    federated.relationships.sort_by(|a, b| a.trust_domain.cmp(&b.trust_domain));
    federated
}

async fn what_was_put_comes_back_whole(url: &str) {
    let ours = tables(url, "example.org").await;
    assert_eq!(load(&ours).await, Federated::default());
    let web = relationship("a.example", EndpointProfile::Web);
    let spiffe = relationship("b.example", EndpointProfile::Spiffe("spiffe://b.example/bundles".parse().unwrap()));
    let put_relationship = |kept: &Relationship| FederationWrite::PutRelationship(Arc::new(kept.clone()));
    let writes = [put("a.example"), put("b.example"), put_relationship(&web), put_relationship(&spiffe)];
    assert_eq!(ours.apply(0, &writes).await.unwrap(), 1);
    assert_eq!(ours.sequence().await.unwrap(), 1);
    // Not closed: a process that was killed does not close either.
    drop(ours);
    let ours = tables(url, "example.org").await;
    let bundles = vec![bundle("a.example"), bundle("b.example")];
    assert_eq!(load(&ours).await, Federated { bundles, relationships: vec![web, spiffe.clone()], sequence: 1 });

    let emptied = Bundle::of_x509(domain("b.example"), [], 0);
    let now_web = Relationship { profile: EndpointProfile::Web, ..spiffe };
    let writes = [
        FederationWrite::DeleteBundle(domain("a.example")),
        FederationWrite::DeleteBundle(domain("unknown.example")),
        FederationWrite::PutBundle(Arc::new(emptied.clone())),
        FederationWrite::DeleteRelationship(domain("a.example")),
        put_relationship(&now_web),
    ];
    assert_eq!(ours.apply(1, &writes).await.unwrap(), 2);
    let rest = Federated { bundles: vec![emptied], relationships: vec![now_web], sequence: 2 };
    assert_eq!(load(&ours).await, rest);
}

async fn a_write_on_old_knowledge_changes_nothing(url: &str) {
    let ours = tables(url, "example.org").await;
    for expected in [1, 7] {
        let raced = ours.apply(expected, &[put("a.example")]).await;
        assert!(matches!(raced, Err(FederationStoreError::Raced)));
    }
    ours.apply(0, &[put("a.example")]).await.unwrap();
    let raced = ours.apply(0, &[FederationWrite::DeleteBundle(domain("a.example"))]).await;
    assert!(matches!(raced, Err(FederationStoreError::Raced)));
    let kept = Federated { bundles: vec![bundle("a.example")], relationships: vec![], sequence: 1 };
    assert_eq!(load(&ours).await, kept);
}

async fn domains_have_a_federation_each(url: &str) {
    let (ours, theirs) = (tables(url, "example.org").await, tables(url, "example.com").await);
    ours.apply(0, &[put("a.example")]).await.unwrap();
    assert_eq!(load(&theirs).await, Federated::default());
    theirs.apply(0, &[FederationWrite::DeleteBundle(domain("a.example"))]).await.unwrap();
    assert_eq!(load(&ours).await.bundles.len(), 1);
}

async fn two_writers_never_lose_a_change(url: &str) {
    const EACH: usize = 20;
    let writer = async |name: &str| {
        let ours = tables(url, "example.org").await;
        for number in 0..EACH {
            loop {
                let expected = ours.sequence().await.unwrap();
                match ours.apply(expected, &[put(&format!("{name}{number}.example"))]).await {
                    Ok(_) => break,
                    Err(FederationStoreError::Raced) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    };
    tokio::join!(writer("a"), writer("b"));
    let federated = load(&tables(url, "example.org").await).await;
    assert_eq!((federated.bundles.len(), federated.sequence), (2 * EACH, 2 * EACH as u64));
}

async fn who_waits_hears_of_a_change(url: &str) {
    let (ours, other) = (tables(url, "example.org").await, tables(url, "example.org").await);
    ours.wait().await.unwrap();
    let seen = async {
        while ours.sequence().await.unwrap() == 0 {
            ours.wait().await.unwrap();
        }
    };
    let writes = [put("a.example")];
    let ((), written) = tokio::join!(seen, other.apply(0, &writes));
    assert_eq!(written.unwrap(), 1);
}

const NOON: Timestamp = Timestamp::from_unix_nanos(1_800_000_000_000_000_000);
const NIGHT: Timestamp = Timestamp::from_unix_nanos(1_800_000_600_000_000_000);

/// N1: a token that is tried fifty times at once lets one node in.
async fn a_token_is_redeemed_once(url: &str) {
    let (stores, ours) = ([open(url).await.unwrap(), open(url).await.unwrap()], domain("example.org"));
    let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
    assert!(stores[0].add(&ours, one, NIGHT, NOON).await.unwrap());
    assert!(!stores[1].add(&ours, one, NIGHT, NOON).await.unwrap());
    let tries = (0..50).map(|number| stores[number % 2].redeem(&ours, one, NOON));
    let redeemed = futures_util::future::join_all(tries).await;
    assert_eq!(redeemed.into_iter().filter(|redeemed| *redeemed.as_ref().unwrap()).count(), 1);
    assert!(!stores[0].add(&ours, one, NIGHT, NOON).await.unwrap());
    assert!(!stores[0].redeem(&ours, other, NOON).await.unwrap());
    assert!(stores[0].add(&ours, other, NIGHT, NOON).await.unwrap());
    assert!(!stores[0].redeem(&domain("example.com"), other, NOON).await.unwrap());
    assert!(stores[1].redeem(&ours, other, NOON).await.unwrap());
}

async fn expired_tokens_are_void_and_forgotten(url: &str) {
    let (store, ours, token) = (open(url).await.unwrap(), domain("example.org"), Digest::of(b"one"));
    assert!(store.add(&ours, token, NIGHT, NOON).await.unwrap());
    assert!(!store.redeem(&ours, token, NIGHT).await.unwrap());
    // What has been forgotten can be made anew.
    assert!(store.add(&ours, token, NIGHT.after(Duration::from_secs(1)), NIGHT).await.unwrap());
    assert!(store.redeem(&ours, token, NIGHT).await.unwrap());
    store.add(&ours, Digest::of(b"far"), Timestamp::MAX, NOON).await.unwrap_err();
}
