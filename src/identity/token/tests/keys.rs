//! Key sets, and how they are kept current.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::foundation::clock::{Clock, ManualClock};
use crate::foundation::shutdown::{Phase, Shutdown};

#[test]
fn what_is_no_key_for_tokens_is_passed_over_and_what_is_ambiguous_refuses_all() {
    let (key, other) = (Key::p256(), Key::p256());
    let good = jwk("kid-1", &key);
    let strangers = [
        json!({"kty": "oct", "kid": "kid-1", "k": "AAAA"}),
        json!({"kty": "EC", "crv": "secp256k1", "kid": "x", "x": "AA", "y": "AA"}),
        json!({"kty": "new", "kid": "y"}),
        json!({"kid": "z"}),
        json!({}),
    ];
    let all: Vec<Value> = strangers.into_iter().chain([good.clone(), good.clone()]).collect();
    assert_eq!(KeySet::parse(&document(&all)).unwrap().len(), 1);
    assert!(KeySet::parse(&document(&[])).unwrap().is_empty());
    let error = KeySet::parse(&document(&[good.clone(), jwk("kid-1", &other)])).unwrap_err();
    assert!(matches!(&error, KeySetError::Twice(name) if name == "kid-1"), "{error}");
    for bad in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[1]}"#, r#"{"keys":[],"keys":[]}"#, "<html>"] {
        assert!(KeySet::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    let many = vec![json!({}); 257];
    assert!(matches!(KeySet::parse(&document(&many)), Err(KeySetError::TooManyKeys(257))));
    assert!(matches!(KeySet::parse(&vec![b' '; 300_000]), Err(KeySetError::TooLarge(300_000))));
}

/// What an issuer answers, one after the other; then it is away.
struct Script(Arc<Mutex<VecDeque<Option<Vec<u8>>>>>);

impl KeySource for Script {
    fn read(&mut self, whole: bool) -> KeyReading<'_> {
        let next = self.0.lock().unwrap().pop_front();
        Box::pin(async move {
            match next {
                Some(None) => {
                    assert!(!whole, "what is wanted whole is not answered by `as before`");
                    Ok(None)
                }
                Some(document) => Ok(document),
                None => Err(KeySourceError::Unavailable("away".to_owned())),
            }
        })
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl KeyEvents for Heard {
    fn read(&self, _issuer: &str, keys: Option<usize>, changed: bool) {
        self.0.lock().unwrap().push(format!("{} {changed}", keys.unwrap()));
    }

    fn failed(&self, _issuer: &str, error: &KeySourceError) {
        self.0.lock().unwrap().push(error.to_string());
    }
}

struct Followed {
    keys: Arc<PublishedKeys>,
    script: Arc<Mutex<VecDeque<Option<Vec<u8>>>>>,
    clock: Arc<ManualClock>,
    heard: Arc<Heard>,
    follower: KeyFollower,
}

fn followed(script: Vec<Option<Vec<u8>>>) -> Followed {
    let keys = Arc::new(PublishedKeys::new(STALE));
    let (clock, heard) = (Arc::new(ManualClock::new(NOW)), Arc::new(Heard::default()));
    let script = Arc::new(Mutex::new(VecDeque::from(script)));
    let schedule = KeySchedule { refresh: Duration::from_mins(5), pause: Duration::from_secs(10) };
    let follower = KeyFollower::new(
        (ISSUER.into(), Arc::clone(&keys)),
        Box::new(Script(Arc::clone(&script))),
        schedule,
        Arc::clone(&clock) as Arc<dyn Clock>,
        Arc::clone(&heard) as Arc<dyn KeyEvents>,
    );
    Followed { keys, script, clock, heard, follower }
}

#[tokio::test]
async fn last_good_keys_stand_while_the_issuer_is_away_and_not_for_ever() {
    let key = Key::p256();
    let set = document(&[jwk("kid-1", &key)]);
    let mut issuer = followed(vec![Some(set), None, Some(b"<html>".to_vec())]);
    let tokens = Tokens::new(vec![Issuer::publishing(rules(ISSUER), Arc::clone(&issuer.keys))], 100);
    let shown = token(&header("ES256"), &with(&claims(), "exp", SECOND + 1_000_000), &key);
    let verify = |clock: &ManualClock| tokens.verify(&shown, clock.now());

    assert!(matches!(verify(&issuer.clock).unwrap_err(), TokenError::NoKeys(_)), "nothing was read yet");
    issuer.follower.read().await;
    let first = verify(&issuer.clock).unwrap();
    issuer.clock.advance(STALE);
    assert!(Arc::ptr_eq(&first, &verify(&issuer.clock).unwrap()), "it is remembered");
    issuer.follower.read().await;
    for _ in 0..2 {
        issuer.clock.advance(STALE / 2);
        verify(&issuer.clock).unwrap();
        issuer.follower.read().await;
    }
    issuer.clock.advance(Duration::from_secs(1));
    let error = verify(&issuer.clock).unwrap_err();
    assert!(matches!(error, TokenError::NoKeys(_)), "{error}");
    assert_eq!(error.fault(), TokenFault::Untrusted);
    let heard = issuer.heard.0.lock().unwrap().clone();
    assert_eq!((heard.len(), &*heard[0], &*heard[1], &*heard[3]), (4, "1 true", "1 false", "away"));
    assert!(heard[2].starts_with("the key set can't be used"), "{heard:?}");
}

#[tokio::test]
async fn a_rotation_bites_on_the_next_check() {
    let (old, new) = (Key::p256(), Key::p256());
    let both = document(&[jwk("kid-1", &old), jwk("kid-2", &new)]);
    let mut issuer =
        followed(vec![Some(document(&[jwk("kid-1", &old)])), Some(both), Some(document(&[jwk("kid-2", &new)]))]);
    let tokens = Tokens::new(vec![Issuer::publishing(rules(ISSUER), Arc::clone(&issuer.keys))], 100);
    let by_old = token(&header("ES256"), &claims(), &old);
    let by_new = token(&with(&header("ES256"), "kid", "kid-2"), &claims(), &new);
    issuer.follower.read().await;
    tokens.verify(&by_old, NOW).unwrap();
    assert!(matches!(tokens.verify(&by_new, NOW).unwrap_err(), TokenError::UnknownKey { .. }));
    // The unknown key is a wish to look for it.
    tokio::time::timeout(Duration::from_secs(10), issuer.keys.wanted()).await.unwrap();
    issuer.follower.read().await;
    tokens.verify(&by_old, NOW).unwrap();
    tokens.verify(&by_new, NOW).unwrap();
    issuer.follower.read().await;
    assert!(matches!(tokens.verify(&by_old, NOW).unwrap_err(), TokenError::UnknownKey { .. }));
    tokens.verify(&by_new, NOW).unwrap();
}

/// Who sends tokens with keys that don't exist must not be able to make us a nuisance to the issuer.
#[tokio::test(start_paused = true)]
async fn unknown_keys_are_looked_for_no_more_often_than_is_allowed() {
    let key = Key::p256();
    let set = document(&[jwk("kid-1", &key)]);
    let Followed { keys, script, clock, heard, follower } = followed(vec![Some(set); 100]);
    let tokens = Tokens::new(vec![Issuer::publishing(rules(ISSUER), keys)], 100);
    let unknown = token(&with(&header("ES256"), "kid", "nobody's"), &claims(), &key);
    let shutdown = Shutdown::default();
    let mut running = tokio::task::JoinSet::new();
    running.spawn(follower.run(shutdown.signal()));
    for _ in 0..100 {
        tokens.verify(&unknown, clock.now()).unwrap_err();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    shutdown.advance(Phase::Draining);
    running.join_all().await;
    let asked = 100 - script.lock().unwrap().len();
    assert!((9..=10).contains(&asked), "{asked} questions in 100 s at 10 s at least between two");
    assert_eq!(heard.0.lock().unwrap().len(), asked);
}

#[tokio::test]
async fn a_file_is_a_source() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    let mut file = KeyFile::new(path.clone());
    let error = file.read(true).await.unwrap_err().to_string();
    assert!(error.contains("keys.json"), "{error}");
    std::fs::write(&path, document(&[jwk("kid-1", &Key::p256())])).unwrap();
    assert_eq!(KeySet::parse(&file.read(false).await.unwrap().unwrap()).unwrap().len(), 1);
    std::fs::write(&path, vec![b' '; 1 << 20]).unwrap();
    let read = file.read(false).await.unwrap().unwrap();
    assert!(matches!(KeySet::parse(&read), Err(KeySetError::TooLarge(_))));
}
