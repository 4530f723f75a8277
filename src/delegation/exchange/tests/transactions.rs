//! Transaction tokens, and JWT-SVIDs.

use super::*;
use crate::identity::svid::jwt;

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("{other}"),
    }
}

/// A transaction token for `example.org`.
fn transaction(subject: &str, kind: TokenType) -> ExchangeRequest<'_> {
    ExchangeRequest {
        subject: ShownToken { token: subject, kind },
        wanted: TokenType::TransactionToken,
        audience: Some("example.org"),
        ..wanted(subject)
    }
}

#[tokio::test]
async fn a_transaction_goes_on_unchanged() {
    let house = House::new().await;
    let alice = house.alice(&json!({"txn": "hers", "tctx": {"amount": 1}}));
    let begins = ExchangeRequest {
        request_details: Some(object(json!({"event": 17}))),
        request_context: Some(object(json!({"ip": "192.0.2.1"}))),
        ..transaction(&alice, TokenType::AccessToken)
    };
    let issued = house.ask(&client("coordinator"), &begins).await.unwrap();
    let first = claims_of(&issued);
    assert_eq!(part(&issued, 0)["typ"], "txntoken+jwt");
    assert_eq!(
        (&first["aud"], &first["sub"], &first["req_wl"]),
        (&json!("example.org"), &json!("alice"), &json!("spiffe://example.org/coordinator"))
    );
    assert_eq!((&first["tctx"], &first["rctx"]), (&json!({"event": 17}), &json!({"ip": "192.0.2.1"})));
    assert_eq!(URL_SAFE_NO_PAD.decode(first["txn"].as_str().unwrap()).unwrap().len(), 16, "it is ours to name");
    assert!(first.get("client_id").is_none());

    let token = issued.token.expose();
    let goes_on = ExchangeRequest {
        request_details: Some(object(json!({"event": 17, "room": "blue"}))),
        scope: Some("read"),
        ..transaction(token, TokenType::TransactionToken)
    };
    let next = claims_of(&house.ask(&client("tool"), &goes_on).await.unwrap());
    for name in ["txn", "sub", "aud", "sub_id", "rctx", "exp"] {
        assert_eq!(next[name], first[name], "{name}");
    }
    assert_eq!((&next["tctx"], &next["scope"]), (&json!({"event": 17, "room": "blue"}), &json!("read")));
    assert_eq!(next["act"]["act"]["sub"], first["act"]["sub"], "who asked before stays");

    let changes = [
        ExchangeRequest { request_details: Some(object(json!({"event": 18}))), ..goes_on.clone() },
        ExchangeRequest { request_context: Some(object(json!({"ip": "192.0.2.2"}))), ..goes_on.clone() },
    ];
    for change in changes {
        assert_eq!(house.refusal(&client("tool"), &change).await, "changes_transaction");
    }
    for (change, reason) in [
        (ExchangeRequest { scope: Some("read send"), ..goes_on.clone() }, "wider_scope"),
        (ExchangeRequest { audience: Some(TOOL), ..goes_on.clone() }, "unknown_audience"),
        (ExchangeRequest { audience: None, ..goes_on.clone() }, "unknown_audience"),
        (transaction(token, TokenType::AccessToken), "other_type"),
    ] {
        assert_eq!(house.refusal(&client("tool"), &change).await, reason);
    }
    let access = ExchangeRequest {
        wanted: TokenType::AccessToken,
        audience: Some(TOOL),
        ..transaction(token, TokenType::TransactionToken)
    };
    assert_eq!(house.refusal(&client("tool"), &access).await, "only_replaced");
    let stranger = Client { id: "spiffe://other.org/x".parse().unwrap(), ..client("x") };
    assert_eq!(house.refusal(&stranger, &goes_on).await, "made_for_others", "it is for our trust domain");
}

#[tokio::test]
async fn what_only_a_transaction_has_is_refused_elsewhere() {
    let house = House::new().await;
    let alice = house.alice(&json!({}));
    let request = ExchangeRequest { request_details: Some(object(json!({}))), ..wanted(&alice) };
    assert_eq!(house.refusal(&client("tool"), &request).await, "no_transaction");
    let request = transaction(&alice, TokenType::TransactionToken);
    assert_eq!(house.refusal(&client("tool"), &request).await, "other_type", "hers is none of ours");
    // Nor is one of her issuer's, whatever it is said to be: it is no access token, and its transaction is for others.
    let theirs = house.alice_of("txntoken+jwt", &json!({"txn": "t-1", "req_wl": "spiffe://example.org/tool"}));
    for wanted in [TokenType::AccessToken, TokenType::TransactionToken] {
        let audience = if wanted == TokenType::AccessToken { TOOL } else { "example.org" };
        for kind in TokenType::ALL {
            let request = ExchangeRequest { wanted, audience: Some(audience), ..transaction(&theirs, kind) };
            assert_eq!(house.refusal(&client("tool"), &request).await, "other_type", "{kind:?} for {wanted:?}");
        }
    }
    let long = "x".repeat(7000);
    let request = ExchangeRequest {
        request_details: Some(object(json!({"long": long}))),
        ..transaction(&alice, TokenType::AccessToken)
    };
    assert_eq!(house.refusal(&client("tool"), &request).await, "too_long", "nobody could read it");
}

#[tokio::test]
async fn a_jwt_svid_is_for_its_own_subject_alone() {
    let house = House::new().await;
    let request = |subject| ExchangeRequest { wanted: TokenType::Jwt, ..wanted(subject) };
    let alice = house.alice(&json!({}));
    assert_eq!(house.refusal(&client("tool"), &request(&alice)).await, "acts_for_other");
    // An issuer of people vouches for no workload, whatever name it gives.
    let posing = house.alice(&json!({"sub": "spiffe://example.org/tool"}));
    assert_eq!(house.refusal(&client("tool"), &request(&posing)).await, "acts_for_other");
    let first = house.ask(&client("coordinator"), &wanted(&alice)).await.unwrap();
    assert_eq!(house.refusal(&client("coordinator"), &request(first.token.expose())).await, "acts_for_other");
    let own = house.svid("tool", &json!({}));
    assert_eq!(house.refusal(&client("coordinator"), &request(&own)).await, "acts_for_other");

    let issued = house.ask(&client("tool"), &ExchangeRequest { scope: Some("read"), ..request(&own) }).await.unwrap();
    let claims = claims_of(&issued);
    assert_eq!(part(&issued, 0)["typ"], "JWT");
    assert_eq!(
        (&claims["sub"], &claims["aud"], claims.get("act")),
        (&json!("spiffe://example.org/tool"), &json!([TOOL]), None)
    );
    // All else is of a type that no verifier of JWT-SVIDs takes, though it is signed by the same key.
    let ours = house.exchange_bundle();
    let verify = |token: &str| jwt::verify(token, TOOL, &[Arc::clone(&ours)], NOW);
    assert_eq!(verify(issued.token.expose()).unwrap().id.as_str(), "spiffe://example.org/tool");
    let delegated = house.ask(&client("coordinator"), &wanted(&own)).await.unwrap();
    assert_eq!(claims_of(&delegated)["sub"], "spiffe://example.org/tool");
    let refused = verify(delegated.token.expose()).unwrap_err();
    assert!(matches!(refused, jwt::TokenError::Type(_)), "{refused}");
}
