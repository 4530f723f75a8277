//! What is remembered of tokens that passed, and when it does not count any more.

use super::*;

#[test]
fn a_token_is_remembered_until_its_end_and_as_long_as_its_keys_are_the_same() {
    let (key, other) = (Key::p256(), Key::p256());
    let keys = published(&[("kid-1", &key)]);
    let tokens = Tokens::new(vec![Issuer::publishing(rules(ISSUER), Arc::clone(&keys))], 100);
    let shown = token(&header("ES256"), &with(&claims(), "nbf", SECOND), &key);
    let first = tokens.verify(&shown, NOW).unwrap();
    let again = |at: Timestamp| Arc::ptr_eq(&first, &tokens.verify(&shown, at).unwrap());
    let end = first.not_after;
    assert!(again(NOW) && again(end.before(Duration::from_nanos(1))));
    assert!(!again(end), "within the leeway it is verified each time");
    assert!(tokens.verify(&shown, end.after(Duration::from_secs(30))).is_err());
    assert!(tokens.verify(&shown, NOW.before(Duration::from_secs(31))).is_err(), "a clock that was set back");

    let same = KeySet::parse(&document(&[jwk("kid-1", &key)])).unwrap();
    assert!(!keys.publish(same, NOW), "the same keys are no change");
    let more = KeySet::parse(&document(&[jwk("kid-1", &key), jwk("kid-2", &other)])).unwrap();
    assert!(keys.publish(more, NOW));
    assert!(!Arc::ptr_eq(&first, &tokens.verify(&shown, NOW).unwrap()));
    keys.publish(KeySet::parse(&document(&[jwk("kid-1", &other)])).unwrap(), NOW);
    assert!(matches!(tokens.verify(&shown, NOW).unwrap_err(), TokenError::Jwt(jwt::TokenError::Signature)));
}
