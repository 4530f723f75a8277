//! Tokens that are good for one use.

use super::*;

fn once(key: &Key, capacity: usize) -> Tokens {
    let single_use = Some((capacity, NOW.before(Duration::from_secs(100))));
    Tokens::new(
        vec![Issuer::publishing(IssuerRules { single_use, ..rules(ISSUER) }, published(&[("kid-1", key)]))],
        100,
    )
}

fn shown(key: &Key, id: &str, seconds: u64) -> String {
    token(&header("ES256"), &with(&with(&claims(), "jti", id), "exp", SECOND + seconds), key)
}

#[test]
fn a_token_that_was_used_is_refused_until_it_is_refused_anyway() {
    let key = Key::p256();
    let tokens = once(&key, 10);
    let (one, two) = (shown(&key, "1", 300), shown(&key, "2", 300));
    tokens.verify(&one, NOW).unwrap();
    for later in [0, 299, 300, 329] {
        let error = tokens.verify(&one, NOW.after(Duration::from_secs(later))).unwrap_err();
        assert!(matches!(error, TokenError::Replayed), "{error}");
    }
    tokens.verify(&two, NOW.after(Duration::from_secs(329))).unwrap();
    let same_id = shown(&key, "1", 200);
    assert!(matches!(tokens.verify(&same_id, NOW).unwrap_err(), TokenError::Replayed), "the id is what counts");
    let late = tokens.verify(&one, NOW.after(Duration::from_secs(330))).unwrap_err();
    assert_eq!(late.fault(), TokenFault::OutOfTime);
}

#[test]
fn a_use_is_not_remembered_for_longer_than_an_hour() {
    let key = Key::p256();
    let tokens = once(&key, 1);
    // The issuer's clock may be half a minute from ours.
    let error = tokens.verify(&shown(&key, "1", 3571), NOW).unwrap_err();
    assert!(matches!(error, TokenError::LongLived(_)), "{error}");
    tokens.verify(&shown(&key, "1", 3570), NOW).expect("and the other took no place");
}

#[test]
fn nothing_is_forgotten_to_make_room() {
    let key = Key::p256();
    let tokens = once(&key, 2);
    tokens.verify(&shown(&key, "1", 10), NOW).unwrap();
    tokens.verify(&shown(&key, "2", 300), NOW).unwrap();
    let full = tokens.verify(&shown(&key, "3", 300), NOW).unwrap_err();
    assert!(matches!(full, TokenError::NoRoom(2)), "{full}");
    assert_eq!(full.fault(), TokenFault::NoRoom);
    assert!(matches!(tokens.verify(&shown(&key, "1", 10), NOW).unwrap_err(), TokenError::Replayed));
    let later = NOW.after(Duration::from_secs(40));
    tokens.verify(&shown(&key, "3", 300), later).unwrap();
    assert!(matches!(tokens.verify(&shown(&key, "2", 300), later).unwrap_err(), TokenError::Replayed));
}

#[test]
fn what_was_made_before_the_start_may_have_been_used() {
    let key = Key::p256();
    let tokens = once(&key, 10);
    let made = |seconds_ago: u64| token(&header("ES256"), &with(&claims(), "iat", SECOND - seconds_ago), &key);
    let error = tokens.verify(&made(100), NOW).unwrap_err();
    assert!(matches!(error, TokenError::BeforeStart(_)), "{error}");
    assert_eq!(error.fault(), TokenFault::Replayed);
    tokens.verify(&made(99), NOW).unwrap();
}

#[test]
fn it_needs_an_id_and_the_time_it_was_made() {
    let key = Key::p256();
    for name in ["jti", "iat"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        let error = once(&key, 10).verify(&token(&header("ES256"), &claims, &key), NOW).unwrap_err();
        assert!(matches!(error, TokenError::Jwt(jwt::TokenError::Missing(found)) if found == name), "{error}");
    }
}

#[test]
fn no_issuer_of_several_can_fill_the_memory_for_the_others() {
    let (one, other) = (Key::p256(), Key::p256());
    let bundles = [bundle("one.org", [("kid-1", &one)]), bundle("other.org", [("kid-1", &other)])];
    let bundles = Arc::new(Watched::new(Bundles::new(bundles.map(|bundle| Bundle::clone(&bundle)))));
    let single_use = Some((8, NOW.before(Duration::from_secs(100))));
    let tokens = Tokens::new(vec![Issuer::spiffe(IssuerRules { single_use, ..rules("spiffe") }, bundles)], 1);
    let used = |domain: &str, key: &Key, id: usize| {
        let svid = with(&claims(), "sub", format!("spiffe://{domain}/x"));
        tokens.verify(&token(&header("ES256"), &with(&svid, "jti", id.to_string()), key), NOW)
    };
    let taken = (0..20).filter(|id| used("one.org", &one, *id).is_ok()).count();
    assert_eq!(taken, 6, "a quarter is left");
    let taken = (0..20).filter(|id| used("other.org", &other, *id).is_ok()).count();
    assert_eq!(taken, 2, "and is the other's");
    assert!(matches!(used("other.org", &other, 20), Err(TokenError::NoRoom(8))));
}
