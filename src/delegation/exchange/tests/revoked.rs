//! What was revoked goes no further, by whatever name.

use super::*;
use crate::identity::delegation::Delegation;
use crate::identity::token::TokenVerifier as _;

#[tokio::test]
async fn what_is_revoked_goes_no_further() {
    let house = House::new().await;
    let first = house.ask(&client("coordinator"), &wanted(&house.alice(&json!({})))).await.unwrap();
    let first = first.token.expose();
    let onward = ExchangeRequest { audience: Some(CALENDAR), ..wanted(first) };
    house.ask(&client("tool"), &onward).await.unwrap();
    for (gone, ends) in [
        ("alice", true),
        ("spiffe://example.org/coordinator", true),
        ("spiffe://example.org/tool", true),
        ("spiffe://example.org/x", false),
    ] {
        let revoked = Revoked::new(RevokedKind::Member, gone, None).unwrap();
        house.revocations.revoke(revoked.clone(), None, NOW).await.unwrap();
        let ended = house.ask(&client("tool"), &onward).await;
        assert_eq!(ended.err().map(|error| error.reason()), ends.then_some("revoked"), "{gone}");
        house.revocations.restore(&revoked).await.unwrap();
    }
}

/// Who issued the token before the one that is exchanged.
const THIRD: &str = "https://third.example";

fn third(name: &str) -> Value {
    json!({"format": "iss_sub", "iss": THIRD, "sub": name})
}

/// An issuer that is believed says what others call alice: that stays with all that is made of its token, hop by hop.
#[tokio::test]
async fn a_subject_keeps_the_names_that_others_have_for_it() {
    let house = House::new().await;
    let aliases = json!({"format": "aliases", "identifiers": [third("alice"), third("employee-7")]});
    for (named, kept) in [
        (json!({"sub_id": third("alice")}), json!([third("alice")])),
        (json!({"sub_id": aliases}), json!([third("alice"), third("employee-7")])),
        (json!({"sub_id": third("employee-7"), "sub_aliases": aliases}), json!([third("employee-7"), third("alice")])),
    ] {
        let first = house.ask(&client("coordinator"), &wanted(&house.alice(&named))).await.unwrap();
        let transaction = ExchangeRequest {
            subject: ShownToken { token: first.token.expose(), kind: TokenType::AccessToken },
            wanted: TokenType::TransactionToken,
            audience: Some("example.org"),
            ..wanted("")
        };
        let begun = house.ask(&client("tool"), &transaction).await.unwrap();
        let succession = ExchangeRequest {
            subject: ShownToken { token: begun.token.expose(), kind: TokenType::TransactionToken },
            ..transaction.clone()
        };
        let next = house.ask(&client("calendar"), &succession).await.unwrap();
        for token in [&first, &begun, &next] {
            let claims = claims_of(token);
            assert_eq!(claims["sub_id"], json!({"format": "iss_sub", "iss": IDP, "sub": "alice"}));
            assert_eq!(claims["sub_aliases"], json!({"format": "aliases", "identifiers": kept}));
        }
        let onward = ExchangeRequest { audience: Some(CALENDAR), ..wanted(first.token.expose()) };
        house.ask(&client("tool"), &onward).await.unwrap();
        let name = kept[0]["sub"].as_str().unwrap();
        let revoked = Revoked::new(RevokedKind::Member, name, Some(THIRD)).unwrap();
        house.revocations.revoke(revoked.clone(), None, NOW).await.unwrap();
        assert_eq!(house.refusal(&client("coordinator"), &wanted(&house.alice(&named))).await, "revoked");
        assert_eq!(house.refusal(&client("tool"), &onward).await, "revoked");
        assert_eq!(house.refusal(&client("tool"), &transaction).await, "revoked");
        assert_eq!(house.refusal(&client("calendar"), &succession).await, "revoked");
        // A Check reads the same of the token that went out.
        let shown = house.tokens.verify(next.token.expose(), NOW).unwrap();
        assert!(house.revocations.is_revoked(&Delegation::read(&shown).unwrap(), NOW));
        house.revocations.restore(&revoked).await.unwrap();
        house.ask(&client("calendar"), &succession).await.unwrap();
    }
    let plain = house.ask(&client("coordinator"), &wanted(&house.alice(&json!({})))).await.unwrap();
    assert!(claims_of(&plain).get("sub_aliases").is_none(), "nobody calls her anything else");
}

#[tokio::test]
async fn a_subject_of_more_names_than_anybody_reads_is_not_exchanged() {
    let house = House::new().await;
    let named = |count: usize| {
        let names: Vec<Value> = (0..count).map(|number| third(&number.to_string())).collect();
        house.alice(&json!({"sub_id": {"format": "aliases", "identifiers": names}}))
    };
    let first = house.ask(&client("coordinator"), &wanted(&named(7))).await.unwrap();
    let onward = ExchangeRequest { audience: Some(CALENDAR), ..wanted(first.token.expose()) };
    house.ask(&client("tool"), &onward).await.expect("what was made can be read");
    for count in [8, 9] {
        assert_eq!(house.refusal(&client("coordinator"), &wanted(&named(count))).await, "bad_delegation", "{count}");
    }
}
