//! Who is a client, by an assertion.

use futures_util::FutureExt as _;

use super::*;
use crate::foundation::watched::Watched;
use crate::identity::bundle::{Bundle, Bundles};
use crate::identity::svid::LeafVerifier;
use crate::identity::token::MemoryUses;
use crate::identity::token::tests::bundle;

/// Nothing is revoked.
fn revocations() -> Arc<Revocations> {
    let loaded = Revocations::load(Arc::new(MemoryRevocations::default())).now_or_never();
    Arc::new(loaded.unwrap().unwrap())
}

/// What knows clients by the assertions that `key` signs, made after `since`.
pub(crate) fn clients(key: &Key, since: Timestamp) -> Clients {
    clients_but_for(&revocations(), key, since)
}

fn clients_but_for(revocations: &Arc<Revocations>, key: &Key, since: Timestamp) -> Clients {
    clients_of(revocations, Arc::<MemoryUses>::default(), key, since)
}

/// One process of several that know of each other's `uses`.
fn clients_of(revocations: &Arc<Revocations>, uses: Arc<MemoryUses>, key: &Key, since: Timestamp) -> Clients {
    let ours = Bundle::clone(&bundle("example.org", [("kid-1", key)]));
    let bundles = Arc::new(Watched::new(Bundles::new([ours])));
    let rules = IssuerRules {
        audiences: vec![US.to_owned(), format!("{US}/token")],
        leeway: Duration::ZERO,
        single_use: Some((100, since)),
        ..rules("spiffe")
    };
    let assertions = Tokens::new(vec![Issuer::spiffe(rules, Arc::clone(&bundles))], 1);
    Clients::new(LeafVerifier::new(bundles, 10), (Arc::new(assertions), uses), Arc::clone(revocations))
}

/// An assertion of the tool with these claims on top.
pub(crate) fn assertion(key: &Key, claims: &Value) -> String {
    let mut all = json!({
        "sub": "spiffe://example.org/tool", "aud": US, "iat": SECOND, "exp": SECOND + 60, "jti": "one",
    });
    for (name, value) in claims.as_object().unwrap() {
        match value {
            Value::Null => drop(all.as_object_mut().unwrap().remove(name)),
            value => all[name] = value.clone(),
        }
    }
    token(&header("ES256"), &all, key)
}

#[test]
fn an_assertion_is_for_us_alone_and_good_once() {
    let key = Key::p256();
    let clients = clients(&key, NOW.before(Duration::from_secs(10)));
    let known = |assertion: &str, client_id: Option<&str>| {
        let shown = Credentials { assertion: Some(assertion), client_id, ..Credentials::default() };
        clients.authenticate(shown, NOW).now_or_never().unwrap()
    };
    let good = assertion(&key, &json!({}));
    let client = known(&good, Some("spiffe://example.org/tool")).unwrap();
    assert_eq!((client.id.as_str(), client.certificate), ("spiffe://example.org/tool", None));
    assert_eq!(client.caller.name(), "spiffe://example.org/tool");
    assert!(known(&good, None).is_err(), "once");
    let fresh = |claims: Value| assertion(&key, &with(&claims, "jti", claims.to_string()));
    known(&fresh(json!({"aud": format!("{US}/token")})), None).unwrap();
    for bad in [
        fresh(json!({"aud": "https://elsewhere.example"})),
        fresh(json!({"aud": [US, "https://elsewhere.example"]})),
        fresh(json!({"aud": [US, format!("{US}/token")]})),
        fresh(json!({"act": {"sub": "x"}})),
        fresh(json!({"cnf": {"x5t#S256": "x"}})),
        fresh(json!({"exp": SECOND})),
        fresh(json!({"iat": SECOND - 10})),
        fresh(json!({"iat": null})),
        fresh(json!({"sub": "alice"})),
        fresh(json!({"sub": "spiffe://other.org/tool"})),
        assertion(&key, &json!({"jti": null})),
        assertion(&Key::p256(), &json!({"jti": "forged"})),
        token(
            &with(&header("ES256"), "typ", "at+jwt"),
            &json!({"sub": "spiffe://example.org/tool", "aud": US, "iat": SECOND, "exp": SECOND + 60, "jti": "typed"}),
            &key,
        ),
    ] {
        assert!(matches!(known(&bad, None), Err(ClientError::Unproved(_))), "{bad}");
    }
    let other = known(&fresh(json!({"x": 1})), Some("spiffe://example.org/coordinator"));
    assert!(matches!(other, Err(ClientError::OtherName(_))), "{other:?}");
    let none = clients.authenticate(Credentials::default(), NOW).now_or_never().unwrap();
    assert!(matches!(none, Err(ClientError::Missing)));
    let certificate = rustls_pki_types::CertificateDer::from(vec![1]);
    let both = Credentials { certificate: Some(&certificate), assertion: Some("x"), client_id: None };
    assert!(matches!(clients.authenticate(both, NOW).now_or_never().unwrap(), Err(ClientError::Several)));
    let bad = Credentials { certificate: Some(&certificate), ..Credentials::default() };
    assert!(matches!(clients.authenticate(bad, NOW).now_or_never().unwrap(), Err(ClientError::Unproved(_))));
}

/// The processes of one database are one to whoever shows an assertion; what can't be looked up there proves nobody.
#[tokio::test]
async fn an_assertion_is_good_once_at_all_processes_together() {
    let (key, uses, since) = (Key::p256(), Arc::<MemoryUses>::default(), NOW.before(Duration::from_secs(10)));
    let [one, other] = [(); 2].map(|()| clients_of(&revocations(), Arc::clone(&uses), &key, since));
    let known = async |clients: &Clients, id: &str, at: Timestamp| {
        let assertion = assertion(&key, &json!({"jti": id, "exp": SECOND + if at == NOW { 60 } else { 600 }}));
        clients.authenticate(Credentials { assertion: Some(&assertion), ..Credentials::default() }, at).await
    };
    known(&one, "1", NOW).await.unwrap();
    let refused = known(&other, "1", NOW).await.unwrap_err();
    assert!(refused.to_string().contains("was used before"), "{refused}");
    known(&other, "2", NOW).await.unwrap();
    known(&one, "2", NOW).await.unwrap_err();
    // For one whose clock is ahead the first is over, and it forgets what is over for all.
    known(&one, "3", NOW).await.unwrap();
    known(&one, "4", NOW.after(Duration::from_mins(4))).await.unwrap();
    known(&other, "3", NOW).await.expect_err("for this one it is not");

    uses.fails.store(true, Ordering::SeqCst);
    assert!(matches!(known(&one, "5", NOW).await, Err(ClientError::Unknown(_))));
    uses.fails.store(false, Ordering::SeqCst);
    known(&one, "5", NOW).await.expect_err("it may have been used, so it counts as that");
}

#[tokio::test]
async fn an_assertion_that_was_revoked_proves_nobody() {
    let (key, revocations) = (Key::p256(), revocations());
    let clients = clients_but_for(&revocations, &key, NOW.before(Duration::from_secs(10)));
    let known = |id: &str| {
        let assertion = assertion(&key, &json!({"jti": id}));
        let shown = Credentials { assertion: Some(&assertion), ..Credentials::default() };
        clients.authenticate(shown, NOW).now_or_never().unwrap()
    };
    known("before").unwrap();
    let one = Revoked::new(RevokedKind::Token, "stolen", Some("spiffe://example.org")).unwrap();
    revocations.revoke(one.clone(), None, NOW).await.unwrap();
    let refused = known("stolen").unwrap_err();
    assert!(refused.to_string().contains("revoked"), "{refused}");
    known("another").unwrap();
    let tool = Revoked::new(RevokedKind::Member, "spiffe://example.org/tool", None).unwrap();
    revocations.revoke(tool, None, NOW).await.unwrap();
    known("of the tool").unwrap_err();
}
