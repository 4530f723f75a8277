//! `FetchJWTSVID` and `ValidateJWTSVID`. W7.

use std::sync::Arc;

use prost_types::value::Kind;
use serde_json::{Value, json};

use super::*;
use crate::foundation::secret::Secret;
use crate::identity::bundle::Bundle;
use crate::identity::foreign::{ForeignDomain, ForeignIdentities};
use crate::identity::svid::jwt::tests::mint::{self, Key};

const SECOND: u64 = 1_800_000_000;

fn jwt_svid(name: &str, hint: &str) -> JwtSvid {
    JwtSvid {
        id: format!("spiffe://example.org/{name}").parse().unwrap(),
        entry_id: name.into(),
        hint: hint.to_owned(),
        token: Secret::new(format!("token-of-{name}")),
        issued_at: NOW,
        not_after: in_seconds(300),
    }
}

impl Fixture {
    async fn tokens(&mut self, audience: &[&str], spiffe_id: &str) -> Result<Vec<Jwtsvid>, (Code, String)> {
        let audience = audience.iter().map(ToString::to_string).collect();
        let request = JwtsvidRequest { audience, spiffe_id: spiffe_id.to_owned() };
        let answer = self.client.fetch_jwtsvid(with_header(request)).await;
        answer.map(|answer| answer.into_inner().svids).map_err(|status| told(&status))
    }

    async fn validate(&mut self, audience: &str, svid: &str) -> Result<ValidateJwtsvidResponse, (Code, String)> {
        let request = ValidateJwtsvidRequest { audience: audience.to_owned(), svid: svid.to_owned() };
        let answer = self.client.validate_jwtsvid(with_header(request)).await;
        answer.map(Response::into_inner).map_err(|status| told(&status))
    }
}

async fn fixture_with_tokens() -> Fixture {
    let fixture = Fixture::new(web(1, in_seconds(1000))).await;
    *fixture.plane.tokens.lock().unwrap() =
        vec![jwt_svid("web", "internal"), jwt_svid("api", ""), jwt_svid("web2", "internal")];
    fixture
}

#[tokio::test]
async fn tokens_are_given_for_each_identity_or_for_the_one_that_is_asked_for() {
    let mut fixture = fixture_with_tokens().await;
    let all = fixture.tokens(&["orders"], "").await.unwrap();
    let shown: Vec<_> =
        all.iter().map(|token| (token.spiffe_id.as_str(), token.hint.as_str(), token.svid.as_str())).collect();
    let web = ("spiffe://example.org/web", "internal", "token-of-web");
    assert_eq!(shown, [web, ("spiffe://example.org/api", "", "token-of-api")], "of one hint the first");
    let one = fixture.tokens(&["", "orders"], "spiffe://example.org/web2").await.unwrap();
    assert_eq!(one[0].svid, "token-of-web2");
}

/// The codes and words of SPIRE's agent.
#[tokio::test]
async fn a_request_for_a_token_that_is_wrong_is_told_how() {
    let mut fixture = fixture_with_tokens().await;
    let missing = (Code::InvalidArgument, "audience must be specified".to_owned());
    for audience in [&[][..], &[""], &["", ""]] {
        assert_eq!(fixture.tokens(audience, "bad").await.unwrap_err(), missing);
    }
    for bad in ["bad", "SPIFFE://example.org/web", "spiffe://Example.org/web", "http://a/b", "spiffe://example.org/"] {
        let (code, message) = fixture.tokens(&["orders"], bad).await.unwrap_err();
        assert_eq!(code, Code::InvalidArgument, "{bad}");
        assert!(message.starts_with("invalid requested SPIFFE ID: "), "{bad}: {message}");
    }
    for other in ["spiffe://example.org", "spiffe://example.org/nope", "spiffe://other.org/web"] {
        assert_eq!(fixture.tokens(&["orders"], other).await.unwrap_err(), no_identity(), "{other}");
    }
    let long = "a".repeat(MAX_AUDIENCE_BYTES + 1);
    assert_eq!(fixture.tokens(&[&long], "").await.unwrap_err().0, Code::InvalidArgument);
    let huge = "a".repeat(MAX_REQUEST_BYTES + 1);
    assert_eq!(fixture.tokens(&[&huge], "").await.unwrap_err().0, Code::OutOfRange);
}

#[tokio::test]
async fn a_token_that_can_not_be_made_is_told_in_spires_words() {
    let mut fixture = Fixture::new(Told::Failing).await;
    let expected = (Code::Unavailable, "could not fetch JWT-SVID".to_owned());
    assert_eq!(fixture.tokens(&["orders"], "").await.unwrap_err(), expected);
}

fn claims(subject: &str) -> Value {
    json!({
        "sub": subject, "aud": "orders", "exp": SECOND + 300, "iat": SECOND, "kept": "theirs", "role": "admin",
    })
}

fn token(subject: &str, key: &Key) -> String {
    mint::token(&json!({"alg": "ES256", "kid": "kid-1", "typ": "JWT"}), &claims(subject), key)
}

fn bundle_of(trust_domain: &str, key: &Key) -> Bundle {
    Bundle::clone(&mint::bundle(trust_domain, [("kid-1", key)]))
}

#[tokio::test]
async fn our_token_is_shown_whole_and_a_foreign_one_in_part() {
    let (ours, theirs) = (Key::p256(), Key::p256());
    let bundles = vec![bundle_of("example.org", &ours), bundle_of("other.org", &theirs)];
    let mut fixture =
        Fixture::new(Told::Entitled(identities(vec![svid("web", "", 1, in_seconds(1000))], bundles))).await;
    let names = |response: &ValidateJwtsvidResponse| {
        response.claims.as_ref().unwrap().fields.keys().cloned().collect::<Vec<_>>()
    };
    let own = fixture.validate("orders", &token("spiffe://example.org/web", &ours)).await.unwrap();
    assert_eq!(own.spiffe_id, "spiffe://example.org/web");
    assert_eq!(names(&own), ["aud", "exp", "iat", "kept", "role", "sub"]);
    let Some(Kind::ListValue(audience)) = &own.claims.as_ref().unwrap().fields["aud"].kind else { panic!("{own:?}") };
    assert_eq!(audience.values.len(), 1, "the audience is a list");

    let foreign = fixture.validate("orders", &token("spiffe://other.org/web", &theirs)).await.unwrap();
    assert_eq!(names(&foreign), ["aud", "exp", "kept", "sub"]);
    let forged = fixture.validate("orders", &token("spiffe://other.org/web", &ours)).await.unwrap_err();
    assert_eq!(forged.0, Code::InvalidArgument);
    let line_end = format!("{}\n", token("spiffe://example.org/web", &ours));
    assert!(fixture.validate("orders", &line_end).await.is_ok());
    assert_eq!((fixture.metrics().tokens_verified.get(), fixture.metrics().tokens_rejected.get()), (3, 1));
}

#[tokio::test]
async fn a_foreign_token_of_somebody_who_is_not_let_in_does_not_hold() {
    let (ours, theirs) = (Key::p256(), Key::p256());
    let bundles = vec![bundle_of("example.org", &ours), bundle_of("other.org", &theirs)];
    let mut fixture =
        Fixture::new(Told::Entitled(identities(vec![svid("web", "", 1, in_seconds(1000))], bundles))).await;
    let (dev, prod) = (token("spiffe://other.org/dev/web", &theirs), token("spiffe://other.org/prod/web", &theirs));
    assert!(fixture.validate("orders", &dev).await.is_ok());
    let domain = ForeignDomain { paths: vec!["/prod".parse().unwrap()], ..ForeignDomain::default() };
    let listed = [("other.org".parse().unwrap(), domain)].into();
    let foreign = ForeignIdentities::new(&"example.org".parse().unwrap(), listed, true);
    *fixture.plane.foreign.lock().unwrap() = Arc::new(foreign);
    let (code, why) = fixture.validate("orders", &dev).await.unwrap_err();
    assert_eq!(code, Code::InvalidArgument);
    assert!(why.contains("not one of its identities that are let in"), "{why}");
    assert_eq!(fixture.validate("orders", &prod).await.unwrap().spiffe_id, "spiffe://other.org/prod/web");
    assert!(fixture.validate("orders", &token("spiffe://example.org/web", &ours)).await.is_ok());
}

/// As SPIRE's agent: whoever may call may verify with our own bundle.
#[tokio::test]
async fn a_caller_without_an_identity_may_verify_our_tokens_and_no_others() {
    let (ours, theirs) = (Key::p256(), Key::p256());
    let mut fixture = Fixture::new(Told::Entitled(Identities::default())).await;
    *fixture.plane.own.lock().unwrap() = Some(Arc::new(bundle_of("example.org", &ours)));
    assert!(fixture.validate("orders", &token("spiffe://example.org/web", &ours)).await.is_ok());
    let foreign = fixture.validate("orders", &token("spiffe://other.org/web", &theirs)).await.unwrap_err();
    assert_eq!(foreign, (Code::InvalidArgument, "there is no bundle of the trust domain `other.org`".to_owned()));
}

#[tokio::test]
async fn a_token_that_does_not_hold_is_the_callers_fault() {
    let key = Key::p256();
    let bundles = vec![bundle_of("example.org", &key)];
    let mut fixture =
        Fixture::new(Told::Entitled(identities(vec![svid("web", "", 1, in_seconds(1000))], bundles))).await;
    let good = token("spiffe://example.org/web", &key);
    assert_eq!(
        fixture.validate("", "").await.unwrap_err(),
        (Code::InvalidArgument, "audience must be specified".to_owned())
    );
    assert_eq!(
        fixture.validate("x", "").await.unwrap_err(),
        (Code::InvalidArgument, "svid must be specified".to_owned())
    );
    for (audience, svid) in [("batch", good.as_str()), ("orders", "a.b.c"), ("orders", "rubbish"), ("orders", "..")] {
        assert_eq!(fixture.validate(audience, svid).await.unwrap_err().0, Code::InvalidArgument, "{svid}");
    }
    assert!(fixture.validate("orders", &good).await.is_ok());
    fixture.clock.advance(Duration::from_mins(5));
    let (code, message) = fixture.validate("orders", &good).await.unwrap_err();
    assert_eq!(code, Code::InvalidArgument);
    assert!(message.contains("expired"), "{message}");
}
