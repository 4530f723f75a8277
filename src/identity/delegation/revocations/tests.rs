use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;

use super::super::{KeptRevocations, RevocationFuture};
use super::*;
use crate::foundation::shutdown::Shutdown;
use crate::identity::bundle::{Bundle, Bundles};
use crate::identity::delegation::memory::MemoryRevocations;
use crate::identity::delegation::tests::{ROBOT, WEB, chain, verified};
use crate::identity::token::tests::{ISSUER, Key, NOW, bundle, claims, header, rules, token as signed, with};
use crate::identity::token::{Issuer, TokenVerifier as _, Tokens};

const MINUTE: Duration = Duration::from_mins(1);

/// A store that can be out of reach.
#[derive(Debug, Default)]
struct Shaky {
    kept: MemoryRevocations,
    is_away: AtomicBool,
    is_told: AtomicBool,
    looks: AtomicUsize,
}

impl RevocationStore for Shaky {
    fn load(&self) -> RevocationFuture<'_, KeptRevocations> {
        self.kept.load()
    }

    fn sequence(&self) -> RevocationFuture<'_, u64> {
        self.kept.sequence()
    }

    fn put<'a>(&'a self, revocation: &'a Revocation, now: Timestamp) -> RevocationFuture<'a, u64> {
        self.kept.put(revocation, now)
    }

    fn delete<'a>(&'a self, revoked: &'a Revoked) -> RevocationFuture<'a, u64> {
        self.kept.delete(revoked)
    }

    fn wait(&self) -> RevocationFuture<'_, ()> {
        Box::pin(async {
            self.looks.fetch_add(1, Ordering::SeqCst);
            if self.is_away.load(Ordering::SeqCst) {
                return Err(RevocationStoreError("the database is away".into()));
            }
            if self.is_told.swap(true, Ordering::SeqCst) {
                return std::future::pending().await;
            }
            Ok(())
        })
    }
}

async fn empty() -> Revocations {
    Revocations::load(Arc::new(MemoryRevocations::default())).await.unwrap()
}

fn token(id: &str, issuer: Option<&str>) -> Revoked {
    Revoked::new(RevokedKind::Token, id, issuer).unwrap()
}

fn member(name: &str, issuer: Option<&str>) -> Revoked {
    Revoked::new(RevokedKind::Member, name, issuer).unwrap()
}

fn delegation() -> Delegation {
    let origin = json!({"format": "iss_sub", "iss": "https://first.example", "sub": "alice"});
    Delegation::read(&verified("JWT", &with(&chain(), "sub_id", origin))).unwrap()
}

#[tokio::test]
async fn a_token_ends_with_its_name_and_with_anybody_in_its_chain() {
    for (revoked, ends) in [
        (token("a-number", None), true),
        (token("a-number", Some(ISSUER)), true),
        (token("a-number", Some("https://other.example")), false),
        (token("another", None), false),
        (token("alice", None), false),
        (member(ROBOT, None), true),
        (member(WEB, None), true),
        (member(WEB, Some("https://whoever.example")), true),
        (member("alice", None), true),
        (member("alice", Some(ISSUER)), true),
        (member("alice", Some("https://first.example")), true),
        (member("alice", Some("https://other.example")), false),
        (member("bob", None), false),
        (member("a-number", None), false),
    ] {
        let revocations = empty().await;
        assert!(!revocations.is_revoked(&delegation(), NOW));
        revocations.revoke(revoked.clone(), None, NOW).await.unwrap();
        assert_eq!(revocations.is_revoked(&delegation(), NOW), ends, "{revoked}");
        assert!(revocations.restore(&revoked).await.unwrap());
        assert!(!revocations.is_revoked(&delegation(), NOW), "{revoked}");
        assert!(!revocations.restore(&revoked).await.unwrap());
    }
}

#[tokio::test]
async fn a_subjects_own_token_ends_with_its_subject_too() {
    let own = verified("JWT", &claims());
    for (revoked, ends) in [
        (token("a-number", None), true),
        (member("alice", Some(ISSUER)), true),
        (member("alice", Some("https://other.example")), false),
        (member(WEB, None), false),
    ] {
        let revocations = empty().await;
        revocations.revoke(revoked.clone(), None, NOW).await.unwrap();
        assert_eq!(revocations.is_token_revoked(&own, NOW).unwrap(), ends, "{revoked}");
    }
    let numbered = verified("JWT", &with(&claims(), "jti", 7));
    assert!(!empty().await.is_token_revoked(&numbered, NOW).unwrap());
}

#[tokio::test]
async fn a_subject_is_revoked_by_any_name_that_it_has() {
    let name = |iss: &str, sub: &str| json!({"format": "iss_sub", "iss": iss, "sub": sub});
    let aliases = json!({"format": "aliases", "identifiers": [name("https://third.example", "employee-7")]});
    let named = with(&with(&claims(), "sub_id", name("https://first.example", "alice")), "sub_aliases", aliases);
    let own = verified("JWT", &named);
    let acted = Delegation::read(&verified("JWT", &with(&named, "act", json!({"sub": ROBOT})))).unwrap();
    for (revoked, ends) in [
        (member("alice", Some("https://first.example")), true),
        (member("employee-7", Some("https://third.example")), true),
        (member("employee-7", None), true),
        (member("employee-7", Some("https://first.example")), false),
        (member("alice", Some("https://third.example")), false),
    ] {
        let revocations = empty().await;
        revocations.revoke(revoked.clone(), None, NOW).await.unwrap();
        assert_eq!(revocations.is_token_revoked(&own, NOW).unwrap(), ends, "{revoked}");
        assert_eq!(revocations.is_revoked(&acted, NOW), ends, "{revoked}");
    }
    let unreadable = verified("JWT", &with(&claims(), "sub_id", json!({"format": "iss_sub", "sub": "alice"})));
    assert_eq!(empty().await.is_token_revoked(&unreadable, NOW), Err(DelegationError::Aliases));
}

/// The trust domain vouches for a JWT-SVID of our exchange, and what it says of itself is the name of the exchange.
#[tokio::test]
async fn a_jwt_svid_is_revoked_by_whom_it_names_as_its_issuer_too() {
    let key = Key::p256();
    let bundles = Bundles::new([Bundle::clone(&bundle("example.org", [("kid-1", &key)]))]);
    let believed = Tokens::new(vec![Issuer::spiffe(rules("spiffe"), Arc::new(Watched::new(bundles)))], 1);
    let claimed = with(&with(&claims(), "sub", WEB), "iss", "https://gate.example");
    let svid = believed.verify(&signed(&header("ES256"), &claimed, &key), NOW).unwrap();
    assert_eq!(&*svid.issuer, "spiffe://example.org");
    let delegation = Delegation::read(&svid).unwrap();
    for (issuer, ends) in [
        (Some("https://gate.example"), true),
        (Some("spiffe://example.org"), true),
        (None, true),
        (Some("https://other.example"), false),
    ] {
        let revocations = empty().await;
        revocations.revoke(token("a-number", issuer), None, NOW).await.unwrap();
        assert_eq!(revocations.is_token_revoked(&svid, NOW).unwrap(), ends, "{issuer:?}");
        assert_eq!(revocations.is_revoked(&delegation, NOW), ends, "{issuer:?}");
    }
}

#[tokio::test]
async fn who_is_named_by_nobody_in_particular_may_be_the_one_who_is_revoked() {
    let nameless = Delegation::read(&verified("JWT", &with(&claims(), "act", json!({"sub": "robot-7"})))).unwrap();
    let revocations = empty().await;
    revocations.revoke(member("robot-7", Some("https://factory.example")), None, NOW).await.unwrap();
    assert!(revocations.is_revoked(&nameless, NOW));
}

#[tokio::test]
async fn a_revocation_has_an_end_if_it_is_given_one() {
    let revocations = empty().await;
    let end = NOW.after(MINUTE);
    let made = revocations.revoke(member(ROBOT, None), Some(end), NOW).await.unwrap();
    assert_eq!((made.revoked_at, made.until), (NOW, Some(end)));
    assert!(revocations.is_revoked(&delegation(), end.before(Duration::from_nanos(1))));
    assert!(!revocations.is_revoked(&delegation(), end));
    assert_eq!(revocations.list(end), []);

    // A new end takes the place of the old one.
    revocations.revoke(member(ROBOT, None), None, NOW).await.unwrap();
    assert!(revocations.is_revoked(&delegation(), end));
    assert_eq!(revocations.list(end).len(), 1);
    for past in [NOW, NOW.before(MINUTE)] {
        let refused = revocations.revoke(member(WEB, None), Some(past), NOW).await;
        assert!(matches!(refused, Err(RevokeError::Over(at)) if at == past));
    }
}

#[tokio::test]
async fn there_is_an_end_to_how_much_is_kept_and_what_is_over_makes_room() {
    let revocations = empty().await;
    let all = (0..MAX_REVOCATIONS).map(|number| {
        let until = Some(NOW.after(MINUTE));
        Revocation { revoked: token(&number.to_string(), None), revoked_at: NOW, until }
    });
    revocations.known.replace(all.collect());
    let refused = revocations.revoke(token("one more", None), None, NOW).await;
    assert!(matches!(refused, Err(RevokeError::TooMany)));
    revocations.revoke(token("7", None), None, NOW).await.unwrap();
    revocations.revoke(token("one more", None), None, NOW.after(MINUTE)).await.unwrap();
    let left: Vec<String> = revocations.list(NOW).iter().map(|known| known.revoked.name().to_owned()).collect();
    assert_eq!(left, ["7", "one more"], "those that are over are dropped");
}

#[tokio::test(start_paused = true)]
async fn what_is_known_holds_while_the_store_is_away() {
    let store = Arc::new(Shaky::default());
    let one = Revocations::load(Arc::clone(&store) as _).await.unwrap();
    one.revoke(member(ROBOT, None), None, NOW).await.unwrap();
    let other = Revocations::load(Arc::clone(&store) as _).await.unwrap();
    store.is_away.store(true, Ordering::SeqCst);
    one.revoke(member("somebody else", None), None, NOW).await.unwrap();
    let shutdown = Shutdown::default();
    let seen = async {
        while store.looks.load(Ordering::SeqCst) < 3 {
            sleep(PAUSE).await;
        }
        assert!(other.is_revoked(&delegation(), NOW), "nobody took it back");
        assert_eq!(other.list(NOW).len(), 1);
        store.is_away.store(false, Ordering::SeqCst);
        while other.list(NOW).len() < 2 {
            sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = other.follow(shutdown.signal()) => panic!("nobody told it to stop"),
        () = seen => {}
    }
}

#[tokio::test]
async fn what_a_process_finds_at_its_start_holds() {
    let store = Arc::new(MemoryRevocations::default());
    let one = Revocations::load(Arc::clone(&store) as _).await.unwrap();
    one.revoke(member(WEB, None), None, NOW).await.unwrap();
    let other = Revocations::load(store).await.unwrap();
    assert!(other.is_revoked(&delegation(), NOW));
    assert_eq!(other.list(NOW), one.list(NOW));
}
