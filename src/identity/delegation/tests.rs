use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::foundation::clock::Timestamp;
use crate::foundation::digest::Digest;
use crate::foundation::watched::Epoch;
use crate::identity::svid::VerifiedLeaf;
use crate::identity::token::tests::{ISSUER, Key, NOW, claims, header, published, rules, token, with};
use crate::identity::token::{Issuer, IssuerRules, TokenVerifier as _, Tokens};

pub(super) const WEB: &str = "spiffe://example.org/web";
pub(super) const ROBOT: &str = "spiffe://example.org/robot";

/// Claims of alice, for whom robot acts, who was asked by web.
pub(super) fn chain() -> Value {
    let act = json!({"sub": ROBOT, "sub_profile": "ai_agent", "act": {"iss": "https://gate.example", "sub": WEB}});
    with(&with(&claims(), "act", act), "scope", "orders:read orders:list")
}

/// A token of this type with these claims, verified.
pub(super) fn verified(kind: &str, claims: &Value) -> Arc<VerifiedToken> {
    let key = Key::p256();
    let types = vec!["JWT".to_owned(), "application/TxnToken+JWT".to_owned()];
    let issuer = Issuer::publishing(IssuerRules { types, ..rules(ISSUER) }, published(&[("kid-1", &key)]));
    let token = token(&with(&header("ES256"), "typ", kind), claims, &key);
    Tokens::new(vec![issuer], 10).verify(&token, NOW).unwrap()
}

fn read(kind: &str, claims: &Value) -> Result<Delegation, DelegationError> {
    Delegation::read(&verified(kind, claims))
}

fn leaf(id: &str, der: &[u8]) -> VerifiedLeaf {
    VerifiedLeaf {
        id: id.parse().unwrap(),
        not_before: NOW,
        not_after: Timestamp::MAX,
        digest: Digest::of(der),
        bundle_epoch: Epoch::FIRST,
        bundle_sequence: 1,
        authority: Digest::of(b"the authority"),
    }
}

#[test]
fn a_scope_is_a_list_with_single_spaces() {
    assert_eq!(parse_scope("b a b"), Some(["a", "b"].map(str::to_owned).into()));
    for bad in ["", " a", "a ", "a  b", "a\tb", "a\"b", "a\\b", "ä"] {
        assert_eq!(parse_scope(bad), None, "{bad:?}");
    }
    let many: Vec<String> = (0..=MAX_SCOPES).map(|number| number.to_string()).collect();
    assert_eq!(parse_scope(&many.join(" ")), None);
}

#[test]
fn a_chain_is_read_from_who_acts_now_to_whom_it_is_about() {
    let read = read("JWT", &chain()).unwrap();
    let names: Vec<&str> = read.members().map(|party| &*party.subject).collect();
    assert_eq!(names, [ROBOT, WEB, "alice"]);
    assert_eq!(read.current().profile.as_deref(), Some("ai_agent"));
    assert_eq!(read.actors[1].issuer.as_deref(), Some("https://gate.example"));
    assert_eq!(read.subject.issuer.as_deref(), Some(ISSUER));
    assert_eq!((read.id.as_deref(), read.transaction), (Some("a-number"), None));
    assert_eq!(read.scope, ["orders:list", "orders:read"].map(str::to_owned).into());
}

#[test]
fn only_what_says_more_than_its_subject_is_delegated() {
    assert!(!is_delegated(&verified("JWT", &claims())));
    for (kind, claims) in [
        ("JWT", chain()),
        ("JWT", with(&claims(), "act", Value::Null)),
        ("JWT", with(&claims(), "cnf", json!({}))),
        ("txntoken+jwt", claims()),
        ("application/txntoken+jwt", claims()),
    ] {
        assert!(is_delegated(&verified(kind, &claims)), "{kind} {claims}");
    }
}

#[test]
fn what_can_not_be_relied_on_is_no_delegation() {
    let deep = (0..=MAX_ACTORS).fold(json!({"sub": "last"}), |inner, _| json!({"sub": "a", "act": inner}));
    let digest = "A".repeat(43);
    for (name, value, error) in [
        ("act", json!("robot"), DelegationError::Actor),
        ("act", Value::Null, DelegationError::Actor),
        ("act", json!({}), DelegationError::Actor),
        ("act", json!({"sub": ""}), DelegationError::Actor),
        ("act", json!({"sub": "a", "act": []}), DelegationError::Actor),
        ("act", json!({"sub": 7}), DelegationError::NotText("sub")),
        ("act", json!({"sub": "a", "iss": 7}), DelegationError::NotText("iss")),
        ("act", deep, DelegationError::TooDeep),
        ("scope", json!(["read"]), DelegationError::NotText("scope")),
        ("scope", json!("read  write"), DelegationError::Scope),
        ("jti", json!(7), DelegationError::NotText("jti")),
        ("txn", json!(null), DelegationError::NotText("txn")),
        ("cnf", json!({"jkt": digest}), DelegationError::Confirmation),
        ("cnf", json!({"x5t#S256": digest, "jkt": digest}), DelegationError::Confirmation),
        ("cnf", json!({"x5t#S256": "AAAA"}), DelegationError::Confirmation),
        ("cnf", json!({}), DelegationError::Confirmation),
        ("cnf", json!("x5t#S256"), DelegationError::Confirmation),
    ] {
        assert_eq!(read("JWT", &with(&claims(), name, value.clone())), Err(error), "{name}: {value}");
    }
    assert_eq!(read("txntoken+jwt", &claims()), Err(DelegationError::NoRequester));
    assert_eq!(read("txntoken+jwt", &with(&claims(), "req_wl", "")), Err(DelegationError::NoRequester));
    assert_eq!(read("txntoken+jwt", &with(&chain(), "req_wl", 7)), Err(DelegationError::NotText("req_wl")));
}

#[test]
fn who_acts_may_show_it_and_nobody_else() {
    let acted = read("JWT", &chain()).unwrap();
    assert_eq!(acted.check_holder(Some(&leaf(ROBOT, b"any"))), Ok(()));
    assert_eq!(acted.check_holder(Some(&leaf(WEB, b"any"))), Err(HolderError::OtherActor(WEB.to_owned())));
    assert_eq!(acted.check_holder(None), Err(HolderError::NoCertificate));

    let asked = read("txntoken+jwt", &with(&claims(), "req_wl", WEB)).unwrap();
    assert_eq!(asked.check_holder(Some(&leaf(WEB, b"any"))), Ok(()));
    asked.check_holder(Some(&leaf(ROBOT, b"any"))).unwrap_err();
    // An actor counts before who asked.
    let both = read("txntoken+jwt", &with(&chain(), "req_wl", WEB)).unwrap();
    assert_eq!(both.check_holder(Some(&leaf(ROBOT, b"any"))), Ok(()));
    both.check_holder(Some(&leaf(WEB, b"any"))).unwrap_err();

    let alone = read("JWT", &with(&claims(), "sub", WEB)).unwrap();
    assert_eq!(alone.check_holder(Some(&leaf(WEB, b"any"))), Ok(()));
    alone.check_holder(Some(&leaf(ROBOT, b"any"))).unwrap_err();
}

#[test]
fn a_bound_token_is_shown_with_its_certificate_and_with_no_other_of_the_same_name() {
    let thumbprint = URL_SAFE_NO_PAD.encode(Digest::of(b"this one").as_bytes());
    let bound = read("JWT", &with(&chain(), "cnf", json!({"x5t#S256": thumbprint}))).unwrap();
    assert_eq!(bound.check_holder(Some(&leaf(ROBOT, b"this one"))), Ok(()));
    assert_eq!(bound.check_holder(Some(&leaf(ROBOT, b"the next one"))), Err(HolderError::OtherCertificate));
    assert_eq!(bound.check_holder(Some(&leaf(WEB, b"another"))), Err(HolderError::OtherCertificate));
    assert_eq!(bound.check_holder(None), Err(HolderError::NoCertificate));
}

#[test]
fn who_vouched_for_the_subject_before_is_a_name_of_the_subject_and_of_nobody_else() {
    let with_id = |id: Value| read("JWT", &with(&chain(), "sub_id", id)).unwrap().origin;
    let found = with_id(json!({"format": "iss_sub", "iss": "https://idp.other", "sub": "alice"})).unwrap();
    assert_eq!((found.issuer.as_deref(), &*found.subject), (Some("https://idp.other"), "alice"));
    for other in [
        json!({"format": "iss_sub", "iss": "https://idp.other", "sub": "bob"}),
        json!({"format": "email", "iss": "https://idp.other", "sub": "alice"}),
        json!({"iss": "https://idp.other", "sub": "alice"}),
        json!("alice"),
    ] {
        assert_eq!(with_id(other.clone()), None, "{other}");
    }
}

#[test]
fn all_that_others_call_the_subject_is_read_or_the_token_says_nothing() {
    let name = |iss: &str, sub: &str| json!({"format": "iss_sub", "iss": iss, "sub": sub});
    let several = |names: Vec<Value>| json!({"format": "aliases", "identifiers": names});
    let aliases = |sub_id: &Value, more: &Value| {
        let claims = with(&with(&chain(), "sub_id", sub_id.clone()), "sub_aliases", more.clone());
        let aliases = read("JWT", &claims)?.aliases.into_iter();
        Ok::<_, DelegationError>(aliases.map(|party| (party.issuer.unwrap(), party.subject)).collect::<Vec<_>>())
    };
    let pair = |iss: &str, sub: &str| (iss.to_owned(), sub.to_owned());
    let (a, b) = (name("a", "alice"), name("b", "employee-7"));
    assert_eq!(aliases(&a, &json!(null)), Ok(vec![pair("a", "alice")]));
    assert_eq!(aliases(&b, &json!("none")), Ok(vec![pair("b", "employee-7")]), "under another name, too");
    let both = vec![pair("a", "alice"), pair("b", "employee-7")];
    assert_eq!(aliases(&a, &several(vec![b.clone(), a.clone()])), Ok(both.clone()));
    assert_eq!(aliases(&several(vec![a.clone(), json!({"format": "email", "email": "x"}), b]), &json!({})), Ok(both));
    let many = |count: usize| several((0..count).map(|number| name("a", &number.to_string())).collect());
    assert_eq!(aliases(&many(MAX_ALIASES), &json!({})).unwrap().len(), MAX_ALIASES);
    for bad in [
        many(MAX_ALIASES + 1),
        json!({"format": "iss_sub", "sub": "alice"}),
        json!({"format": "iss_sub", "iss": 7, "sub": "alice"}),
        name("a", ""),
        name("a", "a\nb"),
        name("a", &"x".repeat(1025)),
        json!({"format": "aliases"}),
        several(vec![json!("alice")]),
    ] {
        for (sub_id, more) in [(&bad, &json!({})), (&a, &bad)] {
            assert_eq!(aliases(sub_id, more), Err(DelegationError::Aliases), "{sub_id} {more}");
        }
    }
}

#[test]
fn what_names_a_new_tokens_subject_can_be_read_again() {
    let party = |number: usize| Party { issuer: Some("a".to_owned()), subject: number.to_string(), profile: None };
    let others: Vec<Party> = (1..MAX_ALIASES).map(party).collect();
    let mut claims = chain();
    for (name, value) in naming(&party(0), &others).unwrap() {
        claims[name] = value;
    }
    let read = read("JWT", &claims).unwrap().aliases;
    assert_eq!((read.len(), &read[0], &read[1..]), (MAX_ALIASES, &party(0), &*others));
    let one_more: Vec<Party> = (1..=MAX_ALIASES).map(party).collect();
    assert_eq!(naming(&party(0), &one_more).unwrap_err(), DelegationError::Aliases);
    assert_eq!(naming(&party(0), &[]).unwrap().len(), 1, "there is nothing to tell of no others");
}
